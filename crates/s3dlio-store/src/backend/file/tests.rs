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

mod safety {
    use super::*;

    /// Both ways of resolving a path.
    fn stores(directory: &TempDir) -> [FileSystemObjectStore; 2] {
        let root = directory.path().join("root");
        fs::create_dir_all(&root).unwrap();
        let fallback = Root::new(Scheme::File, &root).unwrap().without_openat2();
        let fallback = FileSystemObjectStore::over(Arc::new(fallback), Arc::new(Cached::new()), BLOCKS_AHEAD);
        [FileSystemObjectStore::new(root).unwrap(), fallback]
    }

    async fn assert_refused(store: &FileSystemObjectStore, key: &str) {
        let key = Path::parse(key).unwrap();
        assert_eq!(kind(store.get(&key).await), ErrorKind::PermissionDenied, "get {key}");
        assert_eq!(kind(store.head(&key).await), ErrorKind::PermissionDenied, "head {key}");
        assert_eq!(kind(store.copy(&key, &"copy".into()).await), ErrorKind::PermissionDenied, "copy {key}");
        let below = key.clone().join("below");
        assert_eq!(kind(store.put(&below, "x".into()).await), ErrorKind::PermissionDenied, "put {below}");
        assert_eq!(kind(store.delete(&below).await), ErrorKind::PermissionDenied, "delete {below}");
    }

    #[tokio::test]
    async fn no_symbolic_link_leads_out_of_the_root() {
        let directory = on_disk();
        fs::create_dir(directory.path().join("outside")).unwrap();
        fs::write(directory.path().join("outside/secret"), "secret").unwrap();
        for store in stores(&directory) {
            let root = store.root();
            let links = [
                ("absolute-directory", directory.path().join("outside")),
                ("relative-directory", "../outside".into()),
                ("through-the-root", root.join("../outside")),
                ("parent", "..".into()),
                ("top", "/".into()),
            ];
            for (name, target) in &links {
                let link = root.join(name);
                let _ = fs::remove_file(&link);
                symlink(target, link).unwrap();
                assert_refused(&store, name).await;
            }
            let _ = fs::remove_file(root.join("file"));
            symlink("../outside/secret", root.join("file")).unwrap();
            assert_eq!(kind(store.get(&"file".into()).await), ErrorKind::PermissionDenied);
            assert_eq!(kind(store.get(&"relative-directory/secret".into()).await), ErrorKind::PermissionDenied);
            assert_eq!(fs::read_dir(directory.path().join("outside")).unwrap().count(), 1);
            // What cannot be read is not listed either.
            assert_eq!(store.list(None).count().await, 0);
            let listed = store.list_with_delimiter(None).await.unwrap();
            assert_eq!((listed.objects.len(), listed.common_prefixes.len()), (0, 0));
            let below: Vec<_> = store.list(Some(&"parent".into())).collect().await;
            assert_eq!(below.len(), 1);
            assert_eq!(ErrorKind::of(below[0].as_ref().unwrap_err()), ErrorKind::PermissionDenied);
        }
    }

    #[tokio::test]
    async fn symbolic_links_within_the_root_are_followed() {
        let directory = on_disk();
        for store in stores(&directory) {
            let root = store.root().to_owned();
            store.put(&"real/data".into(), "content".into()).await.unwrap();
            let links =
                [("relative", "real".into()), ("absolute", root.join("real")), ("up-and-down", "real/../real".into())];
            for (name, target) in &links {
                let _ = fs::remove_file(root.join(name));
                symlink(target, root.join(name)).unwrap();
                let key = Path::from(format!("{name}/data"));
                assert_eq!(store.get(&key).await.unwrap().bytes().await.unwrap(), "content", "{name}");
            }
            store.put(&"absolute/new".into(), "new".into()).await.unwrap();
            assert_eq!(fs::read(root.join("real/new")).unwrap(), b"new");
            let listed: Vec<_> = store.list(None).map(|meta| meta.unwrap().location.to_string()).collect().await;
            let names = ["absolute", "real", "relative", "up-and-down"];
            assert_eq!(listed, names.map(|name| [format!("{name}/data"), format!("{name}/new")]).concat());
        }
    }

