//! Operations on names: delete, copy, rename.

use std::io;
use std::sync::Arc;

use object_store::path::Path;
use object_store::{CopyMode, PutMode, RenameTargetMode, Result};
use rustix::fs::{AtFlags, FileType, fstat, renameat, statat, unlinkat};
use rustix::io::Errno;

use super::attributes;
use super::data::{Cached, DataPath};
use super::failure::{Describe, failure, not_a_file};
use super::key::Key;
use super::read::OpenFile;
use super::root::sync_directory;
use super::write::{Staging, Writer, rename_unless_exists};
use crate::error::Operation;

impl Writer {
    /// Removes the file, or the symbolic link itself; directories stay, also when they become empty. Blocking.
    pub(crate) fn delete(&self, location: &Path) -> Result<()> {
        let root = &self.root;
        let key = Key::parse(root, Operation::Delete, location)?;
        let directory = root.open_directory(key.directory()).describe(root, Operation::Delete, key.as_str())?;
        let stat = statat(&directory, key.name(), AtFlags::SYMLINK_NOFOLLOW);
        let stat = stat.describe(root, Operation::Delete, key.as_str())?;
        self.check_file(Operation::Delete, &key, stat.st_mode)?;
        let _with_others = self.lock(&key).read();
        unlinkat(&directory, key.name(), AtFlags::empty()).describe(root, Operation::Delete, key.as_str())
    }

    /// Copies content, content type and metadata to a new file, which replaces `to` in one step.
    pub(crate) async fn copy(&self, from: &Path, to: &Path, mode: CopyMode) -> Result<()> {
        let to = Key::parse(&self.root, Operation::Copy, to)?;
        let staging = Staging::new();
        let (writer, handle, from) = (self.clone(), staging.handle(), from.clone());
        super::blocking(move || {
            let cached: Arc<dyn DataPath> = Arc::new(Cached::new());
            let source = OpenFile::open(&writer.root, &cached, &from)?;
            let attributes = attributes::read(source.file()).describe(&writer.root, Operation::Copy, from.as_ref())?;
            let mode = match mode {
                CopyMode::Overwrite => PutMode::Overwrite,
                CopyMode::Create => PutMode::Create,
            };
            writer.check_early(&to, &mode)?;
            let staged = handle.stage(&writer, Operation::Copy, &to)?;
            staged.copy_from(&handle, source.file())?;
            source.check_unchanged()?;
            attributes::write(&writer.root, to.as_str(), &staged.file.cached, &attributes)?;
            staged.commit(&handle, &mode).map(drop)
        })
        .await
    }

    /// Renames in one step. `Ok(false)` if the two lie on different file systems below the root.
    pub(crate) fn rename(&self, from: &Path, to: &Path, mode: RenameTargetMode) -> Result<bool> {
        let root = &self.root;
        let from = Key::parse(root, Operation::Rename, from)?;
        let to = Key::parse(root, Operation::Rename, to)?;
        let source = root.open_directory(from.directory()).describe(root, Operation::Rename, from.as_str())?;
        let stat = statat(&source, from.name(), AtFlags::SYMLINK_NOFOLLOW);
        let stat = stat.describe(root, Operation::Rename, from.as_str())?;
        self.check_file(Operation::Rename, &from, stat.st_mode)?;
        if from == to {
            return match mode {
                RenameTargetMode::Overwrite => Ok(true),
                RenameTargetMode::Create => Err(self.exists(Operation::Rename, &to)),
            };
        }
        let target = root.make_directory(to.directory()).describe(root, Operation::Rename, to.as_str())?;
        let renamed = {
            let _with_others = self.lock(&to).read();
            match mode {
                RenameTargetMode::Overwrite => renameat(&source, from.name(), &target, to.name()),
                RenameTargetMode::Create => rename_unless_exists((&source, from.name()), (&target, to.name())),
            }
        };
        match renamed {
            Err(Errno::XDEV) => return Ok(false),
            result => result.describe(root, Operation::Rename, to.as_str())?,
        }
        // Where both names are links to one file, rename(2) does nothing and says that it went well. One name that is
        // reached by two paths, or that the file system takes for the same in upper and lower case, is left alone.
        let is_one_name = {
            let (source, target) = (fstat(&source), fstat(&target));
            let source = source.describe(root, Operation::Rename, from.as_str())?;
            let target = target.describe(root, Operation::Rename, to.as_str())?;
            (source.st_dev, source.st_ino) == (target.st_dev, target.st_ino) && from.name() == to.name()
        };
        if stat.st_nlink > 1
            && !is_one_name
            && statat(&source, from.name(), AtFlags::SYMLINK_NOFOLLOW)
                .is_ok_and(|left| (left.st_dev, left.st_ino) == (stat.st_dev, stat.st_ino))
        {
            unlinkat(&source, from.name(), AtFlags::empty()).describe(root, Operation::Rename, from.as_str())?;
        }
        for directory in [&target, &source] {
            sync_directory(directory).describe(root, Operation::Rename, to.as_str())?;
        }
        Ok(true)
    }

    /// Refuses what `mode` says is neither a regular file nor a link; a directory is not there, as no object is.
    fn check_file(&self, operation: Operation, key: &Key, mode: u32) -> Result<()> {
        match FileType::from_raw_mode(mode) {
            FileType::RegularFile | FileType::Symlink => Ok(()),
            FileType::Directory => Err(failure(&self.root, operation, key.as_str(), io::ErrorKind::NotFound.into())),
            _ => Err(not_a_file(&self.root, operation, key.as_str()).into_store()),
        }
    }
}
