//! `http://` and `https://`: read-only access to any web server.
//!
//! The address of an object is the URI as it is written, its query included; only what cannot stand in an address at
//! all (spaces, letters beyond ASCII) is percent-encoded, and a fragment, which is for the reader and not for the
//! server, is left off. Redirects are followed by the transport.
//!
//! Servers promise little, so each answer is read for what it says. A server that ignores ranges sends the
//! whole object, and what was asked for is cut out of it; one that refuses HEAD is asked by GET; one that gives no size
//! is read to its end if that comes soon; conditions that a server ignores are checked here.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use futures::stream::{self, BoxStream, StreamExt};
use http::{HeaderName, HeaderValue, Method, header};
use object_store::client::{HttpClient, HttpError, HttpRequest, HttpRequestBody, HttpResponse};
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetRange, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult,
};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use crate::backend::Store;
use crate::backend::request::kind_of_status;
use crate::error::{Error, ErrorKind, Operation, Result};
use crate::listing::{ListPage, ListRequest, Lister};
use crate::transport::{RangeIgnored, Transport};
use crate::uri::Location;

mod answer;

use answer::{Answer, matches_any};

/// What cannot stand in an address. A `%` can: it is there because somebody has encoded what follows.
const NOT_IN_AN_ADDRESS: &AsciiSet =
    &CONTROLS.add(b' ').add(b'"').add(b'<').add(b'>').add(b'\\').add(b'^').add(b'`').add(b'{').add(b'|').add(b'}');

/// The most bytes of an object without a stated size that are read to learn it: enough for the pages and small files
/// that servers generate as they are asked for, and little beside any memory budget.
const LARGEST_WITHOUT_SIZE: usize = 16 * 1024 * 1024;

/// Opens the host that `location` names. Nothing is sent.
///
/// # Errors
/// [`ErrorKind::InvalidInput`] if the host and port are no part of an address.
///
/// ```
/// use s3dlio_store::backend::http;
/// use s3dlio_store::transport::Transport;
/// use s3dlio_store::{Location, UnifiedLoaderConfig};
///
/// let location = Location::parse("https://host:8443/set/a.bin?version=1")?;
/// let store = http::open(&location, &Transport::new(&UnifiedLoaderConfig::default())?)?;
/// assert_eq!(store.name, "https://host:8443");
/// # Ok::<(), s3dlio_store::Error>(())
/// ```
pub fn open(location: &Location, transport: &Transport) -> Result<Store> {
    let base = format!("{}://{}", location.scheme(), location.bucket());
    let invalid = || {
        Error::new(ErrorKind::InvalidInput, Operation::Open, location.to_string())
            .with_message(format!("{:?} is not a host with or without a port", location.bucket()))
    };
    let uri: http::Uri = base.parse().map_err(|error| invalid().with_source(error))?;
    // A port that is no number is not noticed by the parser.
    let host = uri.host().unwrap_or_default();
    let rest = uri.authority().and_then(|authority| authority.as_str().strip_prefix(host)).unwrap_or_default();
    let is_port = rest.is_empty() || uri.port_u16().is_some();
    if host.is_empty() || !is_port || uri.path() != "/" || uri.query().is_some() {
        return Err(invalid());
    }
    let objects =
        HttpStore { http: transport.http_client(), base: base.clone(), has_warned: Arc::new(AtomicBool::new(false)) };
    Ok(Store {
        scheme: location.scheme(),
        name: base.clone(),
        objects: Arc::new(objects),
        lister: Arc::new(NoLister { base }),
        multipart: None,
    })
}

/// One host.
#[derive(Debug)]
struct HttpStore {
    http: HttpClient,
    /// Scheme, host and port.
    base: String,
    /// Whether it has been said that the server ignores ranges.
    has_warned: Arc<AtomicBool>,
}

impl fmt::Display for HttpStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.base)
    }
}

impl HttpStore {
    fn url(&self, path: &Path) -> String {
        let written = path.as_ref().split('#').next().unwrap_or_default();
        format!("{}/{}", self.base, utf8_percent_encode(written, NOT_IN_AN_ADDRESS))
    }

