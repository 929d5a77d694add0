//! The integration tests of the crate: one binary, so that the servers are started once.

mod azure;
mod cancellation;
mod client;
mod engine;
mod faults;
mod gcs;
mod http;
mod integrity;
mod keys;
mod pressure;
mod s3;
mod tls;
mod wire;
