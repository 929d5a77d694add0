//! Signatures of requests without a query and without a body.
//!
//! What changes once a day (the key), once a second (the date) and never (the rest) is kept.

use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use http::header::{AUTHORIZATION, CONTENT_LENGTH, HeaderName, HeaderValue, USER_AGENT};
use object_store::aws::AwsCredential;
use object_store::client::HttpRequest;
use parking_lot::Mutex;
use ring::{digest, hmac};

static DATE: HeaderName = HeaderName::from_static("x-amz-date");
static CONTENT_DIGEST: HeaderName = HeaderName::from_static("x-amz-content-sha256");
static SECURITY_TOKEN: HeaderName = HeaderName::from_static("x-amz-security-token");

/// SHA-256 of nothing.
const EMPTY_PAYLOAD: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const UNSIGNED_PAYLOAD: &str = "UNSIGNED-PAYLOAD";

/// Signs reads of one region.
pub(super) struct ReadSigner {
    region: String,
    payload: &'static str,
    latest: Mutex<Option<Arc<Moment>>>,
}

/// What the signatures of one second by one identity have in common.
struct Moment {
    second: i64,
    date: String,
    /// Day, region and service.
    scope: String,
    credential: Arc<AwsCredential>,
    key: hmac::Key,
}

impl fmt::Debug for ReadSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadSigner").field("region", &self.region).finish_non_exhaustive()
    }
}

impl ReadSigner {
    pub(super) fn new(region: &str, unsigned_payload: bool) -> Self {
        let payload = if unsigned_payload { UNSIGNED_PAYLOAD } else { EMPTY_PAYLOAD };
        Self { region: region.to_owned(), payload, latest: Mutex::default() }
    }

    /// Signs `request`, which has no query and no body. Leaves it as it is and returns `false` if it has headers that need
    /// more than to be copied into the signature.
    pub(super) fn sign(&self, request: &mut HttpRequest, credential: &Arc<AwsCredential>) -> bool {
        self.sign_at(request, credential, Utc::now())
    }

    fn sign_at(&self, request: &mut HttpRequest, credential: &Arc<AwsCredential>, now: DateTime<Utc>) -> bool {
        let moment = self.moment(credential, now);
        match self.authorization(request, &moment) {
            Some([date, payload, authorization]) => {
                let headers = request.headers_mut();
                headers.insert(&DATE, date);
                headers.insert(&CONTENT_DIGEST, payload);
                if let Some(token) = token(&moment.credential) {
                    headers.insert(&SECURITY_TOKEN, token);
                }
                headers.insert(AUTHORIZATION, authorization);
                true
            }
            None => false,
        }
    }

    /// The date, what stands for the body, and the signature of both and all else.
    fn authorization(&self, request: &HttpRequest, moment: &Moment) -> Option<[HeaderValue; 3]> {
        let token = moment.credential.token.as_deref();
        let mut headers = Vec::with_capacity(request.headers().len() + 4);
        headers.push(("host", request.uri().authority()?.as_str()));
        headers.push((CONTENT_DIGEST.as_str(), self.payload));
        headers.push((DATE.as_str(), &moment.date));
        headers.extend(token.map(|token| (SECURITY_TOKEN.as_str(), token)));
        for (name, value) in request.headers() {
            if name != AUTHORIZATION && name != CONTENT_LENGTH && name != USER_AGENT {
                headers.push((name.as_str(), value.to_str().ok()?.trim()));
            }
        }
        headers.sort_unstable();
        // Several values of one name are joined, and runs of spaces become one: rare enough to leave to object_store.
        let is_plain = headers.windows(2).all(|pair| pair[0].0 != pair[1].0)
            && headers.iter().all(|(_, value)| !value.contains("  ") && !value.contains('\t'));
        if !is_plain {
            return None;
        }

        let mut names = String::with_capacity(128);
        let mut canonical = String::with_capacity(1024);
        for part in [request.method().as_str(), request.uri().path(), ""] {
            canonical.extend([part, "\n"]);
        }
        for (name, value) in &headers {
            canonical.extend([name, ":", value, "\n"]);
            names.extend([if names.is_empty() { "" } else { ";" }, name]);
        }
        canonical.extend(["\n", &names, "\n", self.payload]);

        let mut signed = String::with_capacity(256);
        signed.extend([ALGORITHM, "\n", &moment.date, "\n", &moment.scope, "\n"]);
        push_hexadecimal(&mut signed, digest::digest(&digest::SHA256, canonical.as_bytes()).as_ref());
        let signature = hmac::sign(&moment.key, signed.as_bytes());

        let mut authorization = String::with_capacity(256 + names.len());
        let key_id = moment.credential.key_id.as_str();
        authorization.extend([ALGORITHM, " Credential=", key_id, "/", &moment.scope, ", SignedHeaders=", &names]);
        authorization.push_str(", Signature=");
        push_hexadecimal(&mut authorization, signature.as_ref());
        Some([
            HeaderValue::from_str(&moment.date).ok()?,
            HeaderValue::from_static(self.payload),
            HeaderValue::try_from(authorization).ok()?,
        ])
    }

