//! Azure Blob Storage: `az://container/key`, `az://account/container/key` and `https://ACCOUNT.blob.core.windows.net/…`.
//!
//! Blobs are moved by object_store's client, with a few things set right around it; containers and listings are asked
//! for by requests of our own, signed with the same credentials, over the same transport.
//!
//! # Account and endpoint
//!
//! The account is the one that the URI names, else the configured one: that of `AZURE_STORAGE_CONNECTION_STRING`, else
//! `AZURE_STORAGE_ACCOUNT_NAME` or `AZURE_STORAGE_ACCOUNT`, else the one that the endpoint names, else the emulator's if
//! `AZURE_STORAGE_USE_EMULATOR` is true. Which of the two an `az://` URI begins with is decided by
//! [`Location::split_azure_account`].
//!
//! The endpoint is `endpoint_url`, else the connection string's, else the emulator's (`AZURITE_BLOB_STORAGE_URL`, else
//! `http://127.0.0.1:10000`) if that is used, else `https://ACCOUNT.blob.core.windows.net`. An endpoint without a path
//! whose host is not of the form `ACCOUNT.blob.…` is the emulator's path style: the account is put behind it.
//!
//! # Credentials
//!
//! The first of these that is set is used; nothing after it is looked at, and only the last asks the network whether
//! it is there:
//!
//! 1. `anonymous`
//! 2. the key or the shared access signature in `AZURE_STORAGE_CONNECTION_STRING`
//! 3. a shared key: `AZURE_STORAGE_ACCOUNT_KEY`, `AZURE_STORAGE_KEY` or `AZURE_STORAGE_ACCESS_KEY`
//! 4. a shared access signature: `AZURE_STORAGE_SAS_TOKEN` or `AZURE_STORAGE_SAS_KEY`
//! 5. the emulator's published key, if the account is `devstoreaccount1`
//! 6. a service principal: `AZURE_TENANT_ID`, `AZURE_CLIENT_ID` and `AZURE_CLIENT_SECRET`
//! 7. a workload identity: `AZURE_TENANT_ID`, `AZURE_CLIENT_ID` and `AZURE_FEDERATED_TOKEN_FILE`
//! 8. the managed identity of a service: `IDENTITY_ENDPOINT`, with `IDENTITY_HEADER`
//! 9. the `az` command, if somebody has signed in with it
//! 10. the managed identity of a virtual machine, from the instance metadata service (or
//!     `AZURE_POD_IDENTITY_AUTHORITY_HOST`); `AZURE_CLIENT_ID` says which, where there are several
//!
//! `AZURE_AUTHORITY_HOST` says where 6 and 7 get their tokens.
//!
//! # What differs from other stores
//!
//! An upload in parts cannot be aborted: parts that were never committed are not visible, and the service removes them
//! after a week. Ranges that count from the end of a blob are not supported.

use std::sync::Arc;

use http::Method;
use object_store::RetryConfig;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::client::{HttpRequest, HttpRequestBody};

use crate::backend::request::RequestSender;
use crate::backend::{Account, Store};
use crate::config::{Environment, UnifiedLoaderConfig};
use crate::error::{Error, ErrorKind, Operation, Result};
use crate::transport::Transport;
use crate::uri::{Location, Scheme};

mod containers;
mod credentials;
mod listing;
mod settings;
mod store;

use containers::Containers;
use credentials::{Credentials, Signer};
use listing::Listing;
use settings::{Settings, push};
use store::AzureStore;

