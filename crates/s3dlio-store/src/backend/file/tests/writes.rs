//! What is written: whole or not at all, with its metadata, and errors that say why.

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
async fn an_update_waits_for_the_lock_of_another_process_but_not_for_ever() {
    let directory = on_disk();
    let store = on(&directory);
    let key = Path::from("key");
    let version = store.put(&key, "old".into()).await.unwrap();
    let update = || PutMode::Update(version.clone().into()).into();
    let lock = fs::File::open(directory.path()).unwrap();
    lock.lock().unwrap();
    assert_eq!(kind(store.put_opts(&key, "new".into(), update()).await), ErrorKind::Timeout);
    assert_eq!(files_below(directory.path()).len(), 1);
    lock.unlock().unwrap();
    store.put_opts(&key, "new".into(), update()).await.unwrap();
    assert_eq!(kind(store.put_opts(&key, "newer".into(), update()).await), ErrorKind::PreconditionFailed);
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
