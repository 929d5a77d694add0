//! The numbers of a [`CountingStore`](super::CountingStore).

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use object_store::path::Path;
use object_store::{GetOptions, GetRange};
use parking_lot::Mutex;

/// The kinds of calls that are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Call {
    /// A get, of the whole object or of a range.
    Get,
    /// A get with `head` set.
    Head,
    /// A put of a whole object.
    Put,
    /// The start of a multipart upload.
    CreateMultipart,
    /// One part of a multipart upload.
    PutPart,
    /// The end of a multipart upload.
    CompleteMultipart,
    /// The end of a multipart upload that was given up.
    AbortMultipart,
    /// One location of a delete stream.
    Delete,
    /// A listing, with or without an offset.
    List,
    /// A listing of one level.
    ListWithDelimiter,
    /// A copy.
    Copy,
    /// A rename.
    Rename,
}

/// One get, as asked for and as far as it came.
#[derive(Debug, Clone)]
pub struct GetRecord {
    /// The object.
    pub location: Path,
    /// Whether it was a head.
    pub head: bool,
    /// The range asked for; none means the whole object.
    pub asked: Option<GetRange>,
    /// The ETag that was required.
    pub if_match: Option<String>,
    /// The range that the store answered with; none when the call failed or was a head.
    pub served: Option<Range<u64>>,
    /// How many bytes of it the caller took from the body.
    pub delivered: u64,
}

impl GetRecord {
    /// The bytes that the caller took, as a range of the object.
    pub fn delivered_range(&self) -> Range<u64> {
        let start = self.served.as_ref().map_or(0, |served| served.start);
        start..start + self.delivered
    }
}

#[derive(Debug, Default)]
struct State {
    calls: HashMap<Call, usize>,
    gets: Vec<GetRecord>,
    bytes_sent: u64,
    requests: Gauge,
    requested: Gauge,
    held: Gauge,
}

/// A value and the largest it has been.
#[derive(Debug, Default, Clone, Copy)]
struct Gauge {
    now: u64,
    peak: u64,
}

impl Gauge {
    fn add(&mut self, amount: u64) {
        self.now += amount;
        self.peak = self.peak.max(self.now);
    }

    fn subtract(&mut self, amount: u64) {
        self.now -= amount;
    }
}

/// What has passed through a [`CountingStore`](super::CountingStore).
#[derive(Debug, Clone, Default)]
pub struct Counters {
    state: Arc<Mutex<State>>,
}

impl Counters {
    /// How many calls of this kind were begun, failed ones included.
    pub fn count(&self, call: Call) -> usize {
        self.state.lock().calls.get(&call).copied().unwrap_or(0)
    }

    /// How many calls of all kinds were begun.
    pub fn total(&self) -> usize {
        self.state.lock().calls.values().sum()
    }

    /// Every get and head, in the order of their calls.
    pub fn gets(&self) -> Vec<GetRecord> {
        self.state.lock().gets.clone()
    }

    /// The gets of one object.
    pub fn gets_of(&self, location: &Path) -> Vec<GetRecord> {
        self.gets().into_iter().filter(|get| get.location == *location).collect()
    }

    /// The first stretch of an object that was delivered more than once, if there is one.
    pub fn delivered_twice(&self, location: &Path) -> Option<Range<u64>> {
        let mut ranges: Vec<_> = self.gets_of(location).iter().map(GetRecord::delivered_range).collect();
        ranges.retain(|range| !range.is_empty());
        ranges.sort_by_key(|range| range.start);
        let mut end = 0;
        for range in ranges {
            if range.start < end {
                return Some(range.start..range.end.min(end));
            }
            end = range.end;
        }
        None
    }

    /// Bytes that callers took from bodies.
    pub fn bytes_delivered(&self) -> u64 {
        self.state.lock().gets.iter().map(|get| get.delivered).sum()
    }

    /// Bytes that the store promised in its answers, taken or not.
    pub fn bytes_served(&self) -> u64 {
        let state = self.state.lock();
        state.gets.iter().filter_map(|get| get.served.as_ref()).map(|range| range.end - range.start).sum()
    }

