//! The one uploader: an object of any length, in parts.
//!
//! Data is gathered until a part is full; parts are sent as tasks that the [`Writer`] owns, a bounded number at once.
//! An object that fits into one part is sent by one put. Parts grow as an upload gets long, so that 10,000 of them,
//! S3's limit, hold 5 TiB.
//!
//! An upload that is not finished is aborted: by [`Writer::abort`], or by dropping the writer, in which case the client's
//! clean-up sends the abort and [`Client::close`] waits for it.

use std::sync::Arc;

use bytes::Bytes;
use object_store::{MultipartUpload, PutMultipartOptions, PutPayload, PutPayloadMut, UpdateVersion};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio_util::task::TaskTracker;

use crate::cancel::{or_cancelled, own_task};
use crate::client::{Client, Opened, PutMode, PutOptions, PutResult};
use crate::constants::{ABANDONED_REQUEST_WAIT, ABORT_GRACE, PART_SIZE_MAX, PARTS_PER_SIZE};
use crate::error::{Error, ErrorKind, Operation, Result};
use crate::range_engine::Target;

/// Writes one object as a stream.
///
/// ```
/// use s3dlio_store::{Client, Config};
///
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// let client = Client::new(Config::default());
/// let mut writer = client.writer("memory:///log").await?;
/// writer.write("one ").await?;
/// writer.write("two").await?;
/// writer.finish().await?;
/// assert_eq!(client.get("memory:///log").await?, "one two");
/// # Ok::<(), s3dlio_store::Error>(())
/// # }).unwrap();
/// ```
pub struct Writer {
    client: Client,
    target: Target,
    options: PutOptions,
    multipart: PutMultipartOptions,
    cleanup: TaskTracker,
    gathered: PutPayloadMut,
    first_part_size: usize,
    max_in_flight: usize,
    parts: u64,
    written: u64,
    upload: Option<Unfinished>,
    /// Whether every write so far has taken all of its bytes.
    intact: bool,
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer")
            .field("uri", &self.target.uri)
            .field("written", &self.written)
            .field("parts", &self.parts)
            .finish_non_exhaustive()
    }
}

impl Writer {
    pub(crate) fn new(
        client: Client,
        target: Target,
        opened: &Opened,
        options: PutOptions,
        multipart: PutMultipartOptions,
        cleanup: TaskTracker,
    ) -> Self {
        let first_part_size = usize::try_from(opened.config.multipart_part_size).unwrap_or(usize::MAX);
        Self {
            client,
            target,
            options,
            multipart,
            cleanup,
            gathered: PutPayloadMut::new(),
            first_part_size,
            max_in_flight: opened.config.max_concurrent_parts.max(1),
            parts: 0,
            written: 0,
            upload: None,
            intact: true,
        }
    }

    /// Bytes taken so far.
    pub fn bytes_written(&self) -> u64 {
        self.written
    }

    /// Appends `data`, without copying it where it is large. Waits while as many parts as may be are in flight.
    ///
    /// # Errors
    /// The error of any part that failed so far. After an error, or when the future is dropped before it is done, bytes
    /// may be missing: the writer refuses to go on, and dropping it aborts the upload.
    pub async fn write(&mut self, data: impl Into<Bytes>) -> Result<()> {
        self.check_intact()?;
        self.intact = false;
        let cancel = self.client.cancellation().clone();
        let uri = self.target.uri.clone();
        or_cancelled(&cancel, Operation::Write, &uri, self.append(data.into())).await?;
        self.intact = true;
        Ok(())
    }

    fn check_intact(&self) -> Result<()> {
        if self.intact {
            return Ok(());
        }
        Err(Error::new(ErrorKind::InvalidInput, Operation::Write, &*self.target.uri)
            .with_message("a write before failed or was dropped: bytes are missing")
            .with_hint("begin the object anew"))
    }

    async fn append(&mut self, mut data: Bytes) -> Result<()> {
        while !data.is_empty() {
            let room = self.part_size() - self.gathered.content_length();
            let piece = data.split_to(room.min(data.len()));
            self.written += piece.len() as u64;
            self.gathered.push(piece);
            if self.gathered.content_length() == self.part_size() {
                self.send_part().await?;
            }
        }
        Ok(())
    }

    /// Sends what is left and makes the object visible.
    ///
    /// # Errors
    /// The first error of any part, or the store's; the upload is aborted then, and no object is left.
    pub async fn finish(mut self) -> Result<PutResult> {
        self.check_intact()?;
        let cancel = self.client.cancellation().clone();
        let uri = self.target.uri.clone();
        or_cancelled(&cancel, Operation::Write, &uri, self.complete()).await
    }

    async fn complete(&mut self) -> Result<PutResult> {
        if self.upload.is_none() {
            let payload = std::mem::take(&mut self.gathered).freeze();
            let (target, options) = (self.target.clone(), self.options.clone());
            return own_task(async move { put_whole(&target, payload, &options, Operation::Write).await }).await;
        }
        if !self.gathered.is_empty() {
            self.send_part().await?;
        }
        let Some(unfinished) = &mut self.upload else {
            return Ok(PutResult::default());
        };
        while let Some(joined) = unfinished.sending.join_next().await {
            settle(joined, &self.target)?;
        }
        let Some(upload) = &mut unfinished.upload else {
            return Ok(PutResult::default());
        };
        // Without a place among the requests in flight: whoever left this future alone would hold it. There is one such
        // request per writer.
        let result = upload.complete().await;
        let result = result.map_err(|error| Error::from_store(error, Operation::Write, &*self.target.uri))?;
        unfinished.upload = None;
        Ok(result.into())
    }

