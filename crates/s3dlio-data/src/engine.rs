//! The one engine under both loaders: reads the samples of an epoch ahead of the consumer.
//!
//! At the first poll as many workers start as objects may be read at once. A worker takes the next turn of the order,
//! and with it a lease on the byte budget, reads that object, sends it to the consumer, and starts over; so objects are
//! read while the consumer is busy elsewhere. Three limits hold:
//!
//! - the workers: `max_concurrent_downloads` objects at once;
//! - the window: samples of `prefetch_depth` batches have been begun and not yet handed out at most;
//! - the bytes: what has been begun and not handed out fits into the byte budget of the client, by the sizes that the
//!   data set knows. What the consumer waits for (the next batch, or one sample where they come singly) is begun in any
//!   case: a batch larger than the budget is read all the same.
//!
//! Turn and lease are taken under one lock, so that leases stand in the order of the samples, and a sample that has
//! arrived completes its lease: neither samples that came before their turn nor a consumer that has stopped asking hold
//! up other reads of the client. A lease ends when its sample is handed out, whatever the consumer then does with it.
//!
//! All workers belong to the engine's `JoinSet`. When the loader's token or the client's is cancelled, every worker
//! drops its read and ends by itself, also while nobody polls; the consumer is told once they all have ended. Dropping
//! the engine aborts them.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::select;
use parking_lot::Mutex;
use s3dlio_store::budget::{ByteBudget, Lease};
use s3dlio_store::{CancellationToken, Client, Error, ErrorKind, FetchOptions, Operation, Result, UnifiedLoaderConfig};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;

use crate::dataset::Dataset;
use crate::sample::Sample;
use crate::sampler::{Order, Sampler};
use crate::state::Position;
use crate::statistics::EpochStatistics;

/// What all epochs of a loader share.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) client: Client,
    pub(crate) dataset: Dataset,
    pub(crate) sampler: Sampler,
    pub(crate) config: UnifiedLoaderConfig,
    pub(crate) cancel: CancellationToken,
}

impl Plan {
    /// Reads what is left of an epoch after `position`, in batches of `unit` samples: none is begun that cannot be full,
    /// where those are to be left out. `unit` is also what the consumer is given at once.
    pub(crate) fn start(self: &Arc<Self>, epoch: u64, position: &Position, unit: usize) -> Result<Engine> {
        let order = self.sampler.order(epoch);
        let beyond = position.first() > order.len() || position.last().is_some_and(|last| last >= order.len());
        if beyond {
            let message = format!("the position is beyond the epoch's {} samples", order.len());
            return Err(Error::new(ErrorKind::InvalidInput, Operation::Load, self.dataset.name())
                .with_message(message)
                .with_hint("positions hold for the data set and the settings that they were taken with"));
        }
        let left = order.len() - position.samples();
        let left = if self.config.drop_last { left / unit * unit } else { left };
        let window = self.config.prefetch_depth.saturating_mul(self.config.batch_size);
        let turns = Turns {
            order,
            given: position.clone(),
            next: position.first(),
            unit,
            window,
            begun: 0,
            handed_out: 0,
            bytes: 0,
            left,
        };
        let queue = Queue { plan: self.clone(), turns: Mutex::new(turns), room: Notify::new() };
        Ok(Engine {
            queue: Arc::new(queue),
            state: State::Idle,
            workers: JoinSet::new(),
            worker_count: self.config.max_concurrent_downloads.min(window).min(left),
            arrivals: None,
            cancelled: either_cancelled(self.client.cancellation(), &self.cancel),
            left,
            position: position.clone(),
            statistics: EpochStatistics::new(),
        })
    }
}

/// Ends when one of two tokens is cancelled.
fn either_cancelled(one: &CancellationToken, other: &CancellationToken) -> Cancelled {
    let (one, other) = (Box::pin(one.clone().cancelled_owned()), Box::pin(other.clone().cancelled_owned()));
    Box::pin(select(one, other).map(drop))
}

type Cancelled = Pin<Box<dyn Future<Output = ()> + Send + Sync>>;

/// What is still to be read, shared by the workers.
#[derive(Debug)]
struct Queue {
    plan: Arc<Plan>,
    turns: Mutex<Turns>,
    /// Wakes a worker when there may be room for another turn, and all of them after the last.
    room: Notify,
}

