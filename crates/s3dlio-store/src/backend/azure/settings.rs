//! What the configuration and the environment say about Azure: which account, where it is, who asks.
//!
//! Nothing here goes over the network; a source of credentials is chosen by what is set, by the one order that the
//! header of [`super`] gives.

use std::path::{Path, PathBuf};

use url::Url;

use crate::backend::token::{Secret, without_secrets};
use crate::config::{Environment, UnifiedLoaderConfig};
use crate::error::{Error, ErrorKind, Operation, Result};

/// The account and key that every Azurite knows; published by Microsoft, so no secret.
const EMULATOR_ACCOUNT: &str = "devstoreaccount1";
const EMULATOR_KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";
const EMULATOR_ENDPOINT: &str = "http://127.0.0.1:10000";

const PUBLIC_SUFFIX: &str = "core.windows.net";
const PUBLIC_AUTHORITY: &str = "https://login.microsoftonline.com";
const INSTANCE_METADATA: &str = "http://169.254.169.254";

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    Anonymous,
    SharedKey(Secret),
    SharedAccessSignature(Secret),
    ServicePrincipal {
        authority: String,
        tenant: String,
        client: String,
        secret: Secret,
    },
    WorkloadIdentity {
        authority: String,
        tenant: String,
        client: String,
        token_file: PathBuf,
    },
    /// The managed identity of an App Service, a Function or a container app.
    ServiceIdentity {
        endpoint: String,
        header: Option<Secret>,
        client: Option<String>,
    },
    Cli {
        program: PathBuf,
    },
    /// The managed identity of a virtual machine.
    InstanceIdentity {
        endpoint: String,
        client: Option<String>,
    },
}

impl Source {
    /// Whether the credentials are of one account only.
    fn is_of_one_account(&self) -> bool {
        matches!(self, Self::SharedKey(_) | Self::SharedAccessSignature(_))
    }
}

/// Everything that is known before a URI is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Settings {
    /// The configured account.
    pub(super) account: Option<String>,
    /// Where the configured account is, if not at Azure's own address.
    endpoint: Option<String>,
    /// What follows `ACCOUNT.blob.` in Azure's own addresses.
    suffix: String,
    pub(super) source: Source,
}

impl Settings {
    /// `named` is the account of the URI, if that names one.
    pub(super) fn read(config: &UnifiedLoaderConfig, environment: &Environment, named: Option<&str>) -> Result<Self> {
        let connection = match environment.get("AZURE_STORAGE_CONNECTION_STRING") {
            Some(text) => ConnectionString::parse(text)?,
            None => ConnectionString::default(),
        };
        let emulated = environment.get("AZURE_STORAGE_USE_EMULATOR").is_some_and(is_true);
        let endpoint = config.endpoint_url.clone().or_else(|| connection.endpoint.clone()).or_else(|| {
            let address = environment.get("AZURITE_BLOB_STORAGE_URL").unwrap_or(EMULATOR_ENDPOINT);
            emulated.then(|| address.to_owned())
        });
        let account = connection
            .account
            .clone()
            .or_else(|| first_of(environment, &["AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_ACCOUNT"]))
            .or_else(|| endpoint.as_deref().and_then(account_of_endpoint))
            .or_else(|| emulated.then(|| EMULATOR_ACCOUNT.to_owned()));
        let source = if config.anonymous {
            Source::Anonymous
        } else {
            connection.source.clone().map_or_else(|| source(environment, named.or(account.as_deref())), Ok)?
        };
        Ok(Self { account, endpoint, suffix: connection.suffix.unwrap_or_else(|| PUBLIC_SUFFIX.to_owned()), source })
    }

    /// The address of an account, without a slash at its end: containers are named right below it.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if the endpoint is no address, or if the credentials are of another account.
    pub(super) fn account_url(&self, account: &str) -> Result<Url> {
        if let Some(configured) = &self.account
            && configured != account
            && self.source.is_of_one_account()
        {
            return Err(config_error(format!(
                "the configured key or shared access signature is of the account {configured}, not of {account}"
            ))
            .with_hint(format!("set AZURE_STORAGE_ACCOUNT={account} and its key, or anonymous = true")));
        }
        let Some(endpoint) = &self.endpoint else {
            return parse_endpoint(&format!("https://{account}.blob.{}", self.suffix));
        };
        let mut url = parse_endpoint(endpoint)?;
        if url.path() == "/" && !host_names_an_account(&url) {
            push(&mut url, account);
            return Ok(url);
        }
        if let Some(configured) = &self.account {
            rename_account(&mut url, configured, account);
        }
        Ok(url)
    }
}

