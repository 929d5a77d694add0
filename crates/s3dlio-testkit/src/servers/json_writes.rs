//! Writes for fake-gcs-server, which takes none over the XML API.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    Attribute, CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

use super::FakeGcs;

const STORE: &str = "fake-gcs-server";

/// A store under test for everything that reads, and the server's JSON API for whole puts and deletions; so the
/// contracts about reading can run. What it cannot do is `NotSupported`.
#[derive(Debug)]
pub(super) struct JsonWrites {
    pub(super) server: &'static FakeGcs,
    pub(super) bucket: String,
    pub(super) reader: Arc<dyn ObjectStore>,
}

impl fmt::Display for JsonWrites {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (written over JSON)", self.reader)
    }
}

fn not_supported<T>(what: &str) -> Result<T> {
    Err(Error::NotSupported { source: format!("{STORE}: {what}").into() })
}

#[async_trait]
impl ObjectStore for JsonWrites {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        let only_type = opts.attributes.iter().all(|(name, _)| *name == Attribute::ContentType);
        if opts.mode != PutMode::Overwrite || !only_type {
            return not_supported("puts with conditions or attributes");
        }
        let content_type = opts.attributes.get(&Attribute::ContentType).map_or("application/octet-stream", |v| v);
        let body = Bytes::from(payload);
        self.server.put_object(&self.bucket, location.as_ref(), content_type, &body);
        let meta = self.reader.get_opts(location, GetOptions::new().with_head(true)).await?.meta;
        Ok(PutResult { e_tag: meta.e_tag, version: meta.version, extensions: Default::default() })
    }

    async fn put_multipart_opts(&self, _: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        not_supported("multipart uploads")
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.reader.get_opts(location, options).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let (server, bucket) = (self.server, self.bucket.clone());
        locations
            .map(move |location| {
                let location = location?;
                if server.delete_object(&bucket, location.as_ref()) {
                    return Ok(location);
                }
                Err(Error::NotFound { path: location.to_string(), source: "no such object".into() })
            })
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.reader.list(prefix)
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.reader.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.reader.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.reader.copy_opts(from, to, options).await
    }
}
