//! Signatures of our own requests, by AWS Signature Version 4.

use async_trait::async_trait;
use object_store::aws::{AwsAuthorizer, AwsCredentialProvider};
use object_store::client::HttpRequest;

use crate::backend::request::Sign;

/// Signs with the credentials of the account; without any it leaves requests as they are.
#[derive(Debug)]
pub(super) struct Signer {
    credentials: Option<AwsCredentialProvider>,
    region: String,
    is_tls: bool,
}

impl Signer {
    pub(super) fn new(credentials: Option<AwsCredentialProvider>, region: &str, is_tls: bool) -> Self {
        Self { credentials, region: region.to_owned(), is_tls }
    }
}

/// Whether bodies stay out of the signature. Over TLS they are protected already, and hashing them would cost more than
/// sending them (SHA-256: 1.4 GB/s per core). Over plain HTTP the signature is all that protects them, as in the SDKs.
pub(super) fn leaves_payload_unsigned(is_tls: bool) -> bool {
    is_tls
}

#[async_trait]
impl Sign for Signer {
    async fn sign(&self, request: &mut HttpRequest) -> object_store::Result<()> {
        let Some(credentials) = &self.credentials else { return Ok(()) };
        let credential = credentials.get_credential().await?;
        AwsAuthorizer::new(&credential, "s3", &self.region)
            .with_sign_payload(!leaves_payload_unsigned(self.is_tls))
            .try_authorize(request, None)
    }
}