    /// Gives the upload up and waits until the store has forgotten its parts.
    ///
    /// # Errors
    /// What the store says of the abort.
    pub async fn abort(mut self) -> Result<()> {
        let Some(unfinished) = &mut self.upload else {
            return Ok(());
        };
        unfinished.sending.shutdown().await;
        if let Some(upload) = &mut unfinished.upload {
            let aborted = upload.abort().await;
            aborted.map_err(|error| Error::from_store(error, Operation::Write, &*self.target.uri))?;
            unfinished.upload = None;
        }
        Ok(())
    }

    fn part_size(&self) -> usize {
        let doublings = u32::try_from(self.parts / PARTS_PER_SIZE).unwrap_or(u32::MAX).min(16);
        self.first_part_size.saturating_mul(1 << doublings).min(PART_SIZE_MAX.max(self.first_part_size))
    }

    async fn send_part(&mut self) -> Result<()> {
        if self.upload.is_none() {
            if self.options.mode != PutMode::Overwrite {
                return Err(Error::new(ErrorKind::Unsupported, Operation::Write, &*self.target.uri)
                    .with_message("an upload in parts cannot be conditional")
                    .with_hint("raise multipart_part_size above the object's size, or put it whole"));
            }
            let (target, options) = (self.target.clone(), self.multipart.clone());
            self.upload = Some(begin(target, options, self.cleanup.clone()).await?);
        }
        let Some(unfinished) = &mut self.upload else {
            return Ok(());
        };
        while unfinished.sending.len() >= self.max_in_flight
            && let Some(joined) = unfinished.sending.join_next().await
        {
            settle(joined, &self.target)?;
        }
        let payload = std::mem::take(&mut self.gathered).freeze();
        let length = payload.content_length() as u64;
        if let Some(upload) = &mut unfinished.upload {
            let part = upload.put_part(payload);
            self.parts += 1;
            let target = self.target.clone();
            unfinished.sending.spawn(async move {
                let permit = target.limiter.acquire().await;
                part.await.map_err(|error| Error::from_store(error, Operation::Write, &*target.uri))?;
                permit.finish(length, false);
                Ok(())
            });
        }
        Ok(())
    }
}

/// Begins the upload, by a task that the clean-up owns: what the server begins while the writer is being dropped has
/// to be aborted too, and only its answer tells by which name.
async fn begin(target: Target, options: PutMultipartOptions, cleanup: TaskTracker) -> Result<Unfinished> {
    let (mut sender, receiver) = oneshot::channel();
    let (uri, tracker) = (target.uri.clone(), cleanup.clone());
    cleanup.spawn(async move {
        let abandoned = async {
            sender.closed().await;
            tokio::time::sleep(ABANDONED_REQUEST_WAIT).await;
        };
        let begun = tokio::select! {
            begun = target.store.put_multipart_opts(&target.path, options) => begun,
            () = abandoned => {
                tracing::warn!(uri = %target.uri, "an upload may have been begun, and is not aborted: no answer came");
                return;
            }
        };
        let begun = begun.map(|upload| Unfinished {
            upload: Some(upload),
            sending: JoinSet::new(),
            uri: target.uri.clone(),
            cleanup: tracker,
        });
        // If nobody takes it any more, it is dropped here, and thereby aborted.
        drop(sender.send(begun.map_err(|error| Error::from_store(error, Operation::Write, &*target.uri))));
    });
    match receiver.await {
        Ok(begun) => begun,
        // The runtime is shutting down.
        Err(error) => Err(Error::cancelled(Operation::Write, &*uri).with_source(error)),
    }
}

/// An upload in parts that is aborted when it is dropped.
struct Unfinished {
    /// Taken once the upload has been completed or aborted.
    upload: Option<Box<dyn MultipartUpload>>,
    sending: JoinSet<Result<()>>,
    uri: Arc<str>,
    cleanup: TaskTracker,
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        let Some(mut upload) = self.upload.take() else {
            return;
        };
        let mut sending = std::mem::take(&mut self.sending);
        let uri = self.uri.clone();
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => {
                self.cleanup.spawn_on(
                    async move {
                        // A part that the server stores after the abort stays behind: those that are all but done may
                        // end first.
                        let ended = async { while sending.join_next().await.is_some() {} };
                        let _ = tokio::time::timeout(ABORT_GRACE, ended).await;
                        sending.shutdown().await;
                        if let Err(error) = upload.abort().await {
                            tracing::warn!(%uri, %error, "an unfinished upload could not be aborted");
                        }
                    },
                    &runtime,
                );
            }
            Err(_) => tracing::warn!(%uri, "an unfinished upload was dropped outside a runtime and is not aborted"),
        }
    }
}

/// Sends an object by one request.
pub(crate) async fn put_whole(
    target: &Target,
    payload: PutPayload,
    options: &PutOptions,
    operation: Operation,
) -> Result<PutResult> {
    let mode = match &options.mode {
        PutMode::Overwrite => object_store::PutMode::Overwrite,
        PutMode::Create => object_store::PutMode::Create,
        PutMode::Update { e_tag, version } => {
            object_store::PutMode::Update(UpdateVersion { e_tag: e_tag.clone(), version: version.clone() })
        }
    };
    let length = payload.content_length() as u64;
    let options = object_store::PutOptions { mode, attributes: options.attributes(), ..Default::default() };
    let permit = target.limiter.acquire().await;
    let result = target.store.put_opts(&target.path, payload, options).await;
    let result = result.map_err(|error| Error::from_store(error, operation, &*target.uri))?;
    permit.finish(length, false);
    Ok(result.into())
}

fn settle(joined: Result<Result<()>, tokio::task::JoinError>, target: &Target) -> Result<()> {
    match joined {
        Ok(result) => result,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(error) => Err(Error::new(ErrorKind::Cancelled, Operation::Write, &*target.uri).with_source(error)),
    }
}
