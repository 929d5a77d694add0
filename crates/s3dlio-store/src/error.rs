//! The one error of the crate.
//!
//! An [`Error`] says what failed (the operation), where (the URI), why (the kind and the cause) and, where something can
//! be done about it, what to do (the hint). Decisions are made from [`ErrorKind`] alone, never from text; the kind of a
//! foreign error is found by walking its chain of sources for the types that this crate knows.

use std::error::Error as StdError;
use std::fmt::{self, Write as _};
use std::io;

/// A boxed cause.
pub type BoxError = Box<dyn StdError + Send + Sync>;

/// The result of every fallible function of the crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of failure an [`Error`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The object, bucket, container or file does not exist.
    NotFound,
    /// It exists already and must not.
    AlreadyExists,
    /// A condition of the request (If-Match, expected generation) did not hold.
    PreconditionFailed,
    /// The object was not modified since the version that the caller has.
    NotModified,
    /// The credentials are known, and not allowed to do this; or the file system denies it.
    PermissionDenied,
    /// The credentials are missing, wrong or expired.
    Unauthenticated,
    /// The caller's input cannot be right: a malformed URI, a range outside the object, an option out of bounds.
    InvalidInput,
    /// A range begins beyond the end of the object.
    RangeNotSatisfiable,
    /// The backend cannot do this at all.
    Unsupported,
    /// The configuration is wrong: an unknown key, a value that does not parse.
    Config,
    /// The endpoint asked to slow down (429, 503) until the retry budget was used up.
    Throttled,
    /// No progress within the time that the configuration allows.
    Timeout,
    /// No connection could be made: refused, unreachable, unresolvable, or TLS failed.
    Connect,
    /// A connection broke in the middle.
    Interrupted,
    /// The object changed while it was read.
    Changed,
    /// The bytes are not what the store said: a short body, a wrong checksum, a malformed response.
    Integrity,
    /// No space is left, or a quota is reached.
    OutOfSpace,
    /// The operation was cancelled.
    Cancelled,
    /// The server failed (5xx) or answered what the protocol does not allow.
    Server,
    /// Anything else.
    Other,
}

impl ErrorKind {
    /// A few words for messages, e.g. `not found`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotFound => "not found",
            Self::AlreadyExists => "already exists",
            Self::PreconditionFailed => "precondition failed",
            Self::NotModified => "not modified",
            Self::PermissionDenied => "permission denied",
            Self::Unauthenticated => "not authenticated",
            Self::InvalidInput => "invalid input",
            Self::RangeNotSatisfiable => "range beyond the end",
            Self::Unsupported => "not supported",
            Self::Config => "configuration",
            Self::Throttled => "throttled",
            Self::Timeout => "timed out",
            Self::Connect => "cannot connect",
            Self::Interrupted => "connection lost",
            Self::Changed => "changed while it was read",
            Self::Integrity => "bad data",
            Self::OutOfSpace => "out of space",
            Self::Cancelled => "cancelled",
            Self::Server => "server error",
            Self::Other => "failed",
        }
    }

    /// Whether the same request may succeed when it is sent again. A body that broke off is resumed on these alone.
    pub fn is_transient(self) -> bool {
        matches!(
            self,
            Self::Throttled | Self::Timeout | Self::Connect | Self::Interrupted | Self::Integrity | Self::Server
        )
    }

    fn of_io(kind: io::ErrorKind) -> Option<Self> {
        Some(match kind {
            io::ErrorKind::NotFound => Self::NotFound,
            io::ErrorKind::AlreadyExists => Self::AlreadyExists,
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Self::PermissionDenied,
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => Self::OutOfSpace,
            io::ErrorKind::ConnectionRefused
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::AddrNotAvailable => Self::Connect,
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::UnexpectedEof => Self::Interrupted,
            io::ErrorKind::TimedOut => Self::Timeout,
            io::ErrorKind::InvalidInput
            | io::ErrorKind::InvalidFilename
            | io::ErrorKind::IsADirectory
            | io::ErrorKind::NotADirectory => Self::InvalidInput,
            io::ErrorKind::Unsupported => Self::Unsupported,
            _ => return None,
        })
    }

    /// The kind of an object_store error: by its variant, or by the first error in its chain that says more.
    pub fn of(error: &object_store::Error) -> Self {
        use object_store::Error as E;
        match error {
            E::NotFound { .. } => Self::NotFound,
            E::AlreadyExists { .. } => Self::AlreadyExists,
            E::Precondition { .. } => Self::PreconditionFailed,
            E::NotModified { .. } => Self::NotModified,
            E::PermissionDenied { .. } => Self::PermissionDenied,
            E::Unauthenticated { .. } => Self::Unauthenticated,
            E::NotSupported { .. } | E::NotImplemented { .. } => Self::of_chain(error).unwrap_or(Self::Unsupported),
            E::InvalidPath { .. } => Self::InvalidInput,
            E::UnknownConfigurationKey { .. } => Self::Config,
            other => Self::of_chain(other).unwrap_or(Self::Other),
        }
    }

    fn of_chain(error: &(dyn StdError + 'static)) -> Option<Self> {
        let mut next = error.source();
        while let Some(cause) = next {
            if let Some(own) = cause.downcast_ref::<Error>() {
                return Some(own.kind());
            }
            if let Some(io) = cause.downcast_ref::<io::Error>()
                && let Some(kind) = Self::of_io(io.kind())
            {
                return Some(kind);
            }
            if let Some(store) = cause.downcast_ref::<object_store::Error>() {
                return Some(Self::of(store));
            }
            next = cause.source();
        }
        None
    }
}

