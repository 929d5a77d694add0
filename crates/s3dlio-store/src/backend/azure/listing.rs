//! Listings of a container, in the XML of List Blobs.
//!
//! Keys travel as strings and arrive byte for byte; a name that XML cannot hold is sent percent-encoded and marked so.
//! One page is one request, sent when the page is polled for.
//!
//! The service has no start key that all its versions and the emulator know: a listing that starts after a key walks
//! over the pages before it and keeps nothing of them. In accounts with a hierarchical namespace directories are
//! entries of their own; they have no bytes, and are listed as markers, with a `/` at the end.
//!
//! Nothing the server answers can make a listing endless or silently short: a chain of
//! markers that comes back to where it was, a document
//! that is cut off, and a name outside the prefix are errors.

use std::fmt::Write as _;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use futures::stream::{self, BoxStream, StreamExt};
use http::Method;
use percent_encoding::{percent_decode_str, utf8_percent_encode};
use serde::{Deserialize, Deserializer};

use crate::backend::request::RequestSender;
use crate::backend::s3_listing::{CycleDetector, QUERY};
use crate::error::{Error, ErrorKind, Operation, Result};
use crate::listing::{ListPage, ListRequest, Lister, ObjectEntry};

/// The most entries that a page can have: the service's own limit.
const MAX_PAGE_SIZE: usize = 5000;

/// Lists one container.
#[derive(Debug)]
pub(super) struct Listing(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    sender: RequestSender,
    container_url: String,
    name: String,
}

impl Listing {
    /// A lister of the container at `container_url`, which errors call `name`.
    pub(super) fn new(sender: RequestSender, container_url: String, name: String) -> Self {
        Self(Arc::new(Inner { sender, container_url, name }))
    }
}

impl Lister for Listing {
    fn pages(&self, request: ListRequest) -> BoxStream<'static, Result<ListPage>> {
        let walk =
            Walk { listing: self.0.clone(), request, next: Some(String::new()), markers: CycleDetector::default() };
        stream::unfold(walk, |mut walk| async {
            let items = walk.step().await?;
            Some((stream::iter(items), walk))
        })
        .flatten()
        .boxed()
    }
}

/// One listing on its way through the pages.
struct Walk {
    listing: Arc<Inner>,
    request: ListRequest,
    /// The marker of the next page, empty for the first; none at the end.
    next: Option<String>,
    markers: CycleDetector,
}

impl Walk {
    /// Fetches the next page. Gives the page and, behind it, the errors that it brought; `None` at the end.
    async fn step(&mut self) -> Option<Vec<Result<ListPage>>> {
        let marker = self.next.take()?;
        match self.fetch(&marker).await {
            Ok((page, errors)) => Some(std::iter::once(Ok(page)).chain(errors.into_iter().map(Err)).collect()),
            Err(error) => Some(vec![Err(error)]),
        }
    }

    async fn fetch(&mut self, marker: &str) -> Result<(ListPage, Vec<Error>)> {
        let url = page_url(&self.listing.container_url, &self.request, marker);
        let request = super::request(Method::GET, &url)?;
        let (_, body) = self.listing.sender.send(Operation::List, &self.uri(), request).await?;
        let answer: Answer = parse(&body, "EnumerationResults").map_err(|error| error.at(&self.uri()))?;
        let (page, mut errors) = self.read(answer.blobs)?;
        match answer.next_marker.filter(|next| !next.is_empty()) {
            Some(next) if self.markers.comes_back(&next) => {
                errors.push(self.error(ErrorKind::Integrity, "the server's pages go round in a circle"));
            }
            next => self.next = next,
        }
        Ok((page, errors))
    }

