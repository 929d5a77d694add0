//! Which requests meet which faults.

use std::time::Duration;

use bytes::Bytes;

use crate::request_log::RequestRecord;

/// A point in an exchange at which it is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    /// While the request's body is forwarded, after this many of its bytes.
    RequestBody(u64),
    /// After the request, before the first byte of the answer.
    Head,
    /// In the middle of the answer's head.
    InHead,
    /// After this many bytes of the answer's body. With [`Rule::reset`] it is the most that the client can have
    /// received: a reset overtakes bytes that still wait to be sent.
    Body(u64),
}

/// How an exchange is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cut {
    /// The connection is reset (RST).
    Reset,
    /// The connection is closed (FIN), as if the answer were complete.
    Close,
    /// Nothing more is sent, and the connection stays open until the client closes it.
    Stall,
}

/// An answer that the proxy gives instead of the server.
#[derive(Debug, Clone)]
pub(super) struct Canned {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Bytes,
}

/// What happens to one request.
#[derive(Debug, Clone, Default)]
pub(super) struct Effects {
    pub(super) delay: Option<Duration>,
    pub(super) bytes_per_second: Option<u64>,
    pub(super) cut: Option<(At, Cut)>,
    pub(super) flips: Option<(u64, usize)>,
    pub(super) answer: Option<Canned>,
}

impl Effects {
    /// Adds what is not set yet.
    fn merge(&mut self, other: Effects) {
        self.delay = self.delay.or(other.delay);
        self.bytes_per_second = self.bytes_per_second.or(other.bytes_per_second);
        self.cut = self.cut.or(other.cut);
        self.flips = self.flips.or(other.flips);
        self.answer = self.answer.take().or(other.answer);
    }

    /// How to cut at a point without a byte count, if that is where to cut.
    pub(super) fn cut_at(&self, point: At) -> Option<Cut> {
        self.cut.filter(|(at, _)| *at == point).map(|(_, cut)| cut)
    }
}

/// A set of requests and what happens to them; see the [module](super).
#[derive(Debug, Clone, Default)]
pub struct Rule {
    method: Option<String>,
    path: Option<String>,
    query: Option<String>,
    skip: usize,
    take: Option<usize>,
    effects: Effects,
}

impl Rule {
    /// Every request.
    pub fn any() -> Self {
        Self::default()
    }

    /// Requests with this method.
    pub fn method(method: &str) -> Self {
        Self { method: Some(method.to_ascii_uppercase()), ..Self::default() }
    }

    /// Only those whose path contains this text; percent-encoded, as it is sent.
    #[must_use]
    pub fn path(mut self, part: &str) -> Self {
        self.path = Some(part.to_owned());
        self
    }

    /// Only those whose query contains this text, such as `uploadId=` or `list-type=2`.
    #[must_use]
    pub fn query(mut self, part: &str) -> Self {
        self.query = Some(part.to_owned());
        self
    }

    /// Only the nth of them, counted from 1 and from when the rule was added.
    #[must_use]
    pub fn nth(mut self, n: usize) -> Self {
        self.skip = n.saturating_sub(1);
        self.take = Some(1);
        self
    }

    /// Only the first `count` of them.
    #[must_use]
    pub fn first(mut self, count: usize) -> Self {
        self.take = Some(count);
        self
    }

    /// Only those after the first `count`.
    #[must_use]
    pub fn after(mut self, count: usize) -> Self {
        self.skip = count;
        self.take = None;
        self
    }

    /// The answer's first byte comes this much later.
    #[must_use]
    pub fn delay(mut self, delay: Duration) -> Self {
        self.effects.delay = Some(delay);
        self
    }

    /// The answer's body comes at this rate at most.
    #[must_use]
    pub fn bandwidth(mut self, bytes_per_second: u64) -> Self {
        self.effects.bytes_per_second = Some(bytes_per_second.max(1));
        self
    }

    /// The connection is reset.
    #[must_use]
    pub fn reset(self, at: At) -> Self {
        self.cut(at, Cut::Reset)
    }

    /// The connection is closed in good order, as if all had been said.
    #[must_use]
    pub fn close(self, at: At) -> Self {
        self.cut(at, Cut::Close)
    }

    /// The connection falls silent for good.
    #[must_use]
    pub fn stall(self, at: At) -> Self {
        self.cut(at, Cut::Stall)
    }

    /// The request is accepted and never answered.
    #[must_use]
    pub fn never_answer(self) -> Self {
        self.stall(At::Head)
    }

    /// `count` bytes of the answer's body are changed, at places that depend on `seed` and the body's length (a body
    /// without a length counts as 64 KiB).
    #[must_use]
    pub fn flip_bytes(mut self, seed: u64, count: usize) -> Self {
        self.effects.flips = Some((seed, count));
        self
    }

    /// The proxy answers this, and the server never sees the request.
    #[must_use]
    pub fn answer(mut self, status: u16, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Self {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        self.effects.answer = Some(Canned { status, headers, body: body.into() });
        self
    }

    /// The answer is a server error with this status, with S3's XML for it, and a Retry-After in seconds if given.
    #[must_use]
    pub fn server_error(self, status: u16, retry_after: Option<u64>) -> Self {
        let code = match status {
            429 => "TooManyRequests",
            503 => "SlowDown",
            _ => "InternalError",
        };
        let body = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>injected</Message></Error>");
        let mut headers = vec![("content-type", "application/xml")];
        let seconds = retry_after.map(|seconds| seconds.to_string());
        headers.extend(seconds.as_deref().map(|seconds| ("retry-after", seconds)));
        self.answer(status, &headers, body)
    }

    /// The answer is a redirect.
    #[must_use]
    pub fn redirect(self, status: u16, location: &str) -> Self {
        self.answer(status, &[("location", location)], Bytes::new())
    }

    fn cut(mut self, at: At, cut: Cut) -> Self {
        self.effects.cut = Some((at, cut));
        self
    }

    /// Whether the rule applies to this request; counts it if it is one of its kind.
    fn meets(&mut self, request: &RequestRecord) -> bool {
        let wanted = self.method.as_ref().is_none_or(|method| request.method.as_str() == method)
            && self.path.as_ref().is_none_or(|part| request.path.contains(part))
            && self.query.as_ref().is_none_or(|part| request.query.contains(part));
        if !wanted {
            return false;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return false;
        }
        match &mut self.take {
            Some(0) => false,
            Some(left) => {
                *left -= 1;
                true
            }
            None => true,
        }
    }
}

/// What all rules together do to a request.
pub(super) fn effects(rules: &mut [Rule], request: &RequestRecord) -> Effects {
    let mut effects = Effects::default();
    for rule in rules {
        if rule.meets(request) {
            effects.merge(rule.effects.clone());
        }
    }
    effects
}
