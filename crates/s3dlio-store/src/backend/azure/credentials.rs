//! Turns a [`Source`] into what object_store signs with, and signs our own requests with it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use http::HeaderValue;
use object_store::CredentialProvider;
use object_store::azure::{AzureAccessKey, AzureAuthorizer, AzureCredential, split_sas};
use object_store::client::HttpRequest;
use tokio::time::Instant;

use super::settings::Source;
use crate::backend::request::Sign;
use crate::backend::token::{FetchToken, Secret, Token, TokenCache, TokenService, parse_token};
use crate::error::{Error, ErrorKind, Operation, Result};
use crate::transport::Transport;

/// What a token is asked for: access to storage.
const RESOURCE: &str = "https://storage.azure.com";
const SCOPE: &str = "https://storage.azure.com/.default";

/// The version of the service that requests without a signature ask for; signed ones get object_store's.
const SERVICE_VERSION: HeaderValue = HeaderValue::from_static("2023-11-03");

/// What to do when no other source was set and the machine has no identity.
const NOTHING_CONFIGURED: &str = "no Azure credentials are configured: set AZURE_STORAGE_ACCOUNT_KEY, \
    AZURE_STORAGE_SAS_TOKEN or AZURE_STORAGE_CONNECTION_STRING, sign in with `az login`, or set anonymous = true";

/// The credentials of one account; `Debug` names their kind and no more.
pub(super) struct Credentials {
    kind: &'static str,
    inner: Inner,
}

enum Inner {
    None,
    Fixed(Arc<AzureCredential>),
    Token(TokenCache<AzureCredential>),
}

impl Credentials {
    pub(super) fn new(source: &Source, transport: &Transport) -> Result<Self> {
        let service = || TokenService::new(transport);
        let (kind, inner) = match source.clone() {
            Source::Anonymous => ("anonymous", Inner::None),
            Source::SharedKey(key) => ("shared key", Inner::Fixed(Arc::new(shared_key(&key)?))),
            Source::SharedAccessSignature(token) => {
                ("shared access signature", Inner::Fixed(Arc::new(shared_access_signature(&token)?)))
            }
            Source::ServicePrincipal { authority, tenant, client, secret } => {
                let proof = Proof::Secret(secret);
                ("service principal", cached(OAuth { service: service(), authority, tenant, client, proof }))
            }
            Source::WorkloadIdentity { authority, tenant, client, token_file } => {
                let proof = Proof::TokenFile(token_file);
                ("workload identity", cached(OAuth { service: service(), authority, tenant, client, proof }))
            }
            Source::ServiceIdentity { endpoint, header, client } => {
                ("managed identity", cached(ServiceIdentity { service: service(), endpoint, header, client }))
            }
            Source::Cli { program } => ("az command", cached(Cli { program })),
            Source::InstanceIdentity { endpoint, client } => {
                ("managed identity", cached(InstanceIdentity { service: service(), endpoint, client }))
            }
        };
        tracing::debug!(source = kind, "Azure credentials");
        Ok(Self { kind, inner })
    }

    pub(super) fn is_anonymous(&self) -> bool {
        matches!(self.inner, Inner::None)
    }

    /// The credential to sign with now; none for anonymous access.
    pub(super) async fn current(&self) -> Result<Option<Arc<AzureCredential>>> {
        match &self.inner {
            Inner::None => Ok(None),
            Inner::Fixed(credential) => Ok(Some(credential.clone())),
            Inner::Token(cache) => {
                cache.get(|token| AzureCredential::BearerToken(token.reveal().to_owned())).await.map(Some)
            }
        }
    }
}

fn cached(source: impl FetchToken + 'static) -> Inner {
    Inner::Token(TokenCache::new(Box::new(source)))
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Credentials").field(&self.kind).finish()
    }
}

#[async_trait]
impl CredentialProvider for Credentials {
    type Credential = AzureCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AzureCredential>> {
        let missing = || Error::new(ErrorKind::Unauthenticated, Operation::Request, "az://").with_message("anonymous");
        self.current().await.and_then(|credential| credential.ok_or_else(missing)).map_err(Error::into_store)
    }
}

fn shared_key(key: &Secret) -> Result<AzureCredential> {
    let key = AzureAccessKey::try_new(key.reveal()).map_err(|_| {
        // The cause is left out: it would quote a character of the key.
        config("AZURE_STORAGE_ACCOUNT_KEY", "the account key is not Base64")
    })?;
    Ok(AzureCredential::AccessKey(key))
}

fn shared_access_signature(token: &Secret) -> Result<AzureCredential> {
    let malformed = || {
        config("AZURE_STORAGE_SAS_TOKEN", "this is not a shared access signature")
            .with_hint("it is the part of the address after the \"?\", with sv, se, sp and sig in it")
    };
    let pairs = split_sas(token.reveal()).map_err(|_| malformed())?;
    if !pairs.iter().any(|(name, _)| name == "sig") {
        return Err(malformed());
    }
    Ok(AzureCredential::SASToken(pairs))
}

