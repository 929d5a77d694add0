//! One HTTP/1.1 connection, driven by whoever waits for its bytes.
//!
//! hyper splits a client connection in two: a sender of requests, and a driver that moves bytes between socket and
//! parser. Both live in one value here, and every wait polls both, so that no task has to be spawned for the driver.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use object_store::client::HttpRequestBody;
use tokio::time::Sleep;

use super::failure::{Failure, Reason};
use super::socket::{Io, Socket, Upload, UploadBody};
use super::statistics::Counters;
use crate::constants::SETTLE_LIMIT;
use crate::error::ErrorKind;

/// A connection with at most one exchange in flight.
pub(super) struct Connection {
    sender: http1::SendRequest<UploadBody>,
    /// Boxed: a connection moves between pool, exchange and body with every request.
    driver: Box<http1::Connection<Io, UploadBody>>,
    closed: bool,
    /// Whether an exchange has been completed on it before.
    reused: bool,
    rested: Instant,
    timer: IdleTimer,
    upload: Arc<Upload>,
    counters: Arc<Counters>,
}

impl Connection {
    pub(super) async fn handshake(socket: Socket, counters: Arc<Counters>) -> Result<Self, Failure> {
        let upload = Arc::<Upload>::default();
        let io = Io { socket, upload: upload.clone() };
        let (sender, driver) =
            http1::Builder::new().handshake(io).await.map_err(|error| Failure::of_hyper(error, false))?;
        counters.connections_opened.fetch_add(1, Ordering::Relaxed);
        counters.connections_open.fetch_add(1, Ordering::Relaxed);
        Ok(Self {
            sender,
            driver: Box::new(driver),
            closed: false,
            reused: false,
            rested: Instant::now(),
            timer: IdleTimer::default(),
            upload,
            counters,
        })
    }

    /// Sends a request and waits for the head of its answer. `idle` bounds the time without progress. A request that
    /// cannot be repeated is not sent on a connection that the server has closed, as far as the kernel knows.
    pub(super) async fn exchange(
        &mut self,
        request: Request<HttpRequestBody>,
        is_repeatable: bool,
        idle: Duration,
    ) -> Result<Response<Incoming>, Failure> {
        let reused = self.reused;
        self.timer.progress();
        if reused && !is_repeatable {
            self.upload.probe.store(true, Ordering::Relaxed);
        }
        std::future::poll_fn(|cx| self.poll_ready(cx)).await?;
        let request = request.map(|body| UploadBody::new(body, self.upload.clone()));
        let mut sent = self.upload.sent.load(Ordering::Relaxed);
        self.timer.progress();
        let mut response = std::pin::pin!(self.sender.send_request(request));
        std::future::poll_fn(|cx| {
            if let Poll::Ready(result) = response.as_mut().poll(cx) {
                return Poll::Ready(result.map_err(|error| Failure::of_hyper(error, reused)));
            }
            if !self.closed && Pin::new(&mut self.driver).poll(cx).is_ready() {
                // What ended the connection reaches the caller through the answer's future.
                self.closed = true;
            }
            if let Poll::Ready(result) = response.as_mut().poll(cx) {
                return Poll::Ready(result.map_err(|error| Failure::of_hyper(error, reused)));
            }
            let now_sent = self.upload.sent.load(Ordering::Relaxed);
            if now_sent != sent {
                self.counters.bytes_sent.fetch_add(now_sent - sent, Ordering::Relaxed);
                sent = now_sent;
                self.timer.progress();
            }
            ready!(self.timer.poll(cx, idle));
            Poll::Ready(Err(Failure::new(
                ErrorKind::Timeout,
                Reason::Lost,
                format!("the server did not answer for {:.1} s", idle.as_secs_f64()),
            )))
        })
        .await
    }

    /// Waits until the exchange before has been settled on both sides.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        if !self.closed && Pin::new(&mut self.driver).poll(cx).is_ready() {
            self.closed = true;
        }
        if self.closed {
            let message = "the server closed the connection while it was idle";
            return Poll::Ready(Err(Failure::new(ErrorKind::Interrupted, Reason::NotSent, message)));
        }
        if let Poll::Ready(ready) = self.sender.poll_ready(cx) {
            return Poll::Ready(
                ready.map_err(|error| Failure { reason: Reason::NotSent, ..Failure::of_hyper(error, true) }),
            );
        }
        ready!(self.timer.poll(cx, SETTLE_LIMIT));
        let message = "the server has not taken all of the request before";
        Poll::Ready(Err(Failure::new(ErrorKind::Interrupted, Reason::NotSent, message)))
    }

    /// The next frame of an answer's body. `idle` bounds the time without progress.
    pub(super) fn poll_frame(
        &mut self,
        body: &mut Incoming,
        cx: &mut Context<'_>,
        idle: Duration,
    ) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        let mut frame = Pin::new(&mut *body).poll_frame(cx);
        if frame.is_pending() && !self.closed {
            self.closed = Pin::new(&mut self.driver).poll(cx).is_ready();
            frame = Pin::new(body).poll_frame(cx);
        }
        match frame {
            Poll::Ready(frame) => {
                self.timer.progress();
                if let Some(Ok(frame)) = &frame
                    && let Some(data) = frame.data_ref()
                {
                    Counters::add(&self.counters.bytes_received, data.len() as u64);
                }
                Poll::Ready(frame.map(|result| result.map_err(|error| Failure::of_hyper(error, false))))
            }
            Poll::Pending => {
                ready!(self.timer.poll(cx, idle));
                Poll::Ready(Some(Err(Failure::new(
                    ErrorKind::Timeout,
                    Reason::Lost,
                    format!("the body stalled for {:.1} s", idle.as_secs_f64()),
                ))))
            }
        }
    }

    /// Marks the end of an exchange.
    pub(super) fn rest(&mut self) {
        self.reused = true;
        self.rested = Instant::now();
    }

    pub(super) fn idle_for(&self) -> Duration {
        self.rested.elapsed()
    }

    /// Whether another exchange may follow: a server that has answered before it had the whole request may never read
    /// the rest.
    pub(super) fn is_reusable(&self) -> bool {
        !self.closed
            && !self.sender.is_closed()
            && !self.upload.refused.load(Ordering::Relaxed)
            && self.upload.unsent.load(Ordering::Relaxed) == 0
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.counters.connections_open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A timer that is only armed while somebody waits, and kept from one exchange to the next.
#[derive(Default)]
struct IdleTimer {
    sleep: Option<Pin<Box<Sleep>>>,
    armed: bool,
}

impl IdleTimer {
    fn progress(&mut self) {
        self.armed = false;
    }

    fn poll(&mut self, cx: &mut Context<'_>, limit: Duration) -> Poll<()> {
        if !self.armed {
            self.armed = true;
            let deadline = tokio::time::Instant::now() + limit;
            match &mut self.sleep {
                Some(sleep) => sleep.as_mut().reset(deadline),
                None => self.sleep = Some(Box::pin(tokio::time::sleep_until(deadline))),
            }
        }
        match &mut self.sleep {
            Some(sleep) => sleep.as_mut().poll(cx),
            None => Poll::Pending,
        }
    }
}
