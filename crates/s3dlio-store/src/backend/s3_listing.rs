//! Listings in the XML of ListObjectsV2, which S3 and Google's XML API speak.
//!
//! Keys travel as strings and arrive byte for byte. The listing asks for `encoding-type=url`, because XML cannot hold
//! every character that a key can; whether the server did encode is read from its answer, so a server that ignores the
//! parameter is understood as well. One page is one request, sent when the page is polled for.
//!
//! Nothing the server answers can make a listing endless or silently short: a page that says it is cut off and gives no
//! continuation token, a chain of tokens that comes back to where it was, and a key outside the prefix are errors.

use std::fmt::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::stream::{self, BoxStream, StreamExt};
use http::Method;
use object_store::client::{HttpRequest, HttpRequestBody};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode, utf8_percent_encode};
use serde::Deserialize;

use crate::backend::request::RequestSender;
use crate::error::{Error, ErrorKind, Operation, Result};
use crate::listing::{ListPage, ListRequest, Lister, ObjectEntry};

/// Everything but the unreserved characters of RFC 3986, which is what request signatures are computed over.
pub(crate) const QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The most keys that a page can have: S3's own limit.
const MAX_PAGE_SIZE: usize = 1000;

/// Lists one bucket by ListObjectsV2.
///
/// ```
/// use s3dlio_store::backend::request::RequestSender;
/// use s3dlio_store::backend::s3_listing::S3Listing;
/// use s3dlio_store::Lister;
///
/// fn lister(sender: RequestSender) -> Box<dyn Lister> {
///     Box::new(S3Listing::new(sender, "https://storage.googleapis.com/bucket", "gs://bucket"))
/// }
/// ```
#[derive(Debug, Clone)]
pub struct S3Listing(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    sender: RequestSender,
    bucket_url: String,
    name: String,
}

impl S3Listing {
    /// A lister of the bucket at `bucket_url` (`https://host/bucket` or `https://bucket.host`, no query), which errors
    /// call `name` (`s3://bucket`). `sender` signs the requests.
    pub fn new(sender: RequestSender, bucket_url: impl Into<String>, name: impl Into<String>) -> Self {
        Self(Arc::new(Inner { sender, bucket_url: bucket_url.into(), name: name.into() }))
    }
}

impl Lister for S3Listing {
    fn pages(&self, request: ListRequest) -> BoxStream<'static, Result<ListPage>> {
        let listing = self.0.clone();
        let walk = Walk { listing, request, next: Next::First, tokens: CycleDetector::default(), last_prefix: None };
        stream::unfold(walk, |mut walk| async {
            let items = walk.step().await?;
            Some((stream::iter(items), walk))
        })
        .flatten()
        .boxed()
    }
}

/// Which page comes next.
enum Next {
    First,
    After(String),
    Done,
}

/// One listing on its way through the pages.
struct Walk {
    listing: Arc<Inner>,
    request: ListRequest,
    next: Next,
    tokens: CycleDetector,
    last_prefix: Option<String>,
}

/// What a name in an answer stands for.
enum Name {
    Key(String),
    Prefix(String),
}

impl Walk {
    /// Fetches the next page. Gives the page and, behind it, the errors that it brought; `None` at the end.
    async fn step(&mut self) -> Option<Vec<Result<ListPage>>> {
        let token = match std::mem::replace(&mut self.next, Next::Done) {
            Next::First => None,
            Next::After(token) => Some(token),
            Next::Done => return None,
        };
        let answer = match self.fetch(token.as_deref()).await {
            Ok(answer) => answer,
            Err(error) => return Some(vec![Err(error)]),
        };
        let (page, mut errors) = match self.read(&answer) {
            Ok(read) => read,
            Err(error) => return Some(vec![Err(error)]),
        };
        match self.follow(answer) {
            Ok(next) => self.next = next,
            Err(error) => errors.push(error),
        }
        Some(std::iter::once(Ok(page)).chain(errors.into_iter().map(Err)).collect())
    }