    #[tokio::test]
    async fn writes_replace_and_deletes_remove_a_link_not_its_target() {
        let directory = on_disk();
        let outside = directory.path().join("outside");
        fs::write(&outside, "kept").unwrap();
        for store in stores(&directory) {
            symlink(&outside, store.root().join("link")).unwrap();
            store.put(&"link".into(), "new".into()).await.unwrap();
            assert_eq!(fs::read(&outside).unwrap(), b"kept");
            assert_eq!(store.get(&"link".into()).await.unwrap().bytes().await.unwrap(), "new");
            fs::remove_file(store.root().join("link")).unwrap();
            symlink(&outside, store.root().join("link")).unwrap();
            store.delete(&"link".into()).await.unwrap();
            assert_eq!(fs::read(&outside).unwrap(), b"kept");
            assert!(files_below(store.root()).is_empty());
        }
    }

    #[tokio::test]
    async fn cycles_of_links_end() {
        let directory = on_disk();
        for store in stores(&directory) {
            let root = store.root();
            store.put(&"a/file".into(), "x".into()).await.unwrap();
            for (target, link) in [("loop", "loop"), ("..", "a/up"), (".", "a/self"), ("nowhere", "dangling")] {
                let _ = fs::remove_file(root.join(link));
                symlink(target, root.join(link)).unwrap();
            }
            assert_eq!(kind(store.get(&"loop".into()).await), ErrorKind::InvalidInput);
            assert_eq!(kind(store.get(&"dangling".into()).await), ErrorKind::NotFound);
            let listed: Vec<_> = store.list(None).map(|meta| meta.unwrap().location.to_string()).collect().await;
            assert_eq!(listed, ["a/file"]);
            let listed: Vec<_> = store.list(Some(&"a".into())).map(|meta| meta.unwrap().location).collect().await;
            assert_eq!(listed, [Path::from("a/file")]);
        }
    }

    #[tokio::test]
    async fn keys_that_no_file_can_have_are_refused_by_name() {
        let directory = on_disk();
        let store = on(&directory);
        let dot = |segment: &str| Path::ROOT.join("a").join(object_store::path::PathPart::parse(segment).unwrap());
        let keys = [Path::ROOT, dot(""), dot("").join("b"), dot(".s3dlio-tmp.0123456789abcdef")];
        for key in keys {
            for result in [
                store.put(&key, "x".into()).await.map(drop),
                store.get(&key).await.map(drop),
                store.delete(&key).await,
                store.put_multipart(&key).await.map(drop),
                store.copy(&"a".into(), &key).await,
                store.rename(&"a".into(), &key).await,
            ] {
                let error = result.unwrap_err();
                assert_eq!(ErrorKind::of(&error), ErrorKind::Unsupported, "{error}");
                assert!(error.to_string().contains(&format!("{:?}", key.as_ref())), "{error}");
            }
        }
        for (key, reason) in [("a/../b", "\"..\""), ("./a", "\".\""), ("a/b\0", "NUL"), ("/etc/passwd", "empty")] {
            let refused = key.split('/').find_map(key::refusal).unwrap();
            assert!(refused.contains(reason), "{key:?}: {refused}");
        }
        let long = Path::from("x".repeat(256));
        let error = store.put(&long, "x".into()).await.unwrap_err();
        assert_eq!(ErrorKind::of(&error), ErrorKind::InvalidInput);
        assert!(error.to_string().contains("longer than the file system can name"), "{error}");
        assert!(files_below(directory.path()).is_empty());
        let longest = Path::from("x".repeat(255));
        store.put(&longest, "x".into()).await.unwrap();
        assert_eq!(store.get(&longest).await.unwrap().bytes().await.unwrap(), "x");
    }

    #[tokio::test]
    async fn only_regular_files_are_objects_and_nothing_waits_for_a_fifo() {
        let directory = on_disk();
        let store = on(&directory);
        rustix::fs::mkfifoat(rustix::fs::CWD, directory.path().join("fifo"), 0o600.into()).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(directory.path().join("socket")).unwrap();
        for name in ["fifo", "socket"] {
            let key = Path::from(name);
            let error = store.get(&key).await.unwrap_err();
            assert_eq!(ErrorKind::of(&error), ErrorKind::Unsupported, "{error}");
            assert!(error.to_string().contains("FIFO"), "{error}");
            assert_eq!(kind(store.delete(&key).await), ErrorKind::Unsupported);
            assert_eq!(kind(store.copy(&key, &"copy".into()).await), ErrorKind::Unsupported);
            assert_eq!(kind(store.rename(&key, &"copy".into()).await), ErrorKind::Unsupported);
        }
        assert_eq!(store.list(None).count().await, 0);
        let devices = FileSystemObjectStore::new("/dev").unwrap();
        assert_eq!(kind(devices.get(&"null".into()).await), ErrorKind::Unsupported);
        fs::create_dir(directory.path().join("directory")).unwrap();
        assert_eq!(kind(store.get(&"directory".into()).await), ErrorKind::NotFound);
        assert_eq!(kind(store.delete(&"directory".into()).await), ErrorKind::NotFound);
        assert_eq!(kind(store.put(&"directory".into(), "x".into()).await), ErrorKind::InvalidInput);
    }

