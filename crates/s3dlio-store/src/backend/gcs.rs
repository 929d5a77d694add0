//! Google Cloud Storage: `gs://bucket/key` and `gcs://bucket/key`.
//!
//! Objects are moved by object_store's client over the XML API; listings use the same API's list-type 2, which is
//! S3's, and buckets the JSON API, both by requests of our own over the same transport and credentials.
//!
//! # Endpoint and project
//!
//! The endpoint is `endpoint_url`, else the emulator that `STORAGE_EMULATOR_HOST` names, else
//! `https://storage.googleapis.com`. Making and listing buckets needs a project: `GOOGLE_CLOUD_PROJECT`,
//! `GCLOUD_PROJECT` or `CLOUDSDK_CORE_PROJECT`, else the one that the service account's key names.
//!
//! # Credentials
//!
//! The first of these that is set is used; nothing after it is looked at, and only the last asks the network whether it
//! is there:
//!
//! 1. `anonymous`
//! 2. nobody, where `STORAGE_EMULATOR_HOST` names the endpoint
//! 3. a service account's key: the file that `GOOGLE_SERVICE_ACCOUNT` or `GOOGLE_SERVICE_ACCOUNT_PATH` names, or the
//!    JSON itself in `GOOGLE_SERVICE_ACCOUNT_KEY`
//! 4. an access token that somebody else renews: `CLOUDSDK_AUTH_ACCESS_TOKEN` or `GOOGLE_OAUTH_ACCESS_TOKEN`
//! 5. application default credentials: the file that `GOOGLE_APPLICATION_CREDENTIALS` names
//! 6. application default credentials: `application_default_credentials.json` in `CLOUDSDK_CONFIG` or `~/.config/gcloud`,
//!    which `gcloud auth application-default login` writes
//! 7. the metadata server of the machine (`GCE_METADATA_HOST`, else `metadata.google.internal`)
//!
//! The files of 5 and 6 hold a service account's key or an authorized user; other types (workload identity federation,
//! impersonation) are refused by name.
//!
//! # What differs from other stores
//!
//! Conditional writes go by an object's generation, which is its version here, not by its ETag.

use std::sync::Arc;

use async_trait::async_trait;
use http::{HeaderValue, header};
use object_store::client::{HttpClient, HttpConnector, HttpError, HttpRequest, HttpResponse, HttpService};
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::{ClientOptions, RetryConfig};
use percent_encoding::utf8_percent_encode;

use crate::backend::request::{RequestSender, Sign};
use crate::backend::s3_listing::{QUERY, S3Listing};
use crate::backend::{Account, Store};
use crate::config::{Environment, UnifiedLoaderConfig};
use crate::error::{Error, ErrorKind, Operation, Result};
use crate::transport::Transport;
use crate::uri::{Location, Scheme};

mod buckets;
mod credentials;
mod settings;

use buckets::GcsBuckets;
use credentials::Credentials;
use settings::Settings;

