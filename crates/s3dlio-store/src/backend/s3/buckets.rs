//! Buckets of an account: CreateBucket, DeleteBucket and ListBuckets.

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::{TryStreamExt, future};
use http::{HeaderValue, Method, header};
use object_store::client::{HttpRequest, HttpRequestBody};
use percent_encoding::utf8_percent_encode;
use serde::Deserialize;

use crate::backend::request::RequestSender;
use crate::backend::s3_listing::{CycleDetector, QUERY, S3Listing};
use crate::buckets::{BucketEntry, Buckets};
use crate::error::{Error, ErrorKind, Operation, Result};
use crate::listing::{ListRequest, Lister};

use super::endpoint::Endpoint;

/// The region that S3 takes for granted: a request that names it as the place of a bucket is refused.
const UNNAMED_REGION: &str = "us-east-1";

/// The buckets of one account.
#[derive(Debug)]
pub(super) struct S3Buckets {
    sender: RequestSender,
    endpoint: Endpoint,
}

impl S3Buckets {
    pub(super) fn new(sender: RequestSender, endpoint: Endpoint) -> Self {
        Self { sender, endpoint }
    }

    async fn send(&self, operation: Operation, method: Method, bucket: &str, body: String) -> Result<()> {
        let uri = format!("s3://{bucket}");
        let url = self.endpoint.bucket_url(bucket).map_err(|error| error.into_error(operation, &uri))?;
        let request = request(method, &url, body).map_err(|error| error.with(operation, &uri))?;
        self.sender.send(operation, &uri, request).await.map(|_| ())
    }

    /// Whether there is a key to list. Without the right to list, that is the server's to know.
    async fn holds_something(&self, bucket: &str) -> Result<bool> {
        let uri = format!("s3://{bucket}");
        let url = self.endpoint.bucket_url(bucket).map_err(|error| error.into_error(Operation::DeleteBucket, &uri))?;
        let request = ListRequest { page_size: Some(1), ..Default::default() };
        let pages = S3Listing::new(self.sender.clone(), url, &uri).pages(request);
        let mut keys = pages.try_filter(|page| future::ready(!page.objects.is_empty()));
        match keys.try_next().await {
            Ok(found) => Ok(found.is_some()),
            Err(error) if error.kind() == ErrorKind::PermissionDenied => Ok(false),
            Err(error) => Err(Error::new(error.kind(), Operation::DeleteBucket, uri).with_source(error)),
        }
    }
}

#[async_trait]
impl Buckets for S3Buckets {
    async fn create(&self, name: &str) -> Result<()> {
        // In us-east-1, and on most other servers, S3 answers 200 to the owner who makes a bucket again.
        match self.send(Operation::CreateBucket, Method::HEAD, name, String::new()).await {
            Ok(()) => {
                return Err(Error::new(ErrorKind::AlreadyExists, Operation::CreateBucket, format!("s3://{name}"))
                    .with_message("the bucket is yours already"));
            }
            Err(error) if error.kind() == ErrorKind::InvalidInput || error.kind().is_transient() => return Err(error),
            Err(_) => {}
        }
        let body = match self.endpoint.region() {
            UNNAMED_REGION => String::new(),
            region => format!(
                "<CreateBucketConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
                 <LocationConstraint>{region}</LocationConstraint></CreateBucketConfiguration>"
            ),
        };
        self.send(Operation::CreateBucket, Method::PUT, name, body).await
    }

    async fn delete(&self, name: &str) -> Result<()> {
        let full = || {
            Error::new(ErrorKind::PreconditionFailed, Operation::DeleteBucket, format!("s3://{name}"))
                .with_hint("delete what the bucket holds first")
        };
        // S3 refuses to delete a bucket that holds something; other servers (SeaweedFS by default) delete it with all
        // that it holds.
        if self.holds_something(name).await? {
            return Err(full().with_message("the bucket is not empty"));
        }
        let result = self.send(Operation::DeleteBucket, Method::DELETE, name, String::new()).await;
        result.map_err(|error| match error.kind() {
            // 409, which S3 answers for a bucket that exists when it is made, and for one that is not empty here.
            ErrorKind::AlreadyExists => full().with_source(error),
            _ => error,
        })
    }

    async fn list(&self) -> Result<Vec<BucketEntry>> {
        let uri = "s3://";
        let error = |kind, message| Error::new(kind, Operation::ListBuckets, uri).with_message(message);
        let mut found = Vec::new();
        let mut tokens = CycleDetector::default();
        let mut url = format!("{}/", self.endpoint.url());
        loop {
            let request =
                request(Method::GET, &url, String::new()).map_err(|error| error.with(Operation::ListBuckets, uri))?;
            let (_, body) = self.sender.send(Operation::ListBuckets, uri, request).await?;
            let answer = parse(&body).ok_or_else(|| error(ErrorKind::Integrity, "malformed list of buckets"))?;
            let buckets = answer.buckets.into_iter().flat_map(|buckets| buckets.bucket);
            found.extend(buckets.map(|bucket| BucketEntry { name: bucket.name, created: bucket.creation_date }));
            let Some(token) = answer.continuation_token.filter(|token| !token.is_empty()) else { break };
            if tokens.comes_back(&token) {
                return Err(error(ErrorKind::Integrity, "the server's pages go round in a circle"));
            }
            url = format!("{}/?continuation-token={}", self.endpoint.url(), utf8_percent_encode(&token, QUERY));
        }
        found.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }
}

struct BadAddress(http::uri::InvalidUri);

impl BadAddress {
    fn with(self, operation: Operation, uri: &str) -> Error {
        Error::new(ErrorKind::InvalidInput, operation, uri).with_source(self.0)
    }
}

fn request(method: Method, url: &str, body: String) -> Result<HttpRequest, BadAddress> {
    let has_body = !body.is_empty();
    let mut request = HttpRequest::new(HttpRequestBody::from(body));
    *request.method_mut() = method;
    *request.uri_mut() = url.parse().map_err(BadAddress)?;
    if has_body {
        request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    }
    Ok(request)
}

fn parse(body: &Bytes) -> Option<Answer> {
    let text = std::str::from_utf8(body).ok()?;
    // Every field can be absent, so any document would do.
    text.contains("ListAllMyBucketsResult").then_some(())?;
    quick_xml::de::from_str(text).ok()
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    buckets: Option<BucketList>,
    continuation_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct BucketList {
    #[serde(default)]
    bucket: Vec<Bucket>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Bucket {
    name: String,
    creation_date: Option<DateTime<Utc>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_whether_it_holds_buckets_or_not() {
        let full = "<ListAllMyBucketsResult><Buckets><Bucket><Name>b</Name><CreationDate>2026-01-02T03:04:05.000Z\
                    </CreationDate></Bucket><Bucket><Name>a</Name></Bucket></Buckets></ListAllMyBucketsResult>";
        let answer = parse(&Bytes::from(full)).unwrap();
        let names: Vec<_> = answer.buckets.unwrap().bucket.into_iter().map(|bucket| bucket.name).collect();
        assert_eq!(names, ["b", "a"]);
        for empty in ["<ListAllMyBucketsResult/>", "<ListAllMyBucketsResult><Buckets/></ListAllMyBucketsResult>"] {
            let answer = parse(&Bytes::from(empty)).unwrap();
            assert!(answer.buckets.is_none_or(|buckets| buckets.bucket.is_empty()), "{empty}");
        }
        assert!(parse(&Bytes::from("<html/>")).is_none());
    }
}
