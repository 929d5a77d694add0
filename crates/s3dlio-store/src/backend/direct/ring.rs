//! One io_uring and the thread that drives it.
//!
//! The thread owns the ring, sends every request and takes every completion, which lets the kernel defer its own work to
//! that thread (`IORING_SETUP_DEFER_TASKRUN`) instead of interrupting the threads of the runtime. Others put requests
//! into an inbox and, if the thread sleeps in the kernel, wake it through a pipe that the ring polls.
//!
//! Dropping a [`Ring`] closes the inbox, and waits until the kernel has ended what is in flight.
#![allow(unsafe_code)] // requests name memory and descriptors by address and number

use std::collections::VecDeque;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::mem;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use io_uring::{IoUring, cqueue, opcode, squeue, types};
use parking_lot::Mutex;
use rustix::io::Errno;
use tokio::sync::oneshot;

use super::queue::{Direction, Outcome, Request};

/// The completion of the poll that wakes the thread; requests count from zero.
const WAKE: u64 = u64::MAX;

/// A submission queue has at most 32,768 entries, one of which is for the poll.
const LARGEST: usize = (1 << 15) - 1;

/// The way to the thread that drives a ring.
#[derive(Debug)]
pub(super) struct Ring {
    inbox: Arc<Inbox>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Inbox {
    requests: Mutex<Arrivals>,
    /// Set while the thread may be waiting in the kernel.
    asleep: AtomicBool,
    wake: PipeWriter,
}

#[derive(Debug, Default)]
struct Arrivals {
    waiting: VecDeque<(Request, oneshot::Sender<Outcome>)>,
    closed: bool,
}

impl Ring {
    /// A ring that keeps up to `depth` requests in flight.
    ///
    /// # Errors
    /// Where the kernel has no io_uring, or a sandbox or a limit forbids it.
    pub(super) fn new(depth: usize) -> io::Result<Self> {
        let depth = depth.min(LARGEST);
        let (woken, wake) = io::pipe()?;
        let inbox = Arc::new(Inbox { requests: Mutex::default(), asleep: AtomicBool::new(false), wake });
        let (ready, is_ready) = mpsc::channel();
        let thread = thread::Builder::new().name("direct-ring".into()).spawn({
            let inbox = inbox.clone();
            // The ring belongs to the thread that makes it.
            move || match make_ring(depth) {
                Ok(ring) => {
                    let driver = Driver { ring, flights: Flights::new(depth), inbox, woken };
                    if ready.send(Ok(())).is_ok() {
                        driver.run();
                    }
                }
                Err(error) => drop(ready.send(Err(error))),
            }
        })?;
        is_ready.recv().unwrap_or_else(|_| Err(io::Error::other("the thread of the ring ended")))?;
        Ok(Self { inbox, thread: Some(thread) })
    }

    /// Hands `request` to the thread, or drops both if the thread has ended. Returns at once.
    pub(super) fn submit(&self, request: Request, done: oneshot::Sender<Outcome>) {
        let mut arrivals = self.inbox.requests.lock();
        if arrivals.closed {
            return;
        }
        arrivals.waiting.push_back((request, done));
        drop(arrivals);
        self.inbox.wake();
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        self.inbox.close();
        self.inbox.wake();
        if let Some(thread) = self.thread.take() {
            // It ends when nothing is in flight any more. A panic there has been reported by the panic hook.
            let _ = thread.join();
        }
    }
}

impl Inbox {
    /// Takes no more requests, and drops those that were not sent.
    fn close(&self) {
        let mut arrivals = self.requests.lock();
        arrivals.closed = true;
        let abandoned = mem::take(&mut arrivals.waiting);
        drop(arrivals);
        drop(abandoned);
    }

    fn wake(&self) {
        // One byte per sleep at most, so that the pipe never fills. It cannot break: the thread holds the other end.
        if self.asleep.swap(false, Ordering::SeqCst) {
            let _ = (&self.wake).write(&[0]);
        }
    }
}

fn make_ring(depth: usize) -> io::Result<IoUring> {
    // Room for every request and the poll. The completion queue is twice that, and can never overflow.
    let entries = (depth as u32 + 1).next_power_of_two();
    match IoUring::builder().setup_single_issuer().setup_defer_taskrun().build(entries) {
        // Before Linux 6.1 these flags are unknown.
        Err(error) if error.raw_os_error() == Some(Errno::INVAL.raw_os_error()) => IoUring::builder().build(entries),
        result => result,
    }
}

/// Requests that the kernel works on. Their memory and descriptors must stay until it says that it is done.
struct Flights {
    slots: Vec<Option<(Request, oneshot::Sender<Outcome>)>>,
    free: Vec<usize>,
}

impl Flights {
    fn new(depth: usize) -> Self {
        Self { slots: (0..depth).map(|_| None).collect(), free: (0..depth).rev().collect() }
    }

