//! One HTTP/1.1 connection, driven by whoever waits for its bytes.
//!
//! hyper splits a client connection in two: a sender of requests, and a driver that moves bytes between socket and
//! parser. Both live in one value here, and every wait polls both, so that no task has to be spawned for the driver.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use object_store::client::{HttpError, HttpRequestBody};
use tokio::net::TcpStream;
use tokio::time::Sleep;
use tokio_rustls::client::TlsStream;

use super::failure::{Failure, Reason};
use super::statistics::Counters;
use crate::constants::UPLOAD_FRAME_SIZE;
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
    sent: Arc<AtomicU64>,
    counters: Arc<Counters>,
}

impl Connection {
    pub(super) async fn handshake(io: Io, counters: Arc<Counters>) -> Result<Self, Failure> {
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
            sent: Arc::default(),
            counters,
        })
    }

    /// Sends a request and waits for the head of its answer. `idle` bounds the time without progress.
    pub(super) async fn exchange(
        &mut self,
        request: Request<HttpRequestBody>,
        idle: Duration,
    ) -> Result<Response<Incoming>, Failure> {
        let reused = self.reused;
        std::future::poll_fn(|cx| self.poll_ready(cx)).await?;
        let request = request.map(|body| UploadBody::new(body, self.sent.clone()));
        let mut sent = self.sent.load(Ordering::Relaxed);
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
            let now_sent = self.sent.load(Ordering::Relaxed);
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
        self.sender
            .poll_ready(cx)
            .map_err(|error| Failure { reason: Reason::NotSent, ..Failure::of_hyper(error, true) })
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

    pub(super) fn is_closed(&self) -> bool {
        self.closed || self.sender.is_closed()
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

/// A request's body in pieces that are small enough for progress to be seen, without copying them.
pub(super) struct UploadBody {
    body: HttpRequestBody,
    rest: Bytes,
    sent: Arc<AtomicU64>,
}

impl UploadBody {
    fn new(body: HttpRequestBody, sent: Arc<AtomicU64>) -> Self {
        Self { body, rest: Bytes::new(), sent }
    }
}

impl Body for UploadBody {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        while self.rest.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(_) => continue,
                },
                other => return Poll::Ready(other),
            }
        }
        let size = self.rest.len().min(UPLOAD_FRAME_SIZE);
        let piece = self.rest.split_to(size);
        self.sent.fetch_add(size as u64, Ordering::Relaxed);
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.rest.len() as u64;
        SizeHint::with_exact(rest + self.body.size_hint().exact().unwrap_or_default())
    }
}

/// A socket, plain or with TLS.
pub(super) enum Io {
    Plain(TokioIo<TcpStream>),
    Secure(Box<TokioIo<TlsStream<TcpStream>>>),
}

impl Io {
    pub(super) fn plain(socket: TcpStream) -> Self {
        Self::Plain(TokioIo::new(socket))
    }

    pub(super) fn secure(session: TlsStream<TcpStream>) -> Self {
        Self::Secure(Box::new(TokioIo::new(session)))
    }
}

impl Read for Io {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(io) => Pin::new(io).poll_read(cx, buffer),
            Self::Secure(io) => Pin::new(io).poll_read(cx, buffer),
        }
    }
}

impl Write for Io {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(io) => Pin::new(io).poll_write(cx, data),
            Self::Secure(io) => Pin::new(io).poll_write(cx, data),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(io) => Pin::new(io).poll_write_vectored(cx, data),
            Self::Secure(io) => Pin::new(io).poll_write_vectored(cx, data),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(io) => io.is_write_vectored(),
            Self::Secure(io) => io.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(io) => Pin::new(io).poll_flush(cx),
            Self::Secure(io) => Pin::new(io).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(io) => Pin::new(io).poll_shutdown(cx),
            Self::Secure(io) => Pin::new(io).poll_shutdown(cx),
        }
    }
}
