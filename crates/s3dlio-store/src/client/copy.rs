//! Copies and renames: by the server within one store, streamed between stores.

use futures::StreamExt;
use object_store::{CopyMode, ObjectStoreExt, RenameOptions, RenameTargetMode};

use super::{Client, IntoLocation, ObjectInfo, Opened, PutMode, PutOptions};
use crate::error::{Error, ErrorKind, Operation, Result};

/// How to copy or rename.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CopyOptions {
    /// Whether a target that exists is kept, with the error `AlreadyExists`.
    pub keep_existing: bool,
}

impl Client {
    /// Copies one object with its content type and metadata. Within one bucket the server copies; between stores the
    /// bytes stream through in constant memory.
    ///
    /// # Errors
    /// What either store says; nothing partial is left at the target.
    pub async fn copy(&self, from: impl IntoLocation, to: impl IntoLocation, options: CopyOptions) -> Result<()> {
        let (from, to) = (self.open(from).await?, self.open(to).await?);
        self.run(Operation::Copy, &from.location, self.copy_opened(&from, &to, options)).await
    }

    async fn copy_opened(&self, from: &Opened, to: &Opened, options: CopyOptions) -> Result<()> {
        if is_same_store(from, to) {
            let (source, target) = (from.target(Operation::Copy)?, to.target(Operation::Copy)?);
            let mode = if options.keep_existing { CopyMode::Create } else { CopyMode::Overwrite };
            let copied = {
                let _permit = source.limiter.acquire().await;
                let copy = object_store::CopyOptions::default().with_mode(mode);
                source.store.copy_opts(&source.path, &target.path, copy).await
            };
            let error = match copied {
                Ok(()) => return Ok(()),
                Err(error) => Error::from_store(error, Operation::Copy, &*source.uri),
            };
            // The server refuses what it cannot copy itself: S3 objects over 5 GiB, for one.
            if !matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Unsupported) || options.keep_existing {
                return Err(error);
            }
            tracing::debug!(%error, "the server does not copy this object; streaming it");
        }
        Box::pin(self.stream_copy(from, to, options)).await
    }

    async fn stream_copy(&self, from: &Opened, to: &Opened, options: CopyOptions) -> Result<()> {
        let source = from.target(Operation::Copy)?;
        let mut stream = from.engine.stream(&source, None, &self.cancel).await?;
        let info = ObjectInfo::new(from.location.clone(), stream.meta.clone(), &stream.attributes);
        let put = PutOptions {
            mode: if options.keep_existing { PutMode::Create } else { PutMode::Overwrite },
            content_type: info.content_type,
            metadata: info.metadata,
        };
        let mut writer = self.writer_with(&to.location, put).await?;
        while let Some(chunk) = stream.next().await {
            writer.write(chunk?).await?;
        }
        writer.finish().await.map(drop)
    }

    /// Moves one object: by the server within one bucket (for files: atomically), by copy and delete between stores.
    ///
    /// # Errors
    /// What either store says. The source is removed only after the target is complete.
    pub async fn rename(&self, from: impl IntoLocation, to: impl IntoLocation, options: CopyOptions) -> Result<()> {
        let (from, to) = (self.open(from).await?, self.open(to).await?);
        self.run(Operation::Rename, &from.location, self.rename_opened(&from, &to, options)).await
    }

    async fn rename_opened(&self, from: &Opened, to: &Opened, options: CopyOptions) -> Result<()> {
        let source = from.target(Operation::Rename)?;
        if from.location.scheme().is_file_system() && is_same_store(from, to) {
            let target = to.target(Operation::Rename)?;
            let mode = if options.keep_existing { RenameTargetMode::Create } else { RenameTargetMode::Overwrite };
            let renamed = source
                .store
                .rename_opts(&source.path, &target.path, RenameOptions::default().with_target_mode(mode))
                .await;
            return renamed.map_err(|error| Error::from_store(error, Operation::Rename, &*source.uri));
        }
        if from.location == to.location {
            return Ok(());
        }
        self.copy_opened(from, to, options).await?;
        let _permit = source.limiter.acquire().await;
        let deleted = source.store.delete(&source.path).await;
        deleted.map_err(|error| Error::from_store(error, Operation::Rename, &*source.uri))
    }
}

fn is_same_store(from: &Opened, to: &Opened) -> bool {
    from.store.name == to.store.name
}
