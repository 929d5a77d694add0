//! SeaweedFS: a production S3 server, as a process.

use std::sync::OnceLock;

use anyhow::{Context, Result, bail};
use object_store::aws::{AwsAuthorizer, AwsCredential};
use object_store::client::HttpRequest;

use super::blocking_http::{self, Answer};
use super::supervised::{Plan, Supervised};
use crate::tools;

const ACCESS_KEY: &str = "test";
const SECRET_KEY: &str = "test-secret";
const REGION: &str = "us-east-1";

/// SeaweedFS with its S3 gateway, one identity that may do everything, and nothing else.
///
/// Known deviations from S3: a listing is not in byte order (`l/b/1` comes before `l/b-0`), and `p//q` becomes `p/q`.
#[derive(Debug)]
pub struct SeaweedFs {
    process: Supervised,
}

impl SeaweedFs {
    /// The server of this test process, started by the first call (about four seconds) and stopped when the process
    /// ends.
    ///
    /// # Panics
    ///
    /// When the server cannot be started: the message says why, and to run `./test` if it is not installed.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<SeaweedFs> = OnceLock::new();
        SHARED.get_or_init(|| Self::start().unwrap_or_else(|error| panic!("SeaweedFS: {error:#}")))
    }

    /// A server of one's own, stopped when dropped.
    ///
    /// # Errors
    ///
    /// When it is not installed, or does not answer.
    pub fn start() -> Result<Self> {
        let program = tools::path_of("weed")?.display().to_string();
        let plan = |directory: &std::path::Path, ports: &[u16]| {
            let config = directory.join("s3.json");
            let credentials = serde_json::json!([{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}]);
            let actions = ["Admin", "Read", "Write", "List", "Tagging"];
            let identity = serde_json::json!({"name": "test", "credentials": credentials, "actions": actions});
            std::fs::write(&config, serde_json::json!({"identities": [identity]}).to_string())?;
            // The default makes seven volumes for each new bucket.
            std::fs::write(directory.join("master.toml"), "[master.volume_growth]\ncopy_1 = 1\n")?;
            let data = directory.join("data");
            std::fs::create_dir(&data)?;
            let [master, master_grpc, volume, volume_grpc, filer, filer_grpc, s3, s3_grpc] = ports else {
                bail!("SeaweedFS needs eight ports");
            };
            let command = vec![
                program.clone(),
                "-logtostderr".into(),
                "server".into(),
                format!("-dir={}", data.display()),
                "-ip=127.0.0.1".into(),
                "-ip.bind=127.0.0.1".into(),
                format!("-master.port={master}"),
                format!("-master.port.grpc={master_grpc}"),
                "-master.telemetry=false".into(),
                "-master.volumeSizeLimitMB=1024".into(),
                format!("-volume.port={volume}"),
                format!("-volume.port.grpc={volume_grpc}"),
                // A bucket takes one volume at least; this is a limit, not a reservation.
                "-volume.max=1000".into(),
                // The machine's disk may be nearly full; the tests need little.
                "-volume.minFreeSpace=1".into(),
                format!("-filer.port={filer}"),
                format!("-filer.port.grpc={filer_grpc}"),
                "-s3".into(),
                format!("-s3.port={s3}"),
                format!("-s3.port.grpc={s3_grpc}"),
                "-s3.port.iceberg=0".into(),
                "-s3.port.lance=0".into(),
                format!("-s3.config={}", config.display()),
            ];
            // It listens on Unix sockets named after its ports as well, in a fixed directory.
            let leftovers = ports.iter().map(|port| format!("/tmp/seaweedfs-*-{port}.sock"));
            Ok(Plan { command, leftovers: leftovers.collect::<Vec<_>>().join(" ") })
        };
        let process =
            Supervised::start("SeaweedFS", 8, plan, |ports| blocking_http::answers(ports[6], "/healthz", 200))?;
        Ok(Self { process })
    }

    /// The S3 endpoint, `http://127.0.0.1:PORT`.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port())
    }

    /// The S3 port.
    pub fn port(&self) -> u16 {
        self.process.ports()[6]
    }

    /// The access key id of the one identity.
    pub fn access_key(&self) -> &'static str {
        ACCESS_KEY
    }

    /// Its secret access key.
    pub fn secret_key(&self) -> &'static str {
        SECRET_KEY
    }

    /// A region that it accepts (it accepts any).
    pub fn region(&self) -> &'static str {
        REGION
    }

    /// The server's process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Creates a bucket.
    ///
    /// # Panics
    ///
    /// When the server refuses.
    pub fn create_bucket(&self, bucket: &str) {
        let answer = self.send("PUT", &format!("/{bucket}"), Vec::new());
        assert_eq!(answer.status, 200, "SeaweedFS: create bucket {bucket}: {}", answer.text());
    }

    /// Creates a bucket with a name of its own and returns the name.
    pub fn new_bucket(&self) -> String {
        let bucket = super::unique_name("bucket");
        self.create_bucket(&bucket);
        bucket
    }

    /// The keys of the multipart uploads that are under way in a bucket: what an aborted writer must not leave.
    ///
    /// # Panics
    ///
    /// When the server refuses.
    pub fn multipart_uploads(&self, bucket: &str) -> Vec<String> {
        let answer = self.send("GET", &format!("/{bucket}?uploads="), Vec::new());
        assert_eq!(answer.status, 200, "SeaweedFS: list uploads of {bucket}: {}", answer.text());
        let text = answer.text();
        let uploads = text.split("<Upload>").skip(1);
        uploads.filter_map(|upload| Some(upload.split_once("<Key>")?.1.split_once("</Key>")?.0.to_owned())).collect()
    }

    /// Writes an object whose key is sent as it is given, so also one that `object_store::path::Path` cannot name.
    /// The key must be percent-encoded as it belongs into a URL.
    ///
    /// # Panics
    ///
    /// When the server refuses.
    pub fn put_object(&self, bucket: &str, encoded_key: &str, body: &[u8]) {
        let answer = self.send("PUT", &format!("/{bucket}/{encoded_key}"), body.to_vec());
        assert_eq!(answer.status, 200, "SeaweedFS: put {bucket}/{encoded_key}: {}", answer.text());
    }

    fn send(&self, method: &str, target: &str, body: Vec<u8>) -> Answer {
        self.try_send(method, target, body)
            .unwrap_or_else(|error| panic!("SeaweedFS: {method} {target}: {error:#}\n{}", self.process.log_tail()))
    }

    fn try_send(&self, method: &str, target: &str, body: Vec<u8>) -> Result<Answer> {
        let uri = format!("{}{target}", self.endpoint());
        let mut signed: HttpRequest = http::Request::builder().method(method).uri(uri).body(body.clone().into())?;
        let credential = AwsCredential { key_id: ACCESS_KEY.into(), secret_key: SECRET_KEY.into(), token: None };
        AwsAuthorizer::new(&credential, "s3", REGION)
            .try_authorize(&mut signed, None)
            .context("cannot sign the request")?;
        let mut request = blocking_http::request(method, target).body(body)?;
        *request.headers_mut() = signed.headers().clone();
        Ok(blocking_http::send(self.port(), &request)?)
    }
}
