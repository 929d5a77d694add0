//! fake-gcs-server: Google Cloud Storage's JSON API, and the reading half of its XML API, as a process.

use std::sync::{Arc, OnceLock};

use anyhow::{Context, Result};
use object_store::ObjectStore;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::blocking_http::{self, Answer};
use super::json_writes::JsonWrites;
use super::supervised::{Plan, Supervised};
use crate::tools;

/// fake-gcs-server with its data in memory.
///
/// It is used for what it does right: reads, ranges, listings and stat of objects that the test writes with
/// [`FakeGcs::put_object`]. It answers 400 to writes over the XML API, which is how `object_store` writes; for those
/// there is [`crate::gcs_front`]. It checks no credentials, ignores If-Match and If-None-Match, and ignores the
/// offset (`start-after`) of a listing over the XML API.
#[derive(Debug)]
pub struct FakeGcs {
    process: Supervised,
}

impl FakeGcs {
    /// The server of this test process, started by the first call and stopped when the process ends.
    ///
    /// # Panics
    ///
    /// When the server cannot be started: the message says why, and to run `./test` if it is not installed.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<FakeGcs> = OnceLock::new();
        SHARED.get_or_init(|| Self::start().unwrap_or_else(|error| panic!("fake-gcs-server: {error:#}")))
    }

    /// A server of one's own, stopped when dropped.
    ///
    /// # Errors
    ///
    /// When it is not installed, or does not answer.
    pub fn start() -> Result<Self> {
        let program = tools::path_of("fake-gcs-server")?.display().to_string();
        let plan = |directory: &std::path::Path, ports: &[u16]| {
            let address = format!("127.0.0.1:{}", ports[0]);
            let command = vec![
                program.clone(),
                "-scheme=http".into(),
                "-host=127.0.0.1".into(),
                format!("-port={}", ports[0]),
                format!("-public-host={address}"),
                format!("-external-url=http://{address}"),
                "-backend=memory".into(),
                format!("-filesystem-root={}", directory.join("data").display()),
            ];
            Ok(Plan { command, leftovers: String::new() })
        };
        let ready = |ports: &[u16]| blocking_http::answers(ports[0], "/_internal/healthcheck", 200);
        Ok(Self { process: Supervised::start("fake-gcs-server", 1, plan, ready)? })
    }

    /// The endpoint, `http://127.0.0.1:PORT`.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port())
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.process.ports()[0]
    }

    /// The server's process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Creates a bucket over the JSON API.
    ///
    /// # Panics
    ///
    /// When the server refuses.
    pub fn create_bucket(&self, bucket: &str) {
        let body = serde_json::json!({ "name": bucket }).to_string().into_bytes();
        let answer = self.send("POST", "/storage/v1/b?project=test", "application/json", body);
        assert_eq!(answer.status, 200, "fake-gcs-server: create bucket {bucket}: {}", answer.text());
    }

    /// Creates a bucket with a name of its own and returns the name.
    pub fn new_bucket(&self) -> String {
        let bucket = super::unique_name("bucket");
        self.create_bucket(&bucket);
        bucket
    }

    /// Writes an object over the JSON API; the key is taken as it is, so also one that
    /// `object_store::path::Path` cannot name.
    ///
    /// # Panics
    ///
    /// When the server refuses.
    pub fn put_object(&self, bucket: &str, key: &str, content_type: &str, body: &[u8]) {
        let key = utf8_percent_encode(key, NON_ALPHANUMERIC);
        let target = format!("/upload/storage/v1/b/{bucket}/o?uploadType=media&name={key}");
        let answer = self.send("POST", &target, content_type, body.to_vec());
        assert_eq!(answer.status, 200, "fake-gcs-server: put {bucket}/{key}: {}", answer.text());
    }

    /// Reads an object over the JSON API, to see what another path has written.
    pub fn object(&self, bucket: &str, key: &str) -> Option<Vec<u8>> {
        let key = utf8_percent_encode(key, NON_ALPHANUMERIC);
        let answer = self.send("GET", &format!("/storage/v1/b/{bucket}/o/{key}?alt=media"), "", Vec::new());
        (answer.status == 200).then_some(answer.body)
    }

    /// Deletes an object over the JSON API; false when there is none.
    ///
    /// # Panics
    ///
    /// When the server refuses.
    pub fn delete_object(&self, bucket: &str, key: &str) -> bool {
        let key = utf8_percent_encode(key, NON_ALPHANUMERIC);
        let answer = self.send("DELETE", &format!("/storage/v1/b/{bucket}/o/{key}"), "", Vec::new());
        assert!(matches!(answer.status, 200 | 204 | 404), "fake-gcs-server: delete {key}: {}", answer.text());
        answer.status != 404
    }

    /// A store that reads and lists through `reader`, a client of this server for this bucket, and puts and deletes
    /// over the JSON API: with it the contracts about reading can run against a client that writes over the XML API.
    pub fn with_json_writes(&'static self, bucket: &str, reader: Arc<dyn ObjectStore>) -> Arc<dyn ObjectStore> {
        Arc::new(JsonWrites { server: self, bucket: bucket.to_owned(), reader })
    }

    fn send(&self, method: &str, target: &str, content_type: &str, body: Vec<u8>) -> Answer {
        self.try_send(method, target, content_type, body)
            .unwrap_or_else(|error| panic!("fake-gcs-server: {method} {target}: {error:#}"))
    }

    fn try_send(&self, method: &str, target: &str, content_type: &str, body: Vec<u8>) -> Result<Answer> {
        let request = blocking_http::request(method, target).header("content-type", content_type).body(body)?;
        blocking_http::send(self.port(), &request).with_context(|| self.process.log_tail())
    }
}
