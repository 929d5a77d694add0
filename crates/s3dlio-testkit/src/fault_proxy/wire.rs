//! HTTP/1.1 as bytes: heads, and bodies by their framing.

use std::io::{Error, ErrorKind, Result};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::request_log::RequestRecord;

/// No head of a test is longer.
const LONGEST_HEAD: usize = 256 * 1024;
/// The most that is read at once.
const PIECE: usize = 64 * 1024;

/// How the end of a body is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    Length(u64),
    /// Chunks with their sizes; what is left of the current one.
    Chunked(u64),
    UntilClose,
}

impl Framing {
    /// The body's length, when it is told in advance.
    pub(super) fn length(self) -> Option<u64> {
        match self {
            Self::Length(length) => Some(length),
            Self::Chunked(_) | Self::UntilClose => None,
        }
    }
}

/// The start line and headers of a message.
#[derive(Debug)]
pub(super) struct Head {
    /// As received, with the empty line.
    pub(super) raw: Bytes,
    start_line: String,
    headers: http::HeaderMap,
}

impl Head {
    fn parse(raw: Bytes) -> Result<Self> {
        let malformed = || Error::new(ErrorKind::InvalidData, "malformed head");
        let text = std::str::from_utf8(&raw).map_err(|_| malformed())?;
        let mut lines = text.split("\r\n");
        let start_line = lines.next().ok_or_else(malformed)?.to_owned();
        let mut headers = http::HeaderMap::new();
        for line in lines.take_while(|line| !line.is_empty()) {
            let (name, value) = line.split_once(':').ok_or_else(malformed)?;
            let name = http::HeaderName::try_from(name).map_err(|_| malformed())?;
            headers.append(name, value.trim().try_into().map_err(|_| malformed())?);
        }
        Ok(Self { raw, start_line, headers })
    }

    fn has(&self, name: &str, token: &str) -> bool {
        let values = self.headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).any(|part| part.trim().eq_ignore_ascii_case(token))
    }

    fn declared(&self) -> Result<Option<Framing>> {
        if self.has("transfer-encoding", "chunked") {
            return Ok(Some(Framing::Chunked(0)));
        }
        let Some(length) = self.headers.get("content-length") else { return Ok(None) };
        let length = length.to_str().ok().and_then(|length| length.parse().ok());
        let length = length.ok_or_else(|| Error::new(ErrorKind::InvalidData, "malformed content-length"))?;
        Ok(Some(Framing::Length(length)))
    }

    /// The framing of a request's body.
    pub(super) fn request_framing(&self) -> Result<Framing> {
        Ok(self.declared()?.unwrap_or(Framing::Length(0)))
    }

    /// The framing of an answer's body to a request with this method.
    pub(super) fn answer_framing(&self, method: &http::Method) -> Result<Framing> {
        if method == http::Method::HEAD || self.is_interim() || matches!(self.status(), 204 | 304) {
            return Ok(Framing::Length(0));
        }
        Ok(self.declared()?.unwrap_or(Framing::UntilClose))
    }

    pub(super) fn status(&self) -> u16 {
        self.start_line.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
    }

    /// 100 Continue and its kind: the real answer follows.
    pub(super) fn is_interim(&self) -> bool {
        (100..200).contains(&self.status())
    }

    pub(super) fn closes(&self) -> bool {
        self.has("connection", "close") || self.start_line.contains("HTTP/1.0")
    }

    /// The request, for the log and the rules.
    pub(super) fn request(&self) -> Result<RequestRecord> {
        let mut parts = self.start_line.split(' ');
        let builder =
            http::Request::builder().method(parts.next().unwrap_or_default()).uri(parts.next().unwrap_or_default());
        let mut request = builder.body(()).map_err(|error| Error::new(ErrorKind::InvalidData, error))?;
        *request.headers_mut() = self.headers.clone();
        Ok(RequestRecord::new(&request))
    }

    /// The head with another Host.
    pub(super) fn with_host(&self, host: &str) -> Bytes {
        let text = String::from_utf8_lossy(&self.raw);
        let lines = text.split("\r\n").map(|line| match line.split_once(':') {
            Some((name, _)) if name.eq_ignore_ascii_case("host") => format!("host: {host}"),
            _ => line.to_owned(),
        });
        lines.collect::<Vec<_>>().join("\r\n").into()
    }
}

