//! aws-config's requests, sent through our transport.
//!
//! The AWS crates would bring an HTTP client of their own, with its TLS and its pool; this adapter is what they use
//! instead. Retries are the transport's: an error is handed on as one that is not to be tried again.

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

use crate::error::BoxError;

/// Makes connectors over one client.
#[derive(Debug, Clone)]
pub(super) struct Adapter(pub(super) HttpClient);

impl SmithyClient for Adapter {
    fn http_connector(&self, settings: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        // What a metadata service may take in all: without this a machine that has none would be waited for as long as
        // a storage endpoint is.
        let limit = match (settings.connect_timeout(), settings.read_timeout()) {
            (Some(connect), Some(read)) => Some(connect + read),
            _ => None,
        };
        SharedHttpConnector::new(Connector { http: self.0.clone(), limit })
    }
}

#[derive(Debug)]
struct Connector {
    http: HttpClient,
    limit: Option<Duration>,
}

impl HttpConnector for Connector {
    fn call(&self, request: SmithyRequest) -> HttpConnectorFuture {
        let (http, limit) = (self.http.clone(), self.limit);
        HttpConnectorFuture::new(async move {
            let exchange = exchange(http, request);
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

async fn exchange(http: HttpClient, request: SmithyRequest) -> Result<SmithyResponse, BoxError> {
    let request = request.try_into_http1x()?;
    let (parts, body) = request.into_parts();
    let body = body.bytes().map(Bytes::copy_from_slice).ok_or("a streaming body is not supported")?;
    let response = http.execute(::http::Request::from_parts(parts, HttpRequestBody::from(body))).await?;
    let (parts, body) = response.into_parts();
    let body = SdkBody::from(body.bytes().await?);
    Ok(SmithyResponse::try_from(::http::Response::from_parts(parts, body))?)
}
