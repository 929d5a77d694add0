//! Azurite: Microsoft's open source Azure Storage server, as a process.

use std::sync::OnceLock;

use anyhow::{Context, Result};
use object_store::azure::{AzureAccessKey, AzureAuthorizer, AzureCredential};
use object_store::client::{HttpRequest, HttpRequestBody};

use super::blocking_http::{self, Answer};
use super::supervised::{Plan, Supervised};
use crate::tools;

/// The well-known account of every Azurite.
pub const AZURITE_ACCOUNT: &str = "devstoreaccount1";
/// The well-known key of that account; public, so not a secret.
pub const AZURITE_KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// Azurite's blob service.
///
/// Known deviations from Azure: Put Block From URL, suffix ranges and `x-ms-content-crc64` are refused. It reads at
/// about 12 MiB/s: for correctness only.
#[derive(Debug)]
pub struct Azurite {
    process: Supervised,
}

impl Azurite {
    /// The server of this test process, started by the first call and stopped when the process ends.
    ///
    /// # Panics
    ///
    /// When the server cannot be started: the message says why, and to run `./test` if it is not installed.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Azurite> = OnceLock::new();
        SHARED.get_or_init(|| Self::start().unwrap_or_else(|error| panic!("Azurite: {error:#}")))
    }

    /// A server of one's own, stopped when dropped.
    ///
    /// # Errors
    ///
    /// When it is not installed, or does not answer.
    pub fn start() -> Result<Self> {
        let node = tools::path_of("node")?.display().to_string();
        let script = tools::path_of("azurite-blob.js")?.canonicalize()?.display().to_string();
        let plan = |directory: &std::path::Path, ports: &[u16]| {
            let command = vec![
                node.clone(),
                script.clone(),
                "--silent".into(),
                "--disableTelemetry".into(),
                "--skipApiVersionCheck".into(),
                "--blobHost".into(),
                "127.0.0.1".into(),
                "--blobPort".into(),
                ports[0].to_string(),
                "--location".into(),
                directory.join("data").display().to_string(),
            ];
            Ok(Plan { command, leftovers: String::new() })
        };
        // Without a signature it answers 403: the service is up.
        let target = format!("/{AZURITE_ACCOUNT}?comp=list");
        let process = Supervised::start("Azurite", 1, plan, |ports| blocking_http::answers(ports[0], &target, 403))?;
        Ok(Self { process })
    }

    /// The blob endpoint of the account, `http://127.0.0.1:PORT/devstoreaccount1`.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}/{AZURITE_ACCOUNT}", self.port())
    }

    /// The blob service's port.
    pub fn port(&self) -> u16 {
        self.process.ports()[0]
    }

    /// The account name.
    pub fn account(&self) -> &'static str {
        AZURITE_ACCOUNT
    }

    /// The account key.
    pub fn key(&self) -> &'static str {
        AZURITE_KEY
    }

    /// The connection string of the account.
    pub fn connection_string(&self) -> String {
        format!(
            "DefaultEndpointsProtocol=http;AccountName={AZURITE_ACCOUNT};AccountKey={AZURITE_KEY};BlobEndpoint={};",
            self.endpoint()
        )
    }

    /// The server's process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Creates a container.
    ///
    /// # Panics
    ///
    /// When the server refuses.
    pub fn create_container(&self, container: &str) {
        let answer = self.send("PUT", &format!("/{container}?restype=container"));
        assert_eq!(answer.status, 201, "Azurite: create container {container}: {}", answer.text());
    }

    /// Creates a container with a name of its own and returns the name.
    pub fn new_container(&self) -> String {
        let container = super::unique_name("container");
        self.create_container(&container);
        container
    }

    /// The names of blobs that have uncommitted blocks but were never committed.
    ///
    /// Azure has no way to abort an upload: such blocks expire by themselves, and no listing but this one shows them.
    ///
    /// # Panics
    ///
    /// When the server refuses.
    pub fn uncommitted_blobs(&self, container: &str) -> Vec<String> {
        let committed = self.blobs(container, "");
        let mut blobs = self.blobs(container, "&include=uncommittedblobs");
        blobs.retain(|blob| !committed.contains(blob));
        blobs
    }

    /// The names of up to 5,000 blobs.
    fn blobs(&self, container: &str, options: &str) -> Vec<String> {
        let answer = self.send("GET", &format!("/{container}?restype=container&comp=list{options}"));
        assert_eq!(answer.status, 200, "Azurite: list {container}: {}", answer.text());
        let text = answer.text();
        let blobs = text.split("<Blob>").skip(1);
        blobs.filter_map(|blob| Some(blob.split_once("<Name>")?.1.split_once("</Name>")?.0.to_owned())).collect()
    }

    fn send(&self, method: &str, target: &str) -> Answer {
        self.try_send(method, target)
            .unwrap_or_else(|error| panic!("Azurite: {method} {target}: {error:#}\n{}", self.process.log_tail()))
    }

    fn try_send(&self, method: &str, target: &str) -> Result<Answer> {
        let uri = format!("{}{target}", self.endpoint());
        let mut signed: HttpRequest = http::Request::builder().method(method).uri(uri).body(HttpRequestBody::empty())?;
        let credential = AzureCredential::AccessKey(AzureAccessKey::try_new(AZURITE_KEY)?);
        AzureAuthorizer::new(&credential, AZURITE_ACCOUNT)
            .try_authorize(&mut signed)
            .context("cannot sign the request")?;
        let target = format!("/{AZURITE_ACCOUNT}{target}");
        let mut request = blocking_http::request(method, &target).body(Vec::new())?;
        *request.headers_mut() = signed.headers().clone();
        Ok(blocking_http::send(self.port(), &request)?)
    }
}