    #[tokio::test]
    async fn a_root_that_is_made_anew_is_found_and_a_missing_one_is_said() {
        let directory = on_disk();
        let root = directory.path().join("not/yet");
        let store = FileSystemObjectStore::new(&root).unwrap();
        assert_eq!(kind(store.get(&"key".into()).await), ErrorKind::NotFound);
        let listed: Vec<_> = store.list(None).collect().await;
        assert!(matches!(&listed[..], [Err(object_store::Error::NotFound { .. })]), "{listed:?}");
        for content in ["one", "two"] {
            store.put(&"deep/key".into(), content.into()).await.unwrap();
            assert_eq!(store.get(&"deep/key".into()).await.unwrap().bytes().await.unwrap(), content);
            fs::remove_dir_all(&root).unwrap();
        }
        let file = directory.path().join("file");
        fs::write(&file, "").unwrap();
        assert_eq!(kind(FileSystemObjectStore::new(file)), ErrorKind::InvalidInput);
    }
}

mod reads {
    use super::*;

    #[tokio::test]
    async fn ranges_of_every_kind_are_streams_of_the_right_bytes() {
        let directory = in_memory();
        let store = on(&directory);
        let content: Bytes = (0..5_000_000_u32).map(|index| (index % 251) as u8).collect();
        store.put(&"large".into(), content.clone().into()).await.unwrap();
        let cases = [
            (None, 0..5_000_000),
            (Some(GetRange::Bounded(0..1)), 0..1),
            (Some(GetRange::Bounded(1_048_575..1_048_577)), 1_048_575..1_048_577),
            (Some(GetRange::Bounded(17..3_000_001)), 17..3_000_001),
            (Some(GetRange::Bounded(4_999_999..9_000_000)), 4_999_999..5_000_000),
            (Some(GetRange::Offset(1_000)), 1_000..5_000_000),
            (Some(GetRange::Suffix(2_500_000)), 2_500_000..5_000_000),
        ];
        for (range, expected) in cases {
            let options = GetOptions { range, ..GetOptions::default() };
            let result = store.get_opts(&"large".into(), options).await.unwrap();
            assert_eq!(result.range, expected);
            assert_eq!(result.meta.size, 5_000_000);
            assert!(matches!(result.payload, GetResultPayload::Stream(_)));
            let expected = content.slice(expected.start as usize..expected.end as usize);
            assert_eq!(result.bytes().await.unwrap(), expected);
        }
        let error = store.get_range(&"large".into(), 5_000_000..5_000_001).await.unwrap_err();
        assert_eq!(ErrorKind::of(&error), ErrorKind::InvalidInput);
        let head = store.get_opts(&"large".into(), GetOptions::new().with_head(true)).await.unwrap();
        assert_eq!(head.bytes().await.unwrap(), "");
        for ranges in [vec![5..10, 0..1, 4_999_990..5_000_000], vec![0..4_000_000, 1..2, 3_000_000..5_000_000], vec![]]
        {
            let read = store.get_ranges(&"large".into(), &ranges).await.unwrap();
            let expected: Vec<_> = ranges.iter().map(|r| content.slice(r.start as usize..r.end as usize)).collect();
            assert_eq!(read, expected);
        }
        let open = store.open_for_read(&"large".into()).unwrap();
        let mut buffer = [0; 1000];
        open.read_exact_at(1_234_567, &mut buffer).unwrap();
        assert_eq!(buffer, content[1_234_567..1_235_567]);
        assert_eq!(kind(open.read_exact_at(4_999_999, &mut buffer)), ErrorKind::Changed);
        assert_eq!(Some(open.e_tag()), store.head(&"large".into()).await.unwrap().e_tag);
    }

