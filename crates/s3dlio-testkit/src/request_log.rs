//! What an in-process server was asked.

use std::sync::Arc;

use http::{HeaderMap, Method};
use parking_lot::Mutex;

/// One request as the server received it.
#[derive(Debug, Clone)]
pub struct RequestRecord {
    /// GET, HEAD, PUT and so on.
    pub method: Method,
    /// The path as it was sent, percent-encoded.
    pub path: String,
    /// The query as it was sent, without the question mark; empty when there is none.
    pub query: String,
    /// All headers.
    pub headers: HeaderMap,
}

impl RequestRecord {
    pub(crate) fn new<B>(request: &http::Request<B>) -> Self {
        Self {
            method: request.method().clone(),
            path: request.uri().path().to_owned(),
            query: request.uri().query().unwrap_or_default().to_owned(),
            headers: request.headers().clone(),
        }
    }

    /// A header's value as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The Range header.
    pub fn range(&self) -> Option<&str> {
        self.header("range")
    }

    /// The operation in S3's words (`GetObject`, `UploadPart` and so on), for a path-style request. Google's XML API is
    /// read the same way.
    pub fn operation(&self) -> &'static str {
        let has = |name: &str| self.query.split('&').any(|pair| pair.split('=').next() == Some(name));
        let mut segments = self.path.trim_start_matches('/').splitn(2, '/');
        let bucket = segments.next().unwrap_or_default();
        let key = segments.next().unwrap_or_default();
        let copies = self.headers.contains_key("x-amz-copy-source") || self.headers.contains_key("x-goog-copy-source");
        match (self.method.as_str(), !bucket.is_empty(), !key.is_empty()) {
            ("GET", false, _) => "ListBuckets",
            ("GET", true, false) if has("uploads") => "ListMultipartUploads",
            ("GET", true, false) if has("location") => "GetBucketLocation",
            ("GET", true, false) if has("versions") => "ListObjectVersions",
            ("GET", true, false) if has("list-type") => "ListObjectsV2",
            ("GET", true, false) => "ListObjects",
            ("HEAD", true, false) => "HeadBucket",
            ("PUT", true, false) => "CreateBucket",
            ("DELETE", true, false) => "DeleteBucket",
            ("POST", true, false) if has("delete") => "DeleteObjects",
            ("GET", true, true) if has("uploadId") => "ListParts",
            ("GET", true, true) => "GetObject",
            ("HEAD", true, true) => "HeadObject",
            ("PUT", true, true) if has("uploadId") && copies => "UploadPartCopy",
            ("PUT", true, true) if has("uploadId") => "UploadPart",
            ("PUT", true, true) if copies => "CopyObject",
            ("PUT", true, true) => "PutObject",
            ("POST", true, true) if has("uploads") => "CreateMultipartUpload",
            ("POST", true, true) if has("uploadId") => "CompleteMultipartUpload",
            ("DELETE", true, true) if has("uploadId") => "AbortMultipartUpload",
            ("DELETE", true, true) => "DeleteObject",
            _ => "other",
        }
    }
}

/// The requests that a server received, in the order of their arrival.
#[derive(Debug, Clone, Default)]
pub struct RequestLog {
    records: Arc<Mutex<Vec<RequestRecord>>>,
}

impl RequestLog {
    pub(crate) fn push(&self, record: RequestRecord) {
        self.records.lock().push(record);
    }

    /// Every request so far.
    pub fn records(&self) -> Vec<RequestRecord> {
        self.records.lock().clone()
    }

    /// How many requests came.
    pub fn len(&self) -> usize {
        self.records.lock().len()
    }

    /// Whether none came.
    pub fn is_empty(&self) -> bool {
        self.records.lock().is_empty()
    }

    /// How many requests had this method.
    pub fn count_method(&self, method: &Method) -> usize {
        self.count(|record| record.method == *method)
    }

    /// How many requests were this operation, in S3's words; see [`RequestRecord::operation`].
    pub fn count_operation(&self, operation: &str) -> usize {
        self.count(|record| record.operation() == operation)
    }

    /// How many requests satisfy a condition.
    pub fn count(&self, condition: impl Fn(&RequestRecord) -> bool) -> usize {
        self.records.lock().iter().filter(|record| condition(record)).count()
    }

    /// Forgets everything, so that what follows can be counted by itself.
    pub fn clear(&self) {
        self.records.lock().clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_are_told_apart() {
        let operation = |method: &str, target: &str| {
            let request = http::Request::builder().method(method).uri(target).body(()).unwrap();
            RequestRecord::new(&request).operation()
        };
        assert_eq!(operation("GET", "/b/k"), "GetObject");
        assert_eq!(operation("GET", "/b/k/uploads?x-id=GetObject"), "GetObject");
        assert_eq!(operation("GET", "/b?list-type=2&prefix=uploads"), "ListObjectsV2");
        assert_eq!(operation("GET", "/b/?uploads"), "ListMultipartUploads");
        assert_eq!(operation("PUT", "/b/k?partNumber=1&uploadId=x"), "UploadPart");
        assert_eq!(operation("POST", "/b/k?uploads="), "CreateMultipartUpload");
        assert_eq!(operation("DELETE", "/b/k?uploadId=x"), "AbortMultipartUpload");
        assert_eq!(operation("HEAD", "/b/k"), "HeadObject");
        assert_eq!(operation("GET", "/"), "ListBuckets");
    }
}
