//! Turns a [`Source`] into access tokens.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use object_store::CredentialProvider;
use object_store::gcp::GcpCredential;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;

use super::settings::{AuthorizedUser, ServiceAccount, Source};
use crate::backend::token::{FetchToken, Secret, Token, TokenCache, TokenService};
use crate::error::{Error, ErrorKind, Operation, Result};
use crate::transport::Transport;

/// What a token is asked for; what it may be used for is decided by the roles of who asks.
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";

/// How long an assertion may be used: the longest that the service takes.
const ASSERTION_SECONDS: i64 = 3600;

/// What to do when no other source was set and the machine has no identity.
const NOTHING_CONFIGURED: &str = "no Google credentials are configured: set GOOGLE_APPLICATION_CREDENTIALS, sign in \
    with `gcloud auth application-default login`, or set anonymous = true";

/// The credentials of one identity; `Debug` names their kind and no more.
pub(super) struct Credentials {
    kind: &'static str,
    inner: Inner,
}

enum Inner {
    None,
    Fixed(Arc<GcpCredential>),
    Token(TokenCache<GcpCredential>),
}

impl Credentials {
    pub(super) fn new(source: Source, transport: &Transport) -> Result<Self> {
        let service = TokenService::new(transport);
        let (kind, inner) = match source {
            Source::Anonymous => ("anonymous", Inner::None),
            Source::AccessToken(token) => ("access token", Inner::Fixed(Arc::new(bearer(&token)))),
            Source::ServiceAccount(account) => {
                let key = parse_key(&account.private_key)?;
                ("service account", cached(Assertion { service, account, key }))
            }
            Source::AuthorizedUser(user) => ("authorized user", cached(Refresh { service, user })),
            Source::Metadata { host } => ("metadata server", cached(Metadata { service, host })),
        };
        tracing::debug!(source = kind, "Google credentials");
        Ok(Self { kind, inner })
    }

    pub(super) fn is_anonymous(&self) -> bool {
        matches!(self.inner, Inner::None)
    }

    /// The credential to sign with now; none for anonymous access.
    pub(super) async fn current(&self) -> Result<Option<Arc<GcpCredential>>> {
        match &self.inner {
            Inner::None => Ok(None),
            Inner::Fixed(credential) => Ok(Some(credential.clone())),
            Inner::Token(cache) => cache.get(|token| bearer(&token)).await.map(Some),
        }
    }
}

fn cached(source: impl FetchToken + 'static) -> Inner {
    Inner::Token(TokenCache::new(Box::new(source)))
}

fn bearer(token: &Secret) -> GcpCredential {
    GcpCredential { bearer: token.reveal().to_owned() }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Credentials").field(&self.kind).finish()
    }
}

#[async_trait]
impl CredentialProvider for Credentials {
    type Credential = GcpCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<GcpCredential>> {
        // object_store asks for a token even where it is told not to sign; see [`super::Unsigned`].
        let nobody = || Arc::new(GcpCredential { bearer: String::new() });
        self.current().await.map(|credential| credential.unwrap_or_else(nobody)).map_err(Error::into_store)
    }
}

/// A service account, which proves who it is by a signature:
/// <https://developers.google.com/identity/protocols/oauth2/service-account>
struct Assertion {
    service: TokenService,
    account: ServiceAccount,
    key: RsaKeyPair,
}

impl fmt::Debug for Assertion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Assertion").field("account", &self.account).finish_non_exhaustive()
    }
}

#[async_trait]
impl FetchToken for Assertion {
    async fn fetch(&self) -> Result<Token> {
        let assertion = self.sign(chrono::Utc::now().timestamp())?;
        let form = [("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"), ("assertion", &assertion)];
        let hint = "check the service account's key, and the clock of this machine";
        self.service.post(&self.account.token_url, &form, hint).await
    }
}

impl Assertion {
    /// A JSON web token that is good from `now` on, in Unix time.
    fn sign(&self, now: i64) -> Result<String> {
        let mut head = serde_json::json!({ "alg": "RS256", "typ": "JWT" });
        if let Some(key_id) = &self.account.key_id {
            head["kid"] = key_id.as_str().into();
        }
        let claims = serde_json::json!({
            "iss": self.account.email,
            "scope": SCOPE,
            "aud": self.account.token_url,
            "iat": now,
            "exp": now + ASSERTION_SECONDS,
        });
        let encode = |part: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(part);
        let text = format!("{}.{}", encode(head.to_string().as_bytes()), encode(claims.to_string().as_bytes()));
        let mut signature = vec![0; self.key.public().modulus_len()];
        self.key
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signature)
            .map_err(|_| invalid_key("cannot sign"))?;
        Ok(format!("{text}.{}", encode(&signature)))
    }
}