/// The source of credentials beyond the connection string.
fn source(environment: &Environment, account: Option<&str>) -> Result<Source> {
    const KEYS: [&str; 3] = ["AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_KEY", "AZURE_STORAGE_ACCESS_KEY"];
    if let Some(key) = first_of(environment, &KEYS) {
        return Ok(Source::SharedKey(Secret::new(key)));
    }
    if let Some(token) = first_of(environment, &["AZURE_STORAGE_SAS_TOKEN", "AZURE_STORAGE_SAS_KEY"]) {
        return Ok(Source::SharedAccessSignature(Secret::new(token)));
    }
    if account == Some(EMULATOR_ACCOUNT) {
        return Ok(Source::SharedKey(Secret::new(EMULATOR_KEY)));
    }
    let authority = || {
        let host = environment.get("AZURE_AUTHORITY_HOST").unwrap_or(PUBLIC_AUTHORITY).trim_end_matches('/');
        if host.contains("://") { host.to_owned() } else { format!("https://{host}") }
    };
    let client = first_of(environment, &["AZURE_CLIENT_ID", "AZURE_STORAGE_CLIENT_ID"]);
    let tenant = first_of(environment, &["AZURE_TENANT_ID", "AZURE_STORAGE_TENANT_ID"]);
    let secret = first_of(environment, &["AZURE_CLIENT_SECRET", "AZURE_STORAGE_CLIENT_SECRET"]);
    let token_file = first_of(environment, &["AZURE_FEDERATED_TOKEN_FILE"]);
    match (client.clone(), tenant, secret, token_file) {
        (Some(client), Some(tenant), Some(secret), _) => {
            return Ok(Source::ServicePrincipal {
                authority: authority(),
                tenant,
                client,
                secret: Secret::new(secret),
            });
        }
        (Some(client), Some(tenant), None, Some(token_file)) => {
            return Ok(Source::WorkloadIdentity {
                authority: authority(),
                tenant,
                client,
                token_file: token_file.into(),
            });
        }
        (_, _, None, None) => {}
        (client, tenant, secret, _) => {
            let missing = [("AZURE_CLIENT_ID", client.is_none()), ("AZURE_TENANT_ID", tenant.is_none())];
            let missing: Vec<_> = missing.iter().filter(|(_, missing)| *missing).map(|(name, _)| *name).collect();
            let given = if secret.is_some() { "AZURE_CLIENT_SECRET" } else { "AZURE_FEDERATED_TOKEN_FILE" };
            return Err(config_error(format!("{given} is set, but not {}", missing.join(" and "))));
        }
    }
    if let Some(endpoint) = first_of(environment, &["IDENTITY_ENDPOINT"]) {
        let header = environment.get("IDENTITY_HEADER").map(Secret::new);
        return Ok(Source::ServiceIdentity { endpoint, header, client });
    }
    if let Some(program) = signed_in_cli(environment) {
        return Ok(Source::Cli { program });
    }
    let host = environment.get("AZURE_POD_IDENTITY_AUTHORITY_HOST").unwrap_or(INSTANCE_METADATA);
    let endpoint = format!("{}/metadata/identity/oauth2/token", host.trim_end_matches('/'));
    Ok(Source::InstanceIdentity { endpoint, client })
}

/// The `az` program, if there is one and somebody has signed in with it.
fn signed_in_cli(environment: &Environment) -> Option<PathBuf> {
    let directory = match environment.get("AZURE_CONFIG_DIR") {
        Some(directory) => PathBuf::from(directory),
        None => Path::new(environment.get("HOME")?).join(".azure"),
    };
    if !directory.join("azureProfile.json").is_file() {
        return None;
    }
    std::env::split_paths(environment.get("PATH")?).map(|path| path.join("az")).find(|program| program.is_file())
}

/// A connection string's fields: <https://learn.microsoft.com/azure/storage/common/storage-configure-connection-string>
#[derive(Debug, Default)]
struct ConnectionString {
    account: Option<String>,
    endpoint: Option<String>,
    suffix: Option<String>,
    source: Option<Source>,
}

