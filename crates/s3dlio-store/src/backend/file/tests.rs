//! What both file backends promise; [`direct`](crate::backend::direct) runs the same tests on its store.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;
use object_store::path::Path;
use object_store::{
    Attribute, Attributes, GetOptions, GetRange, GetResultPayload, ObjectStore, ObjectStoreExt, PutMode, PutPayload,
    RenameOptions, RenameTargetMode,
};
use tempfile::TempDir;

use super::*;
use crate::error::ErrorKind;

mod listings;
mod reads;
mod safety;
mod writes;

/// A directory on the disk that the test was built on, which needs extended attributes and O_DIRECT.
pub(crate) fn on_disk() -> TempDir {
    tempfile::tempdir_in(std::env::current_exe().unwrap().parent().unwrap()).unwrap()
}

/// A directory in memory.
pub(crate) fn in_memory() -> TempDir {
    tempfile::tempdir_in("/dev/shm").unwrap()
}

fn on(directory: &TempDir) -> FileSystemObjectStore {
    FileSystemObjectStore::new(directory.path()).unwrap()
}

/// The names of all files below `directory`, unfinished writes included.
pub(crate) fn files_below(directory: &std::path::Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut open = vec![directory.to_owned()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let entry = entry.unwrap();
            match entry.file_type().unwrap().is_dir() {
                true => open.push(entry.path()),
                false => {
                    found.insert(entry.path().strip_prefix(directory).unwrap().to_str().unwrap().to_owned());
                }
            }
        }
    }
    found
}

pub(crate) fn kind<T: std::fmt::Debug>(result: object_store::Result<T>) -> ErrorKind {
    ErrorKind::of(&result.unwrap_err())
}

/// object_store's own suite, each part on an empty directory of its own.
pub(crate) async fn public_suite<S: ObjectStore + Clone>(
    make_directory: impl Fn() -> TempDir,
    make_store: impl Fn(&TempDir) -> S,
) {
    use object_store::integration as suite;
    macro_rules! each {
        ($($name:ident $(, $argument:expr)*;)*) => {$({
            let directory = make_directory();
            let store = make_store(&directory);
            suite::$name(&store $(, $argument)*).await;
            drop(store);
        })*};
    }
    each! {
        put_get_delete_list;
        put_get_attributes;
        get_opts;
        put_opts, true;
        list_uses_directories_correctly;
        list_with_delimiter;
        list_with_offset_exclusivity;
        rename_and_copy;
        copy_if_not_exists;
        copy_rename_nonexistent_object;
        multipart_race_condition, true;
        multipart_out_of_order;
        stream_get;
    }
    let directory = make_directory();
    let error = suite::get_nonexistent_object(&make_store(&directory), None).await.unwrap_err();
    assert!(matches!(error, object_store::Error::NotFound { .. }), "{error}");
}

#[tokio::test]
async fn passes_the_public_suite_on_disk() {
    public_suite(on_disk, on).await;
}

#[tokio::test]
async fn passes_the_public_suite_in_memory() {
    public_suite(in_memory, on).await;
}

#[tokio::test]
async fn passes_the_public_suite_without_openat2() {
    public_suite(on_disk, |directory| {
        let root = Root::new(Scheme::File, directory.path()).unwrap().without_openat2();
        FileSystemObjectStore::over(Arc::new(root), Arc::new(Cached::new()), BLOCKS_AHEAD)
    })
    .await;
}

/// Runs `test` on a file system of its own: in a child process that runs the test `name` alone, whose body calls this,
/// in a mount namespace where `options` of mount(8) made one.
pub(crate) fn on_a_mount(name: &str, options: &str, test: impl AsyncFnOnce(std::path::PathBuf)) {
    const VARIABLE: &str = "FILE_BACKEND_TEST_MOUNT";
    if let Some(root) = std::env::var_os(VARIABLE) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        return runtime.block_on(test(root.into()));
    }
    let directory = in_memory();
    let root = directory.path().to_str().unwrap();
    let executable = std::env::current_exe().unwrap();
    let script = r#"mount $4 none "$1" && exec "$2" --exact "$3" --nocapture"#;
    let output = std::process::Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", script, "sh", root])
        .arg(executable)
        .args([name, options])
        .env(VARIABLE, root)
        .output()
        .expect("unshare, of util-linux, is needed");
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "in a mount namespace of its own: {text}");
}

/// Writes more than there is room for, whole and in parts.
pub(crate) async fn a_full_disk_is_out_of_space(root: &std::path::Path, store: impl ObjectStore) {
    let key = Path::from("key");
    store.put(&key, "kept".into()).await.unwrap();
    let error = store.put(&key, vec![1; 16 << 20].into()).await.unwrap_err();
    assert_eq!(ErrorKind::of(&error), ErrorKind::OutOfSpace, "{error}");
    let mut upload = store.put_multipart(&key).await.unwrap();
    assert_eq!(kind(upload.put_part(vec![1; 16 << 20].into()).await), ErrorKind::OutOfSpace);
    drop(upload);
    assert_eq!(files_below(root), BTreeSet::from(["key".to_owned()]));
    assert_eq!(store.get(&key).await.unwrap().bytes().await.unwrap(), "kept");
}

/// Parts of sizes that are no multiple of anything, written in reverse order and at once.
pub(crate) async fn parts_land_at_their_offsets(store: &impl ObjectStore) {
    let sizes = [1, 4095, 4096, 4097, 100_000, 0, 3, 1 << 20, 511, 5_000_001, 2];
    let parts: Vec<Bytes> = sizes.iter().zip(1..).map(|(size, byte)| vec![byte; *size].into()).collect();
    let mut upload = store.put_multipart(&"parts".into()).await.unwrap();
    let mut futures: Vec<_> = parts.iter().map(|part| upload.put_part(part.clone().into())).collect();
    futures.reverse();
    futures::future::try_join_all(futures).await.unwrap();
    let put = upload.complete().await.unwrap();
    let got = store.get(&"parts".into()).await.unwrap();
    assert_eq!(put.e_tag, got.meta.e_tag);
    assert_eq!(got.bytes().await.unwrap(), parts.concat());
}
