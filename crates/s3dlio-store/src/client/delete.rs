//! Deletions: one object, many, and all below a prefix.

use std::collections::VecDeque;

use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use object_store::ObjectStoreExt;
use object_store::path::Path;

use super::stores::object_path;
use super::{Client, IntoLocation, Opened};
use crate::cancel::own_task;
use crate::constants::DELETE_BATCH;
use crate::error::{Error, ErrorKind, Operation, Result};
use crate::uri::Location;

/// What became of one object of [`Client::delete_many`].
#[derive(Debug)]
pub struct DeleteResult {
    /// The object.
    pub location: Location,
    /// Whether it is gone.
    pub result: Result<()>,
}

impl Client {
    /// Removes one object.
    ///
    /// # Errors
    /// What the store says. S3 and Google Cloud Storage do not tell whether the object was there: for them, removing a
    /// missing one is no error; all others say `NotFound`.
    pub async fn delete(&self, uri: impl IntoLocation) -> Result<()> {
        let opened = self.open(uri).await?;
        let target = opened.target(Operation::Delete)?;
        self.run(Operation::Delete, &opened.location, async move {
            let _permit = target.limiter.acquire().await;
            let deleted = target.store.delete(&target.path).await;
            deleted.map_err(|error| Error::from_store(error, Operation::Delete, &*target.uri))
        })
        .await
    }

    /// Removes many objects, by batched requests where the protocol has them (1,000 keys each for S3, 256 for Azure). One
    /// result comes per object, in no particular order; a failure does not stop the others. The stream ends early, with
    /// one `Cancelled` result, when the client's token is cancelled.
    pub fn delete_many(
        &self,
        locations: impl Stream<Item = Location> + Send + 'static,
    ) -> BoxStream<'static, DeleteResult> {
        let client = self.clone();
        let batches = locations.ready_chunks(DELETE_BATCH);
        Box::pin(
            batches
                .then(move |batch| {
                    let client = client.clone();
                    let deleted = own_task(async move { client.delete_batch(batch).await });
                    async move { futures::stream::iter(deleted.await) }
                })
                .flatten(),
        )
    }

    async fn delete_batch(&self, batch: Vec<Location>) -> Vec<DeleteResult> {
        let mut results = Vec::with_capacity(batch.len());
        let mut stores: Vec<(Opened, Vec<Location>)> = Vec::new();
        for location in batch {
            match self.open(&location).await {
                Ok(opened) => match stores.iter_mut().find(|(known, _)| known.store.name == opened.store.name) {
                    Some((_, members)) => members.push(opened.location),
                    None => stores.push((opened.clone(), vec![opened.location])),
                },
                Err(error) => results.push(DeleteResult { location, result: Err(error) }),
            }
        }
        for (opened, members) in stores {
            self.delete_from_store(&opened, members, &mut results).await;
        }
        results
    }

    /// Removes objects of one store.
    async fn delete_from_store(&self, opened: &Opened, members: Vec<Location>, results: &mut Vec<DeleteResult>) {
        let mut asked = Asked::default();
        let mut paths = Vec::with_capacity(members.len());
        for location in members {
            match object_path(&location, Operation::Delete) {
                Ok(path) => {
                    paths.push(Ok(path.clone()));
                    asked.objects.push_back((path, location));
                }
                Err(error) => results.push(DeleteResult { location, result: Err(error) }),
            }
        }
        let mut deleted = opened.store.objects.delete_stream(Box::pin(futures::stream::iter(paths)));
        while !asked.objects.is_empty() {
            let next = self.cancel.run_until_cancelled(async {
                let _permit = opened.limiter.acquire().await;
                deleted.next().await
            });
            match next.await {
                Some(Some(Ok(path))) => asked.is_gone(&path, results),
                Some(Some(Err(error))) => asked.errors.push_back(error),
                Some(None) => return asked.fail_all(results),
                None => {
                    let location = asked.objects.pop_front().map_or(opened.location.clone(), |(_, location)| location);
                    let result = Err(Error::cancelled(Operation::Delete, location.to_string()));
                    return results.push(DeleteResult { location, result });
                }
            }
        }
    }
}

/// What a store has been asked to remove and has not answered yet. It answers in the order asked, with a path for each
/// object that is gone; but one error may stand for a whole batch, so that an error's objects are known only by the next
/// object that is gone.
#[derive(Default)]
struct Asked {
    objects: VecDeque<(Path, Location)>,
    errors: VecDeque<object_store::Error>,
}

impl Asked {
    fn is_gone(&mut self, path: &Path, results: &mut Vec<DeleteResult>) {
        let failed = self.objects.iter().position(|(asked, _)| asked == path);
        self.fail(failed.unwrap_or(self.errors.len()), results);
        if let Some((_, location)) = self.objects.pop_front() {
            results.push(DeleteResult { location, result: Ok(()) });
        }
    }

    fn fail_all(mut self, results: &mut Vec<DeleteResult>) {
        self.fail(self.objects.len(), results);
    }

    /// The next `count` objects have not been removed: for the reasons given, of which the last one may stand for several.
    fn fail(&mut self, count: usize, results: &mut Vec<DeleteResult>) {
        let mut shared = None;
        for (_, location) in self.objects.drain(..count.min(self.objects.len())) {
            let uri = location.to_string();
            let error = match (self.errors.pop_front(), &shared) {
                (Some(error), _) => {
                    let error = Error::from_store(error, Operation::Delete, uri);
                    shared = Some((error.kind(), error.reason()));
                    error
                }
                (None, Some((kind, reason))) => {
                    Error::new(*kind, Operation::Delete, uri).with_message(format!("its batch failed{reason}"))
                }
                (None, None) => Error::new(ErrorKind::Server, Operation::Delete, uri)
                    .with_message("the store said nothing about this object"),
            };
            results.push(DeleteResult { location, result: Err(error) });
        }
        self.errors.clear();
    }
}
