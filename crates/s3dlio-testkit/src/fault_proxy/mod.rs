//! A proxy that stands before any HTTP/1.1 server and does to chosen requests what networks and servers do.
//!
//! [`FaultProxy`] forwards every byte unchanged (also the Host header, so that signatures hold) until a [`Rule`]
//! matches. Rules are added and removed while it runs; a request meets all rules that match it, and where two of them
//! set the same thing the one added first wins.
//!
//! ```
//! use std::time::Duration;
//! use s3dlio_testkit::fault_proxy::{At, FaultProxy, Rule};
//! use s3dlio_testkit::http_server::HttpServer;
//!
//! let server = HttpServer::start().unwrap();
//! let proxy = FaultProxy::start(server.address()).unwrap();
//! // The second GET of this object is cut after 1,000 bytes of its body; everything is late.
//! proxy.add(Rule::any().delay(Duration::from_millis(5)));
//! proxy.add(Rule::method("GET").path("/data/a").nth(2).reset(At::Body(1000)));
//! ```
//!
//! It counts connections, so that a test can show that a cancelled operation left none open. Dropping it closes
//! everything.

mod exchange;
mod rule;
#[cfg(test)]
mod tests;
mod wire;

pub use rule::{At, Rule};

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use crate::in_process::ServerThread;
use crate::request_log::RequestLog;

/// What the proxy's connections share.
#[derive(Debug)]
struct Shared {
    upstream: SocketAddr,
    rewrite_host: bool,
    rules: Mutex<Vec<Rule>>,
    deaf: AtomicBool,
    log: RequestLog,
}

/// A running proxy; see the [module](self).
#[derive(Debug)]
pub struct FaultProxy {
    server: ServerThread,
    shared: Arc<Shared>,
}

impl FaultProxy {
    /// Starts a proxy before a server.
    ///
    /// # Errors
    ///
    /// When no port can be had.
    pub fn start(upstream: SocketAddr) -> io::Result<Self> {
        Self::start_with(upstream, false)
    }

    /// Starts a proxy that gives the server its own address as Host: for servers that answer to one name only
    /// (fake-gcs-server). Signatures over the Host header break.
    ///
    /// # Errors
    ///
    /// When no port can be had.
    pub fn start_rewriting_host(upstream: SocketAddr) -> io::Result<Self> {
        Self::start_with(upstream, true)
    }

    /// Starts a proxy before a port of this machine.
    ///
    /// # Errors
    ///
    /// When no port can be had.
    pub fn start_before_port(port: u16) -> io::Result<Self> {
        Self::start((Ipv4Addr::LOCALHOST, port).into())
    }

    fn start_with(upstream: SocketAddr, rewrite_host: bool) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            upstream,
            rewrite_host,
            rules: Mutex::default(),
            deaf: AtomicBool::new(false),
            log: RequestLog::default(),
        });
        let served = shared.clone();
        let server = ServerThread::start("fault-proxy", move |stream| {
            let shared = served.clone();
            async move {
                // Whatever ends a connection is what the client sees; there is nobody else to tell.
                let _ = exchange::serve(stream, &shared).await;
            }
        })?;
        Ok(Self { server, shared })
    }

    /// The address to give to the client.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// The same as a URL, `http://127.0.0.1:PORT`.
    pub fn endpoint(&self) -> String {
        self.server.endpoint()
    }

    /// Adds a rule behind the others.
    pub fn add(&self, rule: Rule) {
        self.shared.rules.lock().push(rule);
    }

    /// Removes all rules; faults under way (a stall, a delay) go on.
    pub fn heal(&self) {
        self.shared.rules.lock().clear();
    }

    /// While deaf, the proxy accepts new connections and never reads from them.
    pub fn set_deaf(&self, deaf: bool) {
        self.shared.deaf.store(deaf, Ordering::SeqCst);
    }

    /// Every request whose head has arrived.
    pub fn log(&self) -> &RequestLog {
        &self.shared.log
    }

    /// Connections accepted since the start.
    pub fn accepted_connections(&self) -> usize {
        self.server.connections().accepted()
    }

    /// Connections open now, from the client's side. One that the client has closed is counted until the proxy has
    /// seen it, a moment later: wait with [`crate::process::eventually`].
    pub fn open_connections(&self) -> usize {
        self.server.connections().open()
    }
}

/// An address of this machine at which nothing listens: a connection is refused.
///
/// # Panics
///
/// When no port can be had.
pub fn refusing_address() -> SocketAddr {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port can be had");
    listener.local_addr().expect("a bound socket has an address")
}
