//! Bytes in flight.
//!
//! Every read takes a [`Lease`] before it sends a request, and grows it as it learns how large its object is. Leases
//! are numbered in the order in which their reads began. A lease that wants to grow waits until the bytes are free and
//! no older lease waits. One exception keeps everything moving: the oldest lease that is not complete may always grow,
//! for all others may be waiting for it. So reads that are complete and wait for a slow consumer, or for the rest of
//! their batch, can never hold up the read that comes next, at the price of going over the budget by that one object.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;

/// A limit on bytes in flight, shared by all clones.
#[derive(Debug, Clone)]
pub struct ByteBudget(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    capacity: u64,
    used: u64,
    peak: u64,
    next: u64,
    waiting: usize,
    leases: BTreeMap<u64, Holding>,
}

#[derive(Debug, Default)]
struct Holding {
    bytes: u64,
    complete: bool,
    wanted: Option<(u64, Waker)>,
}

impl ByteBudget {
    /// A budget of `capacity` bytes.
    pub fn new(capacity: u64) -> Self {
        let leases = BTreeMap::new();
        Self(Arc::new(Mutex::new(State { capacity, used: 0, peak: 0, next: 0, waiting: 0, leases })))
    }

    /// The next lease in line. It holds nothing yet.
    pub fn lease(&self) -> Lease {
        let mut state = self.0.lock();
        let number = state.next;
        state.next += 1;
        state.leases.insert(number, Holding::default());
        Lease { budget: self.clone(), number }
    }

    /// Bytes in flight now.
    pub fn used(&self) -> u64 {
        self.0.lock().used
    }

    /// The most bytes that were ever in flight at once.
    pub fn peak(&self) -> u64 {
        self.0.lock().peak
    }

    /// The limit in bytes.
    pub fn capacity(&self) -> u64 {
        self.0.lock().capacity
    }
}

impl State {
    fn grant(&mut self, number: u64, amount: u64) {
        if let Some(holding) = self.leases.get_mut(&number) {
            holding.bytes += amount;
            self.used += amount;
            self.peak = self.peak.max(self.used);
        }
    }

    fn oldest_incomplete(&self) -> Option<u64> {
        self.leases.iter().find(|(_, holding)| !holding.complete).map(|(number, _)| *number)
    }

    fn oldest_waiting(&self) -> Option<(u64, u64)> {
        self.leases.iter().find_map(|(number, holding)| Some((*number, holding.wanted.as_ref()?.0)))
    }

    /// Whether a lease may grow now.
    fn admits(&self, number: u64, amount: u64) -> bool {
        let fits = amount <= self.capacity.saturating_sub(self.used);
        let first = self.waiting == 0 || self.oldest_waiting().is_none_or(|(oldest, _)| number <= oldest);
        (fits && first) || self.oldest_incomplete() == Some(number)
    }

    /// Lets waiting leases grow as far as there is room.
    fn settle(&mut self) {
        while self.waiting > 0
            && let Some((number, amount)) = self.oldest_waiting()
            && self.admits(number, amount)
            && let Some((_, waker)) = self.leases.get_mut(&number).and_then(|holding| holding.wanted.take())
        {
            self.waiting -= 1;
            self.grant(number, amount);
            waker.wake();
        }
    }
}

/// Bytes that one read holds. Dropping it gives them back.
#[derive(Debug)]
pub struct Lease {
    budget: ByteBudget,
    number: u64,
}

impl Lease {
    /// Waits until the lease may hold `amount` more bytes. Dropping the future gives up the place in line.
    pub async fn grow(&mut self, amount: u64) {
        if amount > 0 {
            Grow { lease: self, amount, queued: false }.await;
        }
    }

    /// Whether the lease holds `amount` more bytes now; if not, [`Lease::grow`] waits for them.
    pub fn try_grow(&mut self, amount: u64) -> bool {
        let mut state = self.budget.0.lock();
        let admitted = amount == 0 || state.admits(self.number, amount);
        if admitted {
            state.grant(self.number, amount);
        }
        admitted
    }

