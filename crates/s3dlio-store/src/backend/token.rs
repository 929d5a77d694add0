//! Access tokens: fetched when first needed, kept until shortly before they expire.
//!
//! A backend says how a token is fetched ([`FetchToken`]); [`TokenCache`] decides when. One task fetches, all others wait
//! for its answer. A token is renewed [`RENEW_BEFORE`] its end; if that fails while the old one is still good, the old
//! one is used on, so that a short outage of the token service is not seen.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http::{HeaderName, HeaderValue, Method, header};
use object_store::client::{HttpRequest, HttpRequestBody};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::time::Instant;

use crate::backend::request::{RequestSender, Sign};
use crate::error::{Error, ErrorKind, Operation, Result};
use crate::transport::Transport;

/// How long before its end a token is renewed. Clouds hand the same token out again until about this long before its
/// end, so asking earlier brings nothing.
const RENEW_BEFORE: Duration = Duration::from_secs(300);

/// How soon a failed early renewal is tried again.
const RENEW_PAUSE: Duration = Duration::from_secs(10);

/// How long a token is trusted whose answer does not say it.
const UNSTATED_LIFETIME: Duration = Duration::from_secs(600);

/// A key, password or token: `Debug` shows that it is there, never what it is.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Secret(String);

impl Secret {
    pub(super) fn new(secret: impl Into<String>) -> Self {
        Self(secret.into())
    }

    /// The secret itself, for signing and sending.
    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// An address as a message may show it: without a query, which may hold a signature, and without a password.
pub(super) fn without_secrets(address: &str) -> String {
    let plain = address.split(['?', '#']).next().unwrap_or_default();
    match (plain.split_once("://"), plain.rsplit_once('@')) {
        (_, None) => plain.to_owned(),
        (Some((scheme, _)), Some((_, rest))) => format!("{scheme}://…@{rest}"),
        (None, Some((_, rest))) => format!("…@{rest}"),
    }
}

/// A token and the end of its life.
#[derive(Debug, Clone)]
pub(super) struct Token {
    pub(super) secret: Secret,
    pub(super) expires: Instant,
}

/// Knows where a token comes from.
#[async_trait]
pub(super) trait FetchToken: fmt::Debug + Send + Sync {
    /// Fetches a new token.
    async fn fetch(&self) -> Result<Token>;
}

/// Keeps the credential made of the last token.
pub(super) struct TokenCache<C> {
    source: Box<dyn FetchToken>,
    slot: tokio::sync::Mutex<Option<Kept<C>>>,
}

struct Kept<C> {
    credential: Arc<C>,
    renew: Instant,
    expires: Instant,
}

impl<C> TokenCache<C> {
    pub(super) fn new(source: Box<dyn FetchToken>) -> Self {
        Self { source, slot: tokio::sync::Mutex::new(None) }
    }

    /// The credential of a token that is good now; `make` turns a new token into one.
    pub(super) async fn get(&self, make: impl FnOnce(Secret) -> C) -> Result<Arc<C>> {
        let mut slot = self.slot.lock().await;
        let now = Instant::now();
        if let Some(kept) = &*slot
            && now < kept.renew
        {
            return Ok(kept.credential.clone());
        }
        match (self.source.fetch().await, &mut *slot) {
            (Ok(token), slot) => {
                let credential = Arc::new(make(token.secret));
                let renew = token.expires.checked_sub(RENEW_BEFORE).unwrap_or(now);
                // A token that is close to its end when it arrives is used, and not asked for again with each request.
                let renew = renew.max((now + RENEW_PAUSE).min(token.expires));
                *slot = Some(Kept { credential: credential.clone(), renew, expires: token.expires });
                Ok(credential)
            }
            (Err(error), Some(kept)) if now < kept.expires => {
                tracing::warn!(%error, "an access token could not be renewed; the old one is still good");
                kept.renew = (now + RENEW_PAUSE).min(kept.expires);
                Ok(kept.credential.clone())
            }
            (Err(error), _) => Err(error),
        }
    }
}

impl<C> fmt::Debug for TokenCache<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TokenCache").field(&self.source).finish()
    }
}

/// Sends a request without credentials, as token services are asked.
#[derive(Debug)]
pub(super) struct Unsigned;

#[async_trait]
impl Sign for Unsigned {
    async fn sign(&self, _request: &mut HttpRequest) -> object_store::Result<()> {
        Ok(())
    }
}

/// Asks token services.
#[derive(Debug, Clone)]
pub(super) struct TokenService(RequestSender);

impl TokenService {
    pub(super) fn new(transport: &Transport) -> Self {
        Self(RequestSender::new(transport.http_client(), Arc::new(Unsigned)))
    }

