//! An answer's body, which owns the connection it comes from.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use object_store::client::HttpError;

use super::connection::Connection;
use super::pool::{Idle, Origin};

/// Gives its connection back to the pool when the last byte has been read; closes it when it is dropped before.
pub(super) struct PooledBody {
    incoming: Incoming,
    connection: Option<Connection>,
    origin: Arc<Origin>,
    idle: Arc<Idle>,
    idle_timeout: Duration,
    /// What errors name; without the query, which may hold a signature.
    uri: Arc<str>,
}

impl PooledBody {
    pub(super) fn new(
        incoming: Incoming,
        connection: Connection,
        origin: Arc<Origin>,
        idle: Arc<Idle>,
        idle_timeout: Duration,
        uri: Arc<str>,
    ) -> Self {
        let mut body = Self { incoming, connection: Some(connection), origin, idle, idle_timeout, uri };
        if body.incoming.is_end_stream() {
            body.release();
        }
        body
    }

    fn release(&mut self) {
        if let Some(connection) = self.connection.take()
            && connection.is_reusable()
        {
            self.idle.give(&self.origin, connection);
        }
    }
}

impl Body for PooledBody {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        let this = self.get_mut();
        let Some(connection) = &mut this.connection else {
            return Poll::Ready(None);
        };
        match connection.poll_frame(&mut this.incoming, cx, this.idle_timeout) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Some(Ok(frame))) => {
                if this.incoming.is_end_stream() {
                    this.release();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(None) => {
                this.release();
                Poll::Ready(None)
            }
            Poll::Ready(Some(Err(failure))) => {
                this.connection = None;
                Poll::Ready(Some(Err(failure.into_http(&this.uri, None))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.connection.is_none() || self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
