//! Signatures of all requests to S3, by AWS Signature Version 4.
//!
//! object_store's own client is built without signatures, and [`SigningTransport`] signs what it sends: object_store
//! derives the signing key anew and takes addresses apart for every request, which costs 6 us of the 16 us of user time
//! that a small GET takes. Reads without a query, which is what a data set is made of, are signed by [`reads`] with a key
//! that is kept for the day; all other requests by object_store's [`AwsAuthorizer`].

mod reads;

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use async_trait::async_trait;
use http::Method;
use http_body::Body;
use object_store::ClientOptions;
use object_store::aws::{AwsAuthorizer, AwsCredentialProvider};
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService,
};
use ring::digest;

use crate::backend::request::Sign;
use crate::error::{Error, Operation};
use reads::ReadSigner;

/// Signs with the credentials of the account; without any it leaves requests as they are.
#[derive(Debug)]
pub(super) struct Signer {
    credentials: Option<AwsCredentialProvider>,
    region: String,
    is_tls: bool,
    reads: ReadSigner,
}

impl Signer {
    pub(super) fn new(credentials: Option<AwsCredentialProvider>, region: &str, is_tls: bool) -> Self {
        let reads = ReadSigner::new(region, leaves_payload_unsigned(is_tls));
        Self { credentials, region: region.to_owned(), is_tls, reads }
    }

    async fn authorize(&self, request: &mut HttpRequest) -> object_store::Result<()> {
        let Some(credentials) = &self.credentials else { return Ok(()) };
        let credential = credentials.get_credential().await?;
        let is_read = matches!(*request.method(), Method::GET | Method::HEAD) && request.uri().query().is_none();
        if is_read && self.reads.sign(request, &credential) {
            return Ok(());
        }
        let signs_payload = !leaves_payload_unsigned(self.is_tls);
        let digest = signs_payload.then(|| digest_of(request));
        AwsAuthorizer::new(&credential, "s3", &self.region)
            .with_sign_payload(signs_payload)
            .try_authorize(request, digest.as_ref().map(digest::Digest::as_ref))
    }
}

/// Whether bodies stay out of the signature. Over TLS they are protected already, and hashing them would cost more than
/// sending them (SHA-256: 1.4 GB/s per core). Over plain HTTP the signature is all that protects them, as in the SDKs.
pub(super) fn leaves_payload_unsigned(is_tls: bool) -> bool {
    is_tls
}

/// SHA-256 of a request's body, piece by piece.
fn digest_of(request: &HttpRequest) -> digest::Digest {
    let mut hash = digest::Context::new(&digest::SHA256);
    // The pieces share the caller's memory, and all of them are there: a body of object_store never waits.
    let mut body = request.body().clone();
    while let Poll::Ready(Some(Ok(frame))) = Pin::new(&mut body).poll_frame(&mut Context::from_waker(Waker::noop())) {
        if let Some(data) = frame.data_ref() {
            hash.update(data);
        }
    }
    hash.finish()
}

#[async_trait]
impl Sign for Signer {
    async fn sign(&self, request: &mut HttpRequest) -> object_store::Result<()> {
        self.authorize(request).await
    }
}

/// A transport whose requests are signed.
#[derive(Clone)]
pub(super) struct SigningTransport {
    http: HttpClient,
    signer: Arc<Signer>,
}

impl SigningTransport {
    pub(super) fn new(http: HttpClient, signer: Arc<Signer>) -> Self {
        Self { http, signer }
    }
}

impl fmt::Debug for SigningTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningTransport").field("http", &self.http).finish_non_exhaustive()
    }
}

impl HttpConnector for SigningTransport {
    fn connect(&self, _options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

#[async_trait]
impl HttpService for SigningTransport {
    async fn call(&self, mut request: HttpRequest) -> Result<HttpResponse, HttpError> {
        if let Err(error) = self.signer.authorize(&mut request).await {
            let uri = request.uri();
            let uri = format!("{}://{}", uri.scheme_str().unwrap_or_default(), uri.host().unwrap_or_default());
            return Err(HttpError::new(HttpErrorKind::Unknown, Error::from_store(error, Operation::Request, uri)));
        }
        self.http.execute(request).await
    }
}

#[cfg(test)]
mod tests {
    use object_store::PutPayload;
    use object_store::client::HttpRequestBody;

    use super::*;

    #[test]
    fn a_body_in_pieces_has_the_digest_of_the_whole() {
        let payload = PutPayload::from_iter(["ab", "", "c"].map(bytes::Bytes::from));
        let request = HttpRequest::new(payload.into());
        assert_eq!(digest_of(&request).as_ref(), digest::digest(&digest::SHA256, b"abc").as_ref());
        let empty = HttpRequest::new(HttpRequestBody::empty());
        assert_eq!(digest_of(&empty).as_ref(), digest::digest(&digest::SHA256, b"").as_ref());
    }
}
