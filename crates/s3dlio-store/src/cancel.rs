//! Cancellation of one operation.

use std::future::Future;

use tokio_util::sync::CancellationToken;

use crate::error::{Error, Operation, Result};

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
