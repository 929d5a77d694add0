//! Servers to test against: real processes where the point is the real thing, in process where it is speed.
//!
//! [`SeaweedFs`], [`Azurite`] and [`FakeGcs`] are processes. They take seconds to start, so a test binary normally uses
//! one of each through `shared()`, with a bucket or container of its own per test. [`S3sFs`] takes milliseconds and
//! logs what it was asked, so each test starts its own.
//!
//! Starting is synchronous: it works in a plain test, and in an asynchronous one it blocks the thread until the server
//! answers.
//!
//! A process that cannot be started, or does not answer, is an error with the tail of its log; nothing is skipped.

mod azurite;
mod blocking_http;
mod fake_gcs;
mod json_writes;
mod s3s_fs;
mod seaweedfs;
mod supervised;

pub use azurite::{AZURITE_ACCOUNT, AZURITE_KEY, Azurite};
pub use fake_gcs::FakeGcs;
pub use s3s_fs::S3sFs;
pub use seaweedfs::SeaweedFs;

use std::sync::atomic::{AtomicU32, Ordering};

/// A name that no other call in this process returns, valid as a bucket or container name everywhere.
pub fn unique_name(prefix: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{prefix}-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}
