//! nginx as the server: it costs less CPU than any client, so that the client is what is measured.
//!
//! One worker on a core of its own serves a directory below /dev/shm with sendfile. It checks no signature.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::process::{Child, Command};

/// The core of the worker, as nginx writes it: a mask with the lowest core on the right.
const SERVER_CORE_MASK: &str = "10";

/// How long nginx may take to start.
const PATIENCE: Duration = Duration::from_secs(10);

/// A running server. It ends when this is dropped, when this process ends, or when it is killed.
pub(crate) struct Nginx {
    pub(crate) endpoint: SocketAddr,
    process: Child,
    // Configuration, logs and pid; removed with it.
    _directory: TempDir,
}

impl Nginx {
    /// Serves the files below `root`.
    pub(crate) async fn start(root: &Path) -> Result<Self> {
        install().await?;
        let directory = TempDir::with_prefix("s3dlio-bench-nginx-")?;
        let endpoint = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let configuration = directory.path().join("nginx.conf");
        std::fs::write(&configuration, self::configuration(directory.path(), root, endpoint))?;
        let log = std::fs::File::create(directory.path().join("output.log"))?;
        // The kernel stops nginx with this process, however that ends.
        let mut process = Command::new("setpriv")
            .args(["--pdeathsig", "TERM", "nginx", "-c"])
            .arg(&configuration)
            .arg("-p")
            .arg(directory.path())
            .stdout(log.try_clone()?)
            .stderr(log)
            .env("PATH", path())
            .kill_on_drop(true)
            .spawn()
            .context("cannot start nginx")?;
        let started = Instant::now();
        while TcpStream::connect(endpoint).is_err() {
            if let Some(status) = process.try_wait()? {
                let said = std::fs::read_to_string(directory.path().join("output.log"))?;
                bail!("nginx ended with {status}: {}", said.trim());
            }
            if started.elapsed() > PATIENCE {
                bail!("nginx does not listen on {endpoint}");
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(Self { endpoint, process, _directory: directory })
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // The master process passes it on to its worker; to kill the master would leave the worker behind.
        if let Some(pid) = self.process.id().and_then(|id| Pid::from_raw(id as i32)) {
            let _ = kill_process(pid, Signal::TERM);
            let started = Instant::now();
            while matches!(self.process.try_wait(), Ok(None)) && started.elapsed() < PATIENCE {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }
}

/// Its version, as it says it.
pub(crate) async fn version() -> Result<String> {
    let output = Command::new("nginx").arg("-v").env("PATH", path()).output().await?;
    let text = String::from_utf8_lossy(&output.stderr);
    Ok(text.trim().trim_start_matches("nginx version: ").to_owned())
}

async fn install() -> Result<()> {
    if Command::new("nginx").arg("-v").env("PATH", path()).output().await.is_ok() {
        return Ok(());
    }
    install_package("nginx-light").await
}

/// Installs a Debian package; needs root.
pub(crate) async fn install_package(name: &str) -> Result<()> {
    eprintln!("installing {name}");
    let status = Command::new("apt-get")
        .args(["install", "--yes", "--no-install-recommends", name])
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdout(std::process::Stdio::null())
        .status()
        .await
        .with_context(|| format!("{name} is missing, and apt-get cannot be run"))?;
    if !status.success() {
        bail!("{name} is missing, and apt-get could not install it; as root: apt-get install {name}");
    }
    Ok(())
}

/// Debian keeps nginx where only root looks.
fn path() -> String {
    format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_else(|_| "/usr/bin:/bin".to_owned()))
}

fn configuration(directory: &Path, root: &Path, endpoint: SocketAddr) -> String {
    let (directory, root) = (directory.display(), root.display());
    // The worker of a master that runs as root runs as root too: the data is nobody else's to read.
    let user = if rustix::process::geteuid().is_root() { "user root;" } else { "" };
    format!(
        "daemon off;
{user}
worker_processes 1;
worker_cpu_affinity {SERVER_CORE_MASK};
pid {directory}/nginx.pid;
error_log {directory}/error.log;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    sendfile on;
    sendfile_max_chunk 2m;
    tcp_nodelay on;
    keepalive_requests 1000000;
    keepalive_timeout 300s;
    default_type application/octet-stream;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    server {{
        listen {endpoint};
        root {root};
    }}
}}
"
    )
}
