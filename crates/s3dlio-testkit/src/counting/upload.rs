//! The multipart half of a [`CountingStore`](super::CountingStore).

use async_trait::async_trait;
use object_store::path::Path;
use object_store::{MultipartUpload, PutPayload, PutResult, Result, UploadPart};

use super::counters::{Call, Counters};
use super::enter;
use super::fault::Faults;

#[derive(Debug)]
pub(super) struct CountingUpload {
    upload: Box<dyn MultipartUpload>,
    location: Path,
    counters: Counters,
    faults: Faults,
}

impl CountingUpload {
    pub(super) fn new(upload: Box<dyn MultipartUpload>, location: Path, counters: Counters, faults: Faults) -> Self {
        Self { upload, location, counters, faults }
    }
}

#[async_trait]
impl MultipartUpload for CountingUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let (counters, faults, location) = (self.counters.clone(), self.faults.clone(), self.location.clone());
        let length = data.content_length();
        // The part takes its place in the order of the object now, before its bytes are sent.
        let part = self.upload.put_part(data);
        Box::pin(async move {
            let _in_flight = enter(&counters, &faults, Call::PutPart, &location).await?.with_bytes(length as u64);
            counters.sent(length);
            part.await
        })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let _in_flight = enter(&self.counters, &self.faults, Call::CompleteMultipart, &self.location).await?;
        self.upload.complete().await
    }

    async fn abort(&mut self) -> Result<()> {
        let _in_flight = enter(&self.counters, &self.faults, Call::AbortMultipart, &self.location).await?;
        self.upload.abort().await
    }
}
