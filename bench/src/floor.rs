//! The floor: what reading over bare sockets costs.
//!
//! One thread, one epoll, as many connections as requests in flight, kept alive. Requests are signed with a cached key,
//! answers are parsed by httparse and read into page-aligned memory that is used again. Nothing is retried, pooled,
//! limited or timed out: no client that does its work can be cheaper, and this is what ours is compared to.

mod signature;

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

use anyhow::{Context, Result, bail, ensure};
use rustix::event::epoll;

use crate::job::{BUCKET, Large, Small, large_key, small_key};
use crate::ours::{ACCESS_KEY, REGION, SECRET_KEY};
use crate::process::{Meter, Sample};
use signature::Signer;

/// The longest head of an answer that is expected.
const HEAD: usize = 4096;
/// What one request asks of a large object.
const RANGE: u64 = 8 << 20;
/// Requests before the measured part.
const WARM_UP: u64 = 2000;

/// Reads small objects, each by one plain GET.
pub(crate) fn small(small: &Small) -> Result<Sample> {
    let capacity = HEAD + small.size as usize;
    let paths: Vec<String> = (0..small.objects).map(|index| format!("/{BUCKET}/{}", small_key(index))).collect();
    let mut exchange = Exchanges::new(small.endpoint, small.in_flight, capacity)?;
    let mut requests = paths.iter().cycle().map(|path| Request { path, range: None });
    exchange.run(&mut requests.by_ref().take(WARM_UP as usize), &mut [])?;
    let meter = Meter::start();
    let bytes = exchange.run(&mut requests.take(small.requests as usize), &mut [])?;
    ensure!(bytes == small.requests * small.size, "{bytes} bytes came");
    meter.stop(small.requests, bytes)
}

/// Reads large objects by ranges, straight to their place in one buffer of the size of an object.
pub(crate) fn large(large: &Large) -> Result<Sample> {
    let paths: Vec<String> = (0..large.objects).map(|index| format!("/{BUCKET}/{}", large_key(index))).collect();
    let ranges = large.size.div_ceil(RANGE);
    let mut pass = Vec::new();
    for path in &paths {
        for index in 0..ranges {
            let (start, end) = (index * RANGE, large.size.min((index + 1) * RANGE));
            pass.push(Request { path, range: Some((start, end)) });
        }
    }
    let mut memory = Aligned::new(large.size as usize);
    let mut exchange = Exchanges::new(large.endpoint, large.at_once, HEAD)?;
    exchange.run(&mut pass.iter().copied().take(ranges as usize), memory.bytes())?;
    let meter = Meter::start();
    let mut bytes = 0;
    for _ in 0..large.passes {
        bytes += exchange.run(&mut pass.iter().copied(), memory.bytes())?;
    }
    ensure!(bytes == large.passes * large.objects * large.size, "{bytes} bytes came");
    meter.stop(large.passes * large.objects, bytes)
}

/// Memory that begins with a page.
struct Aligned {
    memory: Vec<u8>,
    start: usize,
    length: usize,
}

impl Aligned {
    fn new(length: usize) -> Self {
        const PAGE: usize = 4096;
        let memory = vec![0; length + PAGE];
        let start = memory.as_ptr().align_offset(PAGE);
        Self { memory, start, length }
    }

    fn bytes(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..self.start + self.length]
    }
}

#[derive(Clone, Copy)]
struct Request<'a> {
    path: &'a str,
    /// Read to this place of the shared buffer; without it, into the connection's own.
    range: Option<(u64, u64)>,
}

/// Connections with one request each.
struct Exchanges {
    connections: Vec<Connection>,
    poll: std::os::fd::OwnedFd,
    signer: Signer,
    text: String,
}

struct Connection {
    socket: TcpStream,
    buffer: Aligned,
    filled: usize,
    /// Where the next byte of the shared buffer goes, and where the last one ends.
    place: Option<(usize, usize)>,
    /// Whether the head of a ranged answer has been read.
    in_body: bool,
}

enum Step {
    Waiting,
    Done(u64),
}

