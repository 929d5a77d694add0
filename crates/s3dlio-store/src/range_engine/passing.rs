//! The bytes of one body after another, handed on as they arrive.
//!
//! For streams whose object is not split. What is held is one piece as the socket brought it: there is no buffer, nothing
//! is fetched ahead, and the consumer's pace is the server's. So nothing is taken from the budget, and the place among
//! the requests in flight is given back with the head of the answer: a consumer that stops reading holds up nobody.

use std::ops::Range;
use std::time::Instant;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::GetResult;
use tokio_util::sync::CancellationToken;

use super::Target;
use super::resume::{Patience, Pin, ask, may_resume};
use crate::budget::RequestPermit;
use crate::cancel::{or_cancelled, own_task};
use crate::error::{Error, ErrorKind, Operation, Result};

/// A range of one version of an object that is read from front to back.
pub(super) struct Passing {
    pub(super) target: Target,
    pub(super) pin: Pin,
    pub(super) patience: Patience,
    /// What has not been handed on yet.
    pub(super) rest: Range<u64>,
    pub(super) body: Option<Body>,
    pub(super) cancel: CancellationToken,
}

/// An answer's body and where it ends.
pub(super) struct Body {
    stream: BoxStream<'static, object_store::Result<Bytes>>,
    end: u64,
    brought: bool,
}

impl Body {
    pub(super) fn new(answer: GetResult, permit: RequestPermit) -> Self {
        permit.finish(0, false);
        let end = answer.range.end;
        Self { stream: answer.into_stream(), end, brought: false }
    }
}

impl Passing {
    /// The next bytes in order.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>> {
        let (cancel, uri) = (self.cancel.clone(), self.target.uri.clone());
        or_cancelled(&cancel, Operation::Get, &uri, self.read()).await
    }

    async fn read(&mut self) -> Result<Option<Bytes>> {
        loop {
            if self.rest.is_empty() && self.body.is_none() {
                return Ok(None);
            }
            let (started, patience) = (Instant::now(), self.patience.left());
            let Some(body) = &mut self.body else {
                let (target, pin, rest) = (self.target.clone(), self.pin.clone(), self.rest.clone());
                let asked = own_task(async move { ask(&target, &pin, rest).await });
                match tokio::time::timeout(patience, asked).await {
                    Ok(answer) => {
                        let (answer, permit) = answer?;
                        self.body = Some(Body::new(answer, permit));
                    }
                    Err(_) => self.pause(self.error(ErrorKind::Timeout).with_message("no answer"), started).await?,
                }
                continue;
            };
            let error = match tokio::time::timeout(patience, body.stream.next()).await {
                Ok(Some(Ok(data))) => {
                    body.brought = true;
                    let left = body.end - self.rest.start;
                    if data.len() as u64 > left {
                        let message =
                            format!("the body has {} bytes more than were asked for", data.len() as u64 - left);
                        return Err(self.error(ErrorKind::Integrity).with_message(message));
                    }
                    self.rest.start += data.len() as u64;
                    if data.is_empty() {
                        continue;
                    }
                    return Ok(Some(data));
                }
                Ok(None) if body.end == self.rest.start => {
                    self.body = None;
                    continue;
                }
                Ok(None) => {
                    let (missing, at) = (body.end - self.rest.start, self.rest.start);
                    let message = format!("the body ended {missing} bytes early at byte {at}");
                    self.error(ErrorKind::Integrity).with_message(message)
                }
                Ok(Some(Err(error))) => Error::from_store(error, Operation::Get, &*self.target.uri),
                Err(_) => self.error(ErrorKind::Timeout).with_message("the body stalled"),
            };
            if !may_resume(error.kind()) {
                return Err(error);
            }
            self.pause(error, started).await?;
        }
    }

    async fn pause(&mut self, error: Error, started: Instant) -> Result<()> {
        let brought = self.body.take().is_some_and(|body| body.brought);
        let pause = self.patience.pause_after(error, brought, started.elapsed(), &self.target.uri)?;
        tokio::time::sleep(pause).await;
        Ok(())
    }

    fn error(&self, kind: ErrorKind) -> Error {
        Error::new(kind, Operation::Get, &*self.target.uri)
    }
}