impl ConnectionString {
    fn parse(text: &str) -> Result<Self> {
        let invalid = |message: String| {
            Error::new(ErrorKind::Config, Operation::Configure, "AZURE_STORAGE_CONNECTION_STRING").with_message(message)
        };
        let mut fields = std::collections::BTreeMap::new();
        for pair in text.split(';').map(str::trim).filter(|pair| !pair.is_empty()) {
            // Said without the text, which may be a key.
            let (name, value) = pair.split_once('=').ok_or_else(|| invalid("a field has no \"=\"".into()))?;
            fields.insert(name.trim().to_ascii_lowercase(), value.trim());
        }
        let field = |name: &str| fields.get(name).copied().filter(|value| !value.is_empty());
        if field("usedevelopmentstorage").is_some_and(is_true) {
            // The proxy's address stands for the emulator's host; the port stays the emulator's own.
            let endpoint = match field("developmentstorageproxyuri") {
                Some(proxy) => format!("{}:10000", proxy.trim_end_matches('/')),
                None => EMULATOR_ENDPOINT.to_owned(),
            };
            return Ok(Self {
                account: Some(EMULATOR_ACCOUNT.to_owned()),
                endpoint: Some(endpoint),
                suffix: None,
                source: Some(Source::SharedKey(Secret::new(EMULATOR_KEY))),
            });
        }
        let key = field("accountkey").map(|key| Source::SharedKey(Secret::new(key)));
        let signature = field("sharedaccesssignature").map(|sas| Source::SharedAccessSignature(Secret::new(sas)));
        let protocol = field("defaultendpointsprotocol").unwrap_or("https");
        if !matches!(protocol, "http" | "https") {
            return Err(invalid(format!("DefaultEndpointsProtocol is {protocol:?}, neither http nor https")));
        }
        let account = field("accountname").map(str::to_owned);
        let suffix = field("endpointsuffix").map(str::to_owned);
        let endpoint = match (field("blobendpoint"), &account, protocol) {
            (Some(endpoint), ..) => Some(endpoint.to_owned()),
            (None, Some(account), "http") => {
                Some(format!("http://{account}.blob.{}", suffix.as_deref().unwrap_or(PUBLIC_SUFFIX)))
            }
            _ => None,
        };
        let account = account.or_else(|| endpoint.as_deref().and_then(account_of_endpoint));
        if account.is_none() {
            return Err(invalid("it names no account: AccountName and BlobEndpoint are missing".into()));
        }
        Ok(Self { account, endpoint, suffix, source: key.or(signature) })
    }
}

/// The account that an endpoint names: in its path where the host is no name of an account, else in its host.
fn account_of_endpoint(endpoint: &str) -> Option<String> {
    let url = Url::parse(endpoint).ok()?;
    if host_names_an_account(&url) {
        return url.host_str()?.split('.').next().map(str::to_owned);
    }
    url.path_segments()?.next().filter(|segment| !segment.is_empty()).map(str::to_owned)
}

/// Whether the host is of the form `ACCOUNT.blob.SUFFIX`, or its data lake twin.
fn host_names_an_account(url: &Url) -> bool {
    url.host_str().is_some_and(|host| matches!(host.split('.').nth(1), Some("blob" | "dfs")))
}

/// Puts `account` where the address names `configured`.
fn rename_account(url: &mut Url, configured: &str, account: &str) {
    let renamed = url.host_str().and_then(|host| host.strip_prefix(configured)?.strip_prefix('.').map(str::to_owned));
    if let Some(rest) = renamed {
        // A host that was valid stays so: an account's name is a label.
        let _ = url.set_host(Some(&format!("{account}.{rest}")));
    } else if let Some(path) = url.path().strip_suffix(configured).filter(|path| path.ends_with('/')) {
        url.set_path(&format!("{path}{account}"));
    }
}

fn parse_endpoint(endpoint: &str) -> Result<Url> {
    let shown = without_secrets(endpoint);
    let invalid = |reason: &str| {
        config_error(format!("the endpoint {shown:?} {reason}"))
            .with_hint("write it like https://ACCOUNT.blob.core.windows.net or http://127.0.0.1:10000/devstoreaccount1")
    };
    let mut url = Url::parse(endpoint).map_err(|error| invalid("is not an address").with_source(error))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(invalid("is not an http or https address"));
    }
    if shown != endpoint {
        return Err(invalid("has more than a host, a port and a path")
            .with_hint("give a shared access signature by AZURE_STORAGE_SAS_TOKEN"));
    }
    let path = url.path().trim_end_matches('/').to_owned();
    url.set_path(&path);
    Ok(url)
}

/// Appends a path segment, percent-encoded.
pub(super) fn push(url: &mut Url, segment: &str) {
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty().push(segment);
    }
}

fn first_of(environment: &Environment, names: &[&str]) -> Option<String> {
    names.iter().find_map(|name| environment.get(name)).map(|value| value.trim().to_owned())
}

fn is_true(value: &str) -> bool {
    matches!(value.trim().to_ascii_lowercase().as_str(), "1" | "true" | "yes" | "on")
}

fn config_error(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Config, Operation::Configure, "az://").with_message(message)
}

#[cfg(test)]
#[path = "settings_tests.rs"]
mod tests;