    /// What this second's signatures have in common.
    fn moment(&self, credential: &Arc<AwsCredential>, now: DateTime<Utc>) -> Arc<Moment> {
        let mut latest = self.latest.lock();
        let known = latest.as_ref().filter(|known| is_same(&known.credential, credential));
        if let Some(known) = known
            && known.second == now.timestamp()
        {
            return known.clone();
        }
        let day = now.format("%Y%m%d").to_string();
        let scope = format!("{day}/{}/s3/aws4_request", self.region);
        let key = match known {
            Some(known) if known.scope == scope => known.key.clone(),
            _ => signing_key(&credential.secret_key, &day, &self.region),
        };
        let date = now.format("%Y%m%dT%H%M%SZ").to_string();
        let moment = Arc::new(Moment { second: now.timestamp(), date, scope, credential: credential.clone(), key });
        *latest = Some(moment.clone());
        moment
    }
}

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

fn token(credential: &AwsCredential) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(credential.token.as_deref()?).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Whether two credentials are one identity's. Providers may make a new value for each request.
fn is_same(one: &Arc<AwsCredential>, other: &Arc<AwsCredential>) -> bool {
    Arc::ptr_eq(one, other)
        || (one.key_id == other.key_id && one.secret_key == other.secret_key && one.token == other.token)
}

fn signing_key(secret: &str, day: &str, region: &str) -> hmac::Key {
    let first = hmac::Key::new(hmac::HMAC_SHA256, format!("AWS4{secret}").as_bytes());
    [day, region, "s3", "aws4_request"]
        .iter()
        .fold(first, |key, part| hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&key, part.as_bytes()).as_ref()))
}

fn push_hexadecimal(text: &mut String, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        text.push(DIGITS[usize::from(byte >> 4)].into());
        text.push(DIGITS[usize::from(byte & 15)].into());
    }
}

#[cfg(test)]
mod tests {
    use http::Method;
    use object_store::aws::AwsAuthorizer;
    use object_store::client::HttpRequestBody;

    use super::*;

    fn credential(secret: &str, token: Option<&str>) -> Arc<AwsCredential> {
        let (key_id, secret_key) = ("AKIAIOSFODNN7EXAMPLE".to_owned(), secret.to_owned());
        Arc::new(AwsCredential { key_id, secret_key, token: token.map(str::to_owned) })
    }

    fn request(method: Method, uri: &str, headers: &[(&'static str, &'static str)]) -> HttpRequest {
        let mut request = HttpRequest::new(HttpRequestBody::empty());
        *request.method_mut() = method;
        *request.uri_mut() = uri.parse().unwrap();
        for (name, value) in headers {
            request.headers_mut().append(*name, value.parse().unwrap());
        }
        request
    }

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn authorization(request: &HttpRequest) -> &str {
        request.headers()[AUTHORIZATION].to_str().unwrap()
    }

