//! The sources of credentials that aws-config knows.
//!
//! aws-config reads the process's environment unless its loader is given another one, which it allows under its feature
//! `test-util` alone; the feature is switched on for that, and adds nothing else that is used. So nothing here reads the
//! process's environment, and a test can say what is in it.

use std::collections::HashMap;
use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use aws_config::{BehaviorVersion, ConfigLoader, Region, SdkConfig};
use aws_credential_types::provider::ProvideCredentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_smithy_types::retry::RetryConfig;
use aws_types::os_shim_internal::Env;
use aws_types::service_config::ServiceConfigKey;
use object_store::aws::AwsCredential;
use object_store::client::HttpClient;

use super::cache::{Issued, Issuer};
use super::http::Adapter;
use crate::config::Environment;
use crate::error::{Error, ErrorKind, Operation, Result};

/// What a profile says about the endpoint.
#[derive(Debug, Default)]
pub(super) struct ProfileSettings {
    pub(super) region: Option<String>,
    pub(super) endpoint_url: Option<String>,
}

/// Reads the region and the S3 endpoint from the profile, also from its `services` section. Files that are missing or
/// malformed say nothing here: whether that matters is found when credentials are needed.
pub(super) async fn profile_settings(environment: &Environment, profile: Option<&str>) -> ProfileSettings {
    let values = ProfileValues::load(&snapshot(environment), profile).await;
    ProfileSettings {
        region: values.get("AWS_REGION", "region"),
        endpoint_url: values.get("AWS_ENDPOINT_URL", "endpoint_url"),
    }
}

/// The values of the environment and the profile, as aws-config reads them.
struct ProfileValues(SdkConfig);

impl ProfileValues {
    async fn load(environment: &Env, profile: Option<&str>) -> Self {
        // The region is of no account here, and if it were not given, the instance's metadata service would be asked.
        Self(loader(environment, profile, super::DEFAULT_REGION).no_credentials().load().await)
    }

    fn get(&self, variable: &str, key: &str) -> Option<String> {
        let key = ServiceConfigKey::builder().service_id("s3").env(variable).profile(key).build().ok()?;
        self.0.service_config()?.load_config(key).filter(|value| !value.is_empty())
    }

    fn signs_on(&self) -> bool {
        ["sso_session", "sso_start_url"].iter().any(|key| self.get("", key).is_some())
    }
}

/// Asks profile, web identity, container and instance in turn.
pub(super) struct Chain {
    environment: Env,
    profile: Option<String>,
    region: String,
    http: HttpClient,
    tried: String,
}

impl Chain {
    pub(super) fn new(environment: &Environment, profile: Option<String>, region: String, http: HttpClient) -> Self {
        let tried = tried(environment, profile.as_deref());
        Self { environment: snapshot(environment), profile, region, http, tried }
    }

    async fn error(&self, error: &CredentialsError, refusal: Option<String>) -> Error {
        // Only the text is kept: what a parser chokes on can hold the secret, and Debug would show it.
        let made = |kind| Error::new(kind, Operation::Request, "s3 credentials");
        match error {
            CredentialsError::CredentialsNotLoaded(_) => {
                made(ErrorKind::Unauthenticated).with_message("no credentials were found").with_hint(format!(
                    "tried {}; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile, or anonymous = true",
                    self.tried
                ))
            }
            CredentialsError::ProviderTimedOut(_) => made(ErrorKind::Timeout).with_message(reason(error)),
            CredentialsError::InvalidConfiguration(_) => made(ErrorKind::Unauthenticated)
                .with_message(reason(error))
                .with_hint("correct the AWS configuration files or the AWS_* variables"),
            _ => {
                let made = made(kind_of_cause(error).unwrap_or(ErrorKind::Unauthenticated))
                    .with_message(refusal.unwrap_or_else(|| reason(error)));
                match ProfileValues::load(&self.environment, self.profile.as_deref()).await.signs_on() {
                    true => made.with_hint("sign in with: aws sso login"),
                    false => made,
                }
            }
        }
    }
}

#[async_trait]
impl Issuer for Chain {
    async fn issue(&self) -> Result<Issued> {
        // Made anew each time, because the providers keep what they read from files, errors included.
        let adapter = Adapter::new(self.http.clone());
        let refusal = adapter.refusal();
        let loaded = loader(&self.environment, self.profile.as_deref(), &self.region).http_client(adapter).load().await;
        let found = match loaded.credentials_provider() {
            Some(provider) => provider.provide_credentials().await,
            None => Err(CredentialsError::not_loaded_no_source()),
        };
        let found = match found {
            Ok(found) => found,
            Err(error) => return Err(self.error(&error, refusal.take()).await),
        };
        let credential = AwsCredential {
            key_id: found.access_key_id().to_owned(),
            secret_key: found.secret_access_key().to_owned(),
            token: found.session_token().map(str::to_owned),
        };
        Ok(Issued { credential: Arc::new(credential), expires: found.expiry() })
    }
}

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chain").field("profile", &self.profile).field("tried", &self.tried).finish_non_exhaustive()
    }
}

fn loader(environment: &Env, profile: Option<&str>, region: &str) -> ConfigLoader {
    let loader = aws_config::defaults(BehaviorVersion::latest())
        .env(environment.clone())
        .region(Region::new(region.to_owned()))
        .retry_config(RetryConfig::disabled());
    match profile {
        Some(profile) => loader.profile_name(profile),
        None => loader,
    }
}

fn snapshot(environment: &Environment) -> Env {
    let variables = environment.names().filter_map(|name| Some((name.to_owned(), environment.get(name)?.to_owned())));
    Env::from(variables.collect::<HashMap<_, _>>())
}

/// The sources in words, with what they were told.
fn tried(environment: &Environment, profile: Option<&str>) -> String {
    let profile = profile.or_else(|| environment.get("AWS_PROFILE")).unwrap_or("default");
    let config = environment.get("AWS_CONFIG_FILE").unwrap_or("~/.aws/config");
    let credentials = environment.get("AWS_SHARED_CREDENTIALS_FILE").unwrap_or("~/.aws/credentials");
    let container = ["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI"]
        .iter()
        .any(|name| environment.get(name).is_some());
    let is_disabled =
        environment.get("AWS_EC2_METADATA_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"));
    let state = |given| if given { "" } else { " (not configured)" };
    format!(
        "AWS_ACCESS_KEY_ID (not set), profile {profile:?} of {config} and {credentials}, web identity{}, container{}, \
         instance metadata{}",
        state(environment.get("AWS_WEB_IDENTITY_TOKEN_FILE").is_some()),
        state(container),
        if is_disabled { " (disabled)" } else { "" }
    )
}

/// The messages of an error's causes, each said once; its own only says that an error occurred.
fn reason(error: &CredentialsError) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut next = error.source();
    while let Some(cause) = next {
        let text = cause.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
        if parts.last().is_none_or(|last| !last.contains(&text)) {
            parts.push(text);
        }
        next = cause.source();
    }
    parts.join(": ")
}

/// The kind of the first error in the chain that has one, such as a refused connection.
fn kind_of_cause(error: &CredentialsError) -> Option<ErrorKind> {
    let mut next = error.source();
    while let Some(cause) = next {
        if let Some(own) = cause.downcast_ref::<Error>() {
            return Some(own.kind()).filter(|kind| kind.is_transient());
        }
        next = cause.source();
    }
    None
}
