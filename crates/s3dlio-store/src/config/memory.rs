//! How much memory the process may use: the least of what the machine has and what its cgroups allow.
//!
//! A container sees the machine's `/proc/meminfo`, so the limit must come from the cgroup. `/proc/self/cgroup` names
//! the group, `/proc/self/mountinfo` says where its hierarchy is mounted and which part of it is visible there; from
//! the group up to the mount point, each directory may have a limit, and the lowest counts.

use std::fs;
use std::path::{Component, Path, PathBuf};

use crate::constants::{KIB, MEMORY_ASSUMED, MEMORY_BUDGET_MAXIMUM, MEMORY_BUDGET_MINIMUM, MEMORY_BUDGET_SHARE};

/// The default of `memory_budget` in bytes.
pub(super) fn default_budget() -> u64 {
    budget(Path::new("/"))
}

/// The default budget where the system's files lie below `root`.
fn budget(root: &Path) -> u64 {
    let limit = limit(root).unwrap_or(MEMORY_ASSUMED);
    (limit / MEMORY_BUDGET_SHARE).clamp(MEMORY_BUDGET_MINIMUM, MEMORY_BUDGET_MAXIMUM)
}

/// The lowest limit that applies, if any can be read.
fn limit(root: &Path) -> Option<u64> {
    let machine = read(root, "proc/meminfo").and_then(|text| total_memory(&text));
    let groups = read(root, "proc/self/cgroup").unwrap_or_default();
    let mounts = read(root, "proc/self/mountinfo").unwrap_or_default();
    let cgroups = mounts.lines().filter_map(Hierarchy::parse).filter_map(|hierarchy| hierarchy.limit(root, &groups));
    cgroups.chain(machine).min()
}

fn read(root: &Path, path: &str) -> Option<String> {
    fs::read_to_string(root.join(path)).ok()
}

/// The `MemTotal` line of meminfo, in bytes.
fn total_memory(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim_end().parse::<u64>().ok()?.checked_mul(KIB)
}

/// One mounted hierarchy of cgroups that can limit memory.
struct Hierarchy {
    version: Version,
    /// Which directory of the hierarchy is seen at the mount point; not `/` in a container without a namespace of its
    /// own.
    visible: PathBuf,
    mount_point: PathBuf,
}

#[derive(Clone, Copy, PartialEq)]
enum Version {
    One,
    Two,
}

impl Hierarchy {
    /// Reads a line of mountinfo, see proc_pid_mountinfo(5):
    /// `41 31 0:38 / /sys/fs/cgroup rw,relatime shared:4 - cgroup2 cgroup2 rw,nsdelegate`.
    fn parse(line: &str) -> Option<Self> {
        let (mount, file_system) = line.split_once(" - ")?;
        let mut mount = mount.split(' ').skip(3);
        let (visible, mount_point) = (mount.next()?, mount.next()?);
        let mut file_system = file_system.split(' ');
        let version = match (file_system.next()?, file_system.nth(1)) {
            ("cgroup2", _) => Version::Two,
            ("cgroup", Some(options)) if options.split(',').any(|option| option == "memory") => Version::One,
            _ => return None,
        };
        Some(Self { version, visible: visible.into(), mount_point: mount_point.replace("\\040", " ").into() })
    }

    /// The lowest limit from the process's group up to the mount point.
    fn limit(&self, root: &Path, groups: &str) -> Option<u64> {
        let top = root.join(self.mount_point.strip_prefix("/").ok()?);
        let group = self.group(groups)?;
        let below = group.strip_prefix(&self.visible).unwrap_or(Path::new(""));
        // `/..` stands for a group outside the process's namespace: only the mount point itself is known then.
        let below = if below.components().any(|part| part == Component::ParentDir) { Path::new("") } else { below };
        let file = match self.version {
            Version::One => "memory.limit_in_bytes",
            Version::Two => "memory.max",
        };
        below
            .ancestors()
            .filter_map(|directory| fs::read_to_string(top.join(directory).join(file)).ok())
            // "max" is no number and no limit; version 1 writes a huge number, which the machine's memory undercuts.
            .filter_map(|text| text.trim().parse().ok())
            .min()
    }