    /// Posts a form to `url`, and reads the token in the answer.
    pub(super) async fn post(&self, url: &str, form: &[(&str, &str)], hint: &str) -> Result<Token> {
        let mut request = request(Method::POST, url, &[])?;
        let body = encode(form);
        request.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
        let form_type = HeaderValue::from_static("application/x-www-form-urlencoded");
        request.headers_mut().insert(header::CONTENT_TYPE, form_type);
        *request.body_mut() = HttpRequestBody::from(body);
        self.token(url, request).await.map_err(|error| refused(error, hint))
    }

    /// Gets `url`, which is of the machine's own service, with a query and headers, and reads the token in the answer.
    /// That there is no such service means that there are no credentials.
    pub(super) async fn get(
        &self,
        url: &str,
        query: &[(&str, &str)],
        headers: &[(&'static str, &str)],
        hint: &str,
    ) -> Result<Token> {
        let mut request = request(Method::GET, url, query)?;
        for (name, value) in headers {
            let mut value = HeaderValue::from_str(value)
                .map_err(|_| config(url, format!("the value for the header {name} is not a header's value")))?;
            value.set_sensitive(true);
            request.headers_mut().insert(HeaderName::from_static(name), value);
        }
        self.token(url, request).await.map_err(|error| match error.kind() {
            ErrorKind::Connect | ErrorKind::Timeout => flat(ErrorKind::Unauthenticated, &error, hint),
            _ => refused(error, hint),
        })
    }

    async fn token(&self, url: &str, request: HttpRequest) -> Result<Token> {
        let asked = Instant::now();
        let (_, body) = self.0.send(Operation::Request, url, request).await?;
        parse_token(&body, asked).ok_or_else(|| {
            // The body is not shown: it may hold a token.
            Error::new(ErrorKind::Integrity, Operation::Request, url).with_message("the answer holds no access token")
        })
    }
}

/// A token service that refuses says so by various statuses; they all mean that these credentials do not work.
fn refused(error: Error, hint: &str) -> Error {
    let kind = match error.kind() {
        ErrorKind::InvalidInput
        | ErrorKind::NotFound
        | ErrorKind::PermissionDenied
        | ErrorKind::Unauthenticated
        | ErrorKind::Other => ErrorKind::Unauthenticated,
        // Whoever asks again may have it; what to do about it is said already.
        _ => return error,
    };
    flat(kind, &error, hint)
}

/// The same failure with another kind and hint. The error is not kept as the cause: an error that travels through
/// object_store's trait is shown with the hint of its innermost cause.
fn flat(kind: ErrorKind, error: &Error, hint: &str) -> Error {
    let text = error.to_string();
    let said = format!("{} {}: {}: ", error.operation(), error.uri(), error.kind().as_str());
    let reason = text.strip_prefix(&said).unwrap_or(&text);
    let old_hint = error.hint().map(|hint| format!(" ({hint})")).unwrap_or_default();
    let reason = reason.strip_suffix(&old_hint).unwrap_or(reason);
    Error::new(kind, error.operation(), error.uri()).with_message(reason).with_hint(hint)
}

fn request(method: Method, url: &str, query: &[(&str, &str)]) -> Result<HttpRequest> {
    let separator = if url.contains('?') { "&" } else { "?" };
    let address = if query.is_empty() { url.to_owned() } else { format!("{url}{separator}{}", encode(query)) };
    let mut request = HttpRequest::new(HttpRequestBody::empty());
    *request.method_mut() = method;
    *request.uri_mut() = address
        .parse()
        .map_err(|error| config(url, "this is not the address of a token service").with_source(error))?;
    if request.uri().authority().is_none() {
        return Err(config(url, "this is not the address of a token service"));
    }
    request.headers_mut().insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    Ok(request)
}

fn config(url: &str, message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Config, Operation::Configure, url).with_message(message)
}

/// Pairs as a query or a form: everything but letters and digits is percent-encoded, which every server decodes alike.
fn encode(pairs: &[(&str, &str)]) -> String {
    let encode = |text| utf8_percent_encode(text, NON_ALPHANUMERIC);
    let pairs: Vec<_> = pairs.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect();
    pairs.join("&")
}

/// Reads `access_token` and its life: `expires_in` in seconds, or `expires_on` as Unix time, each a number or a string.
pub(super) fn parse_token(json: &[u8], asked: Instant) -> Option<Token> {
    let answer: serde_json::Value = serde_json::from_slice(json).ok()?;
    let secret = answer.get("access_token").or_else(|| answer.get("accessToken"))?.as_str()?;
    let seconds = |name: &str| {
        let value = answer.get(name)?;
        value.as_u64().or_else(|| value.as_str()?.parse().ok())
    };
    let from_unix_time = |time: u64| time.saturating_sub(u64::try_from(chrono::Utc::now().timestamp()).unwrap_or(0));
    let lifetime = seconds("expires_in")
        .or_else(|| seconds("expires_on").map(from_unix_time))
        .map_or(UNSTATED_LIFETIME, Duration::from_secs);
    Some(Token { secret: Secret::new(secret), expires: asked.checked_add(lifetime)? })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    /// Gives `token-1`, `token-2`, … with a life of one hour; fails while `broken`.
    #[derive(Debug, Default)]
    struct Source(Arc<State>);

    #[derive(Debug, Default)]
    struct State {
        fetched: AtomicU64,
        broken: std::sync::atomic::AtomicBool,
    }

    #[async_trait]
    impl FetchToken for Source {
        async fn fetch(&self) -> Result<Token> {
            tokio::task::yield_now().await;
            if self.0.broken.load(Ordering::SeqCst) {
                return Err(Error::new(ErrorKind::Connect, Operation::Request, "http://tokens/"));
            }
            let number = self.0.fetched.fetch_add(1, Ordering::SeqCst) + 1;
            let expires = Instant::now() + Duration::from_secs(3600);
            Ok(Token { secret: Secret::new(format!("token-{number}")), expires })
        }
    }

    async fn get(cache: &TokenCache<String>) -> Result<String> {
        cache.get(|secret| secret.reveal().to_owned()).await.map(|credential| (*credential).clone())
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_is_fetched_once_and_renewed_before_its_end() {
        let cache = TokenCache::new(Box::new(Source::default()));
        let all = futures::future::join_all((0..8).map(|_| get(&cache))).await;
        assert!(all.into_iter().all(|token| token.unwrap() == "token-1"));
        tokio::time::advance(Duration::from_secs(3299)).await;
        assert_eq!(get(&cache).await.unwrap(), "token-1");
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(get(&cache).await.unwrap(), "token-2");
    }

    #[tokio::test(start_paused = true)]
    async fn the_old_token_is_used_until_its_end_when_it_cannot_be_renewed() {
        let state = Arc::new(State::default());
        let cache = TokenCache::new(Box::new(Source(state.clone())));
        get(&cache).await.unwrap();
        state.broken.store(true, Ordering::SeqCst);
        tokio::time::advance(Duration::from_secs(3400)).await;
        assert_eq!(get(&cache).await.unwrap(), "token-1");
        tokio::time::advance(Duration::from_secs(300)).await;
        assert_eq!(get(&cache).await.unwrap_err().kind(), ErrorKind::Connect);
        state.broken.store(false, Ordering::SeqCst);
        assert_eq!(get(&cache).await.unwrap(), "token-2");
    }

    #[tokio::test(start_paused = true)]
    async fn the_life_of_a_token_is_read_in_every_form_it_is_written_in() {
        let asked = Instant::now();
        let life = |json: &str| (parse_token(json.as_bytes(), asked).unwrap().expires - asked).as_secs();
        assert_eq!(life(r#"{"access_token":"t","expires_in":100}"#), 100);
        assert_eq!(life(r#"{"access_token":"t","expires_in":"100"}"#), 100);
        let later = chrono::Utc::now().timestamp() + 1000;
        assert!((990..=1000).contains(&life(&format!(r#"{{"access_token":"t","expires_on":"{later}"}}"#))));
        assert_eq!(life(r#"{"accessToken":"t","expires_on":1}"#), 0);
        assert_eq!(life(r#"{"access_token":"t"}"#), UNSTATED_LIFETIME.as_secs());
        for bad in ["", "<html>", "[]", "{}", r#"{"access_token":1}"#] {
            assert!(parse_token(bad.as_bytes(), asked).is_none(), "{bad}");
        }
    }

    #[test]
    fn an_address_is_shown_without_what_is_secret() {
        for (address, shown) in [
            ("https://h:1/a", "https://h:1/a"),
            ("https://h/a?sig=x#y", "https://h/a"),
            ("https://u:p@x@h/a", "https://…@h/a"),
            ("u:p@h", "…@h"),
            ("", ""),
        ] {
            assert_eq!(without_secrets(address), shown);
        }
    }

    #[test]
    fn a_secret_is_not_shown() {
        let token = Token { secret: Secret::new("hunter2"), expires: Instant::now() };
        assert!(!format!("{token:?}").contains("hunter2"));
    }
}
