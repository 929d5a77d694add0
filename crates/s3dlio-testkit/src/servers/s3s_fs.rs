//! s3s-fs: an S3 server in process, over a temporary directory.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result};
use hyper::service::{Service, service_fn};
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use tempfile::TempDir;

use crate::in_process::ServerThread;
use crate::request_log::{RequestLog, RequestRecord};

const ACCESS_KEY: &str = "test";
const SECRET_KEY: &str = "test-secret";

/// An S3 server that checks SigV4 signatures, starts in milliseconds and logs every request.
///
/// Known deviations from S3: If-Match and If-None-Match on GET are ignored; multipart uploads cannot be listed (use
/// [`S3sFs::multipart_uploads`]); there are no versions; `p//q` becomes `p/q`; `q` and `q/b` cannot both exist; a key is
/// limited to what fits into a file name after base64 (about 180 bytes); after an abort, an upload answers 403 instead
/// of 404.
#[derive(Debug)]
pub struct S3sFs {
    // The server is dropped before its directory.
    server: ServerThread,
    log: RequestLog,
    root: TempDir,
}

impl S3sFs {
    /// Starts a server without buckets.
    ///
    /// # Errors
    ///
    /// When no directory or port can be had.
    pub fn start() -> Result<Self> {
        let root = tempfile::Builder::new().prefix("s3dlio-s3s-fs-").tempdir()?;
        let file_system =
            ::s3s_fs::FileSystem::new(root.path()).map_err(|error| anyhow::anyhow!("s3s-fs: {error:?}"))?;
        let mut builder = S3ServiceBuilder::new(file_system);
        builder.set_auth(SimpleAuth::from_single(ACCESS_KEY, SECRET_KEY));
        let service = builder.build();
        let log = RequestLog::default();
        let logged = log.clone();
        let server = ServerThread::start_http(
            "s3s-fs",
            service_fn(move |request| {
                logged.push(RequestRecord::new(&request));
                Service::call(&service, request)
            }),
        )
        .context("s3s-fs")?;
        Ok(Self { server, log, root })
    }

    /// Starts a server with one bucket.
    ///
    /// # Errors
    ///
    /// When no directory or port can be had.
    pub fn start_with_bucket(bucket: &str) -> Result<Self> {
        let server = Self::start()?;
        server.create_bucket(bucket);
        Ok(server)
    }

    /// The endpoint, `http://127.0.0.1:PORT`.
    pub fn endpoint(&self) -> String {
        self.server.endpoint()
    }

    /// The address it listens on.
    pub fn address(&self) -> std::net::SocketAddr {
        self.server.address()
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
        "us-east-1"
    }

    /// Creates a bucket.
    ///
    /// # Panics
    ///
    /// When its directory cannot be made.
    pub fn create_bucket(&self, bucket: &str) {
        std::fs::create_dir_all(self.root.path().join(bucket)).expect("the bucket's directory can be made");
    }

    /// Every request so far.
    pub fn log(&self) -> &RequestLog {
        &self.log
    }

    /// Connections accepted since the start.
    pub fn accepted_connections(&self) -> usize {
        self.server.connections().accepted()
    }

    /// Connections open now.
    pub fn open_connections(&self) -> usize {
        self.server.connections().open()
    }

    /// The directory that holds a directory per bucket, and the server's own hidden files.
    pub fn root(&self) -> &Path {
        self.root.path()
    }

    /// The ids of the multipart uploads that are open: begun, and neither completed nor aborted. Read from the server's
    /// directory. (A part that the server is still storing when its upload is aborted leaves a file behind that no request
    /// can reach; it is not counted.)
    ///
    /// # Panics
    ///
    /// When the directory cannot be read.
    pub fn multipart_uploads(&self) -> BTreeSet<String> {
        let entries = std::fs::read_dir(self.root.path()).expect("the server's directory can be read");
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        names
            .filter_map(|name| {
                let id = name.strip_prefix(".upload-")?.strip_suffix(".json")?;
                Some(id.to_owned())
            })
            .collect()
    }
}