/// One side of the proxy: a socket, and what was read from it too early.
#[derive(Debug)]
pub(super) struct Wire {
    stream: TcpStream,
    buffer: BytesMut,
}

impl Wire {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self { stream, buffer: BytesMut::new() }
    }

    /// The next message's head; none when the peer has closed between two messages.
    pub(super) async fn read_head(&mut self) -> Result<Option<Head>> {
        loop {
            if let Some(at) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                return Head::parse(self.buffer.split_to(at + 4).freeze()).map(Some);
            }
            if self.buffer.len() > LONGEST_HEAD {
                return Err(Error::new(ErrorKind::InvalidData, "head too long"));
            }
            if !self.fill().await? {
                return if self.buffer.is_empty() { Ok(None) } else { Err(ErrorKind::UnexpectedEof.into()) };
            }
        }
    }

    /// The next piece of a body, without its framing; none at the body's end.
    pub(super) async fn read_body(&mut self, framing: &mut Framing) -> Result<Option<Bytes>> {
        if let Framing::Chunked(0) = framing {
            let size = self.read_line().await?;
            let size = size.split(';').next().unwrap_or_default().trim();
            let size = u64::from_str_radix(size, 16)
                .map_err(|_| Error::new(ErrorKind::InvalidData, "malformed chunk size"))?;
            if size == 0 {
                // Trailers, up to an empty line.
                while !self.read_line().await?.is_empty() {}
                *framing = Framing::Length(0);
                return Ok(None);
            }
            *framing = Framing::Chunked(size);
        }
        let left = match *framing {
            Framing::Length(0) => return Ok(None),
            Framing::Length(left) | Framing::Chunked(left) => left,
            Framing::UntilClose => u64::MAX,
        };
        if self.buffer.is_empty() && !self.fill().await? {
            return if *framing == Framing::UntilClose { Ok(None) } else { Err(ErrorKind::UnexpectedEof.into()) };
        }
        let piece = self.buffer.split_to(self.buffer.len().min(left.try_into().unwrap_or(usize::MAX))).freeze();
        let left = left - piece.len() as u64;
        match framing {
            Framing::Length(rest) => *rest = left,
            Framing::Chunked(rest) => {
                *rest = left;
                if left == 0 {
                    self.read_line().await?;
                }
            }
            Framing::UntilClose => {}
        }
        Ok(Some(piece))
    }

    pub(super) async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.stream.write_all(bytes).await
    }

    /// Returns when the peer has closed the connection.
    pub(super) async fn gone(&self) {
        if !self.buffer.is_empty() {
            // It has sent more than was asked for; its end cannot be seen behind that.
            std::future::pending::<()>().await;
        }
        match self.stream.peek(&mut [0; 1]).await {
            Ok(0) | Err(_) => {}
            Ok(_) => std::future::pending().await,
        }
    }

    /// Closes the connection in good order.
    pub(super) async fn close(mut self) {
        // The peer may be gone already, which is as good.
        let _ = self.stream.shutdown().await;
    }

    /// Closes the connection with a reset.
    pub(super) fn reset(self) {
        // Without lingering, a close discards what is unsent and sends RST.
        let _ = self.stream.set_zero_linger();
    }

    async fn read_line(&mut self) -> Result<String> {
        loop {
            if let Some(at) = self.buffer.windows(2).position(|window| window == b"\r\n") {
                let line = self.buffer.split_to(at);
                self.buffer.advance(2);
                return Ok(String::from_utf8_lossy(&line).into_owned());
            }
            if !self.fill().await? {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Reads what there is; false at the end.
    async fn fill(&mut self) -> Result<bool> {
        self.buffer.reserve(PIECE);
        Ok(self.stream.read_buf(&mut self.buffer).await? > 0)
    }
}
