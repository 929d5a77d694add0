//! The wire: one HTTP/1.1 connection pool, timeouts, and the one retry policy.
//!
//! [`Transport`] is object_store's `HttpConnector` and `HttpService`, so that every protocol's client sends through it.
//! A call goes through three files: `retry` sends attempts until one is final, `pool` finds or makes a
//! `connection` over a `socket`, and `body` hands the answer's bytes on and gives the connection back when they have all
//! been read.
//!
//! Nothing is spawned. A connection is driven by whoever waits for its bytes, so that dropping a call or a body closes
//! its socket at once, and an idle connection is a value in the pool that costs nothing.
//!
//! object_store's own retries are switched off (`max_retries: 0`): attempts are counted here, for every protocol, and a
//! body that breaks off is resumed by the range engine.

mod answer;
mod body;
mod connection;
mod failure;
mod pool;
mod retry;
mod socket;
mod statistics;
mod tls;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use object_store::ClientOptions;
use object_store::client::{HttpClient, HttpConnector, HttpError, HttpRequest, HttpResponse, HttpService};

use crate::config::UnifiedLoaderConfig;
use crate::error::Result;

pub use answer::{Attempts, RangeIgnored};
pub use statistics::TransportStatistics;

/// One pool of connections with its timeouts and retries; cheap to clone, and all clones share the pool.
///
/// ```
/// use s3dlio_store::UnifiedLoaderConfig;
/// use s3dlio_store::transport::Transport;
///
/// let transport = Transport::new(&UnifiedLoaderConfig::default())?;
/// assert_eq!(transport.statistics().requests, 0);
/// # Ok::<(), s3dlio_store::Error>(())
/// ```
#[derive(Clone)]
pub struct Transport(Arc<Inner>);

struct Inner {
    policy: retry::Policy,
    pool: pool::Pool,
    counters: Arc<statistics::Counters>,
}

/// The settings of [`UnifiedLoaderConfig`] that a connection needs.
#[derive(Debug, Clone)]
struct Timeouts {
    /// One attempt to connect, all addresses and the TLS handshake included.
    connect: Duration,
    /// Between two bytes of an exchange.
    idle: Duration,
    /// An exchange whose repetition is not safe is not given up before this.
    deadline: Duration,
}

impl Transport {
    /// A transport with the timeouts, retries and trusted certificates of `config`.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if `ca_bundle` cannot be read or holds no certificate.
    pub fn new(config: &UnifiedLoaderConfig) -> Result<Self> {
        let counters = Arc::<statistics::Counters>::default();
        let timeouts = Timeouts {
            connect: config.connect_timeout,
            idle: config.idle_timeout,
            deadline: config.operation_deadline,
        };
        let tls = tls::Connector::new(config.ca_bundle.as_deref())?;
        Ok(Self(Arc::new(Inner {
            policy: retry::Policy::new(config),
            pool: pool::Pool::new(timeouts, tls, counters.clone()),
            counters,
        })))
    }

    /// A client for requests of our own.
    pub fn http_client(&self) -> HttpClient {
        HttpClient::new(self.clone())
    }

    /// What has been sent and received since the transport was made.
    pub fn statistics(&self) -> TransportStatistics {
        self.0.counters.snapshot()
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport").field("statistics", &self.statistics()).finish_non_exhaustive()
    }
}

impl HttpConnector for Transport {
    fn connect(&self, _options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(self.http_client())
    }
}

#[async_trait]
impl HttpService for Transport {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        self.0.policy.send(&self.0.pool, &self.0.counters, request).await
    }
}
