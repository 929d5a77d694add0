//! What a [`CountingStore`](super::CountingStore) does to chosen calls.

use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use object_store::path::Path;
use object_store::{Error, Result};
use parking_lot::Mutex;
use tokio::sync::{Semaphore, watch};

use super::counters::Call;

/// The name under which injected errors report their store.
const STORE: &str = "CountingStore";

/// An error by kind, for [`Fault::fail`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// `Error::NotFound`
    NotFound,
    /// `Error::AlreadyExists`
    AlreadyExists,
    /// `Error::Precondition`
    Precondition,
    /// `Error::NotModified`
    NotModified,
    /// `Error::PermissionDenied`
    PermissionDenied,
    /// `Error::Unauthenticated`
    Unauthenticated,
    /// `Error::NotSupported`
    NotSupported,
    /// `Error::Generic`, which is what `object_store` reports for a server error, a timeout or a broken connection
    Generic,
}

impl ErrorKind {
    fn error(self, location: &Path) -> Error {
        let path = location.to_string();
        let source = format!("injected {self:?}").into();
        match self {
            Self::NotFound => Error::NotFound { path, source },
            Self::AlreadyExists => Error::AlreadyExists { path, source },
            Self::Precondition => Error::Precondition { path, source },
            Self::NotModified => Error::NotModified { path, source },
            Self::PermissionDenied => Error::PermissionDenied { path, source },
            Self::Unauthenticated => Error::Unauthenticated { path, source },
            Self::NotSupported => Error::NotSupported { source },
            Self::Generic => Error::Generic { store: STORE, source },
        }
    }
}

/// Holds calls back until the test lets them go; clones are the same gate.
#[derive(Debug, Clone)]
pub struct Gate {
    permits: Arc<Semaphore>,
    waiting: Arc<watch::Sender<usize>>,
}

impl Gate {
    /// A gate that lets nothing pass.
    pub fn closed() -> Self {
        Self { permits: Arc::new(Semaphore::new(0)), waiting: Arc::new(watch::Sender::new(0)) }
    }

    /// Lets everything pass, now and later.
    pub fn open(&self) {
        self.permits.close();
    }

    /// Lets `count` calls pass: those that wait first, then those that come.
    pub fn let_through(&self, count: usize) {
        self.permits.add_permits(count);
    }

    /// How many calls wait at the gate.
    pub fn waiting(&self) -> usize {
        *self.waiting.borrow()
    }

    /// Returns when at least `count` calls wait at the gate.
    pub async fn wait_for(&self, count: usize) {
        // The sender lives as long as self, so this cannot fail.
        let _ = self.waiting.subscribe().wait_for(|waiting| *waiting >= count).await;
    }

    async fn pass(&self) {
        let _waiting = Waiting::new(&self.waiting);
        // A closed semaphore is an open gate.
        if let Ok(permit) = self.permits.acquire().await {
            permit.forget();
        }
    }
}

/// Counts a call as waiting for as long as it lives, also when the call is dropped.
struct Waiting<'a>(&'a watch::Sender<usize>);

