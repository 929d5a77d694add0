//! Writes: whole objects, and streaming writers.

use std::collections::BTreeMap;

use object_store::{Attribute, Attributes, PutMultipartOptions, PutPayload};

use super::{Client, IntoLocation};
use crate::constants::MULTIPART_MIN_PARTS;
use crate::error::{Operation, Result};
use crate::upload::{Writer, put_whole};

/// What a put does when the object exists.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum PutMode {
    /// Replaces it.
    #[default]
    Overwrite,
    /// Fails with [`ErrorKind::AlreadyExists`](crate::ErrorKind::AlreadyExists).
    Create,
    /// Replaces exactly the version that has this entity tag (and version, where the store has versions), and fails
    /// with [`ErrorKind::PreconditionFailed`](crate::ErrorKind::PreconditionFailed) for any other.
    Update {
        /// The entity tag of the version to replace.
        e_tag: Option<String>,
        /// The version to replace, e.g. a generation of GCS.
        version: Option<String>,
    },
}

/// How to put.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PutOptions {
    /// What happens when the object exists.
    pub mode: PutMode,
    /// The content type.
    pub content_type: Option<String>,
    /// The user's metadata.
    pub metadata: BTreeMap<String, String>,
}

impl PutOptions {
    pub(crate) fn attributes(&self) -> Attributes {
        let mut attributes = Attributes::new();
        if let Some(content_type) = &self.content_type {
            attributes.insert(Attribute::ContentType, content_type.clone().into());
        }
        for (name, value) in &self.metadata {
            attributes.insert(Attribute::Metadata(name.clone().into()), value.clone().into());
        }
        attributes
    }
}

/// What a store says of an object that has been written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PutResult {
    /// The entity tag.
    pub e_tag: Option<String>,
    /// The version, where the store keeps versions.
    pub version: Option<String>,
}

impl From<object_store::PutResult> for PutResult {
    fn from(result: object_store::PutResult) -> Self {
        Self { e_tag: result.e_tag, version: result.version }
    }
}

impl Client {
    /// Writes a whole object, replacing one that exists. It becomes visible when it is complete.
    ///
    /// # Errors
    /// What the store says, by kind. Nothing partial is left.
    pub async fn put(&self, uri: impl IntoLocation, payload: impl Into<PutPayload>) -> Result<PutResult> {
        self.put_with(uri, payload, PutOptions::default()).await
    }

    /// Writes a whole object on a condition, or with a content type or metadata. Large objects that may be replaced go
    /// in parts at the same time.
    ///
    /// ```
    /// use s3dlio_store::{Client, Config, ErrorKind, PutMode, PutOptions};
    ///
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// let client = Client::new(Config::default());
    /// let once = || PutOptions { mode: PutMode::Create, ..PutOptions::default() };
    /// client.put_with("memory:///lock", "mine", once()).await?;
    /// let error = client.put_with("memory:///lock", "yours", once()).await.unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    /// # Ok::<(), s3dlio_store::Error>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As [`Client::put`]; `AlreadyExists` or `PreconditionFailed` where the condition does not hold.
    pub async fn put_with(
        &self,
        uri: impl IntoLocation,
        payload: impl Into<PutPayload>,
        options: PutOptions,
    ) -> Result<PutResult> {
        let opened = self.open(uri).await?;
        let target = opened.target(Operation::Put)?;
        let payload = payload.into();
        let part_size = opened.config.multipart_part_size;
        let in_parts = opened.location.scheme().is_network()
            && options.mode == PutMode::Overwrite
            && payload.content_length() as u64 >= part_size.saturating_mul(MULTIPART_MIN_PARTS);
        if in_parts {
            let mut writer = self.writer_with(&opened.location, options).await?;
            for chunk in payload {
                writer.write(chunk).await?;
            }
            return writer.finish().await;
        }
        let put = async move { put_whole(&target, payload, &options, Operation::Put).await };
        self.run(Operation::Put, &opened.location, put).await
    }

    /// A writer for an object of unknown length: a few parts are in flight at once, memory stays constant, and the
    /// object becomes visible when [`Writer::finish`] succeeds. Dropping the writer aborts the upload.
    ///
    /// # Errors
    /// What the backend's configuration says; no request is sent yet.
    pub async fn writer(&self, uri: impl IntoLocation) -> Result<Writer> {
        self.writer_with(uri, PutOptions::default()).await
    }

    /// A writer with a content type or metadata. A condition holds for objects that fit into one part; larger ones are
    /// refused with `Unsupported`, since uploads in parts have no condition in all protocols.
    ///
    /// # Errors
    /// As [`Client::writer`].
    pub async fn writer_with(&self, uri: impl IntoLocation, options: PutOptions) -> Result<Writer> {
        let opened = self.open(uri).await?;
        let target = opened.target(Operation::Write)?;
        let multipart = PutMultipartOptions { attributes: options.attributes(), ..Default::default() };
        Ok(Writer::new(self.clone(), target, &opened, options, multipart, self.shared.cleanup.clone()))
    }
}
