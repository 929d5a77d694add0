//! Each measurement is a process of its own, so that its CPU time and its peak memory are nobody else's.

use std::time::Instant;

use anyhow::{Context, Result, bail};
use rustix::thread::{CpuSet, sched_setaffinity};
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use tokio::process::Command;

use crate::job::Job;

/// What one measurement found.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Sample {
    /// CPU time of the whole process, user and system, between the start and the end of the measured part.
    pub(crate) cpu_seconds: f64,
    pub(crate) wall_seconds: f64,
    pub(crate) operations: u64,
    pub(crate) bytes: u64,
    /// The most memory that the process ever had resident, its start included.
    pub(crate) peak_bytes: u64,
}

/// The clocks at the start of the measured part.
pub(crate) struct Meter {
    cpu: f64,
    wall: Instant,
}

impl Meter {
    pub(crate) fn start() -> Self {
        Self { cpu: cpu_seconds(), wall: Instant::now() }
    }

    pub(crate) fn stop(self, operations: u64, bytes: u64) -> Result<Sample> {
        Ok(Sample {
            cpu_seconds: cpu_seconds() - self.cpu,
            wall_seconds: self.wall.elapsed().as_secs_f64(),
            operations,
            bytes,
            peak_bytes: peak_bytes()?,
        })
    }
}

/// In nanoseconds, where getrusage's times are sums of two roundings.
fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Of this process alone: getrusage's maximum also counts the parent's memory at the time of the fork.
fn peak_bytes() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("VmHWM is missing")?;
    let kib: u64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib * 1024)
}

/// Keeps this process, and all threads that it will start, on one core.
pub(crate) fn pin_to(core: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(core);
    sched_setaffinity(None, &set).with_context(|| format!("cannot run on core {core}"))
}

/// Runs one measurement in a child process.
pub(crate) async fn measure(job: &Job) -> Result<Sample> {
    let program = std::env::current_exe()?;
    let output = Command::new(program)
        .arg("measure")
        .arg(serde_json::to_string(job)?)
        // Nothing of the user's own configuration may take part.
        .env_clear()
        .kill_on_drop(true)
        .output()
        .await?;
    if !output.status.success() {
        bail!("{job:?} failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    serde_json::from_slice(&output.stdout).context("the measuring process said nothing readable")
}
