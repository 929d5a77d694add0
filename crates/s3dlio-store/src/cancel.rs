//! Cancellation of one operation.

use std::future::Future;

use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::error::{Error, Operation, Result};

/// Runs `future` as a task that dropping the result's future aborts.
///
/// An operation holds what others wait for: a place for its request, bytes of the budget. Were it driven by its caller
/// alone, one that is begun and then left alone (in a `buffer_unordered` whose consumer is busy, in the branch of a
/// `select!`) would hold them for as long as that lasts, and if what the caller is busy with waits for them, for ever.
pub(crate) async fn own_task<T: Send + 'static>(future: impl Future<Output = T> + Send + 'static) -> T {
    match AbortOnDropHandle::new(tokio::spawn(future)).await {
        Ok(output) => output,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        // The runtime is shutting down: it drops this future too.
        Err(_) => std::future::pending().await,
    }
}

/// Runs `future` until it ends or `cancel` is cancelled, whichever is first; then the future is dropped, and with it
/// everything it owns.
pub(crate) async fn or_cancelled<T>(
    cancel: &CancellationToken,
    operation: Operation,
    uri: &str,
    future: impl Future<Output = Result<T>>,
) -> Result<T> {
    match cancel.run_until_cancelled(future).await {
        Some(result) => result,
        None => Err(Error::cancelled(operation, uri)),
    }
}