fn config(name: &str, message: &str) -> Error {
    Error::new(ErrorKind::Config, Operation::Configure, name).with_message(message)
}

/// Signs our own requests as `account`.
#[derive(Debug)]
pub(super) struct Signer {
    pub(super) credentials: Arc<Credentials>,
    pub(super) account: String,
}

#[async_trait]
impl Sign for Signer {
    async fn sign(&self, request: &mut HttpRequest) -> object_store::Result<()> {
        match self.credentials.current().await.map_err(Error::into_store)? {
            Some(credential) => AzureAuthorizer::new(&credential, &self.account).try_authorize(request),
            None => {
                request.headers_mut().insert("x-ms-version", SERVICE_VERSION);
                Ok(())
            }
        }
    }
}

/// A service principal or a workload identity, which differ in how they prove who they are.
#[derive(Debug)]
struct OAuth {
    service: TokenService,
    authority: String,
    tenant: String,
    client: String,
    proof: Proof,
}

#[derive(Debug)]
enum Proof {
    Secret(Secret),
    TokenFile(PathBuf),
}

#[async_trait]
impl FetchToken for OAuth {
    async fn fetch(&self) -> Result<Token> {
        let url = format!("{}/{}/oauth2/v2.0/token", self.authority, self.tenant);
        let client = self.client.as_str();
        let mut form = vec![("client_id", client), ("scope", SCOPE), ("grant_type", "client_credentials")];
        match &self.proof {
            Proof::Secret(secret) => {
                form.push(("client_secret", secret.reveal()));
                let hint = "check AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET";
                self.service.post(&url, &form, hint).await
            }
            Proof::TokenFile(path) => {
                // Read anew each time: the platform replaces the file as the token in it ages.
                let token = read_token(path).await?;
                form.push(("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"));
                form.push(("client_assertion", token.reveal()));
                let hint = "check AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_FEDERATED_TOKEN_FILE";
                self.service.post(&url, &form, hint).await
            }
        }
    }
}

async fn read_token(path: &Path) -> Result<Secret> {
    let text = tokio::fs::read_to_string(path).await.map_err(|error| {
        Error::new(ErrorKind::Unauthenticated, Operation::Open, path.display().to_string())
            .with_source(error)
            .with_hint("AZURE_FEDERATED_TOKEN_FILE names a file that cannot be read")
    })?;
    Ok(Secret::new(text.trim()))
}

#[derive(Debug)]
struct ServiceIdentity {
    service: TokenService,
    endpoint: String,
    header: Option<Secret>,
    client: Option<String>,
}

#[async_trait]
impl FetchToken for ServiceIdentity {
    async fn fetch(&self) -> Result<Token> {
        let mut query = vec![("api-version", "2019-08-01"), ("resource", RESOURCE)];
        query.extend(self.client.as_deref().map(|client| ("client_id", client)));
        let mut headers = vec![("metadata", "true")];
        headers.extend(self.header.as_ref().map(|header| ("x-identity-header", header.reveal())));
        let hint = "the managed identity at IDENTITY_ENDPOINT gave no token";
        self.service.get(&self.endpoint, &query, &headers, hint).await
    }
}

#[derive(Debug)]
struct InstanceIdentity {
    service: TokenService,
    endpoint: String,
    client: Option<String>,
}

#[async_trait]
impl FetchToken for InstanceIdentity {
    async fn fetch(&self) -> Result<Token> {
        let mut query = vec![("api-version", "2018-02-01"), ("resource", RESOURCE)];
        query.extend(self.client.as_deref().map(|client| ("client_id", client)));
        self.service.get(&self.endpoint, &query, &[("metadata", "true")], NOTHING_CONFIGURED).await
    }
}

/// Whoever has signed in with `az login`.
#[derive(Debug)]
struct Cli {
    program: PathBuf,
}

#[async_trait]
impl FetchToken for Cli {
    async fn fetch(&self) -> Result<Token> {
        let failed = || {
            Error::new(ErrorKind::Unauthenticated, Operation::Request, self.program.display().to_string())
                .with_hint("sign in with `az login`, or configure other Azure credentials")
        };
        let asked = Instant::now();
        let output = tokio::process::Command::new(&self.program)
            .args(["account", "get-access-token", "--output", "json", "--resource", RESOURCE])
            .stdin(std::process::Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .map_err(|error| failed().with_source(error))?;
        if !output.status.success() {
            let message = String::from_utf8_lossy(&output.stderr).split_whitespace().collect::<Vec<_>>().join(" ");
            return Err(failed().with_message(format!("{}: {message}", output.status)));
        }
        // Of the two ends that the command gives, `expires_on` is read; `expiresOn` is in local time and ambiguous.
        parse_token(&output.stdout, asked).ok_or_else(|| failed().with_message("its answer holds no access token"))
    }
}