impl Exchanges {
    fn new(endpoint: SocketAddr, count: u64, capacity: usize) -> Result<Self> {
        let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let mut connections = Vec::new();
        for index in 0..count {
            let socket = TcpStream::connect(endpoint)?;
            socket.set_nodelay(true)?;
            socket.set_nonblocking(true)?;
            let flags = epoll::EventFlags::IN | epoll::EventFlags::ET;
            epoll::add(&poll, &socket, epoll::EventData::new_u64(index), flags)?;
            let buffer = Aligned::new(capacity);
            connections.push(Connection { socket, buffer, filled: 0, place: None, in_body: false });
        }
        let signer = Signer::new(ACCESS_KEY, SECRET_KEY, REGION, &endpoint.to_string());
        Ok(Self { connections, poll, signer, text: String::new() })
    }

    /// Sends all requests, one at a time on each connection, and reads their answers. The bytes of all bodies.
    fn run<'a>(&mut self, requests: &mut dyn Iterator<Item = Request<'a>>, shared: &mut [u8]) -> Result<u64> {
        let mut open = 0;
        for index in 0..self.connections.len() {
            if self.send(index, requests.next())? {
                open += 1;
            }
        }
        let mut bytes = 0;
        let mut events = Vec::with_capacity(self.connections.len());
        while open > 0 {
            epoll::wait(&self.poll, rustix::buffer::spare_capacity(&mut events), None)?;
            for event in events.drain(..) {
                let index = event.data.u64() as usize;
                while let Step::Done(length) = self.connections[index].step(shared)? {
                    bytes += length;
                    if !self.send(index, requests.next())? {
                        open -= 1;
                        break;
                    }
                }
            }
        }
        Ok(bytes)
    }

    fn send(&mut self, index: usize, request: Option<Request<'_>>) -> Result<bool> {
        let Some(request) = request else { return Ok(false) };
        let connection = &mut self.connections[index];
        self.text.clear();
        let range = request.range.map(|(start, end)| format!("bytes={start}-{}", end - 1));
        self.signer.write_get(&mut self.text, request.path, range.as_deref());
        connection.filled = 0;
        connection.in_body = false;
        connection.place = request.range.map(|(start, end)| (start as usize, end as usize));
        // A request is far smaller than an empty socket's buffer.
        let sent = connection.socket.write(self.text.as_bytes())?;
        ensure!(sent == self.text.len(), "a request was not sent whole");
        Ok(true)
    }
}

impl Connection {
    fn step(&mut self, shared: &mut [u8]) -> Result<Step> {
        match self.place {
            None => self.step_whole(),
            Some((start, end)) => self.step_ranged(start, end, shared),
        }
    }

    /// Head and body into the connection's own buffer: one read where the server sent both.
    fn step_whole(&mut self) -> Result<Step> {
        loop {
            let buffer = self.buffer.bytes();
            if self.filled > 0
                && let Some((head, length)) = parse(&buffer[..self.filled])?
                && self.filled >= head + length
            {
                ensure!(self.filled == head + length, "an answer is longer than it says");
                return Ok(Step::Done(length as u64));
            }
            match self.socket.read(&mut buffer[self.filled..]) {
                Ok(0) => bail!("the server closed a connection"),
                Ok(read) => self.filled += read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Step::Waiting),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The head is looked at before it is taken from the socket, so that every byte of the body goes straight to its
    /// place, at the offset within a page that it has in the server's page cache.
    fn step_ranged(&mut self, start: usize, end: usize, shared: &mut [u8]) -> Result<Step> {
        let length = end - start;
        loop {
            let read = if self.in_body {
                self.socket.read(&mut shared[start + self.filled..end])
            } else {
                self.socket.peek(self.buffer.bytes())
            };
            match read {
                Ok(0) => bail!("the server closed a connection"),
                Ok(read) if self.in_body => {
                    self.filled += read;
                    if self.filled == length {
                        return Ok(Step::Done(length as u64));
                    }
                }
                Ok(peeked) => {
                    let buffer = self.buffer.bytes();
                    let (head, body) = parse(&buffer[..peeked])?.context("a head came in pieces")?;
                    ensure!(body == length, "asked for {length} bytes, got {body}");
                    self.socket.read_exact(&mut buffer[..head])?;
                    self.in_body = true;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Step::Waiting),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// The lengths of an answer's head and body, once the head is there.
fn parse(data: &[u8]) -> Result<Option<(usize, usize)>> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(head) = response.parse(data)? else { return Ok(None) };
    ensure!(matches!(response.code, Some(200 | 206)), "the server answered {:?}", response.code);
    let length = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
    let length = std::str::from_utf8(length.context("an answer without a length")?.value)?.parse()?;
    Ok(Some((head, length)))
}
