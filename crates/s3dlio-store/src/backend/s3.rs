//! `s3://bucket`: Amazon S3 and everything that speaks its protocol.
//!
//! Objects go through object_store's client, listings through [`S3Listing`], and what neither has a call for (buckets)
//! through signed requests of our own. All of them share the transport, the credentials ([`AwsSettings`]) and the
//! address of the bucket, which `endpoint` alone works out.

mod buckets;
mod endpoint;
mod signer;

use std::sync::Arc;

use object_store::aws::{AmazonS3Builder, S3ConditionalPut, S3CopyIfNotExists};
use object_store::{ClientOptions, RetryConfig};

use crate::backend::request::RequestSender;
use crate::backend::s3_listing::S3Listing;
use crate::backend::{Account, Store};
use crate::config::{Environment, UnifiedLoaderConfig};
use crate::credentials::AwsSettings;
use crate::error::{Error, ErrorKind, Operation, Result};
use crate::transport::Transport;
use crate::uri::{Location, Scheme};

use endpoint::Endpoint;
use signer::{Signer, SigningTransport};

/// Opens the bucket of `location`; its key is of no account. Sends no request: whether the bucket is there, and which
/// credentials are to be had, is found by the first operation.
///
/// # Errors
/// [`ErrorKind::InvalidInput`] for a name that no bucket can have, [`ErrorKind::Config`] for a malformed
/// `endpoint_url`, [`ErrorKind::Unauthenticated`] if one half of a key pair is missing.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// use s3dlio_store::backend::s3;
/// use s3dlio_store::transport::Transport;
/// use s3dlio_store::{Environment, Location, UnifiedLoaderConfig};
///
/// let config = UnifiedLoaderConfig { anonymous: true, ..Default::default() };
/// let transport = Transport::new(&config)?;
/// let location = Location::parse("s3://bucket/key")?;
/// let store = s3::open(&location, &config, &Environment::default(), &transport).await?;
/// assert_eq!(store.name, "s3://bucket");
/// # Ok::<(), s3dlio_store::Error>(())
/// # }).unwrap();
/// ```
pub async fn open(
    location: &Location,
    config: &UnifiedLoaderConfig,
    environment: &Environment,
    transport: &Transport,
) -> Result<Store> {
    let bucket = location.bucket();
    let name = format!("s3://{bucket}");
    let service = Service::resolve(config, environment, transport).await?;
    let bucket_url = service.endpoint.bucket_url(bucket).map_err(|error| error.into_error(Operation::Open, &name))?;
    let objects = Arc::new(service.client(bucket, &bucket_url, transport, &name)?);
    Ok(Store {
        scheme: Scheme::S3,
        lister: Arc::new(S3Listing::new(service.sender, bucket_url, name.clone())),
        name,
        multipart: Some(objects.clone()),
        objects,
    })
}

/// The buckets of the account that the credentials belong to.
///
/// # Errors
/// As for [`open`].
pub async fn account(
    config: &UnifiedLoaderConfig,
    environment: &Environment,
    transport: &Transport,
) -> Result<Account> {
    let service = Service::resolve(config, environment, transport).await?;
    Ok(Arc::new(buckets::S3Buckets::new(service.sender, service.endpoint)))
}

/// One S3 service with the identity that uses it.
struct Service {
    settings: AwsSettings,
    endpoint: Endpoint,
    signer: Arc<Signer>,
    sender: RequestSender,
}

impl Service {
    async fn resolve(config: &UnifiedLoaderConfig, environment: &Environment, transport: &Transport) -> Result<Self> {
        let settings = AwsSettings::resolve(config, environment, transport.http_client()).await?;
        let endpoint = Endpoint::new(&settings, config.virtual_hosted_style)?;
        let signer = Arc::new(Signer::new(settings.credentials.clone(), &settings.region, endpoint.is_tls()));
        let sender = RequestSender::new(transport.http_client(), signer.clone());
        Ok(Self { settings, endpoint, signer, sender })
    }

    /// object_store's client of one bucket, on our transport.
    fn client(
        &self,
        bucket: &str,
        bucket_url: &str,
        transport: &Transport,
        name: &str,
    ) -> Result<object_store::aws::AmazonS3> {
        AmazonS3Builder::new()
            .with_bucket_name(bucket)
            .with_region(&self.settings.region)
            // With this set object_store takes the endpoint for the bucket's own address, whichever style it has.
            .with_endpoint(bucket_url)
            .with_virtual_hosted_style_request(true)
            .with_conditional_put(S3ConditionalPut::ETagMatch)
            // S3 has no condition on a copy; a multipart copy is completed on condition instead.
            .with_copy_if_not_exists(S3CopyIfNotExists::Multipart)
            .with_client_options(ClientOptions::new().with_allow_http(true))
            // What is sent is signed on the way, if there are credentials.
            .with_skip_signature(true)
            .with_http_connector(SigningTransport::new(transport.http_client(), self.signer.clone()))
            // The transport retries; twice would multiply.
            .with_retry(RetryConfig { max_retries: 0, ..Default::default() })
            .build()
            .map_err(|error| Error::new(ErrorKind::Config, Operation::Open, name).with_source(error))
    }
}