    /// Begins to read a file of several blocks, changes it by `change`, and reads on.
    async fn read_while(change: impl FnOnce(&fs::File)) -> object_store::Result<Bytes> {
        let directory = in_memory();
        let store = on(&directory);
        store.put(&"key".into(), vec![1; 20 << 20].into()).await.unwrap();
        let result = store.get(&"key".into()).await.unwrap();
        change(&fs::File::options().write(true).open(directory.path().join("key")).unwrap());
        result.bytes().await
    }

    #[tokio::test]
    async fn a_file_that_changes_while_it_is_read_is_an_error_that_says_so() {
        for result in [
            read_while(|file| file.write_all_at(b"other", 19 << 20).unwrap()).await,
            read_while(|file| file.set_len(1 << 20).unwrap()).await,
            read_while(|file| file.set_len(30 << 20).unwrap()).await,
        ] {
            let error = result.unwrap_err();
            assert_eq!(ErrorKind::of(&error), ErrorKind::Changed);
            assert!(error.to_string().contains("was written to while it was read"), "{error}");
        }
    }

    #[tokio::test]
    async fn a_file_that_is_replaced_or_deleted_while_it_is_read_is_read_as_it_was() {
        let directory = in_memory();
        let store = on(&directory);
        store.put(&"key".into(), vec![1; 20 << 20].into()).await.unwrap();
        let (one, other) = (store.get(&"key".into()).await.unwrap(), store.get(&"key".into()).await.unwrap());
        store.put(&"key".into(), "new".into()).await.unwrap();
        assert_eq!(one.bytes().await.unwrap(), vec![1; 20 << 20]);
        store.delete(&"key".into()).await.unwrap();
        assert_eq!(other.bytes().await.unwrap(), vec![1; 20 << 20]);
    }

    #[tokio::test]
    async fn buffers_come_back_and_streams_hold_few() {
        let directory = in_memory();
        let data = Arc::new(Cached::new());
        let store =
            FileSystemObjectStore::with_data_path(Scheme::File, directory.path().into(), data.clone(), 1).unwrap();
        store.put(&"key".into(), vec![1; 20 << 20].into()).await.unwrap();
        let mut streams = Vec::new();
        for _ in 0..4 {
            let mut stream = store.get(&"key".into()).await.unwrap().into_stream();
            let first = stream.next().await.unwrap().unwrap();
            assert_eq!(first.as_ptr() as usize % buffer::ALIGNMENT, 0);
            streams.push((stream, first));
        }
        assert_eq!(data.idle_bytes(), 0);
        for (stream, _) in streams {
            assert_eq!(stream.count().await, 19);
        }
        // Four streams with a block each, and one that was read ahead.
        assert!((4 << 20..=5 << 20).contains(&data.idle_bytes()), "{}", data.idle_bytes());
    }

    #[tokio::test]
    async fn versions_are_not_ignored() {
        let directory = in_memory();
        let store = on(&directory);
        store.put(&"key".into(), "x".into()).await.unwrap();
        let options = GetOptions::new().with_version(Some("1"));
        assert_eq!(kind(store.get_opts(&"key".into(), options).await), ErrorKind::Unsupported);
    }
}

mod writes {
    use super::*;
    use std::task::Poll;

    #[tokio::test]
    async fn a_put_that_is_dropped_leaves_the_object_whole_or_as_it_was() {
        let directory = on_disk();
        let store = on(&directory);
        let new = Bytes::from(vec![2; 8 << 20]);
        for polls in 0..4 {
            store.put(&"key".into(), "old".into()).await.unwrap();
            let key = Path::from("key");
            let mut put = Box::pin(store.put(&key, PutPayload::from_iter(vec![new.clone(); 8])));
            for _ in 0..polls {
                // A poll starts the work; the others meet it wherever it is by then.
                assert!(matches!(futures::poll!(&mut put), Poll::Pending));
                tokio::task::yield_now().await;
            }
            drop(put);
            assert_eq!(files_below(directory.path()), BTreeSet::from(["key".to_owned()]));
            let size = fs::metadata(directory.path().join("key")).unwrap().len();
            assert!(size == 3 || size == 64 << 20, "{size}");
        }
    }

