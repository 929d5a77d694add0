//! What this process holds open, read from `/proc`, for leak checks.
//!
//! The counts are of the whole process: a test that compares them must not run beside others that open files. Put such
//! tests into one `#[test]` function, or compare [`crate::fault_proxy::FaultProxy::open_connections`] instead, which
//! sees only its own.

use std::path::PathBuf;
use std::time::{Duration, Instant};

/// One open descriptor: its number and what `/proc/self/fd` says it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Descriptor {
    /// The descriptor's number.
    pub number: i32,
    /// A path, `socket:[inode]`, `pipe:[inode]` or `anon_inode:...`.
    pub target: PathBuf,
}

/// Every descriptor of this process, without the one that reads the list.
pub fn descriptors() -> Vec<Descriptor> {
    let entries = std::fs::read_dir("/proc/self/fd").expect("/proc is mounted on Linux");
    let mut descriptors: Vec<_> = entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let number = entry.file_name().to_str()?.parse().ok()?;
            Some(Descriptor { number, target: std::fs::read_link(entry.path()).ok()? })
        })
        // The directory itself is read through a descriptor, which is gone by the time this returns.
        .filter(|descriptor| !descriptor.target.to_string_lossy().ends_with("/fd"))
        .collect();
    descriptors.sort();
    descriptors
}

/// How many descriptors this process has open.
pub fn open_descriptors() -> usize {
    descriptors().len()
}

/// How many sockets this process has open.
pub fn open_sockets() -> usize {
    descriptors().iter().filter(|descriptor| descriptor.target.to_string_lossy().starts_with("socket:")).count()
}

/// The open files whose path starts with `directory`.
pub fn open_files_below(directory: &std::path::Path) -> Vec<PathBuf> {
    descriptors().into_iter().map(|descriptor| descriptor.target).filter(|path| path.starts_with(directory)).collect()
}

/// How many threads this process has.
pub fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").expect("/proc is mounted on Linux").count()
}

/// The peak resident memory of this process in bytes, as the kernel counts it.
pub fn peak_resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("/proc is mounted on Linux");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("the kernel reports VmHWM");
    let kibibytes: u64 = line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).expect("VmHWM is a number");
    kibibytes * 1024
}

/// Waits until `condition` holds, looking every few milliseconds; false when `limit` passed first.
///
/// For states that nothing announces, such as a socket that the kernel closes: the limit is only ever reached by a
/// test that fails.
pub fn eventually(limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    loop {
        if condition() {
            return true;
        }
        if start.elapsed() > limit {
            return false;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The same for asynchronous tests: it yields to the runtime between two looks.
pub async fn eventually_async(limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    loop {
        if condition() {
            return true;
        }
        if start.elapsed() > limit {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_file_and_socket_are_seen() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().canonicalize().unwrap();
        assert!(open_files_below(&path).is_empty());
        let file = std::fs::File::create(path.join("a")).unwrap();
        assert_eq!(open_files_below(&path), [path.join("a")]);
        drop(file);
        assert!(open_files_below(&path).is_empty());

        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        assert!(open_sockets() >= 1);
        assert!(open_descriptors() > open_sockets());
        drop(listener);
        assert!(threads() >= 1);
        assert!(peak_resident_bytes() > 0);
    }
}
