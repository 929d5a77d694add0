//! Reads: whole objects, ranges, streams, and what is known of an object.

use std::collections::BTreeMap;
use std::ops::Range;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use object_store::{Attribute, Attributes, GetOptions, GetRange, ObjectMeta};

use super::{Client, IntoLocation};
use crate::budget::Lease;
use crate::cancel::own_task;
use crate::error::{Error, ErrorKind, Operation, Result};
use crate::range_engine::{ByteStream, Fetched, Target};
use crate::uri::Location;

/// What is known of one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectInfo {
    /// Where it is.
    pub location: Location,
    /// Size in bytes.
    pub size: u64,
    /// When it was last written.
    pub last_modified: DateTime<Utc>,
    /// The entity tag, where the store has one.
    pub e_tag: Option<String>,
    /// The version, where the store keeps versions.
    pub version: Option<String>,
    /// The content type, where one was given.
    pub content_type: Option<String>,
    /// The user's metadata.
    pub metadata: BTreeMap<String, String>,
}

impl ObjectInfo {
    pub(crate) fn new(location: Location, meta: ObjectMeta, attributes: &Attributes) -> Self {
        let mut content_type = None;
        let mut metadata = BTreeMap::new();
        for (attribute, value) in attributes {
            match attribute {
                Attribute::ContentType => content_type = Some(value.to_string()),
                Attribute::Metadata(name) => {
                    metadata.insert(name.to_string(), value.to_string());
                }
                _ => {}
            }
        }
        Self {
            location,
            size: meta.size,
            last_modified: meta.last_modified,
            e_tag: meta.e_tag,
            version: meta.version,
            content_type,
            metadata,
        }
    }
}

/// What a reader of many objects knows beforehand.
#[derive(Debug, Default)]
pub struct FetchOptions {
    /// The size that a listing said. A wrong one costs requests, never correctness.
    pub size_hint: Option<u64>,
    /// A place in the line for bytes, taken when the object's turn was decided: see
    /// [`ByteBudget::lease`](crate::budget::ByteBudget::lease).
    pub lease: Option<Lease>,
}

impl Client {
    /// Reads a whole object by as few requests as possible: one, below the split threshold; no HEAD is sent.
    ///
    /// # Errors
    /// By kind: `NotFound`, `PermissionDenied`, `Timeout`, `Changed` if the object is replaced while it is read,
    /// `Unsupported` for a key that the protocol layer cannot name, and so on.
    pub async fn get(&self, uri: impl IntoLocation) -> Result<Bytes> {
        let opened = self.open(uri).await?;
        let target = opened.target(Operation::Get)?;
        let cancel = self.cancel.clone();
        // The caller takes the data here: its place in the budget is given back.
        own_task(async move { opened.engine.get(&target, None, &cancel).await.map(|fetched| fetched.data) }).await
    }

