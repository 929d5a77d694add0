//! Deletions: one object, many, and all below a prefix.

use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use object_store::ObjectStoreExt;

use super::{Client, IntoLocation, Opened};
use crate::backend::path_of_key;
use crate::constants::DELETE_BATCH;
use crate::error::{Error, Operation, Result};
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
        self.run(Operation::Delete, &opened.location, async {
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
                    async move { futures::stream::iter(client.delete_batch(batch).await) }
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

    /// Removes objects of one store; the store answers in the order asked.
    async fn delete_from_store(&self, opened: &Opened, members: Vec<Location>, results: &mut Vec<DeleteResult>) {
        let mut asked = Vec::with_capacity(members.len());
        let mut paths = Vec::with_capacity(members.len());
        for location in members {
            match path_of_key(&location, Operation::Delete) {
                Ok(path) => {
                    paths.push(Ok(path));
                    asked.push(location);
                }
                Err(error) => results.push(DeleteResult { location, result: Err(error) }),
            }
        }
        let mut asked = asked.into_iter();
        let mut deleted = opened.store.objects.delete_stream(Box::pin(futures::stream::iter(paths)));
        loop {
            let next = self.cancel.run_until_cancelled(async {
                let _permit = opened.limiter.acquire().await;
                deleted.next().await
            });
            let answer = next.await;
            let Some(location) = asked.next() else { return };
            let uri = location.to_string();
            let result = match answer {
                Some(Some(Ok(_))) => Ok(()),
                Some(Some(Err(error))) => Err(Error::from_store(error, Operation::Delete, uri)),
                Some(None) => Err(Error::new(crate::ErrorKind::Server, Operation::Delete, uri)
                    .with_message("the store said nothing about this object")),
                None => {
                    let result = Err(Error::cancelled(Operation::Delete, uri));
                    results.push(DeleteResult { location, result });
                    return;
                }
            };
            results.push(DeleteResult { location, result });
        }
    }
}