    #[tokio::test]
    async fn a_put_that_is_dropped_in_the_middle_of_its_write_leaves_nothing() {
        let directory = on_disk();
        let store = on(&directory);
        let staging = write::Staging::new();
        let (writer, handle) = (store.writer.clone(), staging.handle());
        let key = key::Key::parse(&writer.root, Operation::Put, &"deep/key".into()).unwrap();
        let staged = handle.stage(&writer, Operation::Put, &key).unwrap();
        staged.write(&handle, 0, &["half".into()]).unwrap();
        assert_eq!(files_below(directory.path()).len(), 1);
        drop(staging);
        assert!(files_below(directory.path()).is_empty());
        assert_eq!(kind(staged.write(&handle, 4, &["other half".into()])), ErrorKind::Other);
        assert_eq!(kind(staged.commit(&handle, &PutMode::Overwrite)), ErrorKind::Other);
        assert!(handle.stage(&writer, Operation::Put, &key).is_err());
        assert!(files_below(directory.path()).is_empty());
    }

    #[tokio::test]
    async fn uploads_that_are_dropped_aborted_or_incomplete_leave_nothing() {
        let directory = on_disk();
        let store = on(&directory);
        let key = Path::from("deep/key");
        let mut dropped = store.put_multipart(&key).await.unwrap();
        dropped.put_part(vec![1; 1 << 20].into()).await.unwrap();
        assert_eq!(files_below(directory.path()).len(), 1);
        drop(dropped);
        assert!(files_below(directory.path()).is_empty());

        let mut aborted = store.put_multipart(&key).await.unwrap();
        let late = aborted.put_part(vec![1; 1 << 20].into());
        aborted.abort().await.unwrap();
        assert!(late.await.is_err());
        assert!(aborted.complete().await.is_err());
        assert!(files_below(directory.path()).is_empty());

        let mut incomplete = store.put_multipart(&key).await.unwrap();
        incomplete.put_part("one".into()).await.unwrap();
        drop(incomplete.put_part("two".into()));
        let error = incomplete.complete().await.unwrap_err();
        assert!(error.to_string().contains("1 of 2 parts are written"), "{error}");
        assert!(files_below(directory.path()).is_empty());

        let mut empty = store.put_multipart(&key).await.unwrap();
        empty.complete().await.unwrap();
        assert_eq!(store.head(&key).await.unwrap().size, 0);
    }

    #[tokio::test]
    async fn parts_of_any_size_land_at_their_offsets() {
        let directory = in_memory();
        let store = on(&directory);
        parts_land_at_their_offsets(&store).await;
    }

    #[tokio::test]
    async fn a_parent_that_is_a_file_is_said() {
        let directory = in_memory();
        let store = on(&directory);
        store.put(&"a".into(), "x".into()).await.unwrap();
        let error = store.put(&"a/b".into(), "x".into()).await.unwrap_err();
        assert!(error.to_string().contains("a parent of it is a file"), "{error}");
        assert_eq!(kind(store.get(&"a/b".into()).await), ErrorKind::NotFound);
        assert_eq!(kind(store.delete(&"a/b".into()).await), ErrorKind::NotFound);
        assert_eq!(store.list(Some(&"a".into())).count().await, 0);
    }

    #[tokio::test]
    async fn metadata_that_cannot_be_kept_is_an_error() {
        let directory = on_disk();
        let store = on(&directory);
        let key = Path::from("key");
        let large = [(Attribute::Metadata("large".into()), "x".repeat(70_000))];
        let long = [(Attribute::Metadata("x".repeat(300).into()), "x".to_owned())];
        for attributes in [large, long] {
            let error = store.put_opts(&key, "x".into(), Attributes::from_iter(attributes).into()).await.unwrap_err();
            assert_eq!(ErrorKind::of(&error), ErrorKind::Unsupported, "{error}");
            assert!(files_below(directory.path()).is_empty());
        }
        let attributes = Attributes::from_iter([(Attribute::Metadata("epoch".into()), "7")]);
        store.put_opts(&key, "x".into(), attributes.clone().into()).await.unwrap();
        store.copy(&key, &"copy".into()).await.unwrap();
        store.rename(&"copy".into(), &"renamed".into()).await.unwrap();
        assert_eq!(store.get(&"renamed".into()).await.unwrap().attributes, attributes);
        store.put(&key, "y".into()).await.unwrap();
        assert_eq!(store.get(&key).await.unwrap().attributes, Attributes::new());
    }

