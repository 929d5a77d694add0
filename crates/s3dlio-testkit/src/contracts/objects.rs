//! Whole objects and ranges of them.

use object_store::{GetOptions, GetRange, ObjectStoreExt};

use super::{Context, Deviation, expect_error};
use crate::data;

/// What is put is what is got, at sizes around a page, a block and an interesting power of two.
pub async fn round_trip(context: &Context) {
    for size in [0, 1, 4095, 4096, 4097, (1 << 20) + 1] {
        let body = data::bytes(size as u64, size);
        let path = context.put(&format!("size-{size}"), body.clone()).await;
        data::assert_same(&context.get(&path).await, &body, &format!("{size} bytes"));
    }
}

/// A put over an object replaces it entirely, also by a shorter one, and changes its ETag.
pub async fn overwrite_replaces_all(context: &Context) {
    let path = context.put("a", data::bytes(1, 10_000)).await;
    let before = context.store().head(&path).await.expect("head").e_tag;
    context.put("a", data::bytes(2, 100)).await;
    data::assert_same(&context.get(&path).await, &data::bytes(2, 100), "after the overwrite");
    let after = context.store().head(&path).await.expect("head").e_tag;
    assert!(before.is_some() && after.is_some(), "an object has an ETag");
    assert_ne!(before, after, "an overwritten object has another ETag");
}

/// Head, get, put and list tell the same size and ETag.
pub async fn stat_agrees_with_get(context: &Context) {
    let path = context.path("a");
    let put = context.store().put(&path, data::bytes(1, 12_345).into()).await.expect("put");
    let head = context.store().head(&path).await.expect("head");
    let get = context.store().get(&path).await.expect("get");
    assert_eq!(head.location, path, "head names the object");
    assert_eq!(head.size, 12_345, "head tells the size");
    assert_eq!(get.meta.size, 12_345, "get tells the size");
    assert_eq!(get.range, 0..12_345, "get tells the range");
    assert_eq!(head.e_tag, get.meta.e_tag, "head and get tell the same ETag");
    assert_eq!(put.e_tag, get.meta.e_tag, "put and get tell the same ETag");
    assert_eq!(head.last_modified, get.meta.last_modified, "head and get tell the same time");
    let listed = futures::TryStreamExt::try_collect::<Vec<_>>(context.store().list(Some(&context.root))).await;
    let listed = listed.expect("list");
    assert_eq!(listed.len(), 1, "one object is listed");
    assert_eq!((&listed[0].location, listed[0].size), (&path, 12_345), "the listing tells name and size");
    if listed[0].e_tag.is_some() {
        // Some protocols list ETags without their quotes.
        let unquoted = |tag: &Option<String>| tag.as_deref().map(|tag| tag.trim_matches('"').to_owned());
        assert_eq!(unquoted(&listed[0].e_tag), unquoted(&head.e_tag), "the listing tells the ETag");
    }
}

/// Reading what is not there is `NotFound`: the whole, a range, head, and below an object.
pub async fn missing_is_not_found(context: &Context) {
    let missing = context.path("missing");
    expect_error!(context.store().get(&missing).await, NotFound, "get");
    expect_error!(context.store().get_range(&missing, 0..10).await, NotFound, "get of a range");
    expect_error!(context.store().head(&missing).await, NotFound, "head");
    // Deleting it either succeeds, as in S3, or says that there is nothing, as in Azure and Google.
    match context.store().delete(&missing).await {
        Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
        Err(error) => panic!("delete of a missing object: {error:?}"),
    }
    context.put("dir/a", "x").await;
    let prefix = context.path("dir");
    let (got, head) = (context.store().get(&prefix).await.map(drop), context.store().head(&prefix).await.map(drop));
    for (what, result) in [("get", got), ("head", head)] {
        if !(context.has(Deviation::ReadOfPrefixIsAnotherError) && result.is_err()) {
            expect_error!(result, NotFound, "{what} of a prefix");
        }
    }
}

const SIZE: usize = 10_000;

