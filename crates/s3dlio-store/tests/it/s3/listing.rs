//! Listings of real servers: keys as they are, pages, prefixes and start keys.

use futures::StreamExt;

use super::*;

/// Keys that both servers hold as they are given.
const KEYS: [&str; 12] = [
    "%41",
    "a b",
    "a!*'()",
    "a+b",
    "a&b=c;d",
    "a#b?c",
    "dir/a",
    "dir/b/c",
    "dir:x",
    "quote\"<&>",
    "trailing ",
    "ü/日本",
];

/// What S3 answers, worked out from the keys.
fn expected(keys: &[&str], request: &ListRequest) -> (Vec<String>, Vec<String>) {
    let (mut objects, mut prefixes) = (Vec::new(), Vec::new());
    for rest in keys.iter().filter_map(|key| key.strip_prefix(request.prefix.as_str())) {
        match rest.find('/').filter(|_| request.delimiter) {
            Some(slash) => prefixes.push(format!("{}{}", request.prefix, &rest[..=slash])),
            None => objects.push(format!("{}{rest}", request.prefix)),
        }
    }
    for names in [&mut objects, &mut prefixes] {
        names.retain(|name| request.start_after.as_ref().is_none_or(|start| name > start));
        names.sort();
        names.dedup();
    }
    (objects, prefixes)
}

/// Every request on every prefix; the order is asserted where the server keeps it.
async fn lists_what_s3_would(store: &Store, keys: &[&str], in_byte_order: bool) {
    for key in keys {
        put(store, key).await;
    }
    for prefix in ["", "a", "a ", "a+", "di", "dir", "dir/", "dir/b", "dir/b/", "ü", "nothing/"] {
        for delimiter in [false, true] {
            for start in [None, Some("a"), Some("dir/a"), Some("zzz")] {
                for page_size in [None, Some(1), Some(3)] {
                    let start_after = start.map(str::to_owned);
                    let request = ListRequest { prefix: prefix.into(), delimiter, start_after, page_size };
                    let (mut objects, mut prefixes) = names(&*store.lister, request.clone()).await.unwrap();
                    if !in_byte_order {
                        objects.sort();
                        prefixes.sort();
                    }
                    assert_eq!((objects, prefixes), expected(keys, &request), "{request:?}");
                }
            }
        }
    }
}

#[tokio::test]
async fn s3s_fs_lists_keys_as_they_are() {
    let server = S3sFs::start_with_bucket("bucket").unwrap();
    // It says that it encodes keys and does not: see `Answer::is_encoded`.
    let keys: Vec<_> = KEYS.into_iter().filter(|key| !key.contains(['%', '+'])).collect();
    lists_what_s3_would(&s3s_fs(&server).await, &keys, true).await;
}

#[tokio::test]
async fn seaweedfs_lists_keys_as_they_are() {
    lists_what_s3_would(&seaweedfs().await, &KEYS, false).await;
}

#[tokio::test]
async fn more_keys_than_a_page_are_listed_page_by_page() {
    let server = S3sFs::start_with_bucket("bucket").unwrap();
    let keys: Vec<_> = (0..2100).map(|number| format!("many/{number:05}")).collect();
    std::fs::create_dir(server.root().join("bucket/many")).unwrap();
    for key in &keys {
        std::fs::write(server.root().join("bucket").join(key), "x").unwrap();
    }
    let store = s3s_fs(&server).await;
    let found = pages(&*store.lister, ListRequest::default()).await.unwrap();
    assert_eq!(found.iter().map(|page| page.objects.len()).collect::<Vec<_>>(), [1000, 1000, 100]);
    let listed: Vec<_> = found.iter().flat_map(|page| &page.objects).map(|object| object.key.clone()).collect();
    assert_eq!(listed, keys);
    assert_eq!(server.log().len(), 3);

    server.log().clear();
    let request = ListRequest { start_after: Some(keys[1998].clone()), ..Default::default() };
    assert_eq!(names(&*store.lister, request).await.unwrap().0, keys[1999..]);
    assert_eq!(server.log().len(), 1, "the server starts where it is told to");

    server.log().clear();
    let first = store.lister.pages(ListRequest::default()).next().await.unwrap().unwrap();
    assert_eq!((first.objects.len(), server.log().len()), (1000, 1), "a page that is not asked for is not fetched");
}

async fn an_entry_agrees_with_put_and_stat(store: &Store, has_e_tag: bool) {
    let put = store.objects.put(&path("key"), "12345".into()).await.unwrap();
    let page = pages(&*store.lister, ListRequest::default()).await.unwrap().remove(0);
    let meta = store.objects.head(&path("key")).await.unwrap();
    assert_eq!((page.objects[0].size, page.objects[0].key.as_str()), (5, "key"));
    assert_eq!(page.objects[0].e_tag, put.e_tag.filter(|_| has_e_tag));
    assert_eq!(page.objects[0].last_modified.timestamp(), meta.last_modified.timestamp());
}

#[tokio::test]
async fn an_entry_of_seaweedfs_says_what_the_object_is() {
    an_entry_agrees_with_put_and_stat(&seaweedfs().await, true).await;
}

#[tokio::test]
async fn an_entry_of_s3s_fs_says_what_the_object_is() {
    let server = S3sFs::start_with_bucket("bucket").unwrap();
    // Its listings have no ETag.
    an_entry_agrees_with_put_and_stat(&s3s_fs(&server).await, false).await;
}

#[tokio::test]
async fn a_key_of_the_greatest_length_is_listed_whole() {
    let store = seaweedfs().await;
    // SeaweedFS takes a segment of a key for a file name: 255 bytes at most.
    let key = ["k".repeat(200), "ü".repeat(100), "l".repeat(200), "m".repeat(200), "n".repeat(220)].join("/");
    assert_eq!(key.len(), 1024);
    put(&store, &key).await;
    assert_eq!(names(&*store.lister, ListRequest::default()).await.unwrap().0, [key]);
}

#[tokio::test]
async fn markers_are_listed_as_keys_that_end_in_a_slash() {
    let store = seaweedfs().await;
    put(&store, "dir/").await;
    put(&store, "dir/a").await;
    let (objects, prefixes) = names(&*store.lister, ListRequest::default()).await.unwrap();
    assert_eq!((objects, prefixes), (vec!["dir/".to_owned(), "dir/a".to_owned()], vec![]));
    let request = ListRequest { delimiter: true, ..Default::default() };
    assert_eq!(names(&*store.lister, request).await.unwrap(), (vec![], vec!["dir/".to_owned()]));
}
