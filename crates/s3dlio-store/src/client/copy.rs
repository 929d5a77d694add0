//! Copies and renames: by the server within one store, streamed between stores.

use futures::StreamExt;
use object_store::{CopyMode, ObjectStoreExt, RenameOptions, RenameTargetMode};

use super::read::look_at;
use super::{Client, IntoLocation, ObjectInfo, Opened, PutMode, PutOptions};
use crate::error::{Error, ErrorKind, Operation, Result};
use crate::range_engine::Target;

/// How to copy or rename.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CopyOptions {
    /// Whether a target that exists is kept, with the error `AlreadyExists`.
    pub keep_existing: bool,
}

impl Client {
    /// Copies one object with its content type and metadata. Within one bucket the server copies; between stores the
    /// bytes stream through in constant memory. An object that is copied onto itself stays as it is.
    ///
    /// # Errors
    /// What either store says; nothing partial is left at the target.
    pub async fn copy(&self, from: impl IntoLocation, to: impl IntoLocation, options: CopyOptions) -> Result<()> {
        let (from, to) = (self.open(from).await?, self.open(to).await?);
        let (client, location) = (self.clone(), from.location.clone());
        let copy = async move { client.copy_opened(&from, &to, options).await };
        self.run(Operation::Copy, &location, copy).await
    }

    async fn copy_opened(&self, from: &Opened, to: &Opened, options: CopyOptions) -> Result<()> {
        let (source, target) = (from.target(Operation::Copy)?, to.target(Operation::Copy)?);
        if from.location == to.location {
            return stay(&source, Operation::Copy, options).await;
        }
        if is_same_store(from, to) {
            let error = match self.server_copy(from, &source, &target, options).await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            // The server refuses what it cannot copy itself: S3 objects over 5 GiB, for one.
            if !matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Unsupported) || options.keep_existing {
                return Err(error);
            }
            tracing::debug!(%error, "the server does not copy this object; streaming it");
        }
        Box::pin(self.stream_copy(from, to, options)).await
    }

    async fn server_copy(&self, from: &Opened, source: &Target, target: &Target, options: CopyOptions) -> Result<()> {
        let mode = if options.keep_existing { CopyMode::Create } else { CopyMode::Overwrite };
        let (source, to) = (source.clone(), target.path.clone());
        let copy = async move {
            let _permit = source.limiter.acquire().await;
            let copied =
                source.store.copy_opts(&source.path, &to, object_store::CopyOptions::default().with_mode(mode));
            copied.await.map_err(|error| Error::from_store(error, Operation::Copy, &*source.uri))
        };
        if !(options.keep_existing && from.location.scheme().is_network()) {
            return copy.await;
        }
        // S3 has no condition on a copy: what does it is an upload in parts, which nobody could abort if it were dropped
        // in the middle. Begun, it goes on to its end, and `Client::close` waits for it.
        match self.shared.cleanup.spawn(copy).await {
            Ok(copied) => copied,
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(error) => Err(Error::cancelled(Operation::Copy, from.location.to_string()).with_source(error)),
        }
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

    /// Moves one object: by the server within one bucket (for files: atomically), by copy and delete between stores. An
    /// object that is moved onto itself stays as it is.
    ///
    /// # Errors
    /// What either store says. The source is removed only after the target is complete.
    pub async fn rename(&self, from: impl IntoLocation, to: impl IntoLocation, options: CopyOptions) -> Result<()> {
        let (from, to) = (self.open(from).await?, self.open(to).await?);
        let (client, location) = (self.clone(), from.location.clone());
        let rename = async move { client.rename_opened(&from, &to, options).await };
        self.run(Operation::Rename, &location, rename).await
    }

    async fn rename_opened(&self, from: &Opened, to: &Opened, options: CopyOptions) -> Result<()> {
        let (source, target) = (from.target(Operation::Rename)?, to.target(Operation::Rename)?);
        if from.location == to.location {
            return stay(&source, Operation::Rename, options).await;
        }
        if is_same_file_system(from, to) {
            let mode = if options.keep_existing { RenameTargetMode::Create } else { RenameTargetMode::Overwrite };
            let renamed = source
                .store
                .rename_opts(&source.path, &target.path, RenameOptions::default().with_target_mode(mode))
                .await;
            return renamed.map_err(|error| Error::from_store(error, Operation::Rename, &*source.uri));
        }
        self.copy_opened(from, to, options).await?;
        let _permit = source.limiter.acquire().await;
        let deleted = source.store.delete(&source.path).await;
        deleted.map_err(|error| Error::from_store(error, Operation::Rename, &*source.uri))
    }
}

/// A copy or rename of an object onto itself: nothing to do, if it is there.
async fn stay(target: &Target, operation: Operation, options: CopyOptions) -> Result<()> {
    look_at(target, operation).await?;
    if options.keep_existing {
        return Err(Error::new(ErrorKind::AlreadyExists, operation, &*target.uri)
            .with_message("source and target are the same object"));
    }
    Ok(())
}

fn is_same_store(from: &Opened, to: &Opened) -> bool {
    from.store.name == to.store.name
}

/// Whether both are files of this machine: `file:///a` and `direct:///a` are one file, and a copy of one to the other
/// must not be followed by its deletion.
fn is_same_file_system(from: &Opened, to: &Opened) -> bool {
    let is_local = |opened: &Opened| {
        let scheme = opened.location.scheme();
        scheme.is_file_system() && opened.store.name == format!("{scheme}://")
    };
    let is_file_system = from.location.scheme().is_file_system();
    (is_file_system && is_same_store(from, to)) || (is_local(from) && is_local(to))
}
