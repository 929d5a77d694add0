//! Google Cloud Storage's XML API, in process and in memory.
//!
//! fake-gcs-server does not take writes over the XML API, which is how `object_store` writes. This server does, and
//! keeps to Google's reference (<https://cloud.google.com/storage/docs/xml-api/reference-methods>) in what a client can
//! see: generations and their preconditions, ETags (MD5 of simple uploads), CRC32C in `x-goog-hash`, user metadata,
//! ranges, list-type 2 in byte order, multipart uploads with their limits, copies, error codes, bearer tokens.
//!
//! It also hands out its token as Google's token endpoint and metadata server do, so that those credential chains can
//! be tested: `POST /_oauth/token` and `GET /computeMetadata/v1/instance/service-accounts/default/token`.
//!
//! Not there: ACLs, HMAC signatures, signed URLs, decompressive transcoding, list-type 1, the JSON API.

mod bucket;
mod listing;
mod multipart;
mod object;
mod reply;

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use parking_lot::Mutex;
use percent_encoding::percent_decode_str;

use self::bucket::{Bucket, Object};
use self::reply::{Fail, Reply};
use crate::in_process::ServerThread;
use crate::request_log::{RequestLog, RequestRecord};

/// The bearer token that the server accepts.
const TOKEN: &str = "test-token";
/// The longest object name, in bytes.
const LONGEST_KEY: usize = 1024;

#[derive(Debug, Default)]
struct State {
    buckets: BTreeMap<String, Bucket>,
    /// Buckets whose objects anyone may read and list.
    public: BTreeSet<String>,
    /// Whether an object that is replaced or deleted can still be read by its generation.
    versioning: bool,
    last_generation: u64,
    last_upload: u64,
}

/// A running server; see the [module](self).
#[derive(Debug)]
pub struct GcsFront {
    server: ServerThread,
    state: Arc<Mutex<State>>,
    log: RequestLog,
}

impl GcsFront {
    /// Starts a server without buckets.
    ///
    /// # Errors
    ///
    /// When no port can be had.
    pub fn start() -> io::Result<Self> {
        let state = Arc::new(Mutex::new(State::default()));
        let log = RequestLog::default();
        let (served, logged) = (state.clone(), log.clone());
        let service = service_fn(move |request: Request<Incoming>| {
            logged.push(RequestRecord::new(&request));
            let state = served.clone();
            async move {
                let (parts, body) = request.into_parts();
                // A body that breaks off is a client that has gone: nobody reads the answer.
                let reply = match body.collect().await {
                    Ok(body) => answer(&state, &parts, body.to_bytes()),
                    Err(_) => Err(Fail::new(StatusCode::BAD_REQUEST, "IncompleteBody", "The body broke off.")),
                };
                Ok::<_, Infallible>(reply.unwrap_or_else(Fail::into_reply))
            }
        });
        Ok(Self { server: ServerThread::start_http("gcs-front", service)?, state, log })
    }

    /// Starts a server with one bucket.
    ///
    /// # Errors
    ///
    /// When no port can be had.
    pub fn start_with_bucket(bucket: &str) -> io::Result<Self> {
        let server = Self::start()?;
        server.create_bucket(bucket);
        Ok(server)
    }

    /// The endpoint, `http://127.0.0.1:PORT`.
    pub fn endpoint(&self) -> String {
        self.server.endpoint()
    }

    /// The address it listens on.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// The bearer token that it accepts; any other is answered with 401.
    pub fn token(&self) -> &'static str {
        TOKEN
    }

    /// Creates a bucket, if it does not exist.
    pub fn create_bucket(&self, bucket: &str) {
        self.state.lock().buckets.entry(bucket.to_owned()).or_default();
    }

    /// Lets anyone read and list a bucket without a token.
    pub fn make_public(&self, bucket: &str) {
        self.state.lock().public.insert(bucket.to_owned());
    }

    /// Whether objects that are replaced or deleted can still be read by their generation; off at first.
    pub fn set_versioning(&self, versioning: bool) {
        self.state.lock().versioning = versioning;
    }

    /// Writes an object; the key is taken as it is.
    ///
    /// # Panics
    ///
    /// When there is no such bucket.
    pub fn put_object(&self, bucket: &str, key: &str, body: impl Into<Bytes>) {
        let mut state = self.state.lock();
        let object = Object::new(&HeaderMap::new(), body.into());
        state.insert(bucket, key, object).unwrap_or_else(|_| panic!("there is no bucket {bucket}"));
    }

    /// The body of an object, if there is one.
    pub fn object(&self, bucket: &str, key: &str) -> Option<Bytes> {
        self.state.lock().buckets.get(bucket)?.live(key).map(|object| object.body.clone())
    }

    /// The keys of a bucket, in byte order.
    pub fn keys(&self, bucket: &str) -> Vec<String> {
        self.state.lock().buckets.get(bucket).map(Bucket::keys).unwrap_or_default()
    }

    /// The keys of the multipart uploads that are under way in a bucket.
    pub fn multipart_uploads(&self, bucket: &str) -> Vec<String> {
        let state = self.state.lock();
        let uploads = state.buckets.get(bucket).into_iter().flat_map(|bucket| bucket.uploads.values());
        uploads.map(|upload| upload.key.clone()).collect()
    }

    /// Every request so far.
    pub fn log(&self) -> &RequestLog {
        &self.log
    }

    /// Connections accepted since the start.
    pub fn accepted_connections(&self) -> usize {
        self.server.connections().accepted()
    }

    /// Connections open now.
    pub fn open_connections(&self) -> usize {
        self.server.connections().open()
    }
}

