//! object_store's Azure client, with three things set right.
//!
//! - Its addresses lose the `/` at the end of a key, so that `dir/` would be `dir`. A key that ends in `/` is passed on
//!   with one `/` more, of which it loses one.
//! - A copy may go on after the service has answered. A copy is done here when the service says that it is, so that
//!   what a rename removes has really been copied.
//! - A listing with an offset relies on a start key that the emulator ignores. The keys are compared here.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::{BoxStream, StreamExt};
use http::response::Parts;
use http::{HeaderValue, Method, header};
use object_store::azure::{AzureCredential, MicrosoftAzure};
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::{Path, PathPart};
use object_store::{
    CopyMode, CopyOptions, GetOptions, GetResult, ListResult, MultipartId, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult,
};
use std::sync::Arc;
use url::Url;

use super::credentials::Credentials;
use crate::backend::request::RequestSender;
use crate::error::{Error, ErrorKind, Operation};

/// Pause between two looks at a copy that goes on. Copies within an account take milliseconds; those that do not are
/// large, and can wait for the next look.
const COPY_POLL_FIRST: Duration = Duration::from_millis(50);
const COPY_POLL_LAST: Duration = Duration::from_secs(2);

/// One container.
#[derive(Debug, Clone)]
pub(super) struct AzureStore {
    pub(super) inner: MicrosoftAzure,
    pub(super) sender: RequestSender,
    pub(super) credentials: Arc<Credentials>,
    pub(super) container_url: Url,
    pub(super) name: String,
}

impl fmt::Display for AzureStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// The path that object_store's client turns into the address of `path`.
fn wire(path: &Path) -> Path {
    if path.as_ref().ends_with('/') { path.clone().join(empty_part()) } else { path.clone() }
}

/// The path that [`wire`] was given.
fn unwire(path: Path) -> Path {
    match path.as_ref().strip_suffix("//") {
        Some(rest) => rest.split('/').fold(Path::ROOT, join).join(empty_part()),
        None => path,
    }
}

fn join(path: Path, segment: &str) -> Path {
    // A segment of a path is one, so parsing it again cannot fail.
    path.join(PathPart::parse(segment).unwrap_or_else(|_| empty_part()))
}

fn empty_part() -> PathPart<'static> {
    // An empty segment is valid: it has no character that could not be.
    PathPart::parse("").unwrap_or_default()
}

#[async_trait]
impl ObjectStore for AzureStore {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> object_store::Result<PutResult> {
        self.inner.put_opts(&wire(location), payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(&wire(location), options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> object_store::Result<GetResult> {
        let mut result = self.inner.get_opts(&wire(location), options).await?;
        result.meta.location = location.clone();
        Ok(result)
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, object_store::Result<Path>>,
    ) -> BoxStream<'static, object_store::Result<Path>> {
        let locations = locations.map(|location| location.map(|path| wire(&path))).boxed();
        self.inner.delete_stream(locations).map(|deleted| deleted.map(unwire)).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        let offset = offset.clone();
        let after = move |meta: &object_store::Result<ObjectMeta>| match meta {
            Ok(meta) => meta.location > offset,
            Err(_) => true,
        };
        self.inner.list(prefix).filter(move |meta| std::future::ready(after(meta))).boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> object_store::Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> object_store::Result<()> {
        self.copy(from, to, options.mode).await.map_err(Error::into_store)
    }
}

impl AzureStore {
    async fn copy(&self, from: &Path, to: &Path, mode: CopyMode) -> Result<(), Error> {
        let uri = format!("{}/{to}", self.name);
        let mut source = self.object_url(from);
        if let Some(AzureCredential::SASToken(pairs)) = self.credentials.current().await?.as_deref() {
            // The service reads the source as whoever the address says; the signature of the request is not for it.
            source.query_pairs_mut().extend_pairs(pairs);
        }
        let mut request = super::request(Method::PUT, self.object_url(to).as_str())?;
        let mut source = HeaderValue::from_str(source.as_str())
            .map_err(|error| Error::new(ErrorKind::InvalidInput, Operation::Copy, uri.clone()).with_source(error))?;
        source.set_sensitive(true);
        request.headers_mut().insert("x-ms-copy-source", source);
        request.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
        if let CopyMode::Create = mode {
            request.headers_mut().insert(header::IF_NONE_MATCH, HeaderValue::from_static("*"));
        }
        let answer = self.sender.send(Operation::Copy, &uri, request).await;
        let (mut answer, _) = answer.map_err(|error| match (error.kind(), mode) {
            // The one condition of the request is that the target is not there.
            (ErrorKind::PreconditionFailed, CopyMode::Create) => {
                Error::new(ErrorKind::AlreadyExists, Operation::Copy, uri.clone()).with_source(error)
            }
            (ErrorKind::NotFound, _) => {
                Error::new(ErrorKind::NotFound, Operation::Copy, format!("{}/{from}", self.name)).with_source(error)
            }
            _ => error,
        })?;
        let mut pause = COPY_POLL_FIRST;
        loop {
            match copy_status(&answer) {
                "pending" => {}
                "success" | "" => return Ok(()),
                status => {
                    let reason = text(&answer, "x-ms-copy-status-description");
                    return Err(Error::new(ErrorKind::Server, Operation::Copy, uri)
                        .with_message(format!("the service ended the copy: {status}: {reason}")));
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(COPY_POLL_LAST);
            let look = super::request(Method::HEAD, self.object_url(to).as_str())?;
            answer = self.sender.send(Operation::Copy, &uri, look).await?.0;
        }
    }

    fn object_url(&self, path: &Path) -> Url {
        let mut url = self.container_url.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.extend(path.as_ref().split('/'));
        }
        url
    }
}

/// How a copy stands: `pending`, `success`, `failed` or `aborted`; empty if the server does not say, as one that
/// answers when the copy is done.
fn copy_status(answer: &Parts) -> &str {
    text(answer, "x-ms-copy-status")
}

fn text<'a>(answer: &'a Parts, name: &str) -> &'a str {
    answer.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

#[async_trait]
impl MultipartStore for AzureStore {
    async fn create_multipart(&self, path: &Path) -> object_store::Result<MultipartId> {
        self.inner.create_multipart(&wire(path)).await
    }

    async fn create_multipart_opts(
        &self,
        path: &Path,
        options: PutMultipartOptions,
    ) -> object_store::Result<MultipartId> {
        self.inner.create_multipart_opts(&wire(path), options).await
    }

    async fn put_part(
        &self,
        path: &Path,
        id: &MultipartId,
        index: usize,
        data: PutPayload,
    ) -> object_store::Result<PartId> {
        self.inner.put_part(&wire(path), id, index, data).await
    }

    async fn complete_multipart(
        &self,
        path: &Path,
        id: &MultipartId,
        parts: Vec<PartId>,
    ) -> object_store::Result<PutResult> {
        self.inner.complete_multipart(&wire(path), id, parts).await
    }

    async fn abort_multipart(&self, path: &Path, id: &MultipartId) -> object_store::Result<()> {
        self.inner.abort_multipart(&wire(path), id).await
    }
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
