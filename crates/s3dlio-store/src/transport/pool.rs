//! Idle connections by origin, and how a new one is made.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::Uri;
use http::uri::Scheme;
use parking_lot::Mutex;
use tokio::net::TcpStream;

use super::Timeouts;
use super::connection::Connection;
use super::failure::{Failure, Reason};
use super::socket::Socket;
use super::statistics::Counters;
use super::tls;
use crate::constants::{POOL_IDLE_MAX, POOL_IDLE_TIMEOUT};
use crate::error::ErrorKind;

/// Where connections go to: the unit of reuse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Origin {
    secure: bool,
    host: String,
    port: u16,
}

impl Origin {
    pub(super) fn of(uri: &Uri) -> Result<Self, Failure> {
        // Without what follows the path: it may hold a signature.
        let shown =
            format!("{}://{}{}", uri.scheme_str().unwrap_or_default(), uri.host().unwrap_or_default(), uri.path());
        let unusable =
            || Failure::new(ErrorKind::InvalidInput, Reason::Final, format!("{shown} is not an http address"));
        let secure = uri.scheme() == Some(&Scheme::HTTPS);
        if !secure && uri.scheme() != Some(&Scheme::HTTP) {
            return Err(unusable());
        }
        let host = uri.host().ok_or_else(unusable)?.to_owned();
        Ok(Self { secure, host, port: uri.port_u16().unwrap_or(if secure { 443 } else { 80 }) })
    }

    fn is_of(&self, uri: &Uri) -> bool {
        self.secure == (uri.scheme() == Some(&Scheme::HTTPS))
            && uri.host() == Some(self.host.as_str())
            && uri.port_u16().unwrap_or(if self.secure { 443 } else { 80 }) == self.port
    }
}

/// Makes connections and keeps the idle ones.
pub(super) struct Pool {
    idle: Arc<Idle>,
    timeouts: Timeouts,
    tls: tls::Connector,
    counters: Arc<Counters>,
    /// Rotates over the addresses of a name, so that connections spread over all of them.
    next_address: AtomicUsize,
}

/// The idle connections; what a body needs to give its connection back.
#[derive(Default)]
pub(super) struct Idle(Mutex<Vec<(Origin, Vec<Connection>)>>);

impl Idle {
    /// The connection of an origin that was used last: its congestion window is the widest.
    fn take(&self, uri: &Uri) -> Option<Connection> {
        let mut origins = self.0.lock();
        let (_, connections) = origins.iter_mut().find(|(origin, _)| origin.is_of(uri))?;
        let newest = connections.pop()?;
        // What lies below the newest has been idle for longer; sockets that the server has surely closed are let go.
        let expired = connections.iter().take_while(|connection| connection.idle_for() > POOL_IDLE_TIMEOUT).count();
        connections.drain(..expired);
        (newest.idle_for() <= POOL_IDLE_TIMEOUT).then_some(newest)
    }

    /// Keeps a connection for the next request. Those of origins that nobody asks any more go here.
    pub(super) fn give(&self, origin: &Origin, mut connection: Connection) {
        connection.rest();
        let mut origins = self.0.lock();
        match origins.iter_mut().find(|(known, _)| known == origin) {
            Some((_, connections)) => connections.push(connection),
            None => origins.push((origin.clone(), vec![connection])),
        }
        for (_, connections) in origins.iter_mut() {
            let expired = connections.iter().take_while(|idle| idle.idle_for() > POOL_IDLE_TIMEOUT).count();
            connections.drain(..expired);
        }
        if origins.iter().map(|(_, connections)| connections.len()).sum::<usize>() > POOL_IDLE_MAX
            && let Some((_, connections)) =
                origins.iter_mut().max_by_key(|(_, idle)| idle.first().map(Connection::idle_for))
        {
            connections.remove(0);
        }
        origins.retain(|(known, connections)| known == origin || !connections.is_empty());
    }
}

impl Pool {
    pub(super) fn new(timeouts: Timeouts, tls: tls::Connector, counters: Arc<Counters>) -> Self {
        Self { idle: Arc::default(), timeouts, tls, counters, next_address: AtomicUsize::new(0) }
    }

    pub(super) fn idle(&self) -> &Arc<Idle> {
        &self.idle
    }

    pub(super) fn timeouts(&self) -> &Timeouts {
        &self.timeouts
    }

    /// An idle connection to `uri` that is still open.
    pub(super) fn reuse(&self, uri: &Uri) -> Option<Connection> {
        std::iter::from_fn(|| self.idle.take(uri)).find(Connection::is_reusable)
    }

    /// A new connection, within the time that one attempt may take.
    pub(super) async fn connect(&self, origin: &Origin, limit: Duration) -> Result<Connection, Failure> {
        let limit = limit.min(self.timeouts.connect);
        match tokio::time::timeout(limit, self.open(origin)).await {
            Ok(opened) => opened,
            Err(_) => Err(Failure::new(
                ErrorKind::Connect,
                Reason::NotSent,
                format!("{}:{} did not accept a connection within {limit:?}", origin.host, origin.port),
            )),
        }
    }

    async fn open(&self, origin: &Origin) -> Result<Connection, Failure> {
        let socket = self.open_socket(origin).await?;
        let socket = match origin.secure {
            true => Socket::secure(self.tls.handshake(&origin.host, socket).await?),
            false => Socket::plain(socket),
        };
        Connection::handshake(socket, self.counters.clone()).await
    }

    async fn open_socket(&self, origin: &Origin) -> Result<TcpStream, Failure> {
        let addresses = resolve(origin).await?;
        let first = self.next_address.fetch_add(1, Ordering::Relaxed);
        let mut last = None;
        for index in 0..addresses.len() {
            let address = addresses[(first + index) % addresses.len()];
            match TcpStream::connect(address).await {
                Ok(socket) => {
                    // Requests are written whole: waiting for more to send with them only costs time.
                    if let Err(error) = socket.set_nodelay(true) {
                        tracing::debug!(%error, "TCP_NODELAY could not be set");
                    }
                    return Ok(socket);
                }
                Err(error) => last = Some((address, error)),
            }
        }
        Err(match last {
            Some((address, error)) => {
                Failure::new(ErrorKind::Connect, Reason::NotSent, format!("{address}: {error}")).caused_by(error)
            }
            None => Failure::new(ErrorKind::Connect, Reason::NotSent, format!("{} has no address", origin.host)),
        })
    }
}

async fn resolve(origin: &Origin) -> Result<Vec<SocketAddr>, Failure> {
    let host = origin.host.trim_matches(['[', ']']);
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, origin.port)]);
    }
    match tokio::net::lookup_host((host, origin.port)).await {
        Ok(addresses) => Ok(addresses.collect()),
        Err(error) => Err(Failure::new(
            ErrorKind::Connect,
            Reason::NotSent,
            format!("the host {host} cannot be resolved: {error}"),
        )
        .caused_by(error)),
    }
}