#[derive(Debug)]
struct Turns {
    order: Order,
    /// What an earlier run of the epoch gave.
    given: Position,
    /// The next position to look at.
    next: usize,
    /// Samples that the consumer is given at once.
    unit: usize,
    /// Samples that may be begun and not handed out.
    window: usize,
    begun: usize,
    handed_out: usize,
    /// Bytes of what has been begun and not handed out.
    bytes: u64,
    /// Samples that have not been begun.
    left: usize,
}

/// What a worker does next.
enum Next {
    Read(Turn),
    /// No room: until the consumer takes something, or a read ends smaller than it was thought.
    Wait,
    /// Everything has been begun.
    End,
}

/// One object to read.
struct Turn {
    sequence: usize,
    position: usize,
    sample: usize,
    size_hint: Option<u64>,
    /// What it counts for until its size is known.
    bytes: u64,
    lease: Lease,
}

/// One object that has been read, or could not be.
pub(crate) struct Arrival {
    /// How many turns came before this one in the same run.
    pub(crate) sequence: usize,
    position: usize,
    bytes: u64,
    latency: Duration,
    outcome: Result<(Sample, Lease)>,
}

impl Queue {
    /// The next object in the sampler's order.
    fn next(&self) -> Next {
        let mut turns = self.turns.lock();
        if turns.left == 0 {
            return Next::End;
        }
        while turns.given.contains(turns.next) {
            turns.next += 1;
        }
        let position = turns.next;
        let Some(sample) = turns.order.get(position) else { return Next::End };
        let size_hint = self.plan.dataset.size_hint(sample);
        // What a read of unknown size reserves with its first request.
        let bytes = size_hint.unwrap_or(self.plan.config.range_split_threshold);
        if !turns.has_room(bytes, self.plan.client.budget()) {
            return Next::Wait;
        }
        let lease = self.plan.client.budget().lease();
        let turn = Turn { sequence: turns.begun, position, sample, size_hint, bytes, lease };
        turns.next += 1;
        turns.begun += 1;
        turns.bytes += bytes;
        turns.left -= 1;
        if turns.left == 0 {
            self.room.notify_waiters();
        } else {
            // One woke this worker, for room that may be enough for several.
            self.room.notify_one();
        }
        Next::Read(turn)
    }

    async fn read(&self, turn: Turn) -> Arrival {
        let Turn { sequence, position, sample: index, size_hint, bytes, lease } = turn;
        let started = Instant::now();
        let location = self.plan.dataset.location(index);
        let options = FetchOptions { size_hint, lease: Some(lease) };
        let fetched = self.plan.client.fetch(&location, options).await;
        // Its lease is complete: it waits for the consumer now, and holds up no read that began later.
        let outcome = fetched
            .map(|fetched| (Sample { index, location, data: fetched.data, e_tag: fetched.e_tag }, fetched.lease));
        let size = outcome.as_ref().map_or(0, |(sample, _)| sample.data.len() as u64);
        if size != bytes {
            let mut turns = self.turns.lock();
            turns.bytes = turns.bytes - bytes + size;
            self.room.notify_one();
        }
        Arrival { sequence, position, bytes: size, latency: started.elapsed(), outcome }
    }

    /// What one worker does, until nothing is left or nobody listens.
    async fn work(&self, arrivals: mpsc::UnboundedSender<Arrival>) {
        loop {
            // Before the look at the turns, so that nothing which changes after it is missed.
            let room = self.room.notified();
            match self.next() {
                // Unbounded as a channel; the window bounds it.
                Next::Read(turn) => match arrivals.send(self.read(turn).await) {
                    Ok(()) => {}
                    Err(_) => return,
                },
                Next::Wait => room.await,
                Next::End => return,
            }
        }
    }

    /// Makes room for what comes after a sample that has been handed out.
    fn hand_out(&self, bytes: u64) {
        let mut turns = self.turns.lock();
        turns.handed_out += 1;
        turns.bytes -= bytes;
        self.room.notify_one();
    }
}