    /// The group of the process in this hierarchy, by the lines `0::/path` and `4:cpu,memory:/path`.
    fn group(&self, groups: &str) -> Option<PathBuf> {
        groups.lines().find_map(|line| {
            let (number, rest) = line.split_once(':')?;
            let (controllers, path) = rest.split_once(':')?;
            let own = match self.version {
                Version::One => controllers.split(',').any(|name| name == "memory"),
                Version::Two => number == "0" && controllers.is_empty(),
            };
            let path = path.strip_suffix(" (deleted)").unwrap_or(path);
            own.then(|| PathBuf::from(path))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::constants::{GIB, MIB};

    const MACHINE: (&str, &str) = ("proc/meminfo", "MemTotal:       16777216 kB\nMemFree:        100 kB\n");
    const VERSION_2: &str = "31 23 0:28 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n";
    const VERSION_1: &str = "40 31 0:37 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n\
                             41 31 0:38 / /sys/fs/cgroup/memory rw shared:9 - cgroup cgroup rw,memory\n";

    /// The limit of a machine whose files are these.
    fn limit_of(files: &[(&str, &str)]) -> Option<u64> {
        limit(tree(files).path())
    }

    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    #[test]
    fn without_a_cgroup_it_is_the_machine() {
        assert_eq!(limit_of(&[MACHINE]), Some(16 * GIB));
        assert_eq!(limit_of(&[]), None);
    }

    #[test]
    fn version_2_counts_the_group_and_all_above_it() {
        let files = |own, parent, top| {
            limit_of(&[
                MACHINE,
                ("proc/self/cgroup", "0::/pod/container\n"),
                ("proc/self/mountinfo", VERSION_2),
                ("sys/fs/cgroup/pod/container/memory.max", own),
                ("sys/fs/cgroup/pod/memory.max", parent),
                ("sys/fs/cgroup/memory.max", top),
            ])
        };
        assert_eq!(files("1073741824\n", "max\n", "max\n"), Some(GIB));
        assert_eq!(files("max\n", "2147483648\n", "max\n"), Some(2 * GIB));
        assert_eq!(files("8589934592\n", "max\n", "3221225472\n"), Some(3 * GIB));
        assert_eq!(files("max\n", "max\n", "max\n"), Some(16 * GIB));
        assert_eq!(files("99999999999999\n", "max\n", "max\n"), Some(16 * GIB), "no more than the machine has");
    }

    #[test]
    fn version_1_is_found_by_its_controller() {
        let groups = "9:name=systemd:/\n4:hugetlb,memory:/job/step\n1:cpu:/elsewhere\n";
        let files = |own| {
            limit_of(&[
                MACHINE,
                ("proc/self/cgroup", groups),
                ("proc/self/mountinfo", VERSION_1),
                ("sys/fs/cgroup/memory/job/step/memory.limit_in_bytes", own),
                ("sys/fs/cgroup/memory/job/memory.limit_in_bytes", "4294967296\n"),
                ("sys/fs/cgroup/memory/elsewhere/memory.limit_in_bytes", "1\n"),
            ])
        };
        assert_eq!(files("536870912\n"), Some(512 * MIB));
        assert_eq!(files("9223372036854771712\n"), Some(4 * GIB));
    }

    #[test]
    fn a_container_sees_its_own_group_at_the_mount_point() {
        let mount = "41 31 0:38 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n";
        let limit = limit_of(&[
            MACHINE,
            ("proc/self/cgroup", "4:memory:/docker/abc\n"),
            ("proc/self/mountinfo", mount),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "268435456\n"),
        ]);
        assert_eq!(limit, Some(256 * MIB));
    }

    #[test]
    fn a_group_outside_the_namespace_counts_the_mount_point_alone() {
        let limit = limit_of(&[
            MACHINE,
            ("proc/self/cgroup", "0::/../../elsewhere\n"),
            ("proc/self/mountinfo", VERSION_2),
            ("sys/fs/cgroup/memory.max", "1073741824\n"),
            // What `..` would reach from the mount point.
            ("elsewhere/memory.max", "1\n"),
            ("sys/elsewhere/memory.max", "1\n"),
        ]);
        assert_eq!(limit, Some(GIB));
    }

    #[test]
    fn the_budget_is_a_quarter_within_bounds() {
        let of = |kib: u64| budget(tree(&[("proc/meminfo", &format!("MemTotal: {kib} kB\n"))]).path());
        assert_eq!(of(8 * MIB), 2 * GIB);
        assert_eq!(of(64 * MIB), 4 * GIB);
        assert_eq!(of(100 * KIB), 64 * MIB);
        assert_eq!(budget(tree(&[]).path()), GIB);
    }
}