/// What failed, where, why, and what to do.
///
/// ```
/// use s3dlio_store::{Error, ErrorKind, Operation};
///
/// let error = Error::new(ErrorKind::NotFound, Operation::Get, "s3://bucket/key").with_message("no such key");
/// assert_eq!(error.to_string(), "get s3://bucket/key: not found: no such key");
/// ```
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    operation: Operation,
    uri: String,
    message: Option<String>,
    hint: Option<String>,
    source: Option<BoxError>,
}

/// What was being done when an [`Error`] came up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[allow(missing_docs)] // each variant is its own name
pub enum Operation {
    Parse,
    Configure,
    Open,
    Request,
    Get,
    Put,
    Write,
    List,
    Stat,
    Delete,
    Copy,
    Rename,
    CreateBucket,
    DeleteBucket,
    ListBuckets,
    Load,
}

impl Operation {
    /// The operation's name as messages and Python show it, e.g. `create bucket`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Parse => "parse",
            Self::Configure => "configure",
            Self::Open => "open",
            Self::Request => "request",
            Self::Get => "get",
            Self::Put => "put",
            Self::Write => "write",
            Self::List => "list",
            Self::Stat => "stat",
            Self::Delete => "delete",
            Self::Copy => "copy",
            Self::Rename => "rename",
            Self::CreateBucket => "create bucket",
            Self::DeleteBucket => "delete bucket",
            Self::ListBuckets => "list buckets",
            Self::Load => "load",
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Error {
    /// An error of `kind` in `operation` on `uri`. The query of a web address is left off: it may hold a signature.
    pub fn new(kind: ErrorKind, operation: Operation, uri: impl Into<String>) -> Self {
        let mut uri = uri.into();
        uri.truncate(without_query(&uri).len());
        Self(Box::new(Inner { kind, operation, uri, message: None, hint: None, source: None }))
    }

    /// The error that a cancelled operation ends with.
    pub fn cancelled(operation: Operation, uri: impl Into<String>) -> Self {
        Self::new(ErrorKind::Cancelled, operation, uri)
    }

    /// Takes over an object_store error: its kind, and itself as the cause.
    pub fn from_store(error: object_store::Error, operation: Operation, uri: impl Into<String>) -> Self {
        // An error of our own that only travelled through the trait keeps what it says.
        let kind = ErrorKind::of(&error);
        let mut made = Self::new(kind, operation, uri);
        made.0.hint = find_own(&error).and_then(|own| own.0.hint.clone());
        made.with_source(error)
    }

    /// Takes over an I/O error: its kind, and itself as the cause.
    pub fn from_io(error: io::Error, operation: Operation, uri: impl Into<String>) -> Self {
        let kind = ErrorKind::of_io(error.kind()).unwrap_or(ErrorKind::Other);
        Self::new(kind, operation, uri).with_source(error)
    }

    /// Says why, where no cause does.
    pub fn with_message(mut self, message: impl Into<String>) -> Self {
        self.0.message = Some(message.into());
        self
    }

    /// Says what to do.
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// Keeps the cause.
    pub fn with_source(mut self, source: impl Into<BoxError>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// What kind of failure this is.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// What was being done.
    pub fn operation(&self) -> Operation {
        self.0.operation
    }

    /// Where: the URI of the object, prefix, bucket or file, or the name of a configuration key.
    pub fn uri(&self) -> &str {
        &self.0.uri
    }

    /// What to do about it, if something can be said.
    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// Wraps the error for a caller that speaks object_store's trait, keeping the meaning of the common kinds.
    pub fn into_store(self) -> object_store::Error {
        let path = self.0.uri.clone();
        let kind = self.0.kind;
        let source: BoxError = Box::new(self);
        match kind {
            ErrorKind::NotFound => object_store::Error::NotFound { path, source },
            ErrorKind::AlreadyExists => object_store::Error::AlreadyExists { path, source },
            ErrorKind::PreconditionFailed => object_store::Error::Precondition { path, source },
            ErrorKind::NotModified => object_store::Error::NotModified { path, source },
            ErrorKind::PermissionDenied => object_store::Error::PermissionDenied { path, source },
            ErrorKind::Unauthenticated => object_store::Error::Unauthenticated { path, source },
            ErrorKind::Unsupported => object_store::Error::NotSupported { source },
            _ => object_store::Error::Generic { store: "s3dlio", source },
        }
    }
}

/// A URI as it may be shown: of a web address, what comes before its query.
pub(crate) fn without_query(uri: &str) -> &str {
    match uri.split_once("://") {
        Some(("http" | "https", _)) => uri.split('?').next().unwrap_or_default(),
        _ => uri,
    }
}

/// The innermost error of our own in the chain, which knows most about what happened.
fn find_own<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a Error> {
    let mut found = None;
    let mut next = Some(error);
    while let Some(cause) = next {
        if let Some(own) = cause.downcast_ref::<Error>() {
            found = Some(own);
        }
        next = cause.source();
    }
    found
}

/// The deepest cause: the one that names the reason rather than the layers that passed it on.
fn root_cause<'a>(error: &'a (dyn StdError + 'static)) -> &'a (dyn StdError + 'static) {
    let mut cause = error;
    while let Some(next) = cause.source() {
        // The chain above our own error only repeats it; the chain below is already in its message.
        if cause.is::<Error>() {
            break;
        }
        cause = next;
    }
    cause
}

impl fmt::Display for Error {
    /// One line: operation, URI, kind, reason, hint.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &*self.0;
        write!(f, "{} {}: {}", inner.operation, Escaped(&inner.uri), inner.kind.as_str())?;
        self.write_reason(f)?;
        if let Some(hint) = &inner.hint {
            write!(f, " ({hint})")?;
        }
        Ok(())
    }
}

impl Error {
    /// The reason as text, for an error about another object that failed with this one.
    pub(crate) fn reason(&self) -> String {
        struct Reason<'a>(&'a Error);
        impl fmt::Display for Reason<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.write_reason(f)
            }
        }
        Reason(self).to_string()
    }

    /// The reason alone, for an error that wraps this one and has said operation, URI and kind already.
    fn write_reason(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(message) = &self.0.message {
            write!(f, ": {}", OneLine(message))?;
        }
        let Some(source) = &self.0.source else {
            return Ok(());
        };
        let cause = root_cause(source.as_ref());
        match cause.downcast_ref::<Error>() {
            Some(own) => own.write_reason(f),
            None => write!(f, ": {}", OneLine(cause)),
        }
    }
}

