//! Listings.

use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStoreExt};

use super::{Context, Deviation};

/// Keys chosen so that byte order differs from the order of a tree walk and from that of a locale: `-` and `.` come
/// before `/`, capitals before small letters, ASCII before the rest.
const KEYS: [&str; 10] = ["A/x", "a-b", "a.b", "a/b/1", "a/b/2", "a/b-0", "a/b.0", "a/c", "b", "ä"];

async fn put_all(context: &Context, keys: &[&str]) {
    for key in keys {
        context.put(key, key.to_string()).await;
    }
}

fn in_byte_order(keys: &[&str]) -> Vec<String> {
    let mut keys: Vec<_> = keys.iter().map(|&key| key.to_owned()).collect();
    keys.sort();
    keys
}

/// Compares a listing with what is expected, in order unless the order is declared to be another.
#[track_caller]
fn assert_listed(context: &Context, mut listed: Vec<String>, expected: &[&str], what: &str) {
    if context.has(Deviation::ListingNotInByteOrder) {
        listed.sort();
    }
    assert_eq!(listed, in_byte_order(expected), "{what}");
}

/// A prefix matches whole segments: `a/b` lists `a/b/1` and neither `a/b-0` nor an object `a/b` itself.
pub async fn prefix_is_whole_segments(context: &Context) {
    put_all(context, &KEYS).await;
    assert_listed(context, context.list(&context.path("a/b")).await, &["a/b/1", "a/b/2"], "prefix a/b");
    let below_a = ["a/b/1", "a/b/2", "a/b-0", "a/b.0", "a/c"];
    assert_listed(context, context.list(&context.path("a")).await, &below_a, "prefix a");
    assert!(context.list(&context.path("b")).await.is_empty(), "a prefix that is an object lists nothing");
}

/// A listing is recursive, in the byte order of the keys, and tells sizes.
pub async fn order_and_sizes(context: &Context) {
    put_all(context, &KEYS).await;
    assert_listed(context, context.list(&context.root).await, &KEYS, "all keys");
    let metas: Vec<ObjectMeta> = context.store().list(Some(&context.root)).try_collect().await.expect("list");
    for meta in metas {
        let key = context.relative(&meta.location);
        assert_eq!(meta.size, key.len() as u64, "the size of {key}");
    }
}

/// `list_with_offset` gives exactly the keys after the offset, whether or not the offset exists.
pub async fn offset_is_exclusive(context: &Context) {
    // In one directory, where every store agrees about the order.
    let keys = ["k/a", "k/b", "k/c", "k/d", "k/e"];
    put_all(context, &keys).await;
    for (offset, expected) in
        [("k/b", &keys[2..]), ("k/bb", &keys[2..]), ("k/e", &[]), ("k/0", &keys[..]), ("k/z", &[])]
    {
        let listed = after(context, "k", offset).await;
        assert_listed(context, listed, expected, &format!("after {offset}"));
    }
}

/// The keys below a prefix that come after an offset.
async fn after(context: &Context, prefix: &str, offset: &str) -> Vec<String> {
    let listed = context.store().list_with_offset(Some(&context.path(prefix)), &context.path(offset));
    let listed: Vec<Path> = listed.map_ok(|meta| meta.location).try_collect().await.expect("list_with_offset");
    let mut listed: Vec<_> = listed.iter().map(|path| context.relative(path)).collect();
    if context.has(Deviation::ListingOffsetIgnored) {
        listed.retain(|key| key.as_str() > offset);
    }
    listed
}

/// `list_with_delimiter` gives the objects of one level, and each deeper prefix once.
pub async fn delimiter(context: &Context) {
    put_all(context, &KEYS).await;
    let level = |prefix: Path| async move {
        let listed = context.store().list_with_delimiter(Some(&prefix)).await.expect("list_with_delimiter");
        let names = |paths: Vec<Path>| paths.iter().map(|path| context.relative(path)).collect::<Vec<_>>();
        (names(listed.objects.into_iter().map(|meta| meta.location).collect()), names(listed.common_prefixes))
    };
    let (objects, prefixes) = level(context.root.clone()).await;
    assert_listed(context, objects, &["a-b", "a.b", "b", "ä"], "objects of the top level");
    assert_listed(context, prefixes, &["A", "a"], "prefixes of the top level");
    let (objects, prefixes) = level(context.path("a")).await;
    assert_listed(context, objects, &["a/b-0", "a/b.0", "a/c"], "objects of a");
    assert_listed(context, prefixes, &["a/b"], "prefixes of a");
}

/// `q` and `q/b` are both objects and both listed, `q` once as an object and once as a prefix.
pub async fn object_beside_objects_below_it(context: &Context) {
    if context.has(Deviation::NoObjectAboveObjects) {
        return;
    }
    put_all(context, &["q", "q/b"]).await;
    assert_eq!(context.get(&context.path("q")).await, "q", "the object q");
    assert_eq!(context.get(&context.path("q/b")).await, "q/b", "the object q/b");
    assert_listed(context, context.list(&context.root).await, &["q", "q/b"], "all keys");
    let listed = context.store().list_with_delimiter(Some(&context.root)).await.expect("list_with_delimiter");
    assert_eq!((listed.objects.len(), listed.common_prefixes.len()), (1, 1), "q as an object and as a prefix");
}

/// A prefix with nothing below it lists nothing and is no error.
pub async fn nothing_below_a_prefix(context: &Context) {
    assert!(context.list(&context.path("nothing/here")).await.is_empty(), "list");
    let listed = context.store().list_with_delimiter(Some(&context.path("nothing"))).await;
    let listed = listed.expect("list_with_delimiter of nothing");
    assert!(listed.objects.is_empty() && listed.common_prefixes.is_empty(), "list_with_delimiter");
}

/// Without a prefix the whole store is listed; the root path is the same as no prefix.
pub async fn whole_store(context: &Context) {
    let path = context.put("a/b", "x").await;
    for prefix in [None, Some(Path::default())] {
        let listed: Vec<_> = context.store().list(prefix.as_ref()).try_collect().await.expect("list");
        assert!(listed.iter().any(|meta| meta.location == path), "list with the prefix {prefix:?}");
        let listed = context.store().list_with_delimiter(prefix.as_ref()).await.expect("list_with_delimiter");
        assert!(listed.common_prefixes.contains(&context.root), "list_with_delimiter with the prefix {prefix:?}");
    }
}

/// More keys than fit into a page of 1,000 are all listed, each once, also after an offset.
pub async fn more_than_a_page(context: &Context) {
    let keys: Vec<_> = (0..1_050).map(|index| format!("many/{index:04}")).collect();
    futures::stream::iter(&keys)
        .for_each_concurrent(16, |key| async move {
            context.put(key, "").await;
        })
        .await;
    let expected: Vec<_> = keys.iter().map(String::as_str).collect();
    assert_listed(context, context.list(&context.path("many")).await, &expected, "1,050 keys");
    assert_listed(context, after(context, "many", "many/0009").await, &expected[10..], "after many/0009");
    let listed = context.store().list_with_delimiter(Some(&context.path("many"))).await.expect("list_with_delimiter");
    assert_eq!(listed.objects.len(), 1_050, "one level of 1,050 keys");
    // The deletion of so many is a contract of its own as well: batches have 1,000 at most.
    let locations = context.store().list(Some(&context.path("many"))).map_ok(|meta| meta.location).boxed();
    let deleted: Vec<_> = context.store().delete_stream(locations).try_collect().await.expect("delete_stream");
    assert_eq!(deleted.len(), 1_050, "deleted");
    context.store().head(&context.path("many/0000")).await.expect_err("a deleted object");
}
