//! The few requests that the test kit itself sends to a server: readiness, buckets, fixtures.
//!
//! One connection per request and HTTP/1.0, so that no answer is chunked.

use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

/// No answer takes this long, unless the server hangs.
const LIMIT: Duration = Duration::from_secs(30);

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The body for a message or a search.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// True when something at the port answers `GET target` with `status`.
pub(crate) fn answers(port: u16, target: &str, status: u16) -> bool {
    send(port, &request("GET", target).body(Vec::new()).expect("a valid request"))
        .is_ok_and(|answer| answer.status == status)
}

/// A request to a server on this machine; `target` is a path with an optional query.
pub(crate) fn request(method: &str, target: &str) -> http::request::Builder {
    http::Request::builder().method(method).uri(target)
}

/// Sends a request and reads the whole answer.
pub(crate) fn send(port: u16, request: &http::Request<Vec<u8>>) -> Result<Answer> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, LIMIT)?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.set_write_timeout(Some(LIMIT))?;

    let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
    let mut head = format!("{} {target} HTTP/1.0\r\nhost: {address}\r\n", request.method());
    for (name, value) in request.headers().iter().filter(|(name, _)| *name != http::header::HOST) {
        head.push_str(&format!("{name}: {}\r\n", value.to_str().map_err(Error::other)?));
    }
    head.push_str(&format!("content-length: {}\r\n\r\n", request.body().len()));
    stream.write_all(head.as_bytes())?;
    stream.write_all(request.body())?;

    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let malformed = || Error::new(ErrorKind::InvalidData, "not an HTTP answer");
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").ok_or_else(malformed)?;
    let status = std::str::from_utf8(&answer[..end]).ok().and_then(|head| head.split(' ').nth(1)?.parse().ok());
    Ok(Answer { status: status.ok_or_else(malformed)?, body: answer.split_off(end + 4) })
}
