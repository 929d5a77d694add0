//! No path leads out of the root, and only regular files are objects.

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