    /// The example "GET Object" of Amazon's documentation of the header-based signature.
    #[test]
    fn the_documented_example_has_the_documented_signature() {
        let credential = credential("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", None);
        let mut request = request(
            Method::GET,
            "https://examplebucket.s3.amazonaws.com/test.txt",
            &[("range", "bytes=0-9"), ("user-agent", "not signed")],
        );
        let signer = ReadSigner::new("us-east-1", false);
        assert!(signer.sign_at(&mut request, &credential, at("2013-05-24T00:00:00Z")));
        assert_eq!(
            authorization(&request),
            "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, \
             SignedHeaders=host;range;x-amz-content-sha256;x-amz-date, \
             Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
        );
        assert_eq!(request.headers()[&DATE], "20130524T000000Z");
    }

    #[test]
    fn the_signature_is_that_of_object_store() {
        let headers: &[(&str, &str)] = &[("if-match", "\"a b\""), ("x-amz-meta-a", " spaced "), ("accept", "*/*")];
        for token in [None, Some("token/+=")] {
            let credential = credential("secret", token);
            let uri = "http://127.0.0.1:9000/bucket/a%20b/%C3%BC+~=";
            let mut ours = request(Method::HEAD, uri, headers);
            // object_store takes the time itself: try again until both fell into the same second.
            loop {
                assert!(ReadSigner::new("eu-west-1", true).sign(&mut ours, &credential));
                let mut theirs = request(Method::HEAD, uri, headers);
                AwsAuthorizer::new(&credential, "s3", "eu-west-1")
                    .with_sign_payload(false)
                    .try_authorize(&mut theirs, None)
                    .unwrap();
                if theirs.headers()[&DATE] == ours.headers()[&DATE] {
                    assert_eq!(ours.headers(), theirs.headers());
                    break;
                }
                ours = request(Method::HEAD, uri, headers);
            }
        }
    }

    #[test]
    fn a_new_day_and_new_credentials_have_new_keys() {
        let signer = ReadSigner::new("r", false);
        let sign = |credential: &Arc<AwsCredential>, time: &str| {
            let mut request = request(Method::GET, "http://h/b/k", &[]);
            assert!(signer.sign_at(&mut request, credential, at(time)));
            let fresh = ReadSigner::new("r", false);
            let mut again = self::request(Method::GET, "http://h/b/k", &[]);
            assert!(fresh.sign_at(&mut again, credential, at(time)));
            assert_eq!(request.headers(), again.headers(), "what is kept changes no signature");
            authorization(&request).to_owned()
        };
        let (first, second) = (credential("one", None), credential("two", None));
        let before = sign(&first, "2026-02-28T23:59:59Z");
        let after = sign(&first, "2026-03-01T00:00:00Z");
        assert!(before.contains("/20260228/") && after.contains("/20260301/"));
        assert_ne!(sign(&second, "2026-03-01T00:00:00Z"), after);
        assert_eq!(sign(&first, "2026-03-01T00:00:00Z"), after);
    }

    #[test]
    fn headers_that_need_more_than_a_copy_are_left_to_object_store() {
        let credential = credential("secret", None);
        for headers in [[("x-a", "1"), ("x-a", "2")], [("x-a", "1  2"), ("x-b", "")]] {
            let mut request = request(Method::GET, "http://h/b/k", &headers);
            assert!(!ReadSigner::new("r", false).sign(&mut request, &credential));
            assert!(!request.headers().contains_key(AUTHORIZATION));
        }
    }

    #[test]
    fn no_secret_is_shown() {
        let signer = ReadSigner::new("r", false);
        signer.sign(&mut request(Method::GET, "http://h/b/k", &[]), &credential("hunter2", Some("hunter3")));
        assert!(!format!("{signer:?}").contains("hunter"));
    }
}
