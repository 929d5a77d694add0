//! A server on a thread of its own.
//!
//! It has its own runtime, so that its tasks are not among those that a test counts, a paused clock does not stop it,
//! and a test that blocks its thread does not block the server. Dropping it closes the listener and every connection,
//! then waits for the thread.

use std::error::Error;
use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use hyper::body::{Body, Incoming};
use hyper::service::Service;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How long a dropped server waits for file operations under way before it leaves them behind.
const BLOCKING_LIMIT: Duration = Duration::from_secs(2);

/// Connections accepted so far, and open now.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    accepted: AtomicUsize,
    open: AtomicUsize,
}

impl Connections {
    pub(crate) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }
}

/// Counts a connection as open for as long as it lives.
struct OpenConnection(Arc<Connections>);

impl OpenConnection {
    fn new(connections: &Arc<Connections>) -> Self {
        connections.accepted.fetch_add(1, Ordering::SeqCst);
        connections.open.fetch_add(1, Ordering::SeqCst);
        Self(connections.clone())
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A listening server and its thread.
#[derive(Debug)]
pub(crate) struct ServerThread {
    address: SocketAddr,
    connections: Arc<Connections>,
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

impl ServerThread {
    /// Listens on a free loopback port and gives every connection to `serve`, whose future is dropped when the server
    /// is.
    pub(crate) fn start<F, Fut>(name: &str, mut serve: F) -> io::Result<Self>
    where
        F: FnMut(TcpStream) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let stop = CancellationToken::new();
        let connections = Arc::new(Connections::default());
        let (stopped, counted) = (stop.clone(), connections.clone());
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            runtime.block_on(async move {
                let Ok(listener) = TcpListener::from_std(listener) else { return };
                let mut tasks = JoinSet::new();
                loop {
                    tokio::select! {
                        biased;
                        () = stopped.cancelled() => break,
                        Some(_) = tasks.join_next() => {}
                        accepted = listener.accept() => {
                            let Ok((stream, _)) = accepted else { continue };
                            let _ = stream.set_nodelay(true);
                            let open = OpenConnection::new(&counted);
                            let served = serve(stream);
                            tasks.spawn(async move {
                                let _open = open;
                                served.await;
                            });
                        }
                    }
                }
                tasks.shutdown().await;
            });
            runtime.shutdown_timeout(BLOCKING_LIMIT);
        })?;
        Ok(Self { address, connections, stop, thread: Some(thread) })
    }

    /// The same for a server that speaks HTTP/1.1.
    pub(crate) fn start_http<S, B>(name: &str, service: S) -> io::Result<Self>
    where
        S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
        S::Future: Send + 'static,
        S::Error: Into<Box<dyn Error + Send + Sync>>,
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        Self::start(name, move |stream| {
            let service = service.clone();
            async move {
                let connection =
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                // A client that goes away in the middle is what many tests are about.
                let _ = connection.await;
            }
        })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn connections(&self) -> &Connections {
        &self.connections
    }
}

impl Drop for ServerThread {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn dropping_the_server_closes_its_connections() {
        let server = ServerThread::start("test", |stream| async move {
            let _held = stream;
            std::future::pending::<()>().await;
        })
        .unwrap();
        let mut client = std::net::TcpStream::connect(server.address()).unwrap();
        assert!(crate::process::eventually(Duration::from_secs(5), || server.connections().open() == 1));
        let connections = server.connections.clone();
        drop(server);
        assert_eq!((connections.accepted(), connections.open()), (1, 0));
        assert_eq!(client.read(&mut [0; 1]).unwrap_or(0), 0);
    }
}