    #[tokio::test]
    async fn renames_move_one_file_and_respect_what_exists() {
        let directory = on_disk();
        let store = on(&directory);
        let (one, two) = (Path::from("one"), Path::from("deep/two"));
        store.put(&one, "1".into()).await.unwrap();
        store.put(&two, "2".into()).await.unwrap();
        let unless_exists = || RenameOptions::new().with_target_mode(RenameTargetMode::Create);
        assert_eq!(kind(store.rename_opts(&one, &two, unless_exists()).await), ErrorKind::AlreadyExists);
        assert_eq!(kind(store.rename_opts(&one, &one, unless_exists()).await), ErrorKind::AlreadyExists);
        store.rename(&one, &one).await.unwrap();
        assert_eq!(kind(store.rename(&"none".into(), &"new/three".into()).await), ErrorKind::NotFound);
        assert!(!directory.path().join("new").exists());
        store.rename_opts(&one, &"new/three".into(), unless_exists()).await.unwrap();
        // Two names of one file: rename(2) itself would leave both.
        fs::hard_link(directory.path().join("deep/two"), directory.path().join("link")).unwrap();
        store.rename(&"link".into(), &two).await.unwrap();
        let expected = ["deep/two", "new/three"].map(str::to_owned);
        assert_eq!(files_below(directory.path()), BTreeSet::from(expected));
    }

    #[tokio::test]
    async fn a_read_only_directory_is_permission_denied() {
        // Root may write anywhere but to a file system that is read-only: /sys refuses new files to everybody.
        let store = FileSystemObjectStore::new("/sys/kernel").unwrap();
        let error = store.put(&"s3dlio".into(), "x".into()).await.unwrap_err();
        assert_eq!(ErrorKind::of(&error), ErrorKind::PermissionDenied, "{error}");
        let directory = on_disk();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o500)).unwrap();
        // Where even this process may not write, because it is not root, neither may the store.
        if fs::write(directory.path().join("probe"), "").is_err() {
            assert_eq!(kind(on(&directory).put(&"key".into(), "x".into()).await), ErrorKind::PermissionDenied);
        }
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o700)).unwrap();
    }

    #[test]
    fn a_full_disk_is_out_of_space_and_leaves_nothing() {
        let name = "backend::file::tests::writes::a_full_disk_is_out_of_space_and_leaves_nothing";
        on_a_mount(name, "-t tmpfs -o size=8m", async |root| {
            a_full_disk_is_out_of_space(&root, FileSystemObjectStore::new(&root).unwrap()).await;
        });
    }
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

mod listings {
    use super::*;
    use crate::listing::ListRequest;

    async fn keys(store: &FileSystemObjectStore, request: ListRequest) -> (Vec<String>, Vec<String>) {
        let (mut objects, mut prefixes) = (Vec::new(), Vec::new());
        let mut pages = store.list_pages(request.clone());
        while let Some(page) = pages.next().await {
            let page = page.unwrap();
            let entries = page.objects.len() + page.prefixes.len();
            assert!((1..=request.page_size.unwrap_or(1000)).contains(&entries), "{entries}");
            objects.extend(page.objects.into_iter().map(|object| object.key));
            prefixes.extend(page.prefixes);
        }
        (objects, prefixes)
    }

    const KEYS: [&str; 12] =
        ["a!", "a-b", "a/b-0", "a/b.c/x", "a/b/1", "a/b/2", "a/b0", "a/bc", "a/c/d/e", "a0", "b", "ü/日本"];

    async fn filled(directory: &TempDir) -> FileSystemObjectStore {
        let store = on(directory);
        for key in KEYS.iter().rev() {
            store.put(&Path::parse(key).unwrap(), "x".into()).await.unwrap();
        }
        store
    }