/// A request, taken apart.
struct Call<'a> {
    method: &'a Method,
    bucket: String,
    key: String,
    query: BTreeMap<String, String>,
    headers: &'a HeaderMap,
    body: Bytes,
}

impl Call<'_> {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

fn answer(state: &Mutex<State>, parts: &http::request::Parts, body: Bytes) -> Result<Reply, Fail> {
    if let Some(reply) = reply::token(parts, TOKEN) {
        return reply;
    }
    let mut segments = parts.uri.path().trim_start_matches('/').splitn(2, '/');
    let call = Call {
        method: &parts.method,
        bucket: decode(segments.next().unwrap_or_default())?,
        key: decode(segments.next().unwrap_or_default())?,
        query: query(parts.uri.query().unwrap_or_default())?,
        headers: &parts.headers,
        body,
    };
    if call.key.len() > LONGEST_KEY {
        return Err(Fail::new(StatusCode::BAD_REQUEST, "KeyTooLongError", "Your key is too long."));
    }
    let mut state = state.lock();
    authorize(&state, &call)?;
    let has = |name: &str| call.query.contains_key(name);
    match (call.method.as_str(), call.bucket.is_empty(), call.key.is_empty()) {
        ("GET", true, _) => listing::buckets(&state),
        ("GET", false, true) if has("uploads") => multipart::list(&state, &call),
        ("GET", false, true) => listing::objects(&state, &call),
        ("HEAD", false, true) => state.bucket(&call.bucket).map(|_| reply::empty(StatusCode::OK)),
        ("PUT", false, true) => bucket::create(&mut state, &call.bucket),
        ("DELETE", false, true) => bucket::delete(&mut state, &call.bucket),
        ("GET", false, false) if has("uploadId") => multipart::list_parts(&state, &call),
        ("GET" | "HEAD", false, false) => object::get(&state, &call),
        ("PUT", false, false) if has("uploadId") => multipart::put_part(&mut state, call),
        ("PUT", false, false) if call.headers.contains_key("x-goog-copy-source") => object::copy(&mut state, &call),
        ("PUT", false, false) => object::put(&mut state, call),
        ("POST", false, false) if has("uploads") => multipart::initiate(&mut state, &call),
        ("POST", false, false) if has("uploadId") => multipart::complete(&mut state, &call),
        ("DELETE", false, false) if has("uploadId") => multipart::abort(&mut state, &call),
        ("DELETE", false, false) => object::delete(&mut state, &call),
        _ => Err(Fail::new(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", "The method is not allowed here.")),
    }
}

/// A wrong token is 401; none is 403, unless the bucket is public and the request only reads.
fn authorize(state: &State, call: &Call<'_>) -> Result<(), Fail> {
    let Some(authorization) = call.header("authorization") else {
        let reads = matches!(call.method.as_str(), "GET" | "HEAD");
        return if reads && state.public.contains(&call.bucket) {
            Ok(())
        } else {
            Err(Fail::new(StatusCode::FORBIDDEN, "AccessDenied", "Anonymous caller does not have access."))
        };
    };
    if authorization.strip_prefix("Bearer ") == Some(TOKEN) {
        return Ok(());
    }
    Err(Fail::new(StatusCode::UNAUTHORIZED, "AuthenticationRequired", "Authentication required."))
}

fn decode(text: &str) -> Result<String, Fail> {
    let decoded = percent_decode_str(text).decode_utf8();
    decoded.map(Into::into).map_err(|_| Fail::new(StatusCode::BAD_REQUEST, "InvalidURI", "Couldn't parse the URI."))
}

/// A query's names and values; a plus sign is a space, as in a form.
fn query(text: &str) -> Result<BTreeMap<String, String>, Fail> {
    let pairs = text.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((decode(&name.replace('+', " "))?, decode(&value.replace('+', " "))?))
        })
        .collect()
}