/// A bounded range gives its bytes, tells the whole size, and ends with the object.
pub async fn bounded_ranges(context: &Context) {
    let body = data::bytes(1, SIZE);
    let path = context.put("a", body.clone()).await;
    for range in [0..1, 0..100, 4095..4097, 9_999..10_000, 0..10_000] {
        let got = context.store().get_range(&path, range.clone()).await;
        let got = got.unwrap_or_else(|error| panic!("range {range:?}: {error}"));
        data::assert_same(&got, &body[range.start as usize..range.end as usize], &format!("range {range:?}"));
    }
    let options = GetOptions::new().with_range(Some(GetRange::Bounded(9_000..20_000)));
    let result = context.store().get_opts(&path, options).await.expect("a range beyond the end");
    assert_eq!(result.range, 9_000..10_000, "a range beyond the end is cut");
    assert_eq!(result.meta.size, SIZE as u64, "a range tells the whole size");
    assert!(result.meta.e_tag.is_some(), "a range tells the ETag");
    data::assert_same(&result.bytes().await.expect("body"), &body[9_000..], "a range beyond the end");
}

/// A range from an offset goes to the end.
pub async fn offset_ranges(context: &Context) {
    let body = data::bytes(1, SIZE);
    let path = context.put("a", body.clone()).await;
    for offset in [0, 1, 9_999] {
        let options = GetOptions::new().with_range(Some(GetRange::Offset(offset)));
        let result = context.store().get_opts(&path, options).await;
        let result = result.unwrap_or_else(|error| panic!("offset {offset}: {error}"));
        assert_eq!(result.range, offset..SIZE as u64, "offset {offset}");
        data::assert_same(&result.bytes().await.expect("body"), &body[offset as usize..], &format!("offset {offset}"));
    }
}

/// A suffix range gives the last bytes, or all when there are fewer.
pub async fn suffix_ranges(context: &Context) {
    let body = data::bytes(1, SIZE);
    let path = context.put("a", body.clone()).await;
    for (suffix, start) in [(1, 9_999), (100, 9_900), (10_000, 0), (20_000, 0)] {
        let options = GetOptions::new().with_range(Some(GetRange::Suffix(suffix)));
        let result = match context.store().get_opts(&path, options).await {
            Err(_) if context.has(Deviation::NoSuffixRange) => continue,
            Err(_) if context.has(Deviation::LongSuffixRefused) && suffix > SIZE as u64 => continue,
            result => result.unwrap_or_else(|error| panic!("suffix {suffix}: {error}")),
        };
        assert_eq!(result.range, start..SIZE as u64, "suffix {suffix}");
        data::assert_same(&result.bytes().await.expect("body"), &body[start as usize..], &format!("suffix {suffix}"));
    }
}

/// A range that begins at or beyond the end is an error, and not `NotFound`.
pub async fn ranges_outside_are_errors(context: &Context) {
    let path = context.put("a", data::bytes(1, 100)).await;
    for range in [100..101, 100..200, 1_000..2_000] {
        match context.store().get_range(&path, range.clone()).await {
            Ok(bytes) => panic!("range {range:?} of 100 bytes gave {} bytes", bytes.len()),
            Err(object_store::Error::NotFound { .. }) => panic!("range {range:?} of 100 bytes: NotFound"),
            Err(_) => {}
        }
    }
}

/// An empty object can be read and stat'ed; a range of it is an error or empty.
pub async fn empty_object(context: &Context) {
    let path = context.put("empty", "").await;
    assert!(context.get(&path).await.is_empty(), "an empty object is empty");
    assert_eq!(context.store().head(&path).await.expect("head").size, 0, "head of an empty object");
    match context.store().get_range(&path, 0..10).await {
        Ok(bytes) => assert!(bytes.is_empty(), "a range of an empty object"),
        Err(object_store::Error::NotFound { .. }) => panic!("a range of an empty object: NotFound"),
        Err(_) => {}
    }
    assert_eq!(context.list(&context.root).await, ["empty"], "an empty object is listed");
}

/// Several ranges come back in the order asked for: apart, adjacent, overlapping and repeated.
pub async fn several_ranges(context: &Context) {
    let body = data::bytes(1, SIZE);
    let path = context.put("a", body.clone()).await;
    let ranges = [9_000..9_100, 0..10, 10..20, 5..15, 9_000..9_100];
    let got = context.store().get_ranges(&path, &ranges).await.expect("get_ranges");
    assert_eq!(got.len(), ranges.len(), "one answer for each range");
    for (range, bytes) in ranges.iter().zip(got) {
        data::assert_same(&bytes, &body[range.start as usize..range.end as usize], &format!("range {range:?}"));
    }
    assert!(context.store().get_ranges(&path, &[]).await.expect("no ranges").is_empty(), "no ranges");
}
