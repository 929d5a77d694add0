//! What hyper writes to and reads from: the socket, and the body of the request that is being sent.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use object_store::client::{HttpError, HttpRequestBody};
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::constants::UPLOAD_FRAME_SIZE;

/// What connection, body and socket know of the request that is being sent.
#[derive(Debug, Default)]
pub(super) struct Upload {
    /// Bytes of bodies that have been handed to hyper, over all requests.
    pub(super) sent: AtomicU64,
    /// Bytes of the body that hyper has not asked for yet.
    pub(super) unsent: AtomicU64,
    /// Whether the next read asks the kernel, whatever the runtime believes.
    pub(super) probe: AtomicBool,
    /// Whether the server takes no more bytes.
    pub(super) refused: AtomicBool,
}

/// A request's body in pieces that are small enough for progress to be seen, without copying them.
pub(super) struct UploadBody {
    body: HttpRequestBody,
    rest: Bytes,
    upload: Arc<Upload>,
}

impl UploadBody {
    pub(super) fn new(body: HttpRequestBody, upload: Arc<Upload>) -> Self {
        upload.unsent.store(body.size_hint().exact().unwrap_or_default(), Ordering::Relaxed);
        Self { body, rest: Bytes::new(), upload }
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
        self.upload.sent.fetch_add(size as u64, Ordering::Relaxed);
        self.upload.unsent.fetch_sub(size as u64, Ordering::Relaxed);
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
pub(super) enum Socket {
    Plain(TokioIo<TcpStream>),
    Secure(Box<TokioIo<TlsStream<TcpStream>>>),
}

impl Socket {
    pub(super) fn plain(socket: TcpStream) -> Self {
        Self::Plain(TokioIo::new(socket))
    }

    pub(super) fn secure(session: TlsStream<TcpStream>) -> Self {
        Self::Secure(Box::new(TokioIo::new(session)))
    }
}

/// The socket as hyper uses it.
///
/// A server that refuses an upload answers and closes while the body is still on its way. hyper would end with the
/// broken pipe; the reason is in the answer. So once the server takes no more bytes they are thrown away, and what can
/// be read says how the exchange went.
pub(super) struct Io {
    pub(super) socket: Socket,
    pub(super) upload: Arc<Upload>,
}

impl Io {
    /// The outcome of writing `length` bytes, if it is not the end of all writing.
    fn written(&self, outcome: Poll<io::Result<usize>>, length: usize) -> Poll<io::Result<usize>> {
        match outcome {
            Poll::Ready(Err(error)) if self.is_refusal(&error) => Poll::Ready(Ok(length)),
            other => other,
        }
    }

    fn is_refusal(&self, error: &io::Error) -> bool {
        use io::ErrorKind as E;
        let refused = matches!(error.kind(), E::BrokenPipe | E::ConnectionReset | E::ConnectionAborted);
        if refused {
            self.upload.refused.store(true, Ordering::Relaxed);
        }
        refused
    }

    /// Whether the server has closed the connection, or sent what nobody asked for. The runtime learns of that only when
    /// it looks at its sockets again, and after a pause of the whole program it has not looked yet.
    fn is_over(&self) -> bool {
        let stream = match &self.socket {
            Socket::Plain(io) => io.inner(),
            Socket::Secure(io) => io.inner().get_ref().0,
        };
        let waits = |error: &io::Error| matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted);
        match SockRef::from(stream).peek(&mut [MaybeUninit::uninit()]) {
            Err(error) if waits(&error) => false,
            Ok(_) | Err(_) => true,
        }
    }

    fn is_refused(&self) -> bool {
        self.upload.refused.load(Ordering::Relaxed)
    }
}

impl Read for Io {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.upload.probe.load(Ordering::Relaxed) {
            this.upload.probe.store(false, Ordering::Relaxed);
            if this.is_over() {
                // Nothing read is an end.
                return Poll::Ready(Ok(()));
            }
        }
        match &mut this.socket {
            Socket::Plain(io) => Pin::new(io).poll_read(cx, buffer),
            Socket::Secure(io) => Pin::new(io).poll_read(cx, buffer),
        }
    }
}

impl Write for Io {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.is_refused() {
            return Poll::Ready(Ok(data.len()));
        }
        let outcome = match &mut this.socket {
            Socket::Plain(io) => Pin::new(io).poll_write(cx, data),
            Socket::Secure(io) => Pin::new(io).poll_write(cx, data),
        };
        this.written(outcome, data.len())
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let length = data.iter().map(|slice| slice.len()).sum();
        if this.is_refused() {
            return Poll::Ready(Ok(length));
        }
        let outcome = match &mut this.socket {
            Socket::Plain(io) => Pin::new(io).poll_write_vectored(cx, data),
            Socket::Secure(io) => Pin::new(io).poll_write_vectored(cx, data),
        };
        this.written(outcome, length)
    }

    fn is_write_vectored(&self) -> bool {
        match &self.socket {
            Socket::Plain(io) => io.is_write_vectored(),
            Socket::Secure(io) => io.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.is_refused() {
            return Poll::Ready(Ok(()));
        }
        let outcome = match &mut this.socket {
            Socket::Plain(io) => Pin::new(io).poll_flush(cx),
            Socket::Secure(io) => Pin::new(io).poll_flush(cx),
        };
        this.written(outcome.map_ok(|()| 0), 0).map_ok(drop)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().socket {
            Socket::Plain(io) => Pin::new(io).poll_shutdown(cx),
            Socket::Secure(io) => Pin::new(io).poll_shutdown(cx),
        }
    }
}
