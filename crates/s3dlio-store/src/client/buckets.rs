//! Buckets and containers.

use super::{Client, IntoLocation};
use crate::backend::Account;
use crate::buckets::BucketEntry;
use crate::cancel::or_cancelled;
use crate::error::{Error, ErrorKind, Operation, Result};
use crate::uri::Location;

impl Client {
    /// Makes the bucket or container that `uri` names; its key must be empty. For files, makes the directory.
    ///
    /// # Errors
    /// `AlreadyExists`, `PermissionDenied`, `Unsupported` where there are no buckets.
    pub async fn create_bucket(&self, uri: impl IntoLocation) -> Result<()> {
        let location = uri.into_location()?;
        let operation = Operation::CreateBucket;
        if location.scheme().is_file_system() {
            return directory(&location, operation, |path| std::fs::create_dir(path));
        }
        let bucket = self.bucket_of(&location, operation)?;
        let account = self.account(&location, operation).await?;
        self.run(operation, &location, async move { account.create(&bucket).await }).await
    }

    /// Removes the empty bucket or container that `uri` names. For files, removes the empty directory.
    ///
    /// # Errors
    /// `NotFound`, `PreconditionFailed` if it is not empty, `Unsupported` where there are no buckets.
    pub async fn delete_bucket(&self, uri: impl IntoLocation) -> Result<()> {
        let location = uri.into_location()?;
        let operation = Operation::DeleteBucket;
        if location.scheme().is_file_system() {
            return directory(&location, operation, |path| std::fs::remove_dir(path));
        }
        let bucket = self.bucket_of(&location, operation)?;
        let account = self.account(&location, operation).await?;
        self.run(operation, &location, async move { account.delete(&bucket).await }).await
    }

    /// The buckets or containers of the account that `uri` is in, e.g. `s3://`.
    ///
    /// # Errors
    /// `PermissionDenied`, `Unsupported` where there are no buckets.
    pub async fn list_buckets(&self, uri: impl IntoLocation) -> Result<Vec<BucketEntry>> {
        let location = uri.into_location()?;
        let account = self.account(&location, Operation::ListBuckets).await?;
        self.run(Operation::ListBuckets, &location, async move { account.list().await }).await
    }

    async fn account(&self, location: &Location, operation: Operation) -> Result<Account> {
        let opening = self.shared.stores.account(self.config(), location, operation);
        or_cancelled(&self.cancel, operation, &location.to_string(), opening).await
    }

    /// The bucket that a location names, which must name nothing else.
    fn bucket_of(&self, location: &Location, operation: Operation) -> Result<String> {
        let (_, location) = self.shared.stores.resolve(self.config(), location);
        let refuse = |message: &str| {
            Err(Error::new(ErrorKind::InvalidInput, operation, location.to_string()).with_message(message))
        };
        match (location.bucket(), location.key().trim_end_matches('/')) {
            ("", _) if location.scheme().has_bucket() => refuse("the name of the bucket is missing"),
            (bucket, "") => Ok(bucket.to_owned()),
            _ => refuse("this names an object, not a bucket"),
        }
    }
}

fn directory(
    location: &Location,
    operation: Operation,
    change: impl FnOnce(&std::path::Path) -> std::io::Result<()>,
) -> Result<()> {
    let path = std::path::Path::new("/").join(location.key());
    change(&path).map_err(|error| match error.kind() {
        std::io::ErrorKind::DirectoryNotEmpty => {
            Error::new(ErrorKind::PreconditionFailed, operation, location.to_string()).with_source(error)
        }
        _ => Error::from_io(error, operation, location.to_string()),
    })
}
