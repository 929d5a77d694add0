//! Requests that object_store has no call for: listings by string, buckets.
//!
//! They travel through the same transport as everything else, so that they share its pool, its timeouts and its one
//! retry policy; only the signing differs per protocol.

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use http::StatusCode;
use http::response::Parts;
use object_store::client::{HttpClient, HttpRequest};

use crate::error::{Error, ErrorKind, Operation, Result};

/// Puts a protocol's credentials into a request.
#[async_trait]
pub trait Sign: Debug + Send + Sync {
    /// Signs `request`, whose URI and body are final.
    async fn sign(&self, request: &mut HttpRequest) -> object_store::Result<()>;
}

/// Sends signed requests and reads their whole answer.
#[derive(Debug, Clone)]
pub struct RequestSender {
    http: HttpClient,
    signer: Arc<dyn Sign>,
}

impl RequestSender {
    /// A sender over `http` whose requests are signed by `signer`.
    pub fn new(http: HttpClient, signer: Arc<dyn Sign>) -> Self {
        Self { http, signer }
    }

    /// Signs and sends `request`, and returns the answer with its whole body. `uri` is what an error names.
    ///
    /// # Errors
    /// Any status but 2xx, by its kind, with what the server said.
    pub async fn send(&self, operation: Operation, uri: &str, mut request: HttpRequest) -> Result<(Parts, Bytes)> {
        let from_store = |error| Error::from_store(error, operation, uri);
        self.signer.sign(&mut request).await.map_err(from_store)?;
        let response =
            self.http.execute(request).await.map_err(|error| {
                from_store(object_store::Error::Generic { store: "request", source: Box::new(error) })
            })?;
        let (parts, body) = response.into_parts();
        let body = body
            .bytes()
            .await
            .map_err(|error| from_store(object_store::Error::Generic { store: "request", source: Box::new(error) }))?;
        if parts.status.is_success() {
            return Ok((parts, body));
        }
        Err(Error::new(kind_of_status(parts.status), operation, uri).with_message(format!(
            "{}: {}",
            parts.status,
            String::from_utf8_lossy(&body)
        )))
    }
}

/// The kind of failure that a status stands for.
pub(crate) fn kind_of_status(status: StatusCode) -> ErrorKind {
    match status {
        StatusCode::NOT_FOUND => ErrorKind::NotFound,
        StatusCode::CONFLICT => ErrorKind::AlreadyExists,
        StatusCode::PRECONDITION_FAILED => ErrorKind::PreconditionFailed,
        StatusCode::NOT_MODIFIED => ErrorKind::NotModified,
        StatusCode::FORBIDDEN => ErrorKind::PermissionDenied,
        StatusCode::UNAUTHORIZED => ErrorKind::Unauthenticated,
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => ErrorKind::Throttled,
        StatusCode::REQUEST_TIMEOUT | StatusCode::GATEWAY_TIMEOUT => ErrorKind::Timeout,
        StatusCode::INSUFFICIENT_STORAGE => ErrorKind::OutOfSpace,
        StatusCode::NOT_IMPLEMENTED => ErrorKind::Unsupported,
        StatusCode::RANGE_NOT_SATISFIABLE => ErrorKind::RangeNotSatisfiable,
        StatusCode::BAD_REQUEST => ErrorKind::InvalidInput,
        other if other.is_server_error() => ErrorKind::Server,
        _ => ErrorKind::Other,
    }
}
