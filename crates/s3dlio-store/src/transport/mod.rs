//! The wire: one HTTP/1.1 connection pool, timeouts, and the one retry policy.

use std::sync::Arc;

use async_trait::async_trait;
use object_store::ClientOptions;
use object_store::client::{HttpClient, HttpConnector, HttpError, HttpRequest, HttpResponse, HttpService};

use crate::config::UnifiedLoaderConfig;
use crate::error::Result;

/// One pool of connections with its timeouts and retries; cheap to clone.
#[derive(Debug, Clone)]
pub struct Transport(Arc<()>);

impl Transport {
    /// A transport with the timeouts, retries and trusted certificates of `config`.
    pub fn new(_config: &UnifiedLoaderConfig) -> Result<Self> {
        Ok(Self(Arc::new(())))
    }

    /// A client for requests of our own.
    pub fn http_client(&self) -> HttpClient {
        HttpClient::new(self.clone())
    }
}

impl HttpConnector for Transport {
    fn connect(&self, _options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(self.http_client())
    }
}

#[async_trait]
impl HttpService for Transport {
    async fn call(&self, _request: HttpRequest) -> Result<HttpResponse, HttpError> {
        unreachable!("filled in by the next commit")
    }
}
