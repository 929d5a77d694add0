//! The buckets of a project, by the JSON API: <https://cloud.google.com/storage/docs/json_api/v1/buckets>

use std::fmt::Write as _;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::{HeaderValue, Method, header};
use object_store::client::{HttpRequest, HttpRequestBody};
use percent_encoding::utf8_percent_encode;
use serde::Deserialize;

use crate::backend::request::RequestSender;
use crate::backend::s3_listing::{CycleDetector, QUERY};
use crate::buckets::{BucketEntry, Buckets};
use crate::error::{Error, ErrorKind, Operation, Result};

/// Makes, removes and lists the buckets of one project.
#[derive(Debug)]
pub(super) struct GcsBuckets {
    pub(super) sender: RequestSender,
    pub(super) endpoint: String,
    pub(super) project: Option<String>,
}

#[async_trait]
impl Buckets for GcsBuckets {
    async fn create(&self, name: &str) -> Result<()> {
        let operation = Operation::CreateBucket;
        let project = self.project(operation)?;
        let body = serde_json::json!({ "name": name }).to_string();
        self.send(operation, Method::POST, name, &format!("?project={project}"), body).await?;
        Ok(())
    }

    async fn delete(&self, name: &str) -> Result<()> {
        let operation = Operation::DeleteBucket;
        let path = format!("/{}", utf8_percent_encode(name, QUERY));
        match self.send(operation, Method::DELETE, name, &path, String::new()).await {
            Ok(_) => Ok(()),
            // Conflict: here it can only mean that something is in the bucket.
            Err(error) if matches!(error.kind(), ErrorKind::AlreadyExists | ErrorKind::PreconditionFailed) => {
                Err(Error::new(ErrorKind::PreconditionFailed, operation, format!("gs://{name}"))
                    .with_source(error)
                    .with_hint("delete what is in it first"))
            }
            Err(error) => Err(error),
        }
    }

    async fn list(&self) -> Result<Vec<BucketEntry>> {
        let operation = Operation::ListBuckets;
        let project = self.project(operation)?;
        let mut found = Vec::new();
        let mut token = String::new();
        let mut tokens = CycleDetector::default();
        loop {
            let mut query = format!("?project={project}&projection=noAcl");
            if !token.is_empty() {
                // Writing to a string cannot fail.
                let _ = write!(query, "&pageToken={}", utf8_percent_encode(&token, QUERY));
            }
            let body = self.send(operation, Method::GET, "", &query, String::new()).await?;
            let page: Page = serde_json::from_slice(&body).map_err(|error| {
                self.error(ErrorKind::Integrity, operation, "malformed list of buckets").with_source(error)
            })?;
            found
                .extend(page.items.into_iter().map(|item| BucketEntry { name: item.name, created: item.time_created }));
            match page.next_page_token.filter(|next| !next.is_empty()) {
                None => return Ok(found),
                Some(next) if tokens.comes_back(&next) => {
                    return Err(self.error(ErrorKind::Integrity, operation, "the server's pages go round in a circle"));
                }
                Some(next) => token = next,
            }
        }
    }
}

impl GcsBuckets {
    /// The project, ready for a query.
    fn project(&self, operation: Operation) -> Result<String> {
        let project = self.project.as_deref().ok_or_else(|| {
            self.error(ErrorKind::Config, operation, "no project is configured")
                .with_hint("set GOOGLE_CLOUD_PROJECT to the project that the buckets belong to")
        })?;
        Ok(utf8_percent_encode(project, QUERY).to_string())
    }

    async fn send(
        &self,
        operation: Operation,
        method: Method,
        bucket: &str,
        target: &str,
        body: String,
    ) -> Result<Bytes> {
        let mut request = HttpRequest::new(HttpRequestBody::empty());
        *request.method_mut() = method;
        *request.uri_mut() = format!("{}/storage/v1/b{target}", self.endpoint).parse().map_err(|error| {
            self.error(ErrorKind::Config, operation, "the endpoint and the name do not make an address")
                .with_source(error)
        })?;
        if !body.is_empty() {
            request.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
            request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            *request.body_mut() = HttpRequestBody::from(body);
        }
        let (_, body) = self.sender.send(operation, &format!("gs://{bucket}"), request).await?;
        Ok(body)
    }

    fn error(&self, kind: ErrorKind, operation: Operation, message: &str) -> Error {
        Error::new(kind, operation, "gs://").with_message(message)
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    #[serde(default)]
    items: Vec<Item>,
    next_page_token: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Item {
    name: String,
    time_created: Option<DateTime<Utc>>,
}