/// Opens the container that `location` names.
///
/// Nothing is sent: that the container exists and the credentials are right is found out by the first request.
///
/// # Errors
/// [`ErrorKind::InvalidInput`] if the location names no container, [`ErrorKind::Config`] if the configuration or the
/// environment is wrong.
///
/// ```
/// use s3dlio_store::backend::azure;
/// use s3dlio_store::transport::Transport;
/// use s3dlio_store::{Environment, Location, UnifiedLoaderConfig};
///
/// let environment = Environment::from_iter([("AZURE_STORAGE_ACCOUNT", "acc"), ("AZURE_STORAGE_KEY", "a2V5")]);
/// let config = UnifiedLoaderConfig::default();
/// let location = Location::parse("az://box/key")?;
/// let store = azure::open(&location, &config, &environment, &Transport::new(&config)?)?;
/// assert_eq!(store.name, "az://acc/box");
/// # Ok::<(), s3dlio_store::Error>(())
/// ```
pub fn open(
    location: &Location,
    config: &UnifiedLoaderConfig,
    environment: &Environment,
    transport: &Transport,
) -> Result<Store> {
    let account = OpenAccount::new(location, config, environment, transport)?;
    let container = account.location.bucket();
    if container.is_empty() {
        return Err(Error::new(ErrorKind::InvalidInput, Operation::Open, location.to_string())
            .with_message("the container is missing")
            .with_hint("write az://CONTAINER/KEY or az://ACCOUNT/CONTAINER/KEY"));
    }
    let name = format!("az://{}/{container}", account.name);
    let mut container_url = account.url.clone();
    push(&mut container_url, container);
    let client = MicrosoftAzureBuilder::new()
        .with_account(&account.name)
        .with_container_name(container)
        .with_endpoint(account.url.to_string())
        .with_allow_http(true)
        .with_credentials(account.credentials.clone())
        .with_skip_signature(account.credentials.is_anonymous())
        // The transport repeats requests, and nothing else does.
        .with_retry(RetryConfig { max_retries: 0, ..RetryConfig::default() })
        .with_http_connector(transport.clone())
        .build()
        .map_err(|error| Error::from_store(error, Operation::Open, name.clone()))?;
    let lister = Listing::new(account.sender.clone(), container_url.to_string(), name.clone());
    let store = Arc::new(AzureStore {
        inner: client,
        sender: account.sender,
        credentials: account.credentials,
        container_url,
        name: name.clone(),
    });
    Ok(Store { scheme: Scheme::Azure, name, objects: store.clone(), lister: Arc::new(lister), multipart: Some(store) })
}

/// The containers of the account that `location` names, or of the configured one.
///
/// # Errors
/// [`ErrorKind::Config`] if no account is named, or if the configuration or the environment is wrong.
pub fn account(
    location: &Location,
    config: &UnifiedLoaderConfig,
    environment: &Environment,
    transport: &Transport,
) -> Result<Account> {
    let account = OpenAccount::new(location, config, environment, transport)?;
    Ok(Arc::new(Containers { sender: account.sender, account: account.name, account_url: account.url }))
}

/// The account that `az://` URIs without one mean, for [`Location::split_azure_account`].
/// None if none is configured, or if the environment is wrong, which [`open`] reports.
pub fn configured_account(environment: &Environment, config: &UnifiedLoaderConfig) -> Option<String> {
    Settings::read(config, environment, None).ok()?.account
}

/// An account with its address and credentials.
struct OpenAccount {
    location: Location,
    name: String,
    url: url::Url,
    credentials: Arc<Credentials>,
    sender: RequestSender,
}

impl OpenAccount {
    fn new(
        location: &Location,
        config: &UnifiedLoaderConfig,
        environment: &Environment,
        transport: &Transport,
    ) -> Result<Self> {
        let configured = configured_account(environment, config);
        let location = location.split_azure_account(configured.as_deref());
        let settings = Settings::read(config, environment, location.account())?;
        let name = location.account().map(str::to_owned).or(configured).ok_or_else(|| {
            Error::new(ErrorKind::Config, Operation::Open, location.to_string())
                .with_message("no account is named")
                .with_hint("set AZURE_STORAGE_ACCOUNT or write az://ACCOUNT/CONTAINER/KEY")
        })?;
        let url = settings.account_url(&name)?;
        let credentials = Arc::new(Credentials::new(&settings.source, transport)?);
        let signer = Signer { credentials: credentials.clone(), account: name.clone() };
        let sender = RequestSender::new(transport.http_client(), Arc::new(signer));
        Ok(Self { location, name, url, credentials, sender })
    }
}

/// A request without a body.
fn request(method: Method, url: &str) -> Result<HttpRequest> {
    let mut request = HttpRequest::new(HttpRequestBody::empty());
    *request.method_mut() = method;
    *request.uri_mut() = url.parse().map_err(|error| {
        // The address is left out: it may hold a signature.
        Error::new(ErrorKind::Config, Operation::Configure, "az://")
            .with_message("the endpoint and the key do not make an address")
            .with_source(error)
    })?;
    Ok(request)
}
