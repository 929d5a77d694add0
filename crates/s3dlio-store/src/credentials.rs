//! Where the credentials of S3 come from, in the order that the AWS SDKs have:
//!
//! 1. none at all, if `anonymous` is set or `AWS_SKIP_SIGNATURE` is true;
//! 2. `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY` (and `AWS_SESSION_TOKEN`). With these given nothing else is
//!    touched: no request to a metadata service, and no file unless a profile is named;
//! 3. the profile, of `~/.aws/config` and `~/.aws/credentials`: static keys, SSO, an assumed role, a
//!    `credential_process`, a web identity;
//! 4. `AWS_WEB_IDENTITY_TOKEN_FILE` with `AWS_ROLE_ARN`;
//! 5. the container's endpoint (ECS, EKS Pod Identity);
//! 6. the EC2 instance's metadata service, by IMDSv2.
//!
//! 3 to 6 are the work of aws-config, which is given our snapshot of the environment and our transport, and is asked by
//! the first request, never when a store is opened. `cache` keeps what it found and renews it before it
//! expires, once for all that wait.

mod cache;
mod chain;
mod http;

use std::sync::Arc;

use object_store::StaticCredentialProvider;
use object_store::aws::{AwsCredential, AwsCredentialProvider};
use object_store::client::HttpClient;

use crate::config::{Environment, UnifiedLoaderConfig};
use crate::error::{Error, ErrorKind, Operation, Result};

/// The region, unless something says another: the one that every S3-compatible server takes.
const DEFAULT_REGION: &str = "us-east-1";

/// What requests to S3 are signed with, and where they go: what the configuration, the environment and the profile say.
#[derive(Debug, Clone)]
pub struct AwsSettings {
    /// Credentials; `None` sends requests unsigned.
    pub credentials: Option<AwsCredentialProvider>,
    /// Region to sign for.
    pub region: String,
    /// Address of the S3 endpoint; `None` for AWS itself.
    pub endpoint_url: Option<String>,
}

impl AwsSettings {
    /// Settles where credentials come from, without asking for them. Reads the AWS configuration files if credentials
    /// may come from there or a profile is named; requests by `http` are sent when the credentials are first needed.
    ///
    /// # Errors
    /// [`ErrorKind::Unauthenticated`] if only one half of a key pair is set.
    pub async fn resolve(config: &UnifiedLoaderConfig, environment: &Environment, http: HttpClient) -> Result<Self> {
        let source = Source::of(config, environment)?;
        let files_count = matches!(source, Source::Chain) || config.profile.is_some();
        let known = config.region.is_some() && config.endpoint_url.is_some();
        let profile = match files_count && !known {
            true => chain::profile_settings(environment, config.profile.as_deref()).await,
            false => chain::ProfileSettings::default(),
        };
        let region = config.region.clone().or(profile.region).unwrap_or_else(|| DEFAULT_REGION.to_owned());
        let credentials: Option<AwsCredentialProvider> = match source {
            Source::Anonymous => None,
            Source::Keys(credential) => Some(Arc::new(StaticCredentialProvider::new(credential))),
            Source::Chain => {
                let chain = chain::Chain::new(environment, config.profile.clone(), region.clone(), http);
                Some(Arc::new(cache::Cached::new(chain)))
            }
        };
        Ok(Self { credentials, region, endpoint_url: config.endpoint_url.clone().or(profile.endpoint_url) })
    }
}

#[derive(Debug)]
enum Source {
    Anonymous,
    Keys(AwsCredential),
    Chain,
}

impl Source {
    fn of(config: &UnifiedLoaderConfig, environment: &Environment) -> Result<Self> {
        let unsigned = environment.get("AWS_SKIP_SIGNATURE").is_some_and(is_true);
        if config.anonymous || unsigned {
            return Ok(Self::Anonymous);
        }
        let key_id = environment.get("AWS_ACCESS_KEY_ID");
        let secret_key = environment.get("AWS_SECRET_ACCESS_KEY");
        match (key_id, secret_key) {
            (Some(key_id), Some(secret_key)) => Ok(Self::Keys(AwsCredential {
                key_id: key_id.to_owned(),
                secret_key: secret_key.to_owned(),
                token: environment.get("AWS_SESSION_TOKEN").map(str::to_owned),
            })),
            (None, None) => Ok(Self::Chain),
            (Some(_), None) => Err(half("AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID")),
            (None, Some(_)) => Err(half("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")),
        }
    }
}

fn is_true(value: &str) -> bool {
    ["1", "true", "yes", "on"].iter().any(|yes| value.eq_ignore_ascii_case(yes))
}

fn half(missing: &str, given: &str) -> Error {
    Error::new(ErrorKind::Unauthenticated, Operation::Open, "s3 credentials")
        .with_message(format!("{given} is set and {missing} is not"))
        .with_hint(format!("set {missing}, or unset {given} to use a profile or a role"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(variables: &[(&str, &str)]) -> Result<Source> {
        Source::of(&UnifiedLoaderConfig::default(), &variables.iter().copied().collect())
    }

    #[test]
    fn keys_in_the_environment_win_and_half_a_pair_is_an_error() {
        let keys = [("AWS_ACCESS_KEY_ID", "id"), ("AWS_SECRET_ACCESS_KEY", "hunter2"), ("AWS_PROFILE", "p")];
        assert!(matches!(source(&keys), Ok(Source::Keys(_))));
        assert!(matches!(source(&[]), Ok(Source::Chain)));
        for (half, missing) in [(&keys[..1], "AWS_SECRET_ACCESS_KEY"), (&keys[1..2], "AWS_ACCESS_KEY_ID")] {
            let error = source(half).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unauthenticated);
            assert!(error.to_string().contains(&format!("(set {missing}")), "{error}");
        }
    }

    #[test]
    fn anonymous_goes_before_everything() {
        let keys = [("AWS_ACCESS_KEY_ID", "id"), ("AWS_SECRET_ACCESS_KEY", "s"), ("AWS_SKIP_SIGNATURE", "True")];
        assert!(matches!(source(&keys), Ok(Source::Anonymous)));
        let config = UnifiedLoaderConfig { anonymous: true, ..Default::default() };
        assert!(matches!(Source::of(&config, &keys[..2].iter().copied().collect()), Ok(Source::Anonymous)));
    }

    #[tokio::test]
    async fn no_secret_is_shown() {
        let environment: Environment =
            [("AWS_ACCESS_KEY_ID", "id"), ("AWS_SECRET_ACCESS_KEY", "hunter2"), ("AWS_SESSION_TOKEN", "hunter3")]
                .into_iter()
                .collect();
        let config = UnifiedLoaderConfig::default();
        let http = crate::transport::Transport::new(&config).unwrap().http_client();
        let settings = AwsSettings::resolve(&config, &environment, http).await.unwrap();
        let credential = settings.credentials.as_ref().unwrap().get_credential().await.unwrap();
        assert_eq!((&*credential.secret_key, credential.token.as_deref()), ("hunter2", Some("hunter3")));
        for shown in [format!("{settings:?}"), format!("{credential:?}"), format!("{environment:?}")] {
            assert!(!shown.contains("hunter"), "{shown}");
        }
    }
}