    /// Bytes of payloads given to puts and parts.
    pub fn bytes_sent(&self) -> u64 {
        self.state.lock().bytes_sent
    }

    /// Calls begun and not ended; a get ends with its body.
    pub fn requests_in_flight(&self) -> u64 {
        self.state.lock().requests.now
    }

    /// The most calls that were in flight at once.
    pub fn peak_requests_in_flight(&self) -> u64 {
        self.state.lock().requests.peak
    }

    /// The bytes asked for by the gets in flight: of a bounded range from the call on, of others from the answer on.
    pub fn bytes_in_flight(&self) -> u64 {
        self.state.lock().requested.now
    }

    /// The most bytes that were in flight at once.
    pub fn peak_bytes_in_flight(&self) -> u64 {
        self.state.lock().requested.peak
    }

    /// The bytes of delivered chunks that still exist somewhere: what callers took and have not dropped.
    pub fn bytes_held(&self) -> u64 {
        self.state.lock().held.now
    }

    /// The most bytes that were held at once.
    pub fn peak_bytes_held(&self) -> u64 {
        self.state.lock().held.peak
    }

    /// Forgets counts, records and peaks; what is in flight stays so.
    pub fn reset(&self) {
        let mut state = self.state.lock();
        let State { requests, requested, held, .. } = *state;
        let settled = |gauge: Gauge| Gauge { now: gauge.now, peak: gauge.now };
        *state = State {
            requests: settled(requests),
            requested: settled(requested),
            held: settled(held),
            ..State::default()
        };
    }

    pub(super) fn begin(&self, call: Call) -> InFlight {
        let mut state = self.state.lock();
        *state.calls.entry(call).or_default() += 1;
        state.requests.add(1);
        InFlight { counters: self.clone(), bytes: 0 }
    }

    pub(super) fn sent(&self, bytes: usize) {
        self.state.lock().bytes_sent += bytes as u64;
    }

    pub(super) fn log_get(&self, location: &Path, options: &GetOptions) -> usize {
        let mut state = self.state.lock();
        state.gets.push(GetRecord {
            location: location.clone(),
            head: options.head,
            asked: options.range.clone(),
            if_match: options.if_match.clone(),
            served: None,
            delivered: 0,
        });
        state.gets.len() - 1
    }

    pub(super) fn log_served(&self, index: usize, range: Range<u64>) {
        // The record is gone when the counters were reset in between.
        if let Some(get) = self.state.lock().gets.get_mut(index) {
            get.served = Some(range);
        }
    }
}

/// A call in flight; it lands when dropped.
#[derive(Debug)]
pub(super) struct InFlight {
    counters: Counters,
    bytes: u64,
}

impl InFlight {
    /// Sets how many bytes the call has in flight.
    pub(super) fn with_bytes(mut self, bytes: u64) -> Self {
        {
            let mut state = self.counters.state.lock();
            state.requested.subtract(self.bytes);
            state.requested.add(bytes);
        }
        self.bytes = bytes;
        self
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let mut state = self.counters.state.lock();
        state.requests.subtract(1);
        state.requested.subtract(self.bytes);
    }
}

/// A get whose body is being read.
#[derive(Debug)]
pub(super) struct OpenGet {
    in_flight: InFlight,
    index: usize,
}

impl OpenGet {
    pub(super) fn new(in_flight: InFlight, index: usize) -> Self {
        Self { in_flight, index }
    }

    /// Counts a chunk as delivered, and as held until its last clone is dropped. Nothing is copied.
    pub(super) fn deliver(&self, bytes: Bytes) -> Bytes {
        let counters = self.in_flight.counters.clone();
        let length = bytes.len() as u64;
        {
            let mut state = counters.state.lock();
            state.held.add(length);
            if let Some(get) = state.gets.get_mut(self.index) {
                get.delivered += length;
            }
        }
        Bytes::from_owner(Held { bytes, counters })
    }
}

/// A delivered chunk.
struct Held {
    bytes: Bytes,
    counters: Counters,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.counters.state.lock().held.subtract(self.bytes.len() as u64);
    }
}
