//! What the transport counts.

use std::sync::atomic::{AtomicU64, Ordering};

/// Totals since a transport was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TransportStatistics {
    /// Requests sent, each attempt counted.
    pub requests: u64,
    /// Attempts after the first of a call.
    pub retries: u64,
    /// Answers that asked to slow down (429, 503).
    pub throttled: u64,
    /// Connections made.
    pub connections_opened: u64,
    /// Connections open now, idle ones included.
    pub connections_open: u64,
    /// Bytes of answers' bodies.
    pub bytes_received: u64,
    /// Bytes of requests' bodies.
    pub bytes_sent: u64,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) requests: AtomicU64,
    pub(super) retries: AtomicU64,
    pub(super) throttled: AtomicU64,
    pub(super) connections_opened: AtomicU64,
    pub(super) connections_open: AtomicU64,
    pub(super) bytes_received: AtomicU64,
    pub(super) bytes_sent: AtomicU64,
}

impl Counters {
    pub(super) fn add(counter: &AtomicU64, amount: u64) {
        counter.fetch_add(amount, Ordering::Relaxed);
    }

    pub(super) fn snapshot(&self) -> TransportStatistics {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        TransportStatistics {
            requests: load(&self.requests),
            retries: load(&self.retries),
            throttled: load(&self.throttled),
            connections_opened: load(&self.connections_opened),
            connections_open: load(&self.connections_open),
            bytes_received: load(&self.bytes_received),
            bytes_sent: load(&self.bytes_sent),
        }
    }
}

impl std::ops::Add for TransportStatistics {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            requests: self.requests + other.requests,
            retries: self.retries + other.retries,
            throttled: self.throttled + other.throttled,
            connections_opened: self.connections_opened + other.connections_opened,
            connections_open: self.connections_open + other.connections_open,
            bytes_received: self.bytes_received + other.bytes_received,
            bytes_sent: self.bytes_sent + other.bytes_sent,
        }
    }
}