impl Turns {
    /// Whether the next sample, of `bytes` bytes, may be begun.
    fn has_room(&self, bytes: u64, budget: &ByteBudget) -> bool {
        let ahead = self.begun - self.handed_out;
        // Other work of the client uses the budget too; what this loader has begun may not be in use yet.
        ahead < self.unit || (ahead < self.window && self.bytes.max(budget.used()) + bytes <= budget.capacity())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nobody has asked yet, so nothing has been sent.
    Idle,
    Running,
    /// Everything has been handed out; the workers are on their way out.
    Finishing,
    /// A token was cancelled; the workers are on their way out.
    Stopping,
    Over,
}

/// One run through an epoch.
pub(crate) struct Engine {
    queue: Arc<Queue>,
    state: State,
    workers: JoinSet<()>,
    worker_count: usize,
    arrivals: Option<mpsc::UnboundedReceiver<Arrival>>,
    cancelled: Cancelled,
    /// Samples that have not been handed out.
    left: usize,
    position: Position,
    pub(crate) statistics: EpochStatistics,
}

impl Engine {
    pub(crate) fn left(&self) -> usize {
        self.left
    }

    pub(crate) fn position(&self) -> &Position {
        &self.position
    }

    pub(crate) fn plan(&self) -> &Plan {
        &self.queue.plan
    }

    /// Whether what has arrived may still be handed out; not once a token has been cancelled.
    pub(crate) fn is_live(&mut self, cx: &mut Context<'_>) -> bool {
        if matches!(self.state, State::Idle | State::Running)
            && self.left > 0
            && self.cancelled.poll_unpin(cx).is_ready()
        {
            self.workers.abort_all();
            // What has arrived and was not taken gives its bytes back here.
            self.arrivals = None;
            self.state = State::Stopping;
        }
        matches!(self.state, State::Idle | State::Running)
    }

    /// The next arrival, in whatever order. An error is the end of the run: `Cancelled`, told once, after every task has
    /// ended. None comes when everything has been handed out and every task has ended.
    pub(crate) fn poll_arrival(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Arrival>>> {
        if self.is_live(cx) && self.left == 0 {
            self.state = State::Finishing;
        }
        match self.state {
            State::Idle => {
                self.start();
                self.poll_running(cx)
            }
            State::Running => self.poll_running(cx),
            State::Finishing => {
                ready!(self.poll_ended(cx));
                Poll::Ready(None)
            }
            State::Stopping => {
                ready!(self.poll_ended(cx));
                Poll::Ready(Some(Err(Error::cancelled(Operation::Load, self.plan().dataset.name()))))
            }
            State::Over => Poll::Ready(None),
        }
    }

    /// Takes an arrival into the consumer's hands.
    pub(crate) fn hand_out(&mut self, arrival: Arrival) -> Result<Sample> {
        self.left -= 1;
        self.position.give(arrival.position);
        match &arrival.outcome {
            Ok((sample, _)) => self.statistics.sample(sample.data.len() as u64, arrival.latency),
            Err(_) => self.statistics.failed += 1,
        }
        // The lease ends here, before the workers are told that there is room.
        let outcome = arrival.outcome.map(|(sample, _lease)| sample);
        self.queue.hand_out(arrival.bytes);
        outcome
    }

    fn start(&mut self) {
        let (sender, receiver) = mpsc::unbounded_channel();
        for _ in 0..self.worker_count {
            let (queue, sender) = (self.queue.clone(), sender.clone());
            self.workers.spawn(async move {
                let (client, loader) = (queue.plan.client.cancellation(), &queue.plan.cancel);
                client.run_until_cancelled(loader.run_until_cancelled(queue.work(sender))).await;
            });
        }
        self.arrivals = Some(receiver);
        self.state = State::Running;
    }

    fn poll_running(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Arrival>>> {
        // A worker that panicked sends nothing: without this the consumer would wait for ever.
        while let Poll::Ready(Some(joined)) = self.workers.poll_join_next(cx) {
            pass_on_panic(joined);
        }
        let Some(arrivals) = &mut self.arrivals else { return Poll::Ready(None) };
        if let Some(arrival) = ready!(arrivals.poll_recv(cx)) {
            return Poll::Ready(Some(Ok(arrival)));
        }
        // The workers are gone and samples are missing: the runtime is going down.
        self.state = State::Over;
        Poll::Ready(Some(Err(Error::cancelled(Operation::Load, self.plan().dataset.name())
            .with_message("the runtime that reads the samples is shutting down"))))
    }

    fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while let Some(joined) = ready!(self.workers.poll_join_next(cx)) {
            pass_on_panic(joined);
        }
        self.state = State::Over;
        Poll::Ready(())
    }
}

fn pass_on_panic(joined: Result<(), tokio::task::JoinError>) {
    if let Err(error) = joined
        && error.is_panic()
    {
        std::panic::resume_unwind(error.into_panic());
    }
}
