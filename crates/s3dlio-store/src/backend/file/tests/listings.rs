//! What is listed, in which order, and what is not.

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
        for prefix in ["", "a", "a/", "a/b", "a/b/", "a/b/1", "b", "c", "a/b/1/", "ü", "a//", "../a", "/a", "a/./b"] {
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

                let folded =
                    |key: &&str| key[prefix.len()..].find('/').map(|slash| key[..prefix.len() + slash + 1].to_owned());
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
