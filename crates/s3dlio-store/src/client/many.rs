//! Work on many objects: each object is a task of its own, a bounded number run at once, and the stream of results owns
//! them all.

use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use object_store::PutPayload;
use tokio::task::{JoinError, JoinSet};

use super::{Client, FetchOptions, PutResult};
use crate::error::Result;
use crate::uri::{Location, Scheme};

impl Client {
    /// Reads many objects, `max_concurrent_downloads` at once. Results come as they complete, each with the index of its
    /// location; one failure does not stop the others. Dropping the stream, or cancelling the client's token, ends every
    /// read.
    ///
    /// ```
    /// # use s3dlio_store::{Client, Config, Location};
    /// use futures::StreamExt;
    ///
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// let client = Client::new(Config::default());
    /// client.put("memory:///a", "1").await?;
    /// let locations = vec![Location::parse("memory:///a")?, Location::parse("memory:///b")?];
    /// let results: Vec<_> = client.get_many(locations).collect().await;
    /// assert_eq!(results.iter().filter(|(_, result)| result.is_ok()).count(), 1);
    /// # Ok::<(), s3dlio_store::Error>(())
    /// # }).unwrap();
    /// ```
    pub fn get_many(&self, locations: Vec<Location>) -> BoxStream<'static, (usize, Result<Bytes>)> {
        let client = self.clone();
        let at_once = locations.first().map_or(1, |location| self.downloads_at_once(location.scheme()));
        // The place in line for bytes is taken here, in the order asked.
        let jobs = futures::stream::iter(locations.into_iter().enumerate()).map(move |(index, location)| {
            let options = FetchOptions { lease: Some(client.budget().lease()), ..FetchOptions::default() };
            let client = client.clone();
            async move { (index, client.fetch(location, options).await) }
        });
        // A result's lease ends when the consumer takes it.
        Box::pin(run_bounded(jobs, at_once).map(|(index, fetched)| (index, fetched.map(|fetched| fetched.data))))
    }

    /// Writes many objects, `max_concurrent_downloads` at once. Results come as they complete, each with the index of its
    /// item; one failure does not stop the others.
    pub fn put_many(&self, items: Vec<(Location, PutPayload)>) -> BoxStream<'static, (usize, Result<PutResult>)> {
        let client = self.clone();
        let at_once = items.first().map_or(1, |(location, _)| self.downloads_at_once(location.scheme()));
        let jobs = futures::stream::iter(items.into_iter().enumerate()).map(move |(index, (location, payload))| {
            let client = client.clone();
            async move { (index, client.put(location, payload).await) }
        });
        Box::pin(run_bounded(jobs, at_once))
    }

    pub(super) fn downloads_at_once(&self, scheme: Scheme) -> usize {
        self.config().for_scheme(scheme).max_concurrent_downloads.max(1)
    }
}

/// Runs jobs as tasks, at most `at_once` at the same time; results come as they complete. The jobs' stream is asked for
/// more only when a place is free. Dropping the result aborts what runs.
pub(super) fn run_bounded<J>(
    jobs: impl Stream<Item = J> + Send + 'static,
    at_once: usize,
) -> impl Stream<Item = J::Output> + Send + 'static
where
    J: Future + Send + 'static,
    J::Output: Send + 'static,
{
    let state = (Box::pin(jobs.fuse()), JoinSet::new());
    futures::stream::unfold(state, move |(mut jobs, mut running)| async move {
        loop {
            let joined = if running.len() >= at_once || jobs.is_done() {
                running.join_next().await?
            } else {
                tokio::select! {
                    biased;
                    Some(joined) = running.join_next() => joined,
                    Some(job) = jobs.next() => {
                        running.spawn(job);
                        continue;
                    }
                    else => return None,
                }
            };
            return Some((settle(joined), (jobs, running)));
        }
    })
    .fuse()
}

fn settle<T>(joined: Result<T, JoinError>) -> T {
    match joined {
        Ok(output) => output,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(error) => {
            unreachable!("tasks are aborted only when their set is dropped, and nobody joins them then: {error}")
        }
    }
}
