//! Every tuned number, with its reason.

use std::time::Duration;

/// An idle connection is not used again after this long. Servers close theirs after 20 s (S3) to 75 s (nginx); a
/// request on one that is just being closed costs a second round trip.
pub(crate) const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(15);

/// Bytes of an upload that count as one step of progress: at 64 KiB/s, the slowest link worth serving, a step takes
/// 4 s, well below `idle_timeout`. Pieces share the caller's memory; hyper writes up to 16 of them by one system call.
pub(crate) const UPLOAD_FRAME_SIZE: usize = 256 * 1024;

/// As many redirects as browsers' fetch and reqwest allow at least; S3 and GCS use one.
pub(crate) const MAX_REDIRECTS: usize = 5;

/// Bytes of an error's body that are read; S3's and Azure's errors are under 2 KiB.
pub(crate) const MAX_ERROR_BODY: usize = 64 * 1024;
