//! A small HTTP/1.1 server for given objects: GET, HEAD, ranges, ETag, conditional requests.
//!
//! It behaves as RFC 9110 says, unless [`Behaviour`] asks it not to, and logs every request.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::stream;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use md5::{Digest, Md5};
use parking_lot::Mutex;
use percent_encoding::percent_decode_str;

use crate::http_semantics::{Asked, asked_range, failed_condition, http_date};
use crate::in_process::ServerThread;
use crate::request_log::{RequestLog, RequestRecord};

/// A chunked answer comes in chunks of this size.
const CHUNK: usize = 16 * 1024;

/// What the server does other than RFC 9110 recommends. The default is to behave.
#[derive(Debug, Clone, Copy, Default)]
pub struct Behaviour {
    /// Answers 200 with the whole object to a range request, as servers without ranges do.
    pub ignore_range: bool,
    /// Sends bodies chunked, without Content-Length; a HEAD then tells no size.
    pub chunked: bool,
    /// Sends no ETag.
    pub no_etag: bool,
    /// Sends no Last-Modified.
    pub no_last_modified: bool,
    /// Ignores If-Match and the other conditions.
    pub ignore_conditions: bool,
    /// Refuses HEAD with 405.
    pub refuse_head: bool,
}

#[derive(Debug, Clone)]
struct Object {
    body: Bytes,
    content_type: String,
    etag: String,
    last_modified: DateTime<Utc>,
}

#[derive(Debug, Default)]
struct State {
    objects: Mutex<HashMap<String, Object>>,
    behaviour: Mutex<Behaviour>,
    log: RequestLog,
}

/// A running server; see the [module](self).
#[derive(Debug)]
pub struct HttpServer {
    server: ServerThread,
    state: Arc<State>,
}

impl HttpServer {
    /// Starts a server without objects.
    ///
    /// # Errors
    ///
    /// When no port can be had.
    pub fn start() -> io::Result<Self> {
        let state = Arc::new(State::default());
        let served = state.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let response = served.answer(&request);
            async move { Ok::<_, Infallible>(response) }
        });
        Ok(Self { server: ServerThread::start_http("http-server", service)?, state })
    }

    /// Serves `body` at `path` (not percent-encoded, with its leading slash), instead of what was there.
    pub fn put(&self, path: &str, body: impl Into<Bytes>) {
        self.put_with_type(path, body, "application/octet-stream");
    }

    /// The same with a content type.
    pub fn put_with_type(&self, path: &str, body: impl Into<Bytes>, content_type: &str) {
        let body = body.into();
        let object = Object {
            etag: format!("\"{}\"", base16(&Md5::digest(&body))),
            body,
            content_type: content_type.to_owned(),
            last_modified: Utc::now(),
        };
        self.state.objects.lock().insert(path.to_owned(), object);
    }

    /// Stops serving what is at a path.
    pub fn remove(&self, path: &str) {
        self.state.objects.lock().remove(path);
    }

    /// Changes how the server behaves from the next request on.
    pub fn set_behaviour(&self, behaviour: Behaviour) {
        *self.state.behaviour.lock() = behaviour;
    }

    /// The address it listens on.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// The same as a URL, `http://127.0.0.1:PORT`.
    pub fn endpoint(&self) -> String {
        self.server.endpoint()
    }

    /// Every request so far.
    pub fn log(&self) -> &RequestLog {
        &self.state.log
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

type Answer = Response<BoxBody<Bytes, Infallible>>;

impl State {
    fn answer(&self, request: &Request<Incoming>) -> Answer {
        self.log.push(RequestRecord::new(request));
        let behaviour = *self.behaviour.lock();
        let head = request.method() == Method::HEAD;
        if !matches!(*request.method(), Method::GET | Method::HEAD) || (head && behaviour.refuse_head) {
            return empty(StatusCode::METHOD_NOT_ALLOWED);
        }
        let path = percent_decode_str(request.uri().path()).decode_utf8_lossy();
        let Some(object) = self.objects.lock().get(path.as_ref()).cloned() else {
            return empty(StatusCode::NOT_FOUND);
        };
        if !behaviour.ignore_conditions
            && let Some(status) = failed_condition(request.headers(), &object.etag, object.last_modified)
        {
            return empty(status);
        }
        let size = object.body.len() as u64;
        let asked = if behaviour.ignore_range { Asked::Whole } else { asked_range(request.headers(), size) };
        let mut response = match asked {
            Asked::Unsatisfiable => {
                let mut response = empty(StatusCode::RANGE_NOT_SATISFIABLE);
                response.headers_mut().insert(header::CONTENT_RANGE, text(&format!("bytes */{size}")));
                return response;
            }
            Asked::Whole => body(object.body.clone(), head, behaviour),
            Asked::Part(range) => {
                let part = object.body.slice(range.start as usize..range.end as usize);
                let mut response = body(part, head, behaviour);
                *response.status_mut() = StatusCode::PARTIAL_CONTENT;
                let content_range = format!("bytes {}-{}/{size}", range.start, range.end - 1);
                response.headers_mut().insert(header::CONTENT_RANGE, text(&content_range));
                response
            }
        };
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, text(&object.content_type));
        if !behaviour.ignore_range {
            headers.insert(header::ACCEPT_RANGES, text("bytes"));
        }
        if !behaviour.no_etag {
            headers.insert(header::ETAG, text(&object.etag));
        }
        if !behaviour.no_last_modified {
            headers.insert(header::LAST_MODIFIED, text(&http_date(object.last_modified)));
        }
        response
    }
}

fn body(bytes: Bytes, head: bool, behaviour: Behaviour) -> Answer {
    if behaviour.chunked {
        let mut rest = if head { Bytes::new() } else { bytes };
        let chunks = std::iter::from_fn(move || {
            let chunk = rest.split_to(rest.len().min(CHUNK));
            (!chunk.is_empty()).then(|| Ok(Frame::data(chunk)))
        });
        return Response::new(BodyExt::boxed(StreamBody::new(stream::iter(chunks))));
    }
    let length = bytes.len();
    let mut response = full(if head { Bytes::new() } else { bytes });
    response.headers_mut().insert(header::CONTENT_LENGTH, length.into());
    response
}

fn empty(status: StatusCode) -> Answer {
    let mut response = full(Bytes::new());
    *response.status_mut() = status;
    response
}

fn full(bytes: Bytes) -> Answer {
    Response::new(Full::new(bytes).boxed())
}

fn text(value: &str) -> HeaderValue {
    HeaderValue::from_str(value).expect("the server's own headers are ASCII")
}

/// Bytes in hexadecimal.
fn base16(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