    /// Reads a whole object and keeps its place in the byte budget until [`Fetched::lease`] is dropped: for consumers
    /// that queue what they read. Unlike the client's other operations this one is driven by its caller alone, for those
    /// that run each read as a task anyway: in a future that is not polled, it would hold up the reads behind it.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn fetch(&self, uri: impl IntoLocation, options: FetchOptions) -> Result<Fetched> {
        let opened = self.open(uri).await?;
        let target = opened.target(Operation::Get)?;
        let lease = options.lease.unwrap_or_else(|| self.budget().lease());
        let mut fetched = opened.engine.get_leased(&target, options.size_hint, lease, &self.cancel).await?;
        fetched.lease.complete();
        Ok(fetched)
    }

    /// Reads a range of bytes; one that ends beyond the object is cut at its end.
    ///
    /// ```
    /// # use s3dlio_store::{Client, Config};
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// let client = Client::new(Config::default());
    /// client.put("memory:///digits", "0123456789").await?;
    /// assert_eq!(client.get_range("memory:///digits", 3..5).await?, "34");
    /// # Ok::<(), s3dlio_store::Error>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As [`Client::get`]; `RangeNotSatisfiable` for a range that begins beyond the end, `InvalidInput` for one that ends
    /// before it begins.
    pub async fn get_range(&self, uri: impl IntoLocation, range: Range<u64>) -> Result<Bytes> {
        self.get_some(uri, GetRange::Bounded(range)).await
    }

    /// Reads from `offset` to the end.
    ///
    /// # Errors
    /// As [`Client::get_range`].
    pub async fn get_from(&self, uri: impl IntoLocation, offset: u64) -> Result<Bytes> {
        self.get_some(uri, GetRange::Offset(offset)).await
    }

    /// Reads the last `length` bytes, or all of a shorter object. Azure has no such request.
    ///
    /// # Errors
    /// As [`Client::get_range`].
    pub async fn get_last(&self, uri: impl IntoLocation, length: u64) -> Result<Bytes> {
        self.get_some(uri, GetRange::Suffix(length)).await
    }

    async fn get_some(&self, uri: impl IntoLocation, range: GetRange) -> Result<Bytes> {
        let opened = self.open(uri).await?;
        let target = opened.target(Operation::Get)?;
        if let GetRange::Bounded(range) = &range {
            check_range(&target.uri, range)?;
        }
        let cancel = self.cancel.clone();
        own_task(async move { opened.engine.get_range(&target, range, &cancel).await }).await
    }

    /// Reads several ranges of one object; those that lie close together travel in one request. The answer has one entry
    /// per range, in the order asked.
    ///
    /// # Errors
    /// As [`Client::get_range`], of the first that fails.
    pub async fn get_ranges(&self, uri: impl IntoLocation, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let opened = self.open(uri).await?;
        let target = opened.target(Operation::Get)?;
        for range in ranges {
            check_range(&target.uri, range)?;
        }
        let (cancel, ranges) = (self.cancel.clone(), ranges.to_vec());
        own_task(async move { opened.engine.get_ranges(&target, &ranges, &cancel).await }).await
    }

    /// Opens an object as a stream of chunks in order: any size in constant memory, with chunks fetched ahead.
    ///
    /// # Errors
    /// As [`Client::get`], here or from the stream. Dropping the stream ends its requests.
    pub async fn get_stream(&self, uri: impl IntoLocation) -> Result<ByteStream> {
        let opened = self.open(uri).await?;
        let target = opened.target(Operation::Get)?;
        let cancel = self.cancel.clone();
        own_task(async move { opened.engine.stream(&target, None, &cancel).await }).await
    }

    /// Opens a range of an object as a stream of chunks in order.
    ///
    /// # Errors
    /// As [`Client::get_range`], here or from the stream.
    pub async fn get_range_stream(&self, uri: impl IntoLocation, range: Range<u64>) -> Result<ByteStream> {
        let opened = self.open(uri).await?;
        let target = opened.target(Operation::Get)?;
        check_range(&target.uri, &range)?;
        let cancel = self.cancel.clone();
        own_task(async move { opened.engine.stream(&target, Some(range), &cancel).await }).await
    }

    /// What is known of an object, without its bytes.
    ///
    /// # Errors
    /// `NotFound` if it does not exist, and what the store says.
    pub async fn stat(&self, uri: impl IntoLocation) -> Result<ObjectInfo> {
        let opened = self.open(uri).await?;
        let target = opened.target(Operation::Stat)?;
        let location = opened.location.clone();
        self.run(Operation::Stat, &opened.location, async move {
            let (meta, attributes) = look_at(&target, Operation::Stat).await?;
            Ok(ObjectInfo::new(location, meta, &attributes))
        })
        .await
    }

    /// Whether an object exists. Only a store's clear "not found" is `false`; whatever else fails is an error.
    ///
    /// # Errors
    /// As [`Client::stat`], but for `NotFound`.
    pub async fn exists(&self, uri: impl IntoLocation) -> Result<bool> {
        match self.stat(uri).await {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// What the store knows of an object.
pub(super) async fn look_at(target: &Target, operation: Operation) -> Result<(ObjectMeta, Attributes)> {
    let _permit = target.limiter.acquire().await;
    let options = GetOptions { head: true, ..GetOptions::default() };
    let answer = target.store.get_opts(&target.path, options).await;
    let answer = answer.map_err(|error| Error::from_store(error, operation, &*target.uri))?;
    Ok((answer.meta, answer.attributes))
}

fn check_range(uri: &str, range: &Range<u64>) -> Result<()> {
    if range.start <= range.end {
        return Ok(());
    }
    Err(Error::new(ErrorKind::InvalidInput, Operation::Get, uri)
        .with_message(format!("the range {range:?} ends before it begins")))
}
