//! Buckets and containers: made, removed and listed.

use std::fmt::Debug;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::error::Result;

/// One bucket or container of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketEntry {
    /// The name.
    pub name: String,
    /// When it was made, where the store says it.
    pub created: Option<DateTime<Utc>>,
}

/// Makes, removes and lists the buckets of one account.
#[async_trait]
pub trait Buckets: Debug + Send + Sync {
    /// Makes a bucket. [`ErrorKind::AlreadyExists`](crate::ErrorKind::AlreadyExists) if it is there.
    async fn create(&self, name: &str) -> Result<()>;

    /// Removes an empty bucket. [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) if it is not there,
    /// [`ErrorKind::PreconditionFailed`](crate::ErrorKind::PreconditionFailed) if it is not empty.
    async fn delete(&self, name: &str) -> Result<()>;

    /// Every bucket of the account, by name.
    async fn list(&self) -> Result<Vec<BucketEntry>>;
}