/// Opens the bucket that `location` names.
///
/// Nothing is sent: that the bucket exists and the credentials are right is found out by the first request. A file of
/// credentials is read.
///
/// # Errors
/// [`ErrorKind::InvalidInput`] if the location names no bucket, [`ErrorKind::Config`] if the configuration, the
/// environment or a file of credentials is wrong.
///
/// ```
/// use s3dlio_store::backend::gcs;
/// use s3dlio_store::transport::Transport;
/// use s3dlio_store::{Environment, Location, UnifiedLoaderConfig};
///
/// let config = UnifiedLoaderConfig { anonymous: true, ..UnifiedLoaderConfig::default() };
/// let location = Location::parse("gs://bucket/key")?;
/// let store = gcs::open(&location, &config, &Environment::default(), &Transport::new(&config)?)?;
/// assert_eq!(store.name, "gs://bucket");
/// # Ok::<(), s3dlio_store::Error>(())
/// ```
pub fn open(
    location: &Location,
    config: &UnifiedLoaderConfig,
    environment: &Environment,
    transport: &Transport,
) -> Result<Store> {
    let bucket = location.bucket();
    if bucket.is_empty() {
        return Err(Error::new(ErrorKind::InvalidInput, Operation::Open, location.to_string())
            .with_message("the bucket is missing")
            .with_hint("write gs://BUCKET/KEY"));
    }
    let service = Service::new(config, environment, transport)?;
    let name = format!("gs://{bucket}");
    let builder = GoogleCloudStorageBuilder::new()
        .with_bucket_name(bucket)
        .with_base_url(&service.endpoint)
        .with_credentials(service.credentials.clone())
        // The transport repeats requests, and nothing else does.
        .with_retry(RetryConfig { max_retries: 0, ..RetryConfig::default() });
    let client = match service.credentials.is_anonymous() {
        true => builder.with_skip_signature(true).with_http_connector(Unsigned(transport.http_client())),
        false => builder.with_http_connector(transport.clone()),
    };
    let client = client.build().map_err(|error| Error::from_store(error, Operation::Open, name.clone()))?;
    let bucket_url = format!("{}/{}", service.endpoint, utf8_percent_encode(bucket, QUERY));
    let objects = Arc::new(client);
    Ok(Store {
        scheme: Scheme::Gcs,
        lister: Arc::new(S3Listing::new(service.sender, bucket_url, name.clone())),
        name,
        objects: objects.clone(),
        multipart: Some(objects),
    })
}

/// The buckets of the configured project.
///
/// # Errors
/// [`ErrorKind::Config`] if the configuration, the environment or a file of credentials is wrong.
pub fn account(config: &UnifiedLoaderConfig, environment: &Environment, transport: &Transport) -> Result<Account> {
    let service = Service::new(config, environment, transport)?;
    Ok(Arc::new(GcsBuckets { sender: service.sender, endpoint: service.endpoint, project: service.project }))
}

/// The service with the identity that uses it.
struct Service {
    endpoint: String,
    project: Option<String>,
    credentials: Arc<Credentials>,
    sender: RequestSender,
}

impl Service {
    fn new(config: &UnifiedLoaderConfig, environment: &Environment, transport: &Transport) -> Result<Self> {
        let Settings { endpoint, project, source } = Settings::read(config, environment)?;
        let credentials = Arc::new(Credentials::new(source, transport)?);
        let sender = RequestSender::new(transport.http_client(), Arc::new(Bearer(credentials.clone())));
        Ok(Self { endpoint, project, credentials, sender })
    }
}

/// Sends requests without credentials. object_store's client, told not to sign, still puts an empty token into those
/// that write, which the service takes for a wrong one.
#[derive(Debug, Clone)]
struct Unsigned(HttpClient);

impl HttpConnector for Unsigned {
    fn connect(&self, _options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

#[async_trait]
impl HttpService for Unsigned {
    async fn call(&self, mut request: HttpRequest) -> Result<HttpResponse, HttpError> {
        request.headers_mut().remove(header::AUTHORIZATION);
        self.0.execute(request).await
    }
}

/// Puts an access token into our own requests.
#[derive(Debug)]
struct Bearer(Arc<Credentials>);

#[async_trait]
impl Sign for Bearer {
    async fn sign(&self, request: &mut HttpRequest) -> object_store::Result<()> {
        if let Some(credential) = self.0.current().await.map_err(Error::into_store)? {
            let mut value = HeaderValue::from_str(&format!("Bearer {}", credential.bearer)).map_err(|_| {
                let error = Error::new(ErrorKind::Unauthenticated, Operation::Request, "gs://");
                error.with_message("the access token is not a header's value").into_store()
            })?;
            value.set_sensitive(true);
            request.headers_mut().insert(header::AUTHORIZATION, value);
        }
        Ok(())
    }
}