    /// The page of an answer, and an error for each name that is not text.
    fn read(&self, entries: Entries) -> Result<(ListPage, Vec<Error>)> {
        let mut page = ListPage::default();
        let mut errors = Vec::new();
        for entry in entries.entries {
            let (Entry::Blob(Blob { name, .. }) | Entry::BlobPrefix(BlobPrefix { name })) = &entry;
            let mut key = match name.decode() {
                Ok(key) => key,
                Err(written) => {
                    errors.push(self.error(ErrorKind::Unsupported, format!("the key {written:?} is not UTF-8")));
                    continue;
                }
            };
            if !key.starts_with(&self.request.prefix) {
                // Whoever deletes or copies what a prefix holds relies on this.
                let message = format!("the server listed {key:?}, which does not start with {:?}", self.request.prefix);
                return Err(self.error(ErrorKind::Integrity, message));
            }
            if let Entry::Blob(blob) = &entry
                && blob.is_directory()
                && !key.ends_with('/')
            {
                key.push('/');
            }
            if self.request.start_after.as_ref().is_some_and(|start| key <= *start) {
                continue;
            }
            match entry {
                Entry::BlobPrefix(_) => page.prefixes.push(key),
                Entry::Blob(blob) => page.objects.push(ObjectEntry {
                    key,
                    size: blob.properties.content_length,
                    last_modified: blob.properties.last_modified,
                    e_tag: blob.properties.e_tag.map(quoted),
                }),
            }
        }
        Ok((page, errors))
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

/// The address of one page.
fn page_url(container_url: &str, request: &ListRequest, marker: &str) -> String {
    let mut url = format!("{container_url}?restype=container&comp=list");
    let mut add = |name: &str, value: &str| {
        // Writing to a string cannot fail.
        let _ = write!(url, "&{name}={}", utf8_percent_encode(value, QUERY));
    };
    if request.delimiter {
        add("delimiter", "/");
    }
    if !marker.is_empty() {
        add("marker", marker);
    }
    if let Some(size) = request.page_size {
        add("maxresults", &size.clamp(1, MAX_PAGE_SIZE).to_string());
    }
    if !request.prefix.is_empty() {
        add("prefix", &request.prefix);
    }
    url
}

/// Listings write the tag bare, every other answer writes it in quotes, which conditions need.
fn quoted(tag: String) -> String {
    if tag.ends_with('"') { tag } else { format!("\"{tag}\"") }
}

/// Why a document could not be read.
#[derive(Debug)]
pub(super) struct Malformed {
    message: &'static str,
    source: Option<quick_xml::DeError>,
}

impl Malformed {
    pub(super) fn at(self, uri: &str) -> Error {
        let error = Error::new(ErrorKind::Integrity, Operation::List, uri).with_message(self.message);
        match self.source {
            Some(source) => error.with_source(source),
            None => error,
        }
    }
}

/// Reads a document whose root is `root`.
pub(super) fn parse<'a, T: Deserialize<'a>>(body: &'a [u8], root: &str) -> Result<T, Malformed> {
    let text =
        std::str::from_utf8(body).map_err(|_| Malformed { message: "the listing is not UTF-8", source: None })?;
    // serde would take any document for an empty listing: every field of an answer can be absent.
    if !text.contains(root) {
        return Err(Malformed { message: "the answer is not a listing", source: None });
    }
    // The service begins its documents with a byte order mark.
    quick_xml::de::from_str(text.trim_start_matches('\u{feff}'))
        .map_err(|source| Malformed { message: "malformed listing", source: Some(source) })
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    #[serde(default)]
    blobs: Entries,
    next_marker: Option<String>,
}

/// Blobs and folded prefixes, mixed, in the order of the service.
#[derive(Debug, Default, Deserialize)]
struct Entries {
    #[serde(rename = "$value", default)]
    entries: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
enum Entry {
    Blob(Blob),
    BlobPrefix(BlobPrefix),
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Blob {
    name: Name,
    properties: Properties,
    metadata: Option<Metadata>,
}

impl Blob {
    fn is_directory(&self) -> bool {
        self.properties.resource_type.as_deref() == Some("directory")
            || self.metadata.as_ref().and_then(|metadata| metadata.is_folder.as_deref()) == Some("true")
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct BlobPrefix {
    name: Name,
}

#[derive(Debug, Deserialize)]
struct Name {
    #[serde(rename = "@Encoded", default)]
    encoded: bool,
    #[serde(rename = "$text", default)]
    text: String,
}

impl Name {
    /// The name as the store has it, or as it is written if it is not text.
    fn decode(&self) -> Result<String, &str> {
        if !self.encoded {
            return Ok(self.text.clone());
        }
        percent_decode_str(&self.text).decode_utf8().map(|name| name.into_owned()).map_err(|_| self.text.as_str())
    }
}

#[derive(Debug, Deserialize)]
struct Properties {
    #[serde(rename = "Content-Length", default)]
    content_length: u64,
    #[serde(rename = "Last-Modified", deserialize_with = "http_date")]
    last_modified: DateTime<Utc>,
    #[serde(rename = "Etag")]
    e_tag: Option<String>,
    #[serde(rename = "ResourceType")]
    resource_type: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Metadata {
    #[serde(rename = "hdi_isfolder")]
    is_folder: Option<String>,
}

fn http_date<'de, D: Deserializer<'de>>(deserializer: D) -> Result<DateTime<Utc>, D::Error> {
    let text = String::deserialize(deserializer)?;
    DateTime::parse_from_rfc2822(&text).map(|date| date.to_utc()).map_err(serde::de::Error::custom)
}

#[cfg(test)]
#[path = "listing_tests.rs"]
mod tests;
