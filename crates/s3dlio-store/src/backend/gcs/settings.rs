//! What the configuration and the environment say about Google Cloud Storage: where it is, which project, who asks.
//!
//! Nothing here goes over the network; a source of credentials is chosen by what is set, by the one order that the
//! header of [`super`] gives.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use url::Url;

use crate::backend::token::{Secret, without_secrets};
use crate::config::{Environment, UnifiedLoaderConfig};
use crate::error::{Error, ErrorKind, Operation, Result};

const SERVICE: &str = "https://storage.googleapis.com";
const TOKEN_SERVICE: &str = "https://oauth2.googleapis.com/token";
const METADATA_HOST: &str = "metadata.google.internal";

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    Anonymous,
    AccessToken(Secret),
    ServiceAccount(ServiceAccount),
    AuthorizedUser(AuthorizedUser),
    Metadata { host: String },
}

/// A service account's key, as Google writes it into a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ServiceAccount {
    pub(super) email: String,
    pub(super) key_id: Option<String>,
    pub(super) private_key: Secret,
    pub(super) token_url: String,
    pub(super) project: Option<String>,
}

/// A person who has signed in with `gcloud auth application-default login`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AuthorizedUser {
    pub(super) client: String,
    pub(super) client_secret: Secret,
    pub(super) refresh_token: Secret,
    pub(super) token_url: String,
}

/// Everything that is known before a URI is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Settings {
    /// Without a slash at its end.
    pub(super) endpoint: String,
    pub(super) project: Option<String>,
    pub(super) source: Source,
}

impl Settings {
    pub(super) fn read(config: &UnifiedLoaderConfig, environment: &Environment) -> Result<Self> {
        let emulator = environment.get("STORAGE_EMULATOR_HOST").map(with_scheme);
        let endpoint = config.endpoint_url.as_deref().or(emulator.as_deref()).unwrap_or(SERVICE);
        let endpoint = checked_endpoint(endpoint)?;
        // The configuration may have taken the emulator's address over as the endpoint.
        let emulated = emulator.is_some_and(|emulator| emulator.trim_end_matches('/') == endpoint);
        let source = if config.anonymous || emulated { Source::Anonymous } else { source(environment)? };
        let named = ["GOOGLE_CLOUD_PROJECT", "GCLOUD_PROJECT", "CLOUDSDK_CORE_PROJECT"];
        let project = named.iter().find_map(|name| environment.get(name)).map(str::to_owned);
        let project = project.or_else(|| match &source {
            Source::ServiceAccount(account) => account.project.clone(),
            // Emulators take any.
            Source::Anonymous if emulated => Some("emulator".to_owned()),
            _ => None,
        });
        Ok(Self { endpoint, project, source })
    }
}

fn source(environment: &Environment) -> Result<Source> {
    for name in ["GOOGLE_SERVICE_ACCOUNT", "GOOGLE_SERVICE_ACCOUNT_PATH"] {
        if let Some(path) = environment.get(name) {
            return read_file(name, Path::new(path));
        }
    }
    if let Some(json) = environment.get("GOOGLE_SERVICE_ACCOUNT_KEY") {
        return parse("GOOGLE_SERVICE_ACCOUNT_KEY", json);
    }
    for name in ["CLOUDSDK_AUTH_ACCESS_TOKEN", "GOOGLE_OAUTH_ACCESS_TOKEN"] {
        if let Some(token) = environment.get(name) {
            return Ok(Source::AccessToken(Secret::new(token.trim())));
        }
    }
    if let Some(path) = environment.get("GOOGLE_APPLICATION_CREDENTIALS") {
        return read_file("GOOGLE_APPLICATION_CREDENTIALS", Path::new(path));
    }
    if let Some(path) = well_known_file(environment).filter(|path| path.is_file()) {
        return read_file(&path.display().to_string(), &path);
    }
    let host = ["GCE_METADATA_HOST", "GCE_METADATA_ROOT"].iter().find_map(|name| environment.get(name));
    Ok(Source::Metadata { host: host.unwrap_or(METADATA_HOST).to_owned() })
}

fn well_known_file(environment: &Environment) -> Option<PathBuf> {
    let directory = match environment.get("CLOUDSDK_CONFIG") {
        Some(directory) => PathBuf::from(directory),
        None => environment.home()?.join(".config/gcloud"),
    };
    Some(directory.join("application_default_credentials.json"))
}

/// `name` is the variable that names the file, or the file itself where it lies at its usual place.
fn read_file(name: &str, path: &Path) -> Result<Source> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        Error::new(ErrorKind::Config, Operation::Configure, name)
            .with_message(format!("{} cannot be read", path.display()))
            .with_source(error)
    })?;
    parse(name, &text)
}

#[derive(Deserialize)]
struct File {
    r#type: Option<String>,
    client_email: Option<String>,
    private_key_id: Option<String>,
    private_key: Option<String>,
    project_id: Option<String>,
    token_uri: Option<String>,
    client_id: Option<String>,
    client_secret: Option<String>,
    refresh_token: Option<String>,
}

fn parse(name: &str, json: &str) -> Result<Source> {
    let invalid = |message: String| Error::new(ErrorKind::Config, Operation::Configure, name).with_message(message);
    // The cause names a place, not the text: serde_json quotes no value of a string field.
    let file: File = serde_json::from_str(json).map_err(|error| {
        invalid(format!("not the JSON of Google credentials (line {}, column {})", error.line(), error.column()))
    })?;
    let kind = file.r#type.as_deref().unwrap_or("service_account").to_owned();
    let field = |field: &str, value: Option<String>| {
        value.filter(|value| !value.is_empty()).ok_or_else(|| invalid(format!("the {kind} has no {field:?}")))
    };
    let token_url = file.token_uri.unwrap_or_else(|| TOKEN_SERVICE.to_owned());
    match kind.as_str() {
        "service_account" => Ok(Source::ServiceAccount(ServiceAccount {
            email: field("client_email", file.client_email)?,
            key_id: file.private_key_id,
            private_key: Secret::new(field("private_key", file.private_key)?),
            token_url,
            project: file.project_id,
        })),
        "authorized_user" => Ok(Source::AuthorizedUser(AuthorizedUser {
            client: field("client_id", file.client_id)?,
            client_secret: Secret::new(field("client_secret", file.client_secret)?),
            refresh_token: Secret::new(field("refresh_token", file.refresh_token)?),
            token_url,
        })),
        other => Err(invalid(format!("credentials of the type {other:?} are not supported"))
            .with_hint("use a service account's key, an authorized user, or CLOUDSDK_AUTH_ACCESS_TOKEN")),
    }
}

fn with_scheme(host: &str) -> String {
    if host.contains("://") { host.to_owned() } else { format!("http://{host}") }
}

fn checked_endpoint(endpoint: &str) -> Result<String> {
    let shown = without_secrets(endpoint);
    let invalid = |reason: &str| {
        Error::new(ErrorKind::Config, Operation::Configure, "gs://")
            .with_message(format!("the endpoint {shown:?} {reason}"))
            .with_hint("write it like http://127.0.0.1:4443")
    };
    let url = Url::parse(endpoint).map_err(|error| invalid("is not an address").with_source(error))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(invalid("is not an http or https address"));
    }
    if shown != endpoint {
        return Err(invalid("has more than a host, a port and a path"));
    }
    Ok(endpoint.trim_end_matches('/').to_owned())
}

#[cfg(test)]
#[path = "settings_tests.rs"]
mod tests;
