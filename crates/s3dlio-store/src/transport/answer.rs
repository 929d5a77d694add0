//! What becomes of an answer: handed on, or turned into a typed error with what the server said in one line.

use std::time::Duration;

use bytes::Bytes;
use http::header::{LOCATION, RETRY_AFTER};
use http::{HeaderMap, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use object_store::client::{HttpError, HttpResponse, HttpResponseBody};

use super::body::PooledBody;
use super::failure::{Failure, Reason};
use crate::backend::request::kind_of_status;
use crate::constants::{ERROR_BODY_WAIT, MAX_ERROR_BODY};

/// Found in an answer's extensions when it took more than one attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Attempts {
    /// How many requests were sent.
    pub count: usize,
    /// Whether the server asked to slow down.
    pub throttled: bool,
}

/// Found in an answer's extensions when a range was asked for and the server sent the whole object, out of which a
/// backend has cut the range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RangeIgnored;

/// Hands on a final answer. The statuses that object_store gives a meaning to keep it, with a short body; every other
/// failure becomes an error here.
pub(super) async fn finish(
    response: Response<PooledBody>,
    uri: &str,
    attempts: Option<Attempts>,
) -> Result<HttpResponse, HttpError> {
    let status = response.status();
    if status.is_success() || status == StatusCode::NOT_MODIFIED {
        let mut response = response.map(HttpResponseBody::new);
        if let Some(attempts) = attempts {
            response.extensions_mut().insert(attempts);
        }
        return Ok(response);
    }
    let known = matches!(
        status,
        StatusCode::UNAUTHORIZED
            | StatusCode::FORBIDDEN
            | StatusCode::NOT_FOUND
            | StatusCode::METHOD_NOT_ALLOWED
            | StatusCode::CONFLICT
            | StatusCode::PRECONDITION_FAILED
    );
    if known {
        let (parts, body) = response.into_parts();
        return Ok(Response::from_parts(parts, HttpResponseBody::from(reason(body).await)));
    }
    Err(refuse(response).await.into_http(uri, None))
}

/// The failure that an answer stands for.
pub(super) async fn refuse(response: Response<PooledBody>) -> Failure {
    let status = response.status();
    let mut message = status.to_string();
    let headers = response.headers();
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(region) = text("x-amz-bucket-region") {
        message.push_str(&format!(": the bucket is in region {region}"));
    } else if let Some(target) = text(LOCATION.as_str()) {
        let target = target.split('?').next().unwrap_or_default();
        message.push_str(&format!(": the server redirects to {target}"));
    }
    let said = reason(response.into_body()).await;
    if !said.is_empty() {
        message = format!("{message}: {said}");
    }
    Failure::new(kind_of_status(status), Reason::Final, message)
}

/// How long the server asks to wait, in seconds; a date is not worth a clock that may be wrong.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}

/// What an error's body says, in one line.
async fn reason(body: PooledBody) -> String {
    match tokio::time::timeout(ERROR_BODY_WAIT, Limited::new(body, MAX_ERROR_BODY).collect()).await {
        Ok(Ok(collected)) => condense(&collected.to_bytes()),
        Ok(Err(_)) | Err(_) => String::new(),
    }
}

/// `Code: message` of an XML or JSON error, else the beginning of the text.
fn condense(body: &Bytes) -> String {
    let text = String::from_utf8_lossy(body);
    let (code, message) = match serde_json::from_slice::<serde_json::Value>(body) {
        Ok(json) => {
            let error = json.get("error").unwrap_or(&json);
            let field = |name: &str| match error.get(name) {
                Some(serde_json::Value::String(text)) => Some(text.clone()),
                Some(other) if other.is_number() => Some(other.to_string()),
                _ => None,
            };
            let described = json.get("error_description").and_then(|text| text.as_str()).map(str::to_owned);
            match error.as_str() {
                // OAuth's form: a code, and what the provider says of it.
                Some(code) => (Some(code.to_owned()), described),
                None => (field("code"), field("message")),
            }
        }
        Err(_) => (element(&text, "Code"), element(&text, "Message")),
    };
    let whole = match (code, message) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => text.into_owned(),
    };
    // Azure puts a request id and a time on further lines.
    whole.trim_start_matches('\u{feff}').trim().lines().next().unwrap_or_default().chars().take(300).collect()
}

fn element(xml: &str, name: &str) -> Option<String> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once(&format!("</{name}>"))?;
    Some(quick_xml::escape::unescape(text).map_or_else(|_| text.to_owned(), |text| text.into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_body_becomes_one_line() {
        let line = |body: &'static str| condense(&Bytes::from_static(body.as_bytes()));
        assert_eq!(
            line("<?xml version=\"1.0\"?><Error><Code>NoSuchKey</Code><Message>No &quot;k&quot;.</Message></Error>"),
            "NoSuchKey: No \"k\"."
        );
        assert_eq!(
            line("\u{feff}<Error><Code>BlobNotFound</Code><Message>Gone.\nRequestId:1\nTime:2</Message></Error>"),
            "BlobNotFound: Gone."
        );
        assert_eq!(line(r#"{"error": {"code": 404, "message": "no bucket"}}"#), "404: no bucket");
        assert_eq!(line(r#"{"error": "invalid_client", "error_description": "wrong"}"#), "invalid_client: wrong");
        assert_eq!(line("nginx says no\nat all"), "nginx says no");
        assert_eq!(line(""), "");
    }
}
