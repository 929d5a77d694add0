//! What the tests of s3dlio stand on: real servers, conformance contracts and fault injection.
//!
//! | module | what it gives |
//! | --- | --- |
//! | [`servers`] | SeaweedFS, Azurite and fake-gcs-server as real processes, s3s-fs in process |
//! | [`http_server`] | a small HTTP/1.1 server for given objects, well-behaved or odd on demand |
//! | [`gcs_front`] | Google Cloud Storage's XML API in process: what fake-gcs-server lacks |
//! | [`fault_proxy`] | a proxy before any server that delays, cuts, stalls and corrupts by rule |
//! | [`counting`] | an `ObjectStore` wrapper that counts calls and bytes, and injects faults |
//! | [`contracts`] | one conformance suite for every `ObjectStore`, weakened only by deviations with a name |
//! | [`request_log`] | what the in-process servers saw |
//! | [`process`] | this process's descriptors and sockets, for leak checks |
//! | [`data`] | reproducible bytes |
//!
//! Every server listens on a free loopback port and keeps its data in a temporary directory of its own. In-process
//! servers run on a thread with its own runtime, so that they neither block nor count among the tasks of the runtime
//! under test; dropping them closes every socket. Real processes are stopped by pid when their handle is dropped or
//! the test process ends, however it ends.
//!
//! The crate depends on no other crate of the workspace.

pub mod contracts;
pub mod counting;
pub mod data;
pub mod fault_proxy;
pub mod gcs_front;
mod http_semantics;
pub mod http_server;
mod in_process;
pub mod process;
pub mod request_log;
pub mod servers;
mod tools;