fn parse_key(pem: &Secret) -> Result<RsaKeyPair> {
    let key = PrivateKeyDer::from_pem_slice(pem.reveal().as_bytes()).map_err(|_| invalid_key("is not PEM"))?;
    let pair = match &key {
        PrivateKeyDer::Pkcs8(key) => RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()),
        PrivateKeyDer::Pkcs1(key) => RsaKeyPair::from_der(key.secret_pkcs1_der()),
        _ => return Err(invalid_key("is not an RSA key")),
    };
    pair.map_err(|_| invalid_key("is not an RSA key"))
}

fn invalid_key(reason: &str) -> Error {
    Error::new(ErrorKind::Config, Operation::Configure, "gs://")
        .with_message(format!("the private key of the service account {reason}"))
}

/// A person, who has a token that tokens are given for.
#[derive(Debug)]
struct Refresh {
    service: TokenService,
    user: AuthorizedUser,
}

#[async_trait]
impl FetchToken for Refresh {
    async fn fetch(&self) -> Result<Token> {
        let form = [
            ("grant_type", "refresh_token"),
            ("client_id", self.user.client.as_str()),
            ("client_secret", self.user.client_secret.reveal()),
            ("refresh_token", self.user.refresh_token.reveal()),
        ];
        let hint = "sign in again with `gcloud auth application-default login`";
        self.service.post(&self.user.token_url, &form, hint).await
    }
}

/// The machine's own identity.
#[derive(Debug)]
struct Metadata {
    service: TokenService,
    host: String,
}

#[async_trait]
impl FetchToken for Metadata {
    async fn fetch(&self) -> Result<Token> {
        let url = format!("http://{}/computeMetadata/v1/instance/service-accounts/default/token", self.host);
        self.service.get(&url, &[], &[("metadata-flavor", "Google")], NOTHING_CONFIGURED).await
    }
}

#[cfg(test)]
mod tests {
    use ring::signature::{KeyPair, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};

    use super::*;
    use crate::UnifiedLoaderConfig;

    /// Made for the tests; it opens nothing.
    const KEY: &str = include_str!("../../../tests/it/gcs/service_account_key.pem");

    fn assertion(key_id: Option<&str>) -> Assertion {
        let private_key = Secret::new(KEY);
        Assertion {
            service: TokenService::new(&Transport::new(&UnifiedLoaderConfig::default()).unwrap()),
            key: parse_key(&private_key).unwrap(),
            account: ServiceAccount {
                email: "robot@project".into(),
                key_id: key_id.map(str::to_owned),
                private_key,
                token_url: "https://tokens/".into(),
                project: None,
            },
        }
    }

    #[test]
    fn an_assertion_says_who_asks_whom_and_is_signed() {
        let assertion = assertion(Some("the-key"));
        let token = assertion.sign(1_000_000).unwrap();
        let (text, signature) = token.rsplit_once('.').unwrap();
        let signature = BASE64_URL_SAFE_NO_PAD.decode(signature).unwrap();
        let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, assertion.key.public_key().as_ref());
        public.verify(text.as_bytes(), &signature).unwrap();
        assert!(public.verify(&text.as_bytes()[1..], &signature).is_err());

        let parts = text.split('.').map(|part| BASE64_URL_SAFE_NO_PAD.decode(part).unwrap());
        let parts: Vec<serde_json::Value> = parts.map(|part| serde_json::from_slice(&part).unwrap()).collect();
        assert_eq!(parts[0], serde_json::json!({"alg": "RS256", "typ": "JWT", "kid": "the-key"}));
        let claims = serde_json::json!({
            "iss": "robot@project", "scope": SCOPE, "aud": "https://tokens/", "iat": 1_000_000, "exp": 1_003_600
        });
        assert_eq!(parts[1], claims);
    }

    #[test]
    fn a_key_that_cannot_be_read_is_an_error_without_the_key() {
        let not_rsa = "-----BEGIN PRIVATE KEY-----\naHVudGVyMg==\n-----END PRIVATE KEY-----\n";
        for key in ["hunter2", not_rsa] {
            let error = parse_key(&Secret::new(key)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config);
            assert!(!format!("{error} {error:?}").contains("hunter2"));
        }
    }

    #[test]
    fn no_key_is_shown() {
        let body = KEY.lines().nth(1).unwrap();
        assert!(!format!("{:?}", assertion(None)).contains(body));
    }
}
