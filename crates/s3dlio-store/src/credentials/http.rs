//! aws-config's requests, sent through our transport.
//!
//! The AWS crates would bring an HTTP client of their own, with its TLS and its pool; this adapter is what they use
//! instead. Retries are the transport's: an error is handed on as one that is not to be tried again.

use std::sync::Arc;
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpClient as SmithyClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest as SmithyRequest, HttpResponse as SmithyResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use object_store::client::{HttpClient, HttpRequestBody};
use parking_lot::Mutex;

use crate::error::BoxError;

/// Makes connectors over one client.
#[derive(Debug, Clone)]
pub(super) struct Adapter {
    http: HttpClient,
    refusal: Refusal,
}

impl Adapter {
    pub(super) fn new(http: HttpClient) -> Self {
        Self { http, refusal: Refusal::default() }
    }

    /// What the last refused request was told.
    pub(super) fn refusal(&self) -> Refusal {
        self.refusal.clone()
    }
}

/// What a service said when it refused. The transport has made one line of it, which the SDK's parsers do not
/// understand, so that it is kept here for the message.
#[derive(Debug, Clone, Default)]
pub(super) struct Refusal(Arc<Mutex<Option<String>>>);

impl Refusal {
    pub(super) fn take(&self) -> Option<String> {
        self.0.lock().take()
    }
}

impl SmithyClient for Adapter {
    fn http_connector(&self, settings: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        // What a metadata service may take in all: without this a machine that has none would be waited for as long as
        // a storage endpoint is.
        let limit = match (settings.connect_timeout(), settings.read_timeout()) {
            (Some(connect), Some(read)) => Some(connect + read),
            _ => None,
        };
        SharedHttpConnector::new(Connector { adapter: self.clone(), limit })
    }
}

#[derive(Debug)]
struct Connector {
    adapter: Adapter,
    limit: Option<Duration>,
}

impl HttpConnector for Connector {
    fn call(&self, request: SmithyRequest) -> HttpConnectorFuture {
        let (adapter, limit) = (self.adapter.clone(), self.limit);
        HttpConnectorFuture::new(async move {
            let exchange = exchange(adapter, request);
            match limit {
                Some(limit) => tokio::time::timeout(limit, exchange)
                    .await
                    .unwrap_or_else(|_| Err(format!("no answer within {limit:?}").into())),
                None => exchange.await,
            }
            .map_err(|error| ConnectorError::other(error, None))
        })
    }
}

async fn exchange(adapter: Adapter, request: SmithyRequest) -> Result<SmithyResponse, BoxError> {
    let request = request.try_into_http1x()?;
    let (parts, body) = request.into_parts();
    let body = body.bytes().map(Bytes::copy_from_slice).ok_or("a streaming body is not supported")?;
    let response = adapter.http.execute(::http::Request::from_parts(parts, HttpRequestBody::from(body))).await?;
    let (parts, body) = response.into_parts();
    let body = body.bytes().await?;
    let refused = !parts.status.is_success() && !body.is_empty();
    *adapter.refusal.0.lock() = refused.then(|| format!("{}: {}", parts.status, String::from_utf8_lossy(&body)));
    let body = SdkBody::from(body);
    Ok(SmithyResponse::try_from(::http::Response::from_parts(parts, body))?)
}