    fn is_empty(&self) -> bool {
        self.free.len() == self.slots.len()
    }
}

impl Drop for Flights {
    fn drop(&mut self) {
        // Reached with something in flight only by a panic: the kernel may still write there, so the memory is leaked.
        // Who waits for it hears that nothing comes.
        self.slots.drain(..).flatten().for_each(|(request, _)| mem::forget(request));
    }
}

struct Driver {
    ring: IoUring,
    flights: Flights,
    inbox: Arc<Inbox>,
    woken: PipeReader,
}

impl Drop for Driver {
    fn drop(&mut self) {
        // Closed already, unless the thread panics: then nobody must wait for it.
        self.inbox.close();
    }
}

impl Driver {
    fn run(mut self) {
        self.poll_wake();
        let mut completed = Vec::new();
        loop {
            let closed = self.take_requests();
            if closed && self.flights.is_empty() {
                return;
            }
            self.inbox.asleep.store(true, Ordering::SeqCst);
            // What arrived since the inbox was looked at has seen nobody asleep, and wrote nothing into the pipe.
            let nothing_new = {
                let arrivals = self.inbox.requests.lock();
                arrivals.closed == closed && (arrivals.waiting.is_empty() || self.flights.free.is_empty())
            };
            let submitted = match nothing_new {
                true => self.ring.submit_and_wait(1),
                false => self.ring.submit(),
            };
            self.inbox.asleep.store(false, Ordering::SeqCst);
            match submitted.map_err(|error| Errno::from_io_error(&error)) {
                // Interrupted, or out of memory for now: what was not sent stays in the queue for the next turn.
                Ok(_) | Err(Some(Errno::INTR | Errno::AGAIN | Errno::BUSY)) => {}
                Err(error) => panic!("io_uring_enter failed: {error:?}"),
            }
            completed.extend(self.ring.completion().map(|entry: cqueue::Entry| (entry.user_data(), entry.result())));
            for (id, result) in completed.drain(..) {
                match id {
                    WAKE => self.rearm(),
                    id => self.finish(id as usize, result),
                }
            }
        }
    }

    /// Sends what waits, as far as the depth allows. Whether the inbox is closed.
    fn take_requests(&mut self) -> bool {
        let mut arrivals = self.inbox.requests.lock();
        while let Some(slot) = self.flights.free.pop() {
            let Some(arrival) = arrivals.waiting.pop_front() else {
                self.flights.free.push(slot);
                break;
            };
            let (request, _) = self.flights.slots[slot].insert(arrival);
            let descriptor = types::Fd(request.descriptor());
            let (offset, length) = (request.offset, request.length as u32);
            let address = request.memory().as_mut_ptr();
            let entry = match request.direction {
                Direction::Read => opcode::Read::new(descriptor, address, length).offset(offset).build(),
                Direction::Write => opcode::Write::new(descriptor, address, length).offset(offset).build(),
            };
            // SAFETY: the memory is `length` bytes of the request's own block, and the descriptor that of the file it
            // holds. Both stay in the slot, which nobody touches, until the completion with this number arrives, and
            // are leaked by Flights if this thread unwinds before.
            unsafe { push(&mut self.ring, entry.user_data(slot as u64)) };
        }
        arrivals.closed
    }

    fn poll_wake(&mut self) {
        let poll = opcode::PollAdd::new(types::Fd(self.woken.as_raw_fd()), libc::POLLIN as u32).build();
        // SAFETY: a poll names no memory; the pipe is closed after the ring, by the order of the fields.
        unsafe { push(&mut self.ring, poll.user_data(WAKE)) };
    }

    fn rearm(&mut self) {
        // One byte at least is there, so this does not wait.
        let _ = self.woken.read(&mut [0; 64]);
        self.poll_wake();
    }

    fn finish(&mut self, slot: usize, result: i32) {
        if let Some((request, done)) = self.flights.slots[slot].take() {
            self.flights.free.push(slot);
            let result = usize::try_from(result).map_err(|_| io::Error::from_raw_os_error(-result));
            // Whoever waited may be gone; the block goes back to its pool.
            let _ = done.send((request, result));
        }
    }
}

/// Puts `entry` into the submission queue.
///
/// # Safety
/// What the entry names must be valid until it completes.
unsafe fn push(ring: &mut IoUring, entry: squeue::Entry) {
    // SAFETY: promised by the caller.
    let pushed = unsafe { ring.submission().push(&entry) };
    assert!(pushed.is_ok(), "the submission queue has room for every slot and the poll");
}