    /// Gives back what the lease holds above `bytes`.
    pub fn shrink_to(&mut self, bytes: u64) {
        let mut state = self.budget.0.lock();
        if let Some(holding) = state.leases.get_mut(&self.number) {
            let excess = holding.bytes.saturating_sub(bytes);
            holding.bytes -= excess;
            state.used -= excess;
            state.settle();
        }
    }

    /// Says that the lease will not grow any more: what it holds waits for its consumer.
    pub fn complete(&mut self) {
        let mut state = self.budget.0.lock();
        if let Some(holding) = state.leases.get_mut(&self.number) {
            holding.complete = true;
            state.settle();
        }
    }

    /// Bytes that the lease holds.
    pub fn bytes(&self) -> u64 {
        self.budget.0.lock().leases.get(&self.number).map_or(0, |holding| holding.bytes)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut state = self.budget.0.lock();
        if let Some(holding) = state.leases.remove(&self.number) {
            state.used -= holding.bytes;
            state.waiting -= usize::from(holding.wanted.is_some());
            state.settle();
        }
    }
}

struct Grow<'a> {
    lease: &'a Lease,
    amount: u64,
    queued: bool,
}

impl Future for Grow<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let (number, amount) = (self.lease.number, self.amount);
        let mut state = self.lease.budget.0.lock();
        if !self.queued {
            if state.admits(number, amount) {
                state.grant(number, amount);
                return Poll::Ready(());
            }
            state.waiting += 1;
        }
        let holding = state.leases.entry(number).or_default();
        if self.queued && holding.wanted.is_none() {
            return Poll::Ready(());
        }
        holding.wanted = Some((amount, cx.waker().clone()));
        drop(state);
        self.queued = true;
        Poll::Pending
    }
}

impl Drop for Grow<'_> {
    fn drop(&mut self) {
        if !self.queued {
            return;
        }
        let mut state = self.lease.budget.0.lock();
        let gave_up = state.leases.get_mut(&self.lease.number).and_then(|holding| holding.wanted.take()).is_some();
        if gave_up {
            state.waiting -= 1;
            state.settle();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn a_lease_waits_until_bytes_are_free() {
        let budget = ByteBudget::new(100);
        let (mut first, mut second) = (budget.lease(), budget.lease());
        first.grow(80).await;
        assert!(second.grow(30).now_or_never().is_none());
        first.shrink_to(60);
        second.grow(30).await;
        assert_eq!((budget.used(), budget.peak()), (90, 90));
        drop((first, second));
        assert_eq!(budget.used(), 0);
    }

    #[tokio::test]
    async fn the_oldest_incomplete_lease_may_always_grow() {
        let budget = ByteBudget::new(100);
        let (mut first, mut second) = (budget.lease(), budget.lease());
        second.grow(100).await;
        first.grow(50).await;
        assert_eq!(budget.used(), 150);
        assert!(second.grow(1).now_or_never().is_none());
        first.complete();
        second.grow(1).await;
    }

    #[tokio::test]
    async fn a_waiter_that_gave_up_does_not_hold_up_the_next() {
        let budget = ByteBudget::new(10);
        let (mut first, mut second, mut third) = (budget.lease(), budget.lease(), budget.lease());
        first.grow(8).await;
        let mut waiting = Box::pin(second.grow(5));
        assert!(waiting.as_mut().now_or_never().is_none());
        assert!(third.grow(1).now_or_never().is_none(), "the second comes first");
        drop(waiting);
        third.grow(1).await;
    }

    #[tokio::test]
    async fn waiters_are_served_oldest_first() {
        let budget = ByteBudget::new(10);
        let mut leases: Vec<Lease> = (0..4).map(|_| budget.lease()).collect();
        leases[0].grow(10).await;
        let first = leases.remove(0);
        let mut waits: Vec<_> = leases.iter_mut().map(|lease| Box::pin(lease.grow(6))).collect();
        for wait in waits.iter_mut().rev() {
            assert!(wait.as_mut().now_or_never().is_none());
        }
        drop(first);
        assert!(waits[0].as_mut().now_or_never().is_some());
        assert!(waits[1].as_mut().now_or_never().is_none());
    }
}
