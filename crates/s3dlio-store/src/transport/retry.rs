//! The one retry policy: which attempts are repeated, how long the pauses are, and when it is enough.
//!
//! Three limits end the attempts, and the error names the one that did: `retry_max_attempts`; `operation_deadline`, the
//! time since the first attempt; and `retry_budget`, the sum of all pauses, which keeps a server that always answers 503
//! from holding an operation for long. A refused connection is tried again for `connect_timeout` only.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::header::{AUTHORIZATION, HOST, IF_MATCH, IF_NONE_MATCH, LOCATION, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use object_store::client::{HttpError, HttpRequest, HttpResponse};

use super::answer::{self, Attempts};
use super::body::PooledBody;
use super::failure::{Failure, Reason, Tried};
use super::pool::{Origin, Pool};
use super::statistics::Counters;
use crate::config::UnifiedLoaderConfig;
use crate::constants::MAX_REDIRECTS;
use crate::error::ErrorKind;

pub(super) struct Policy {
    max_attempts: usize,
    initial_backoff: Duration,
    max_backoff: Duration,
    budget: Duration,
    deadline: Duration,
    connect_window: Duration,
}

/// One call: what has been spent on it so far.
struct Call<'a> {
    policy: &'a Policy,
    started: Instant,
    attempts: usize,
    paused: Duration,
    throttled: bool,
}

impl Policy {
    pub(super) fn new(config: &UnifiedLoaderConfig) -> Self {
        Self {
            max_attempts: config.retry_max_attempts.max(1),
            initial_backoff: config.retry_initial_backoff,
            max_backoff: config.retry_max_backoff,
            budget: config.retry_budget,
            deadline: config.operation_deadline,
            connect_window: config.connect_timeout,
        }
    }

    /// Sends attempts until one is final.
    pub(super) async fn send(
        &self,
        pool: &Pool,
        counters: &Counters,
        mut request: HttpRequest,
    ) -> Result<HttpResponse, HttpError> {
        let mut call =
            Call { policy: self, started: Instant::now(), attempts: 0, paused: Duration::ZERO, throttled: false };
        let mut shown: Arc<str> = without_query(request.uri()).into();
        let mut redirects = 0;
        loop {
            call.attempts += 1;
            Counters::add(&counters.requests, 1);
            if call.attempts > 1 {
                Counters::add(&counters.retries, 1);
            }
            let pause = match attempt(pool, &request, &shown, call.time_left()).await {
                Ok(response) if is_redirect(&response) && may_follow(&request) && redirects < MAX_REDIRECTS => {
                    redirects += 1;
                    *request.uri_mut() = redirect_target(&request, response.headers())
                        .ok_or_else(|| bad_redirect().into_http(&shown, None))?;
                    request.headers_mut().remove(HOST);
                    shown = without_query(request.uri()).into();
                    call.attempts -= 1;
                    continue;
                }
                Ok(response) => {
                    let status = response.status();
                    if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
                        call.throttled = true;
                        Counters::add(&counters.throttled, 1);
                    }
                    if !is_transient(status) || (may_have_acted(status) && !may_be_sent_twice(&request)) {
                        return answer::finish(response, &shown, call.report()).await;
                    }
                    match call.pause_after(answer::retry_after(response.headers())) {
                        Ok(pause) => {
                            tracing::debug!(uri = %shown, %status, attempt = call.attempts, ?pause, "the server failed; trying again");
                            pause
                        }
                        Err(tried) => return Err(answer::refuse(response).await.into_http(&shown, Some(tried))),
                    }
                }
                Err(failure) => {
                    if !may_repeat(&failure, &request) || call.connecting_for_too_long(&failure) {
                        let tried = (call.attempts > 1).then(|| call.tried("connect_timeout"));
                        return Err(failure.into_http(&shown, tried));
                    }
                    match call.pause_after(None) {
                        Ok(pause) => {
                            tracing::debug!(uri = %shown, reason = failure.message, attempt = call.attempts, ?pause, "trying again");
                            pause
                        }
                        Err(tried) => return Err(failure.into_http(&shown, Some(tried))),
                    }
                }
            };
            tokio::time::sleep(pause).await;
        }
    }
}

impl Call<'_> {
    fn time_left(&self) -> Duration {
        self.policy.deadline.saturating_sub(self.started.elapsed())
    }

    fn tried(&self, limit: &'static str) -> Tried {
        Tried { attempts: self.attempts, elapsed: self.started.elapsed(), limit }
    }

    fn report(&self) -> Option<Attempts> {
        (self.attempts > 1).then_some(Attempts { count: self.attempts, throttled: self.throttled })
    }

    fn connecting_for_too_long(&self, failure: &Failure) -> bool {
        // A refused connection or an unknown name answers at once: to wait for it longer than for a connection that
        // takes its time would be odd.
        failure.kind == ErrorKind::Connect && self.started.elapsed() + self.backoff() > self.policy.connect_window
    }

    /// Doubles with each attempt, and is spread over its upper half, so that clients that failed together do not come
    /// back together.
    fn backoff(&self) -> Duration {
        let exponent = u32::try_from(self.attempts.saturating_sub(1)).unwrap_or(u32::MAX).min(20);
        let full = self.policy.initial_backoff.saturating_mul(1 << exponent).min(self.policy.max_backoff);
        full.mul_f64(fastrand::f64().mul_add(0.5, 0.5))
    }

    /// The pause before the next attempt, or what ended the attempts.
    fn pause_after(&mut self, asked: Option<Duration>) -> Result<Duration, Tried> {
        if self.attempts >= self.policy.max_attempts {
            return Err(self.tried("retry_max_attempts"));
        }
        let pause = asked.unwrap_or_default().max(self.backoff());
        if self.paused + pause > self.policy.budget {
            return Err(self.tried("retry_budget"));
        }
        if pause >= self.time_left() {
            return Err(self.tried("operation_deadline"));
        }
        self.paused += pause;
        Ok(pause)
    }
}

