//! Objects written in parts.

use bytes::Bytes;
use futures::future::join_all;
use object_store::{MultipartUpload, ObjectStoreExt};

use super::{Context, expect_error};
use crate::data;

/// The least size that S3 and Google take for a part that is not the last.
const PART: usize = 5 << 20;

async fn start(context: &Context, key: &str) -> Box<dyn MultipartUpload> {
    context.store().put_multipart(&context.path(key)).await.expect("start of a multipart upload")
}

/// Parts are joined in the order in which they were handed over; the last may be short.
pub async fn parts_in_order(context: &Context) {
    let body = data::bytes(1, 2 * PART + 1234);
    let mut upload = start(context, "a").await;
    for part in [body.slice(..PART), body.slice(PART..2 * PART), body.slice(2 * PART..)] {
        upload.put_part(part.into()).await.expect("part");
    }
    let put = upload.complete().await.expect("complete");
    let result = context.store().get(&context.path("a")).await.expect("get");
    assert!(put.e_tag.is_some(), "completion tells an ETag");
    assert_eq!(put.e_tag, result.meta.e_tag, "completion and get tell the same ETag");
    data::assert_same(&result.bytes().await.expect("body"), &body, "three parts");
}

/// Parts sent at once are joined in the order in which they were handed over, not in that of their arrival.
pub async fn parts_finishing_out_of_order(context: &Context) {
    let body = data::bytes(2, 2 * PART + 100);
    let mut upload = start(context, "a").await;
    let first = upload.put_part(body.slice(..PART).into());
    let second = upload.put_part(body.slice(PART..2 * PART).into());
    let third = upload.put_part(body.slice(2 * PART..).into());
    third.await.expect("third part");
    for result in join_all([second, first]).await {
        result.expect("part");
    }
    upload.complete().await.expect("complete");
    data::assert_same(&context.get(&context.path("a")).await, &body, "three parts");
}

/// Until an upload is complete its object is neither found nor listed.
pub async fn nothing_is_visible_before_completion(context: &Context) {
    let mut upload = start(context, "a").await;
    upload.put_part(Bytes::from_static(b"part").into()).await.expect("part");
    expect_error!(context.store().head(&context.path("a")).await, NotFound, "head during an upload");
    assert!(context.list(&context.root).await.is_empty(), "an upload under way is listed");
    upload.complete().await.expect("complete");
    assert_eq!(context.get(&context.path("a")).await, "part", "after completion");
    assert_eq!(context.list(&context.root).await, ["a"], "after completion");
}

/// An upload that was given up leaves no object, and leaves the one that was there.
pub async fn abort_leaves_nothing(context: &Context) {
    let mut upload = start(context, "new").await;
    upload.put_part(data::bytes(1, 1000).into()).await.expect("part");
    upload.abort().await.expect("abort");
    expect_error!(context.store().get(&context.path("new")).await, NotFound, "get after an abort");
    assert!(context.list(&context.root).await.is_empty(), "an aborted upload is listed");

    let path = context.put("old", "old").await;
    let mut upload = start(context, "old").await;
    upload.abort().await.expect("abort without parts");
    assert_eq!(context.get(&path).await, "old", "the object that was there");
}

/// An upload completed without parts is an empty object.
pub async fn upload_without_parts_is_an_empty_object(context: &Context) {
    let mut upload = start(context, "a").await;
    upload.complete().await.expect("complete without parts");
    assert!(context.get(&context.path("a")).await.is_empty(), "an empty object");
}

/// A completed upload replaces the object that was there; until then that one is read.
pub async fn completion_replaces_an_object(context: &Context) {
    let path = context.put("a", "old").await;
    let mut upload = start(context, "a").await;
    upload.put_part(Bytes::from_static(b"new").into()).await.expect("part");
    assert_eq!(context.get(&path).await, "old", "before completion");
    upload.complete().await.expect("complete");
    assert_eq!(context.get(&path).await, "new", "after completion");
}
