//! AWS Signature Version 4 for a GET, with all that can be kept from one request to the next kept.

use std::fmt::Write;

use chrono::{DateTime, Utc};
use ring::{digest, hmac};

/// SHA-256 of nothing, in hexadecimal.
pub(super) const EMPTY_PAYLOAD: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// Signs for one service with one signing key. The key is that of the day on which the signer was made.
pub(super) struct Signer {
    access_key: String,
    scope: String,
    key: hmac::Key,
    host: String,
    second: i64,
    date: String,
    canonical: String,
    to_sign: String,
}

impl Signer {
    pub(super) fn new(access_key: &str, secret_key: &str, region: &str, host: &str) -> Self {
        let day = Utc::now().format("%Y%m%d").to_string();
        let mut key = hmac::Key::new(hmac::HMAC_SHA256, format!("AWS4{secret_key}").as_bytes());
        for part in [day.as_str(), region, "s3", "aws4_request"] {
            key = hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&key, part.as_bytes()).as_ref());
        }
        Self {
            access_key: access_key.to_owned(),
            scope: format!("{day}/{region}/s3/aws4_request"),
            key,
            host: host.to_owned(),
            second: 0,
            date: String::new(),
            canonical: String::new(),
            to_sign: String::new(),
        }
    }

    /// Appends a signed GET of `path` to `out`; `range` is the value of a Range header.
    pub(super) fn write_get(&mut self, out: &mut String, path: &str, range: Option<&str>) {
        self.tick();
        let Self { access_key, scope, key, host, date, canonical, to_sign, .. } = self;
        let (header, name) = match range {
            Some(range) => (format!("range:{range}\n"), "range;"),
            None => (String::new(), ""),
        };
        canonical.clear();
        // Writing into a String cannot fail.
        let _ = write!(
            canonical,
            "GET\n{path}\n\nhost:{host}\n{header}x-amz-content-sha256:{EMPTY_PAYLOAD}\nx-amz-date:{date}\n\n\
             host;{name}x-amz-content-sha256;x-amz-date\n{EMPTY_PAYLOAD}"
        );
        to_sign.clear();
        let _ = write!(to_sign, "AWS4-HMAC-SHA256\n{date}\n{scope}\n");
        write_hex(to_sign, digest::digest(&digest::SHA256, canonical.as_bytes()).as_ref());
        let signature = hmac::sign(key, to_sign.as_bytes());
        let _ = write!(
            out,
            "GET {path} HTTP/1.1\r\nhost: {host}\r\nx-amz-content-sha256: {EMPTY_PAYLOAD}\r\nx-amz-date: {date}\r\n"
        );
        if let Some(range) = range {
            let _ = write!(out, "range: {range}\r\n");
        }
        let _ = write!(
            out,
            "authorization: AWS4-HMAC-SHA256 Credential={access_key}/{scope}, \
             SignedHeaders=host;{name}x-amz-content-sha256;x-amz-date, Signature="
        );
        write_hex(out, signature.as_ref());
        out.push_str("\r\n\r\n");
    }

    /// The date changes once a second.
    fn tick(&mut self) {
        let now: DateTime<Utc> = Utc::now();
        if now.timestamp() != self.second {
            self.second = now.timestamp();
            self.date = now.format("%Y%m%dT%H%M%SZ").to_string();
        }
    }
}

fn write_hex(out: &mut String, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        out.push(DIGITS[usize::from(byte >> 4)].into());
        out.push(DIGITS[usize::from(byte & 15)].into());
    }
}

#[cfg(test)]
mod tests {
    use s3dlio_store::object_store::aws::{AwsAuthorizer, AwsCredential};
    use s3dlio_store::object_store::client::{HttpRequest, HttpRequestBody};

    use super::*;

    /// The floor does the work of a real signature: object_store's, which real servers accept, is the same.
    #[test]
    fn the_signature_is_that_of_object_store() {
        let credential = AwsCredential { key_id: "key".to_owned(), secret_key: "secret".to_owned(), token: None };
        // Two signatures of the same second are needed; the loop ends when both fell into one.
        loop {
            let mut ours = String::new();
            Signer::new("key", "secret", "us-east-1", "127.0.0.1:9000").write_get(
                &mut ours,
                "/bench/large/000000",
                Some("bytes=0-9"),
            );
            let mut theirs = HttpRequest::new(HttpRequestBody::empty());
            *theirs.uri_mut() = "http://127.0.0.1:9000/bench/large/000000".parse().unwrap();
            theirs.headers_mut().insert("range", "bytes=0-9".parse().unwrap());
            AwsAuthorizer::new(&credential, "s3", "us-east-1").try_authorize(&mut theirs, None).unwrap();
            let date = theirs.headers()["x-amz-date"].to_str().unwrap();
            if ours.contains(date) {
                let authorization = theirs.headers()["authorization"].to_str().unwrap();
                assert!(ours.contains(&format!("authorization: {authorization}\r\n")), "{ours}\n{authorization}");
                return;
            }
        }
    }
}
