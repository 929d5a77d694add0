//! Why an attempt failed, and how that travels through object_store's error types.

use std::time::Duration;

use object_store::client::{HttpError, HttpErrorKind};

use crate::error::{BoxError, Error, ErrorKind, Operation};

/// One failed attempt.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) kind: ErrorKind,
    pub(super) reason: Reason,
    pub(super) message: String,
    pub(super) source: Option<BoxError>,
    /// What to do, where it is known better than by the kind.
    pub(super) hint: Option<&'static str>,
}

/// What the retry policy needs to know about a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    /// No connection: the request was not sent. Repeating is always safe.
    NotSent,
    /// A connection that had been idle was closed by the server as the request went out.
    StaleConnection,
    /// The request may have been acted on.
    Lost,
    /// Repeating cannot help: a certificate that is not trusted, a malformed answer.
    Final,
}

impl Failure {
    pub(super) fn new(kind: ErrorKind, reason: Reason, message: impl Into<String>) -> Self {
        Self { kind, reason, message: message.into(), source: None, hint: None }
    }

    pub(super) fn with_hint(mut self, hint: &'static str) -> Self {
        self.hint = Some(hint);
        self
    }

    pub(super) fn caused_by(mut self, source: impl Into<BoxError>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// A failure of hyper's: what broke, and whether the request had been sent.
    pub(super) fn of_hyper(error: hyper::Error, reused: bool) -> Self {
        let io = std::error::Error::source(&error).and_then(|source| source.downcast_ref::<std::io::Error>());
        let lost = error.is_incomplete_message()
            || error.is_canceled()
            || error.is_closed()
            || error.is_body_write_aborted()
            || io.is_some();
        let (kind, reason) = match (lost, reused) {
            // hyper hands a request back that it has not begun to write.
            (true, _) if error.is_canceled() => (ErrorKind::Interrupted, Reason::NotSent),
            (true, true) => (ErrorKind::Interrupted, Reason::StaleConnection),
            (true, false) => (ErrorKind::Interrupted, Reason::Lost),
            (false, _) => (ErrorKind::Server, Reason::Final),
        };
        let message = match io {
            Some(io) => format!("the connection broke: {io}"),
            None if lost => "the server closed the connection before the answer was complete".to_owned(),
            None => format!("the answer is not HTTP: {error}"),
        };
        let failure = Self::new(kind, reason, message);
        let failure = match error.is_parse() && !error.is_parse_too_large() {
            true => failure.with_hint("check that endpoint_url names an HTTP server, and whether it wants https://"),
            false => failure,
        };
        failure.caused_by(error)
    }

    /// The failure as object_store carries it, with what was tried.
    pub(super) fn into_http(self, uri: &str, tried: Option<Tried>) -> HttpError {
        let message = match tried {
            Some(tried) => format!("{}; {tried}", self.message),
            None => self.message,
        };
        let hint = match self.kind {
            _ if self.hint.is_some() => self.hint,
            ErrorKind::Connect => Some("check endpoint_url, the network and whether the server runs"),
            ErrorKind::Throttled => Some("lower max_requests_in_flight or raise retry_max_attempts"),
            ErrorKind::Timeout => Some("raise idle_timeout or operation_deadline if the server is only slow"),
            _ => None,
        };
        let mut error = Error::new(self.kind, Operation::Request, uri).with_message(message);
        if let Some(hint) = hint {
            error = error.with_hint(hint);
        }
        HttpError::new(http_kind(self.kind), error)
    }
}

/// The same kind in object_store's terms.
fn http_kind(kind: ErrorKind) -> HttpErrorKind {
    match kind {
        ErrorKind::Connect => HttpErrorKind::Connect,
        ErrorKind::Timeout => HttpErrorKind::Timeout,
        ErrorKind::Interrupted => HttpErrorKind::Interrupted,
        _ => HttpErrorKind::Unknown,
    }
}

/// What a message says about the attempts that were made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tried {
    pub(super) attempts: usize,
    pub(super) elapsed: Duration,
    /// The key of the setting that ended the attempts.
    pub(super) limit: &'static str,
}

impl std::fmt::Display for Tried {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let times = if self.attempts == 1 { "attempt" } else { "attempts" };
        write!(f, "{} {times} in {:.1} s, ended by {}", self.attempts, self.elapsed.as_secs_f64(), self.limit)
    }
}