/// A text with line breaks folded and other control characters escaped, so that one error stays one line, whatever a
/// server says.
struct OneLine<'a, T: ?Sized>(&'a T);

impl<T: fmt::Display + ?Sized> fmt::Display for OneLine<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.to_string();
        for (index, line) in text.lines().map(str::trim).filter(|line| !line.is_empty()).enumerate() {
            let space = if index > 0 { " " } else { "" };
            write!(f, "{space}{}", Escaped(line))?;
        }
        Ok(())
    }
}

/// A text with its control characters escaped: keys may hold any.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .chars()
            .try_for_each(|c| if c.is_control() { write!(f, "{}", c.escape_default()) } else { f.write_char(c) })
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("operation", &self.0.operation)
            .field("uri", &self.0.uri)
            .field("message", &self.0.message)
            .field("hint", &self.0.hint)
            .field("source", &self.0.source)
            .finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kind_is_found_below_layers_that_do_not_know_it() {
        let io = io::Error::from(io::ErrorKind::StorageFull);
        let layered = object_store::Error::Generic { store: "file", source: Box::new(io) };
        let error = Error::from_store(layered, Operation::Put, "file:///x");
        assert_eq!(error.kind(), ErrorKind::OutOfSpace);
        assert_eq!(error.to_string(), "put file:///x: out of space: no storage space");
    }

    #[test]
    fn an_error_that_crossed_the_trait_is_said_once() {
        let own = Error::new(ErrorKind::Timeout, Operation::Request, "http://h/")
            .with_message("no byte for 10s")
            .with_hint("raise idle_timeout");
        let outer = Error::from_store(own.into_store(), Operation::Get, "s3://b/k");
        assert_eq!(outer.kind(), ErrorKind::Timeout);
        assert_eq!(outer.to_string(), "get s3://b/k: timed out: no byte for 10s (raise idle_timeout)");
    }

    #[test]
    fn control_characters_are_escaped() {
        let error = Error::new(ErrorKind::Other, Operation::Get, "memory:///a\nb\u{1b}[2J").with_message("x\ny\u{7}");
        assert_eq!(error.to_string(), "get memory:///a\\nb\\u{1b}[2J: failed: x y\\u{7}");
    }

    #[test]
    fn a_message_stays_on_one_line() {
        let cause = io::Error::other("first\n  second");
        let error = Error::new(ErrorKind::Other, Operation::Get, "memory:///a").with_source(cause);
        assert_eq!(error.to_string(), "get memory:///a: failed: first second");
    }
}
