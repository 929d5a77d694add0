//! Multipart uploads: parts are written at their offsets into one temporary file, at once and in any order.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use futures::FutureExt;
use object_store::path::Path;
use object_store::{Attributes, MultipartUpload, PutMode, PutPayload, PutResult, Result, UploadPart};

use super::attributes;
use super::key::Key;
use super::write::{Handle, Staged, Staging, Writer};
use crate::error::{Error, ErrorKind, Operation};

/// An upload in progress. Dropping it removes the temporary file.
#[derive(Debug)]
pub(crate) struct Upload {
    staging: Staging,
    staged: Arc<Staged>,
    uri: String,
    /// Where the next part begins.
    offset: u64,
    begun: usize,
    written: Arc<AtomicUsize>,
}

impl Upload {
    pub(crate) async fn begin(writer: &Writer, location: &Path, attributes: Attributes) -> Result<Self> {
        let key = Key::parse(&writer.root, Operation::Write, location)?;
        let uri = writer.root.uri(key.as_str());
        let staging = Staging::new();
        let (writer, handle) = (writer.clone(), staging.handle());
        let staged = super::blocking(move || {
            let staged = handle.stage(&writer, Operation::Write, &key)?;
            attributes::write(&writer.root, key.as_str(), &staged.file.cached, &attributes)?;
            Ok(staged)
        })
        .await?;
        Ok(Self { staging, staged: Arc::new(staged), uri, offset: 0, begun: 0, written: Arc::default() })
    }

    fn handle(&self) -> Handle {
        self.staging.handle()
    }
}

#[async_trait]
impl MultipartUpload for Upload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let offset = self.offset;
        self.offset += data.content_length() as u64;
        self.begun += 1;
        let (staged, handle, written) = (self.staged.clone(), self.handle(), self.written.clone());
        async move {
            super::blocking(move || {
                let data: Vec<Bytes> = data.into_iter().collect();
                staged.write(&handle, offset, &data)?;
                written.fetch_add(1, Ordering::Release);
                Ok(())
            })
            .await
        }
        .boxed()
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let written = self.written.load(Ordering::Acquire);
        let result = if written == self.begun {
            let (staged, handle) = (self.staged.clone(), self.handle());
            super::blocking(move || staged.commit(&handle, &PutMode::Overwrite)).await
        } else {
            Err(Error::new(ErrorKind::InvalidInput, Operation::Write, &self.uri)
                .with_message(format!("{written} of {} parts are written", self.begun))
                .with_hint("the future of every part must end well before the upload is completed")
                .into_store())
        };
        if result.is_err() {
            self.abort().await?;
        }
        result
    }

    async fn abort(&mut self) -> Result<()> {
        let handle = self.handle();
        super::blocking(move || {
            handle.discard();
            Ok(())
        })
        .await
    }
}