    async fn get(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        let url = self.url(path);
        if options.version.is_some() {
            return Err(unsupported(Operation::Get, &url, "a web server has no versions"));
        }
        if options.head {
            let (meta, answer) = self.stat(path, &url, options).await?;
            return Ok(GetResult {
                range: 0..meta.size,
                attributes: answer.attributes(),
                extensions: answer.into_extensions(),
                payload: GetResultPayload::Stream(stream::empty().boxed()),
                meta,
            });
        }
        let range = options.range.clone();
        let answer = self.ask(Method::GET, &url, options).await?;
        let (answer, size) = answer.sized(LARGEST_WITHOUT_SIZE).await?;
        let meta = answer.meta(path, size);
        let attributes = answer.attributes();
        let wanted = match &range {
            None => 0..size,
            Some(range) => range.as_range(size).map_err(|error| {
                Error::new(ErrorKind::RangeNotSatisfiable, Operation::Get, shown(&url)).with_source(error)
            })?,
        };
        if range.is_some() && !answer.is_partial() && !self.has_warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(host = self.base, "the server ignores ranges: each is cut out of the whole object");
        }
        let is_cut = range.is_some() && !answer.is_partial();
        let (stream, mut extensions) = answer.into_stream(wanted.clone())?;
        if is_cut {
            extensions.insert(RangeIgnored);
        }
        Ok(GetResult { payload: GetResultPayload::Stream(stream), meta, range: wanted, attributes, extensions })
    }

    /// Asks by HEAD, and by GET where HEAD is refused or gives no size.
    async fn stat(&self, path: &Path, url: &str, options: GetOptions) -> Result<(ObjectMeta, Answer)> {
        let options = GetOptions { range: None, ..options };
        match self.ask(Method::HEAD, url, options.clone()).await {
            Ok(answer) => {
                if let Some(size) = answer.stated_size() {
                    return Ok((answer.meta(path, size), answer));
                }
            }
            Err(error) if is_about_the_method(error.kind()) => {}
            Err(error) => return Err(error),
        }
        let first_byte = GetOptions { range: Some(GetRange::Bounded(0..1)), ..options.clone() };
        let answer = match self.ask(Method::GET, url, first_byte).await {
            // An empty object has no first byte.
            Err(error) if error.kind() == ErrorKind::RangeNotSatisfiable => self.ask(Method::GET, url, options).await?,
            other => other?,
        };
        let (answer, size) = answer.sized(LARGEST_WITHOUT_SIZE).await?;
        Ok((answer.meta(path, size), answer))
    }

    /// Sends one request. The answer is one of success, and meets the conditions.
    async fn ask(&self, method: Method, url: &str, options: GetOptions) -> Result<Answer> {
        let operation = if method == Method::HEAD { Operation::Stat } else { Operation::Get };
        let conditions = (options.if_match.clone(), options.if_none_match.clone());
        let request = request(method, url, options)
            .ok_or_else(|| Error::new(ErrorKind::InvalidInput, operation, shown(url)).with_message("not an address"))?;
        let response = self.http.execute(request).await.map_err(|error| of_http(error, operation, url))?;
        if !response.status().is_success() {
            return Err(refused(response, operation, url).await);
        }
        let answer = Answer::new(response, url);
        if conditions.0.is_some_and(|tags| !matches_any(&tags, answer.e_tag())) {
            return Err(Error::new(ErrorKind::PreconditionFailed, operation, shown(url))
                .with_message(format!("the ETag is now {}", answer.e_tag().unwrap_or("missing"))));
        }
        if conditions.1.is_some_and(|tags| answer.e_tag().is_some() && matches_any(&tags, answer.e_tag())) {
            return Err(Error::new(ErrorKind::NotModified, operation, shown(url)));
        }
        Ok(answer)
    }

    fn read_only(&self, operation: Operation, path: &Path) -> object_store::Error {
        unsupported(operation, &self.url(path), "http is read-only").into_store()
    }
}