    async fn fetch(&self, token: Option<&str>) -> Result<Answer> {
        let url = page_url(&self.listing.bucket_url, &self.request, token);
        let mut request = HttpRequest::new(HttpRequestBody::empty());
        *request.method_mut() = Method::GET;
        *request.uri_mut() =
            url.parse().map_err(|error| self.error(ErrorKind::Config, "the endpoint's address").with_source(error))?;
        let (_, body) = self.listing.sender.send(Operation::List, &self.uri(), request).await?;
        self.parse(&body)
    }

    fn parse(&self, body: &Bytes) -> Result<Answer> {
        let text = std::str::from_utf8(body)
            .map_err(|error| self.error(ErrorKind::Integrity, "the listing is not UTF-8").with_source(error))?;
        // serde would take any document for an empty listing: every field of an answer can be absent.
        if !text.contains("ListBucketResult") {
            return Err(self.error(ErrorKind::Integrity, "the answer is not a listing"));
        }
        quick_xml::de::from_str(text)
            .map_err(|error| self.error(ErrorKind::Integrity, "malformed listing").with_source(error))
    }

    /// The page of an answer, and an error for each name that is not text.
    fn read(&mut self, answer: &Answer) -> Result<(ListPage, Vec<Error>)> {
        let is_encoded = answer.is_encoded();
        let mut page = ListPage::default();
        let mut errors = Vec::new();
        for object in &answer.contents {
            match self.name(&object.key, is_encoded)? {
                Ok(Name::Key(key)) => page.objects.push(ObjectEntry {
                    key,
                    size: object.size,
                    last_modified: object.last_modified,
                    e_tag: object.e_tag.clone(),
                }),
                Ok(Name::Prefix(prefix)) => self.add_prefix(&mut page, prefix),
                Err(error) => errors.push(error),
            }
        }
        for prefix in answer.common_prefixes.iter().filter_map(|common| common.prefix.as_deref()) {
            match self.name(prefix, is_encoded)? {
                Ok(Name::Key(prefix) | Name::Prefix(prefix)) => self.add_prefix(&mut page, prefix),
                Err(error) => errors.push(error),
            }
        }
        page.objects.retain(|object| self.is_after_start(&object.key));
        Ok((page, errors))
    }

    /// A key as the store has it, or the prefix that it is folded into: SeaweedFS does not fold at the first `/` if the
    /// start key lies below it. The inner error concerns one name, the outer one the listing.
    fn name(&self, written: &str, is_encoded: bool) -> Result<Result<Name>> {
        let name = if is_encoded {
            match decode(written) {
                Some(name) => name,
                None => {
                    return Ok(Err(self.error(ErrorKind::Unsupported, format!("the key {written:?} is not UTF-8"))));
                }
            }
        } else {
            written.to_owned()
        };
        let Some(rest) = name.strip_prefix(&self.request.prefix) else {
            // Whoever deletes or copies what a prefix holds relies on this.
            let message = format!("the server listed {name:?}, which does not start with {:?}", self.request.prefix);
            return Err(self.error(ErrorKind::Integrity, message));
        };
        Ok(Ok(match rest.find('/').filter(|_| self.request.delimiter) {
            Some(slash) => Name::Prefix(name[..=self.request.prefix.len() + slash].to_owned()),
            None => Name::Key(name),
        }))
    }

    /// Adds a folded prefix unless it is the last one once more, or not after the start key, as the one that the start
    /// key lies in is not.
    fn add_prefix(&mut self, page: &mut ListPage, prefix: String) {
        if self.is_after_start(&prefix) && self.last_prefix.as_ref() != Some(&prefix) {
            self.last_prefix = Some(prefix.clone());
            page.prefixes.push(prefix);
        }
    }

    fn is_after_start(&self, name: &str) -> bool {
        self.request.start_after.as_deref().is_none_or(|start| name > start)
    }

    /// Where to go on after `answer`.
    fn follow(&mut self, answer: Answer) -> Result<Next> {
        if !answer.is_truncated {
            return Ok(Next::Done);
        }
        let Some(token) = answer.next_continuation_token.filter(|token| !token.is_empty()) else {
            return Err(self
                .error(ErrorKind::Integrity, "the server says that there is more to list, but not where it goes on"));
        };
        if self.tokens.comes_back(&token) {
            return Err(self.error(ErrorKind::Integrity, "the server's pages go round in a circle"));
        }
        Ok(Next::After(token))
    }

