//! Answers.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
use quick_xml::escape::escape;

pub(super) type Reply = Response<Full<Bytes>>;

/// An error as Google's XML API answers it.
#[derive(Debug)]
pub(super) struct Fail {
    status: StatusCode,
    code: &'static str,
    message: &'static str,
    content_range: Option<String>,
}

impl Fail {
    pub(super) fn new(status: StatusCode, code: &'static str, message: &'static str) -> Self {
        Self { status, code, message, content_range: None }
    }

    pub(super) fn no_such_key() -> Self {
        Self::new(StatusCode::NOT_FOUND, "NoSuchKey", "The specified key does not exist.")
    }

    pub(super) fn no_such_bucket() -> Self {
        Self::new(StatusCode::NOT_FOUND, "NoSuchBucket", "The specified bucket does not exist.")
    }

    pub(super) fn no_such_upload() -> Self {
        Self::new(StatusCode::NOT_FOUND, "NoSuchUpload", "The requested upload was not found.")
    }

    pub(super) fn precondition() -> Self {
        let message = "At least one of the pre-conditions you specified did not hold.";
        Self::new(StatusCode::PRECONDITION_FAILED, "PreconditionFailed", message)
    }

    pub(super) fn invalid(message: &'static str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "InvalidArgument", message)
    }

    pub(super) fn out_of_range(size: u64) -> Self {
        let fail =
            Self::new(StatusCode::RANGE_NOT_SATISFIABLE, "InvalidRange", "The requested range cannot be satisfied.");
        Self { content_range: Some(format!("bytes */{size}")), ..fail }
    }

    pub(super) fn into_reply(self) -> Reply {
        if self.status == StatusCode::NOT_MODIFIED {
            return empty(self.status);
        }
        let body = format!("<Error><Code>{}</Code><Message>{}</Message></Error>", self.code, escape(self.message));
        let mut reply = xml(&body);
        *reply.status_mut() = self.status;
        if let Some(range) = &self.content_range {
            set(&mut reply, "content-range", range);
        }
        reply
    }
}

pub(super) fn empty(status: StatusCode) -> Reply {
    let mut reply = Response::new(Full::default());
    *reply.status_mut() = status;
    reply
}

/// A document, with its declaration added.
pub(super) fn xml(document: &str) -> Reply {
    let mut reply = Response::new(Full::from(format!("<?xml version='1.0' encoding='UTF-8'?>{document}")));
    set(&mut reply, header::CONTENT_TYPE.as_str(), "application/xml; charset=UTF-8");
    reply
}

/// Adds a header; a value that cannot be one (nothing that came in as a header is such) is left out.
pub(super) fn set(reply: &mut Reply, name: &str, value: &str) {
    if let (Ok(name), Ok(value)) = (http::HeaderName::try_from(name), HeaderValue::from_str(value)) {
        reply.headers_mut().append(name, value);
    }
}

/// An access token, if this is how one is asked for.
pub(super) fn token(parts: &http::request::Parts, token: &str) -> Option<Result<Reply, Fail>> {
    let metadata = "/computeMetadata/v1/instance/service-accounts/default/token";
    match (parts.method.as_str(), parts.uri.path()) {
        ("POST", "/_oauth/token") => {}
        // The header keeps a browser or a redirected request from reading it.
        ("GET", path) if path == metadata => {
            if parts.headers.get("metadata-flavor").is_none_or(|flavor| flavor != "Google") {
                return Some(Err(Fail::new(StatusCode::FORBIDDEN, "Forbidden", "Missing Metadata-Flavor:Google.")));
            }
        }
        _ => return None,
    }
    let body = serde_json::json!({"access_token": token, "expires_in": 3600, "token_type": "Bearer"});
    let mut reply = Response::new(Full::from(body.to_string()));
    set(&mut reply, "content-type", "application/json");
    set(&mut reply, "metadata-flavor", "Google");
    Some(Ok(reply))
}