impl<'a> Waiting<'a> {
    fn new(waiting: &'a watch::Sender<usize>) -> Self {
        waiting.send_modify(|count| *count += 1);
        Self(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

#[derive(Debug, Clone)]
enum Action {
    Hold(Gate),
    Fail(ErrorKind),
    Body(BodyFault),
}

/// What happens to an answer.
#[derive(Debug, Clone)]
pub(super) enum BodyFault {
    Truncate(u64),
    Break(u64),
    Hold(u64, Gate),
    Etag(String),
}

impl BodyFault {
    pub(super) fn etag(&self) -> Option<String> {
        match self {
            Self::Etag(etag) => Some(etag.clone()),
            _ => None,
        }
    }
}

/// A fault and the calls that meet it: `Fault::on(Call::Get).nth(2).truncate_body(100)`.
#[derive(Debug, Clone)]
pub struct Fault {
    call: Call,
    location: Option<Path>,
    skip: usize,
    take: usize,
    action: Option<Action>,
}

impl Fault {
    /// A fault for every call of a kind, until it is narrowed down.
    pub fn on(call: Call) -> Self {
        Self { call, location: None, skip: 0, take: usize::MAX, action: None }
    }

    /// Only for calls on this location (of a listing: with this prefix; of a copy or rename: from it).
    #[must_use]
    pub fn at(mut self, location: &Path) -> Self {
        self.location = Some(location.clone());
        self
    }

    /// Only for the nth call, counted from 1 and from the injection.
    #[must_use]
    pub fn nth(mut self, n: usize) -> Self {
        self.skip = n.saturating_sub(1);
        self.take = 1;
        self
    }

    /// Only for the first `count` calls.
    #[must_use]
    pub fn first(mut self, count: usize) -> Self {
        self.skip = 0;
        self.take = count;
        self
    }

    /// Only for calls after the first `count`.
    #[must_use]
    pub fn after(mut self, count: usize) -> Self {
        self.skip = count;
        self.take = usize::MAX;
        self
    }

    /// Holds the call at a gate before it reaches the store.
    #[must_use]
    pub fn hold(self, gate: &Gate) -> Self {
        self.with(Action::Hold(gate.clone()))
    }

    /// Fails the call instead of passing it on.
    #[must_use]
    pub fn fail(self, kind: ErrorKind) -> Self {
        self.with(Action::Fail(kind))
    }

    /// Ends the body after `bytes` bytes as if it were complete.
    #[must_use]
    pub fn truncate_body(self, bytes: u64) -> Self {
        self.with(Action::Body(BodyFault::Truncate(bytes)))
    }

    /// Ends the body after `bytes` bytes with an error.
    #[must_use]
    pub fn break_body(self, bytes: u64) -> Self {
        self.with(Action::Body(BodyFault::Break(bytes)))
    }

    /// Holds the body at a gate after `bytes` bytes.
    #[must_use]
    pub fn hold_body(self, bytes: u64, gate: &Gate) -> Self {
        self.with(Action::Body(BodyFault::Hold(bytes, gate.clone())))
    }

    /// Answers with this ETag, as if the object had been replaced.
    #[must_use]
    pub fn change_etag(self, etag: &str) -> Self {
        self.with(Action::Body(BodyFault::Etag(etag.to_owned())))
    }

    fn with(mut self, action: Action) -> Self {
        self.action = Some(action);
        self
    }

    /// The action for this call, if the fault meets it.
    fn meet(&mut self, call: Call, location: &Path) -> Option<Action> {
        if self.call != call || self.location.as_ref().is_some_and(|wanted| wanted != location) {
            return None;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return None;
        }
        self.take = self.take.checked_sub(1)?;
        self.action.clone()
    }
}

/// The faults of a store.
#[derive(Debug, Clone, Default)]
pub(super) struct Faults {
    list: Arc<Mutex<Vec<Fault>>>,
}

impl Faults {
    pub(super) fn add(&self, fault: Fault) {
        self.list.lock().push(fault);
    }

    pub(super) fn clear(&self) {
        self.list.lock().clear();
    }

    /// Holds or fails the call, and returns what is to happen to its body.
    pub(super) async fn before(&self, call: Call, location: &Path) -> Result<Vec<BodyFault>> {
        let actions: Vec<_> = self.list.lock().iter_mut().filter_map(|fault| fault.meet(call, location)).collect();
        let mut body = Vec::new();
        for action in actions {
            match action {
                Action::Hold(gate) => gate.pass().await,
                Action::Fail(kind) => return Err(kind.error(location)),
                Action::Body(fault) => body.push(fault),
            }
        }
        Ok(body)
    }
}

/// Puts faults into a body.
pub(super) fn apply(
    mut body: BoxStream<'static, Result<Bytes>>,
    faults: Vec<BodyFault>,
) -> BoxStream<'static, Result<Bytes>> {
    for fault in faults {
        // object_store polls a body again after its end, which `unfold` alone does not bear.
        body = match fault {
            BodyFault::Truncate(bytes) => head(body, bytes).fuse().boxed(),
            BodyFault::Break(bytes) => {
                let error = Error::Generic { store: STORE, source: "injected broken body".into() };
                head(body, bytes).chain(stream::once(async { Err(error) })).fuse().boxed()
            }
            BodyFault::Hold(bytes, gate) => hold_at(body, bytes, gate).fuse().boxed(),
            BodyFault::Etag(_) => body,
        };
    }
    body
}

/// The first `bytes` bytes of a body.
fn head(body: BoxStream<'static, Result<Bytes>>, bytes: u64) -> impl stream::Stream<Item = Result<Bytes>> {
    stream::unfold((body, bytes), |(mut body, left)| async move {
        if left == 0 {
            return None;
        }
        let item =
            body.next().await?.map(|chunk| chunk.slice(..chunk.len().min(left.try_into().unwrap_or(usize::MAX))));
        let left = left - item.as_ref().map_or(0, |chunk| chunk.len() as u64);
        Some((item, (body, left)))
    })
}

/// A body that waits at a gate once `bytes` bytes of it were taken.
fn hold_at(
    body: BoxStream<'static, Result<Bytes>>,
    bytes: u64,
    gate: Gate,
) -> impl stream::Stream<Item = Result<Bytes>> {
    // The chunk in which the gate stands is split there; its rest waits.
    let state = (body, bytes, Some(gate), None::<Bytes>);
    stream::unfold(state, |(mut body, left, mut gate, rest)| async move {
        if left == 0
            && let Some(gate) = gate.take()
        {
            gate.pass().await;
        }
        let item = match rest {
            Some(rest) => Ok(rest),
            None => body.next().await?,
        };
        Some(match item {
            Ok(mut chunk) if gate.is_some() && chunk.len() as u64 > left => {
                let rest = chunk.split_off(left as usize);
                (Ok(chunk), (body, 0, gate, Some(rest)))
            }
            Ok(chunk) => {
                let left = left - (chunk.len() as u64).min(left);
                (Ok(chunk), (body, left, gate, None))
            }
            Err(error) => (Err(error), (body, left, gate, None)),
        })
    })
}