/// Sends the request once. A pooled connection that turns out to have been closed while it was idle does not count.
async fn attempt(
    pool: &Pool,
    request: &HttpRequest,
    shown: &Arc<str>,
    time_left: Duration,
) -> Result<http::Response<PooledBody>, Failure> {
    let origin = Arc::new(Origin::of(request.uri())?);
    let idle = if is_safe(request.method()) { pool.timeouts().idle } else { pool.timeouts().deadline };
    let limit = idle.min(time_left);
    let is_repeatable = is_idempotent(request);
    if let Some(mut connection) = pool.reuse(request.uri()) {
        match connection.exchange(on_the_wire(request), is_repeatable, limit).await {
            Ok(response) => return Ok(into_pooled(response, connection, origin, pool, shown)),
            Err(failure) if failure.reason == Reason::NotSent => {}
            Err(failure) if failure.reason == Reason::StaleConnection && is_repeatable => {}
            Err(failure) => return Err(failure),
        }
    }
    let mut connection = pool.connect(&origin, time_left).await?;
    let response = connection.exchange(on_the_wire(request), is_repeatable, limit).await?;
    Ok(into_pooled(response, connection, origin, pool, shown))
}

fn into_pooled(
    response: http::Response<hyper::body::Incoming>,
    connection: super::connection::Connection,
    origin: Arc<Origin>,
    pool: &Pool,
    shown: &Arc<str>,
) -> http::Response<PooledBody> {
    response.map(|incoming| {
        PooledBody::new(incoming, connection, origin, pool.idle().clone(), pool.timeouts().idle, shown.clone())
    })
}

/// The request as HTTP/1.1 writes it: the path alone in the first line, the host in a header.
fn on_the_wire(request: &HttpRequest) -> HttpRequest {
    let mut wire = request.clone();
    if !wire.headers().contains_key(HOST)
        && let Some(authority) = request.uri().authority()
        && let Ok(host) = HeaderValue::from_str(authority.as_str())
    {
        wire.headers_mut().insert(HOST, host);
    }
    if !wire.headers().contains_key(USER_AGENT) {
        wire.headers_mut().insert(USER_AGENT, HeaderValue::from_static(concat!("s3dlio/", env!("CARGO_PKG_VERSION"))));
    }
    if let Some(path) = request.uri().path_and_query() {
        *wire.uri_mut() = Uri::from(path.clone());
    }
    wire
}

fn is_safe(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

/// Whether sending the request twice does what sending it once does. A conditional write does not: the second finds
/// the first one's object.
fn is_idempotent(request: &HttpRequest) -> bool {
    match *request.method() {
        Method::GET | Method::HEAD => true,
        Method::PUT | Method::DELETE => !request
            .headers()
            .keys()
            .any(|name| name == IF_MATCH || name == IF_NONE_MATCH || name.as_str() == "x-goog-if-generation-match"),
        _ => false,
    }
}

fn may_repeat(failure: &Failure, request: &HttpRequest) -> bool {
    match failure.reason {
        Reason::NotSent => true,
        Reason::Lost | Reason::StaleConnection => is_idempotent(request),
        Reason::Final => false,
    }
}

fn is_transient(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::REQUEST_TIMEOUT
            | StatusCode::TOO_MANY_REQUESTS
            | StatusCode::INTERNAL_SERVER_ERROR
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT
    )
}

/// Whether the server may have done what was asked before it failed.
fn may_have_acted(status: StatusCode) -> bool {
    !matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE)
}

/// Conditional writes are not repeated: the second would be refused because of the first, and the caller be told that
/// somebody else's object is there.
fn may_be_sent_twice(request: &HttpRequest) -> bool {
    *request.method() == Method::POST || is_idempotent(request)
}

fn is_redirect<B>(response: &http::Response<B>) -> bool {
    let status = response.status();
    status.is_redirection() && status != StatusCode::NOT_MODIFIED && response.headers().contains_key(LOCATION)
}

/// A signature is made for one host; only requests without one are followed elsewhere.
fn may_follow(request: &HttpRequest) -> bool {
    is_safe(request.method()) && !request.headers().contains_key(AUTHORIZATION)
}

fn redirect_target(request: &HttpRequest, headers: &HeaderMap) -> Option<Uri> {
    let location = headers.get(LOCATION)?.to_str().ok()?;
    let base = url::Url::parse(&request.uri().to_string()).ok()?;
    let target = base.join(location).ok()?;
    // What was asked for over TLS is not answered without it.
    if base.scheme() == "https" && target.scheme() != "https" {
        return None;
    }
    target.as_str().parse().ok()
}

fn bad_redirect() -> Failure {
    Failure::new(
        ErrorKind::Server,
        Reason::Final,
        "the server redirects to something that is not an address, or from https to http",
    )
}

fn without_query(uri: &Uri) -> String {
    let text = uri.to_string();
    match text.split_once('?') {
        Some((path, _)) => path.to_owned(),
        None => text,
    }
}