fn request(method: Method, url: &str, options: GetOptions) -> Option<HttpRequest> {
    let mut request = HttpRequest::new(HttpRequestBody::empty());
    *request.method_mut() = method;
    *request.uri_mut() = url.parse().ok()?;
    *request.extensions_mut() = options.extensions;
    let date = |date: chrono::DateTime<chrono::Utc>| date.format("%a, %d %b %Y %H:%M:%S GMT").to_string();
    let mut add = |name: HeaderName, value: Option<String>| {
        if let Some(value) = value {
            request.headers_mut().insert(name, HeaderValue::from_str(&value).ok()?);
        }
        Some(())
    };
    add(header::RANGE, options.range.map(|range| range.to_string()))?;
    // A weak tag never matches in If-Match; the answer's tag is compared instead.
    add(header::IF_MATCH, options.if_match.filter(|tags| !tags.contains("W/")))?;
    add(header::IF_NONE_MATCH, options.if_none_match)?;
    add(header::IF_MODIFIED_SINCE, options.if_modified_since.map(date))?;
    add(header::IF_UNMODIFIED_SINCE, options.if_unmodified_since.map(date))?;
    Some(request)
}

/// Whether a failed HEAD may be due to its being a HEAD: addresses that are signed for GET refuse it as forbidden.
fn is_about_the_method(kind: ErrorKind) -> bool {
    use ErrorKind as E;
    matches!(kind, E::PermissionDenied | E::Unauthenticated | E::InvalidInput | E::Unsupported | E::Other)
}

fn of_http(error: HttpError, operation: Operation, url: &str) -> Error {
    Error::from_store(object_store::Error::Generic { store: "http", source: Box::new(error) }, operation, shown(url))
}

async fn refused(response: HttpResponse, operation: Operation, url: &str) -> Error {
    let status = response.status();
    let said = response.into_body().bytes().await.unwrap_or_default();
    let message = match said.is_empty() {
        true => status.to_string(),
        false => format!("{status}: {}", String::from_utf8_lossy(&said)),
    };
    Error::new(kind_of_status(status), operation, shown(url)).with_message(message)
}

/// The address without its query, which may hold a signature.
fn shown(url: &str) -> &str {
    url.split('?').next().unwrap_or_default()
}

fn unsupported(operation: Operation, url: &str, message: &str) -> Error {
    Error::new(ErrorKind::Unsupported, operation, shown(url)).with_message(message)
}

#[async_trait]
impl ObjectStore for HttpStore {
    async fn get_opts(&self, location: &Path, options: GetOptions) -> object_store::Result<GetResult> {
        self.get(location, options).await.map_err(Error::into_store)
    }

    async fn put_opts(
        &self,
        location: &Path,
        _payload: PutPayload,
        _options: PutOptions,
    ) -> object_store::Result<PutResult> {
        Err(self.read_only(Operation::Put, location))
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        _options: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        Err(self.read_only(Operation::Put, location))
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, object_store::Result<Path>>,
    ) -> BoxStream<'static, object_store::Result<Path>> {
        let base = self.base.clone();
        locations
            .map(move |location| {
                let url = format!("{base}/{}", location?);
                Err(unsupported(Operation::Delete, &url, "http is read-only").into_store())
            })
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        let error = no_listing(&self.url(prefix.unwrap_or(&Path::ROOT)));
        stream::once(std::future::ready(Err(error.into_store()))).boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> object_store::Result<ListResult> {
        Err(no_listing(&self.url(prefix.unwrap_or(&Path::ROOT))).into_store())
    }

    async fn copy_opts(&self, _from: &Path, to: &Path, _options: CopyOptions) -> object_store::Result<()> {
        Err(self.read_only(Operation::Copy, to))
    }
}

/// Says that a web server cannot be listed.
#[derive(Debug)]
struct NoLister {
    base: String,
}

impl Lister for NoLister {
    fn pages(&self, request: ListRequest) -> BoxStream<'static, Result<ListPage>> {
        let error = no_listing(&format!("{}/{}", self.base, request.prefix));
        stream::once(std::future::ready(Err(error))).boxed()
    }
}

fn no_listing(url: &str) -> Error {
    unsupported(Operation::List, url, "http has no listings").with_hint("name the objects one by one, or in a manifest")
}
