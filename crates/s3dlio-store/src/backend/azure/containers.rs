//! The containers of an account.

use async_trait::async_trait;
use http::{HeaderValue, Method, header};
use object_store::client::HttpRequest;
use serde::Deserialize;
use url::Url;

use super::listing::parse;
use super::settings::push;
use crate::backend::request::RequestSender;
use crate::backend::s3_listing::CycleDetector;
use crate::buckets::{BucketEntry, Buckets};
use crate::error::{Error, ErrorKind, Operation, Result};

/// Makes, removes and lists the containers of one account.
#[derive(Debug)]
pub(super) struct Containers {
    pub(super) sender: RequestSender,
    pub(super) account: String,
    pub(super) account_url: Url,
}

#[async_trait]
impl Buckets for Containers {
    async fn create(&self, name: &str) -> Result<()> {
        let uri = self.uri(name);
        let request = self.container_request(Method::PUT, name, "restype=container")?;
        self.sender.send(Operation::CreateBucket, &uri, request).await?;
        Ok(())
    }

    /// The service removes a container with all that is in it. So it is looked into first; a blob that is written
    /// between the look and the removal goes with the container.
    async fn delete(&self, name: &str) -> Result<()> {
        let uri = self.uri(name);
        let operation = Operation::DeleteBucket;
        let request = self.container_request(Method::GET, name, "restype=container&comp=list&maxresults=1")?;
        let (_, body) = self.sender.send(operation, &uri, request).await?;
        let answer: Contents = parse(&body, "EnumerationResults").map_err(|malformed| malformed.at(&uri))?;
        if !answer.blobs.is_empty() || answer.next_marker.is_some_and(|marker| !marker.is_empty()) {
            return Err(Error::new(ErrorKind::PreconditionFailed, operation, uri)
                .with_message("the container is not empty")
                .with_hint("delete what is in it first"));
        }
        let request = self.container_request(Method::DELETE, name, "restype=container")?;
        self.sender.send(operation, &uri, request).await?;
        Ok(())
    }

    async fn list(&self) -> Result<Vec<BucketEntry>> {
        let uri = self.uri("");
        let operation = Operation::ListBuckets;
        let mut found = Vec::new();
        let mut marker = String::new();
        let mut markers = CycleDetector::default();
        loop {
            let mut url = self.account_url.clone();
            if url.path() != "/" {
                // The service's own address ends in a slash; the path style of the emulator is the account's.
                push(&mut url, "");
            }
            url.query_pairs_mut().append_pair("comp", "list");
            if !marker.is_empty() {
                url.query_pairs_mut().append_pair("marker", &marker);
            }
            let (_, body) = self.sender.send(operation, &uri, super::request(Method::GET, url.as_str())?).await?;
            let answer: Page = parse(&body, "EnumerationResults").map_err(|malformed| malformed.at(&uri))?;
            let names = answer.containers.containers.into_iter().map(|container| container.name);
            // The service does not say when a container was made, only when it last changed.
            found.extend(names.map(|name| BucketEntry { name, created: None }));
            match answer.next_marker.filter(|next| !next.is_empty()) {
                None => return Ok(found),
                Some(next) if markers.comes_back(&next) => {
                    return Err(Error::new(ErrorKind::Integrity, operation, uri)
                        .with_message("the server's pages go round in a circle"));
                }
                Some(next) => marker = next,
            }
        }
    }
}

impl Containers {
    fn container_request(&self, method: Method, name: &str, query: &str) -> Result<HttpRequest> {
        let mut url = self.account_url.clone();
        push(&mut url, name);
        url.set_query(Some(query));
        let has_body = method == Method::PUT;
        let mut request = super::request(method, url.as_str())?;
        if has_body {
            request.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        Ok(request)
    }

    fn uri(&self, name: &str) -> String {
        match name {
            "" => format!("az://{}", self.account),
            name => format!("az://{}/{name}", self.account),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Page {
    #[serde(default)]
    containers: List,
    next_marker: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
struct List {
    #[serde(rename = "Container", default)]
    containers: Vec<Container>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Container {
    name: String,
}

/// Whether a container holds anything.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Contents {
    #[serde(default)]
    blobs: Blobs,
    next_marker: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Blobs {
    #[serde(default)]
    blob: Vec<serde::de::IgnoredAny>,
}

impl Blobs {
    fn is_empty(&self) -> bool {
        self.blob.is_empty()
    }
}
