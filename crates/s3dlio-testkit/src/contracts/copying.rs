//! Copies, renames and deletions.

use futures::{StreamExt, TryStreamExt};
use object_store::{Error, ObjectStoreExt};

use super::conditions::refused;
use super::{Context, Deviation, expect_error};
use crate::data;

/// A copy has the same bytes, leaves its source and replaces what was at its target.
pub async fn copy(context: &Context) {
    let body = data::bytes(1, 100_000);
    let (from, to) = (context.put("from", body.clone()).await, context.put("dir/to", "old").await);
    context.store().copy(&from, &to).await.expect("copy");
    data::assert_same(&context.get(&to).await, &body, "the copy");
    data::assert_same(&context.get(&from).await, &body, "the source");
    // Onto a key that needs encoding, and from it.
    let odd = context.path("odd key+%2B");
    context.store().copy(&from, &odd).await.expect("copy to an odd key");
    context.store().copy(&odd, &to).await.expect("copy from an odd key");
    data::assert_same(&context.get(&to).await, &body, "the copy of the copy");
}

/// A rename is a copy after which the source is gone.
pub async fn rename(context: &Context) {
    let (from, to) = (context.put("from", "new").await, context.put("to", "old").await);
    context.store().rename(&from, &to).await.expect("rename");
    assert_eq!(context.get(&to).await, "new", "the target");
    expect_error!(context.store().get(&from).await, NotFound, "get of the source");
}

/// `copy_if_not_exists` copies where nothing is, and is `AlreadyExists` where something is, which it leaves alone.
pub async fn copy_without_overwriting(context: &Context) {
    let (from, to) = (context.put("from", "new").await, context.put("to", "old").await);
    match context.store().copy_if_not_exists(&from, &to).await {
        Err(error) if context.has(Deviation::NoConditionalCopy) && refused(&error) => return,
        result => expect_error!(result, AlreadyExists, "copy over an object"),
    }
    assert_eq!(context.get(&to).await, "old", "the object is as it was");
    let free = context.path("free");
    context.store().copy_if_not_exists(&from, &free).await.expect("copy where nothing is");
    assert_eq!(context.get(&free).await, "new", "the copy");
}

/// The same for a rename, which must leave its source when it is refused.
pub async fn rename_without_overwriting(context: &Context) {
    let (from, to) = (context.put("from", "new").await, context.put("to", "old").await);
    match context.store().rename_if_not_exists(&from, &to).await {
        Err(error) if context.has(Deviation::NoConditionalCopy) && refused(&error) => return,
        result => expect_error!(result, AlreadyExists, "rename over an object"),
    }
    assert_eq!(context.get(&to).await, "old", "the object is as it was");
    assert_eq!(context.get(&from).await, "new", "the source is as it was");
    let free = context.path("free");
    context.store().rename_if_not_exists(&from, &free).await.expect("rename where nothing is");
    assert_eq!(context.get(&free).await, "new", "the target");
    expect_error!(context.store().get(&from).await, NotFound, "get of the source");
}

/// A copy or rename from nothing is `NotFound` and makes nothing.
pub async fn missing_source(context: &Context) {
    let (missing, to) = (context.path("missing"), context.path("to"));
    expect_error!(context.store().copy(&missing, &to).await, NotFound, "copy from nothing");
    expect_error!(context.store().rename(&missing, &to).await, NotFound, "rename from nothing");
    expect_error!(context.store().head(&to).await, NotFound, "the target of a copy from nothing");
}

/// A deleted object is neither found nor listed, and can be written anew.
pub async fn delete_is_final(context: &Context) {
    let path = context.put("dir/a", "x").await;
    context.store().delete(&path).await.expect("delete");
    expect_error!(context.store().get(&path).await, NotFound, "get after delete");
    assert!(context.list(&context.root).await.is_empty(), "list after delete");
    context.put("dir/a", "y").await;
    assert_eq!(context.get(&path).await, "y", "after writing anew");
}

/// `delete_stream` deletes every location, tells of each once, and goes on past one that is missing.
pub async fn delete_many(context: &Context) {
    let mut paths = Vec::new();
    for index in 0..30 {
        paths.push(context.put(&format!("dir {}/{index}<&>", index % 3), "x").await);
    }
    let kept = context.put("kept", "x").await;
    paths.insert(15, context.path("missing"));
    let locations = futures::stream::iter(paths.clone()).map(Ok).boxed();
    let results: Vec<_> = context.store().delete_stream(locations).collect().await;
    assert_eq!(results.len(), paths.len(), "one answer for each location");
    for result in results {
        assert!(matches!(result, Ok(_) | Err(Error::NotFound { .. })), "{result:?}");
    }
    let left: Vec<_> = context.store().list(Some(&context.root)).try_collect().await.expect("list");
    assert_eq!(left.into_iter().map(|meta| meta.location).collect::<Vec<_>>(), [kept], "what is left");
}