    #[tokio::test]
    async fn keys_come_in_byte_order_for_every_prefix_start_and_page_size() {
        let directory = in_memory();
        let store = filled(&directory).await;
        assert!(KEYS.is_sorted());
        let starts = KEYS.iter().copied().chain(["", "a", "a/", "a/b", "a/b/", "a/b/1/", "a/b/15", "a/b~", "zzz", "/"]);
        for start in starts {
            for prefix in ["", "a", "a/", "a/b", "a/b/", "a/b/1", "b", "c", "a/b/1/", "ü", "a//", "../a", "/a", "a/./b"]
            {
                for page_size in [1, 2, 1000] {
                    let expected: Vec<_> =
                        KEYS.iter().copied().filter(|key| key.starts_with(prefix) && *key > start).collect();
                    let request = ListRequest {
                        prefix: prefix.into(),
                        start_after: (!start.is_empty()).then(|| start.to_owned()),
                        page_size: Some(page_size),
                        delimiter: false,
                    };
                    let (objects, prefixes) = keys(&store, request.clone()).await;
                    assert_eq!(objects, expected, "{request:?}");
                    assert!(prefixes.is_empty());

                    let folded = |key: &&str| {
                        key[prefix.len()..].find('/').map(|slash| key[..prefix.len() + slash + 1].to_owned())
                    };
                    let all = KEYS.iter().copied().filter(|key| key.starts_with(prefix));
                    let expected_prefixes: BTreeSet<_> = all
                        .clone()
                        .filter_map(|key| folded(&key))
                        .filter(|folded| folded.as_str() > start || (start.starts_with(folded) && start != folded))
                        .collect();
                    let expected: Vec<_> = all.filter(|key| *key > start && folded(key).is_none()).collect();
                    let (objects, prefixes) = keys(&store, ListRequest { delimiter: true, ..request.clone() }).await;
                    assert_eq!(objects, expected, "{request:?}");
                    assert_eq!(prefixes, Vec::from_iter(expected_prefixes), "{request:?}");
                }
            }
        }
    }

    #[tokio::test]
    async fn entries_are_what_a_head_says() {
        let directory = in_memory();
        let store = filled(&directory).await;
        let page = store.list_pages(ListRequest::default()).next().await.unwrap().unwrap();
        for entry in page.objects {
            let head = store.head(&Path::parse(&entry.key).unwrap()).await.unwrap();
            assert_eq!((head.size, head.last_modified, head.e_tag), (entry.size, entry.last_modified, entry.e_tag));
        }
    }

    #[tokio::test]
    async fn a_name_that_is_not_utf8_is_one_error_and_the_listing_goes_on() {
        let directory = on_disk();
        let store = filled(&directory).await;
        fs::write(directory.path().join("a").join(std::ffi::OsStr::from_bytes(b"b\xff")), "x").unwrap();
        fs::create_dir(directory.path().join(std::ffi::OsStr::from_bytes(b"\xfe"))).unwrap();
        fs::write(directory.path().join(std::ffi::OsStr::from_bytes(b"\xfe/x")), "x").unwrap();
        for page_size in [1, 3, 1000] {
            let request = ListRequest { page_size: Some(page_size), ..ListRequest::default() };
            let (mut objects, mut errors) = (Vec::new(), Vec::new());
            let mut pages = store.list_pages(request);
            while let Some(page) = pages.next().await {
                match page {
                    Ok(page) => objects.extend(page.objects.into_iter().map(|object| object.key)),
                    Err(error) => errors.push(error.to_string()),
                }
            }
            assert_eq!(objects, KEYS);
            assert_eq!(errors.len(), 2, "{errors:?}");
            assert!(errors[0].contains("/a/: ") && errors[0].contains("b\\xFF"), "{}", errors[0]);
            assert!(errors[1].contains("\\xFE"), "{}", errors[1]);
        }
    }

    #[tokio::test]
    async fn unfinished_writes_are_not_listed() {
        let directory = in_memory();
        let store = on(&directory);
        let upload = store.put_multipart(&"a/key".into()).await.unwrap();
        assert_eq!(files_below(directory.path()).len(), 1);
        assert_eq!(keys(&store, ListRequest::default()).await, (vec![], vec![]));
        drop(upload);
    }

    #[tokio::test]
    async fn a_listing_that_is_dropped_stops() {
        let directory = in_memory();
        let store = filled(&directory).await;
        let before = Arc::strong_count(&store.writer.root);
        let mut pages = store.list_pages(ListRequest { page_size: Some(1), ..ListRequest::default() });
        pages.next().await.unwrap().unwrap();
        assert!(Arc::strong_count(&store.writer.root) > before);
        drop(pages);
        // The page that was being made ends, and lets go of the root, before a runtime with one blocking thread goes on.
        while Arc::strong_count(&store.writer.root) > before {
            tokio::task::spawn_blocking(std::thread::yield_now).await.unwrap();
        }
    }
}
