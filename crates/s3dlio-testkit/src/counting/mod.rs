//! An `ObjectStore` wrapper that counts what passes through it, and interferes where a test asks it to.
//!
//! [`CountingStore`] implements the trait over any store. Its [`Counters`] tell how often each [`Call`] was made, which
//! ranges were asked for and delivered, and how much was in flight at most; [`Fault`]s hold calls back, cut bodies,
//! change ETags and fail calls. Both handles can be cloned and used while the store works.
//!
//! `get_ranges` keeps the trait's own implementation, so that each request it makes is counted as a get.

mod counters;
mod fault;
#[cfg(test)]
mod tests;
mod upload;

pub use counters::{Call, Counters, GetRecord};
pub use fault::{ErrorKind, Fault, Gate};

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result,
};

use self::counters::{InFlight, OpenGet};
use self::fault::{BodyFault, Faults};

/// Counts the calls and bytes of the store it wraps; see the [module](self).
#[derive(Debug)]
pub struct CountingStore<S> {
    inner: Arc<S>,
    counters: Counters,
    faults: Faults,
}

impl<S: ObjectStore> CountingStore<S> {
    /// Wraps a store; `Arc<dyn ObjectStore>` is a store as well.
    pub fn new(inner: S) -> Self {
        Self { inner: Arc::new(inner), counters: Counters::default(), faults: Faults::default() }
    }

    /// What has passed so far; the handle stays valid and current.
    pub fn counters(&self) -> Counters {
        self.counters.clone()
    }

    /// Adds a fault. Each call is checked against the faults in the order they were added, and meets every one that
    /// matches.
    pub fn inject(&self, fault: Fault) {
        self.faults.add(fault);
    }

    /// Removes all faults.
    pub fn heal(&self) {
        self.faults.clear();
    }

    /// The wrapped store, to look behind the counters.
    pub fn inner(&self) -> &S {
        &self.inner
    }

    async fn enter(&self, call: Call, location: &Path) -> Result<InFlight> {
        enter(&self.counters, &self.faults, call, location).await
    }
}

/// Counts a call as begun, then lets the faults have it.
async fn enter(counters: &Counters, faults: &Faults, call: Call, location: &Path) -> Result<InFlight> {
    let in_flight = counters.begin(call);
    faults.before(call, location).await?;
    Ok(in_flight)
}

impl<S: ObjectStore> fmt::Display for CountingStore<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CountingStore({})", self.inner)
    }
}

#[async_trait]
impl<S: ObjectStore> ObjectStore for CountingStore<S> {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        let _in_flight = self.enter(Call::Put, location).await?;
        self.counters.sent(payload.content_length());
        self.inner.put_opts(location, payload, opts).await
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        let _in_flight = self.enter(Call::CreateMultipart, location).await?;
        let upload = self.inner.put_multipart_opts(location, opts).await?;
        let (counters, faults) = (self.counters.clone(), self.faults.clone());
        Ok(Box::new(upload::CountingUpload::new(upload, location.clone(), counters, faults)))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let call = if options.head { Call::Head } else { Call::Get };
        let index = self.counters.log_get(location, &options);
        let asked = match &options.range {
            Some(object_store::GetRange::Bounded(range)) => range.end.saturating_sub(range.start),
            _ => 0,
        };
        let in_flight = self.counters.begin(call).with_bytes(asked);
        let body_faults = self.faults.before(call, location).await?;
        let mut result = self.inner.get_opts(location, options).await?;
        if let Some(etag) = body_faults.iter().find_map(BodyFault::etag) {
            result.meta.e_tag = Some(etag);
        }
        if call == Call::Head {
            return Ok(result);
        }
        let length = result.range.end - result.range.start;
        self.counters.log_served(index, result.range.clone());
        let open = OpenGet::new(in_flight.with_bytes(length), index);
        let meta = result.meta.clone();
        let (range, attributes, extensions) =
            (result.range.clone(), result.attributes.clone(), result.extensions.clone());
        let body = fault::apply(result.into_stream(), body_faults);
        let payload = GetResultPayload::Stream(counted(body, open));
        Ok(GetResult { payload, meta, range, attributes, extensions })
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let (counters, faults) = (self.counters.clone(), self.faults.clone());
        // A location whose deletion is to fail is answered here and never reaches the store.
        let checked = locations.then(move |location| {
            let (counters, faults) = (counters.clone(), faults.clone());
            async move {
                let location = location?;
                enter(&counters, &faults, Call::Delete, &location).await?;
                Ok(location)
            }
        });
        self.inner.delete_stream(checked.boxed())
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (inner, owned) = (self.inner.clone(), prefix.cloned());
        self.listing(prefix, move || inner.list(owned.as_ref()))
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        let (inner, owned, offset) = (self.inner.clone(), prefix.cloned(), offset.clone());
        self.listing(prefix, move || inner.list_with_offset(owned.as_ref(), &offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let _in_flight = self.enter(Call::ListWithDelimiter, prefix.unwrap_or(&Path::default())).await?;
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let _in_flight = self.enter(Call::Copy, from).await?;
        self.inner.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        let _in_flight = self.enter(Call::Rename, from).await?;
        self.inner.rename_opts(from, to, options).await
    }
}

impl<S: ObjectStore> CountingStore<S> {
    /// A listing is one call, from its first poll to its end.
    fn listing(
        &self,
        prefix: Option<&Path>,
        start: impl FnOnce() -> BoxStream<'static, Result<ObjectMeta>> + Send + 'static,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        let (counters, faults) = (self.counters.clone(), self.faults.clone());
        let prefix = prefix.cloned().unwrap_or_default();
        let started = async move {
            match enter(&counters, &faults, Call::List, &prefix).await {
                Ok(in_flight) => start()
                    .map(move |meta| {
                        let _held = &in_flight;
                        meta
                    })
                    .boxed(),
                Err(error) => stream::once(async { Err(error) }).boxed(),
            }
        };
        started.into_stream().flatten().boxed()
    }
}

/// Counts a body's bytes as they are taken, and the get as in flight until the body ends or is dropped.
fn counted(body: BoxStream<'static, Result<Bytes>>, open: OpenGet) -> BoxStream<'static, Result<Bytes>> {
    stream::unfold((body, Some(open)), |(mut body, mut open)| async move {
        let item = body.next().await;
        match (&item, &open) {
            (Some(Ok(_)), Some(_)) => {}
            // Over: the get leaves the flight now, even when the stream is kept.
            _ => open = None,
        }
        let item = item?.map(|bytes| open.as_ref().map_or_else(|| bytes.clone(), |open| open.deliver(bytes.clone())));
        Some((item, (body, open)))
    })
    // object_store polls a body again after its end.
    .fuse()
    .boxed()
}
