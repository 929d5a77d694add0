//! `direct://` beside fio: one file of a real disk, read from front to back past the page cache.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use futures::StreamExt;
use s3dlio_store::{Client, Config};
use tempfile::TempDir;
use tokio::process::Command;

use crate::data_set::write_file;
use crate::job::Runtime;
use crate::nginx::install_package;
use crate::ours::start;
use crate::process::{Meter, Sample};

/// The file that both read; removed at the end.
pub(crate) struct DiskFile {
    pub(crate) path: PathBuf,
    _directory: TempDir,
}

impl DiskFile {
    /// Writes `size` bytes below `directory`, and waits until the disk has them.
    pub(crate) fn create(directory: &Path, size: u64) -> Result<Self> {
        let directory = TempDir::with_prefix_in("s3dlio-bench-", directory)?;
        let path = directory.path().join("sequential");
        let mut block = vec![0; 1 << 20];
        fastrand::Rng::with_seed(2).fill(&mut block);
        write_file(&path, size, &block)?;
        Ok(Self { path, _directory: directory })
    }
}

/// The file as a stream of the client; runs in the measuring process.
pub(crate) fn ours(file: &Path, block_size: u64, queue_depth: usize) -> Result<Sample> {
    let config =
        Config::builder().set("direct_block_size", block_size).set("direct_queue_depth", queue_depth).build()?;
    let size = std::fs::metadata(file)?.len();
    start(Runtime::CurrentThread)?.block_on(async {
        let client = Client::new(config);
        let meter = Meter::start();
        let mut stream = client.get_stream(format!("direct://{}", file.display())).await?;
        let mut bytes = 0;
        while let Some(chunk) = stream.next().await {
            bytes += chunk?.len() as u64;
        }
        ensure!(bytes == size, "{bytes} bytes came");
        meter.stop(1, bytes)
    })
}

/// The same by fio.
pub(crate) async fn fio(file: &Path, block_size: u64, queue_depth: usize) -> Result<Sample> {
    let output = Command::new("fio")
        .args(["--name=sequential", "--rw=read", "--direct=1", "--ioengine=io_uring", "--output-format=json"])
        .arg(format!("--filename={}", file.display()))
        .arg(format!("--bs={block_size}"))
        .arg(format!("--iodepth={queue_depth}"))
        .kill_on_drop(true)
        .output()
        .await?;
    if !output.status.success() {
        bail!("fio failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).context("fio's report")?;
    let job = &report["jobs"][0];
    let number = |value: &serde_json::Value| value.as_f64().context("a number is missing in fio's report");
    let wall_seconds = number(&job["read"]["runtime"])? / 1e3;
    let share = (number(&job["usr_cpu"])? + number(&job["sys_cpu"])?) / 100.0;
    Ok(Sample {
        cpu_seconds: share * number(&job["job_runtime"])? / 1e3,
        wall_seconds,
        operations: 1,
        bytes: number(&job["read"]["io_bytes"])? as u64,
        peak_bytes: 0,
    })
}

/// fio's version; installs it where it is missing.
pub(crate) async fn fio_version() -> Result<String> {
    if Command::new("fio").arg("--version").output().await.is_err() {
        install_package("fio").await?;
    }
    let output = Command::new("fio").arg("--version").output().await?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