    fn uri(&self) -> String {
        match self.request.prefix.as_str() {
            "" => self.listing.name.clone(),
            prefix => format!("{}/{prefix}", self.listing.name),
        }
    }

    fn error(&self, kind: ErrorKind, message: impl Into<String>) -> Error {
        Error::new(kind, Operation::List, self.uri()).with_message(message)
    }
}

/// Finds a cycle in a sequence of tokens in constant memory, as Brent's algorithm does: it remembers one token and
/// takes a new one to remember after 1, 2, 4, 8 … steps, so that a cycle of any length is met within a few turns.
#[derive(Default)]
pub(crate) struct CycleDetector {
    remembered: Option<String>,
    steps: u64,
    limit: u64,
}

impl CycleDetector {
    pub(crate) fn comes_back(&mut self, token: &str) -> bool {
        if self.remembered.as_deref() == Some(token) {
            return true;
        }
        self.steps += 1;
        if self.steps > self.limit {
            self.limit = self.steps * 2;
            self.steps = 0;
            self.remembered = Some(token.to_owned());
        }
        false
    }
}

/// The address of one page.
fn page_url(bucket_url: &str, request: &ListRequest, token: Option<&str>) -> String {
    let mut url = format!("{bucket_url}?list-type=2&encoding-type=url");
    let mut add = |name: &str, value: &str| {
        // Writing to a string cannot fail.
        let _ = write!(url, "&{name}={}", utf8_percent_encode(value, QUERY));
    };
    if let Some(token) = token {
        add("continuation-token", token);
    }
    if request.delimiter {
        add("delimiter", "/");
    }
    if let Some(size) = request.page_size {
        add("max-keys", &size.clamp(1, MAX_PAGE_SIZE).to_string());
    }
    if !request.prefix.is_empty() {
        add("prefix", &request.prefix);
    }
    if let (Some(start_after), None) = (&request.start_after, token) {
        add("start-after", start_after);
    }
    url
}

/// A name of an answer that is URL-encoded: S3 writes a space as `+` and a plus as `%2B`.
fn decode(written: &str) -> Option<String> {
    let spaced = written.replace('+', " ");
    percent_decode(spaced.as_bytes()).decode_utf8().ok().map(|name| name.into_owned())
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    #[serde(default)]
    contents: Vec<Object>,
    #[serde(default)]
    common_prefixes: Vec<CommonPrefix>,
    #[serde(default)]
    is_truncated: bool,
    next_continuation_token: Option<String>,
    encoding_type: Option<String>,
}

impl Answer {
    /// Whether the names are URL-encoded: the server says so, and none of them contradicts it. (s3s-fs repeats
    /// `encoding-type=url` and encodes nothing. A name that reads well either way is then taken for encoded.)
    fn is_encoded(&self) -> bool {
        let says_so = self.encoding_type.as_deref().is_some_and(|kind| kind.eq_ignore_ascii_case("url"));
        let prefixes = self.common_prefixes.iter().filter_map(|common| common.prefix.as_deref());
        says_so && self.contents.iter().map(|object| object.key.as_str()).chain(prefixes).all(can_be_encoded)
    }
}

/// Whether a name could have come out of a URL encoder: nothing but printable ASCII, no space, and each `%` followed by
/// two hexadecimal digits.
fn can_be_encoded(name: &str) -> bool {
    let is_hex = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_hexdigit);
    let bytes = name.as_bytes();
    bytes.iter().enumerate().all(|(index, byte)| match byte {
        b'%' => is_hex(bytes.get(index + 1)) && is_hex(bytes.get(index + 2)),
        byte => byte.is_ascii_graphic(),
    })
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Object {
    #[serde(default)]
    key: String,
    size: u64,
    last_modified: DateTime<Utc>,
    #[serde(rename = "ETag")]
    e_tag: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct CommonPrefix {
    prefix: Option<String>,
}

#[cfg(test)]
mod tests;
