//! Requests in flight to one endpoint.
//!
//! A fixed limit is a semaphore. The adaptive limit watches what comes back: while more requests bring more bytes, the
//! limit climbs; when they do not, it holds and probes again from time to time; an answer that asks to slow down halves
//! it.

use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::RequestLimit;
use crate::constants::{
    REQUEST_LIMIT_MAX, REQUEST_LIMIT_MIN, REQUEST_LIMIT_START, REQUEST_PROBE_WINDOWS, REQUEST_WEIGHT,
    REQUEST_WINDOW_MIN,
};

/// A limit on requests in flight, shared by all clones.
#[derive(Debug, Clone)]
pub struct RequestLimiter(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    semaphore: Arc<Semaphore>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    limit: usize,
    in_flight: usize,
    /// Permits that have to be taken back from requests in flight, since the limit fell below them.
    debt: usize,
    controller: Option<Controller>,
}

/// What one window of requests brought, and what the best before it brought.
#[derive(Debug)]
struct Controller {
    window_started: Instant,
    window_requests: usize,
    window_work: u64,
    saturated: bool,
    best_rate: f64,
    windows_held: usize,
}

impl RequestLimiter {
    /// A limiter by the setting `max_requests_in_flight`.
    pub fn new(limit: RequestLimit) -> Self {
        let (limit, controller) = match limit {
            RequestLimit::Fixed(limit) => (limit.max(1), None),
            RequestLimit::Adaptive => (REQUEST_LIMIT_START, Some(Controller::new())),
        };
        let state = Mutex::new(State { limit, in_flight: 0, debt: 0, controller });
        Self(Arc::new(Inner { semaphore: Arc::new(Semaphore::new(limit)), state }))
    }

    /// Waits for a place. Dropping the future gives up the place in line.
    pub async fn acquire(&self) -> RequestPermit {
        let permit =
            self.0.semaphore.clone().acquire_owned().await.expect("the semaphore is never closed: nothing calls close");
        let mut state = self.0.state.lock();
        state.in_flight += 1;
        let saturated = state.in_flight >= state.limit;
        if let Some(controller) = &mut state.controller {
            controller.saturated |= saturated;
        }
        RequestPermit { limiter: self.clone(), permit: Some(permit) }
    }

    /// The limit now.
    pub fn limit(&self) -> usize {
        self.0.state.lock().limit
    }

    /// Requests in flight now.
    pub fn in_flight(&self) -> usize {
        self.0.state.lock().in_flight
    }

    /// Whether whole objects alone keep the limit busy, so that splitting one of them brings nothing.
    pub fn is_busy(&self) -> bool {
        let state = self.0.state.lock();
        state.in_flight * 4 >= state.limit * 3
    }
}

impl Inner {
    fn set_limit(&self, state: &mut State, limit: usize) {
        let limit = limit.clamp(REQUEST_LIMIT_MIN, REQUEST_LIMIT_MAX);
        if limit > state.limit {
            let more = limit - state.limit;
            let forgiven = more.min(state.debt);
            state.debt -= forgiven;
            self.semaphore.add_permits(more - forgiven);
        } else {
            let fewer = state.limit - limit;
            state.debt += fewer - self.semaphore.forget_permits(fewer);
        }
        if limit != state.limit {
            tracing::trace!(from = state.limit, to = limit, "the limit of requests in flight moves");
        }
        state.limit = limit;
    }
}

/// The right to have one request in flight. Dropping it gives the place to the next.
#[derive(Debug)]
pub struct RequestPermit {
    limiter: RequestLimiter,
    permit: Option<OwnedSemaphorePermit>,
}

impl RequestPermit {
    /// Says what the request brought, and whether the server asked to slow down.
    pub fn finish(self, bytes: u64, throttled: bool) {
        let inner = &self.limiter.0;
        let mut state = inner.state.lock();
        let limit = state.limit;
        if let Some(controller) = &mut state.controller
            && let Some(next) = controller.record(limit, bytes, throttled)
        {
            inner.set_limit(&mut state, next);
        }
    }
}

impl Drop for RequestPermit {
    fn drop(&mut self) {
        let mut state = self.limiter.0.state.lock();
        state.in_flight -= 1;
        if state.debt > 0
            && let Some(permit) = self.permit.take()
        {
            state.debt -= 1;
            permit.forget();
        }
    }
}

impl Controller {
    fn new() -> Self {
        Self {
            window_started: Instant::now(),
            window_requests: 0,
            window_work: 0,
            saturated: false,
            best_rate: 0.0,
            windows_held: 0,
        }
    }

    /// Counts one finished request; at the end of a window, or when throttled, the next limit.
    fn record(&mut self, limit: usize, bytes: u64, throttled: bool) -> Option<usize> {
        self.window_requests += 1;
        self.window_work += bytes + REQUEST_WEIGHT;
        if throttled {
            self.restart();
            self.best_rate = 0.0;
            return Some(limit / 2);
        }
        let elapsed = self.window_started.elapsed();
        if self.window_requests < limit || elapsed < REQUEST_WINDOW_MIN {
            return None;
        }
        let next = self.next_limit(limit, self.window_work as f64 / elapsed.as_secs_f64());
        self.restart();
        next
    }

    fn next_limit(&mut self, limit: usize, rate: f64) -> Option<usize> {
        if !self.saturated {
            return None;
        }
        if rate > self.best_rate * 1.05 {
            self.best_rate = rate;
            self.windows_held = 0;
            return Some(limit + limit / 4 + 1);
        }
        self.windows_held += 1;
        if self.windows_held >= REQUEST_PROBE_WINDOWS {
            // What was best may not be best any more: measure it anew, from here.
            self.windows_held = 0;
            self.best_rate = rate;
        }
        None
    }

    fn restart(&mut self) {
        self.window_started = Instant::now();
        self.window_requests = 0;
        self.window_work = 0;
        self.saturated = false;
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn a_fixed_limit_is_kept() {
        let limiter = RequestLimiter::new(RequestLimit::Fixed(2));
        let (first, _second) = (limiter.acquire().await, limiter.acquire().await);
        assert!(limiter.acquire().now_or_never().is_none());
        first.finish(1, true);
        limiter.acquire().await;
        assert_eq!(limiter.limit(), 2);
    }

    #[tokio::test]
    async fn throttling_halves_the_adaptive_limit_at_once() {
        let limiter = RequestLimiter::new(RequestLimit::Adaptive);
        let mut permits = Vec::new();
        for _ in 0..REQUEST_LIMIT_START {
            permits.push(limiter.acquire().await);
        }
        permits.pop().expect("there is one").finish(0, true);
        assert_eq!(limiter.limit(), REQUEST_LIMIT_START / 2);
        assert!(limiter.acquire().now_or_never().is_none(), "half of the places are in debt");
        permits.truncate(REQUEST_LIMIT_START / 2 - 1);
        assert!(limiter.acquire().now_or_never().is_some());
    }

    #[test]
    fn the_limit_climbs_while_more_requests_bring_more() {
        let mut controller = Controller::new();
        controller.saturated = true;
        assert_eq!(controller.next_limit(32, 100.0), Some(41));
        controller.saturated = true;
        assert_eq!(controller.next_limit(41, 101.0), None);
        assert_eq!(controller.next_limit(41, 120.0), Some(52));
        controller.saturated = false;
        assert_eq!(controller.next_limit(52, 500.0), None, "an idle limit says nothing");
    }
}
