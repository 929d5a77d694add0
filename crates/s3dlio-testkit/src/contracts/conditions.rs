//! Conditional requests, and the attributes of objects.

use futures::future::join_all;
use object_store::{
    Attribute, Attributes, Error, GetOptions, ObjectStoreExt, PutMode, PutMultipartOptions, PutOptions, Result,
};

use super::{Context, Deviation, expect_error};

/// `PutMode::Create` writes where nothing is, and is `AlreadyExists` where something is, which it leaves alone.
pub async fn create_does_not_overwrite(context: &Context) {
    let path = context.path("a");
    context.store().put_opts(&path, "first".into(), PutMode::Create.into()).await.expect("create");
    let second = context.store().put_opts(&path, "second".into(), PutMode::Create.into()).await;
    expect_error!(second, AlreadyExists, "create over an object");
    assert_eq!(context.get(&path).await, "first", "the object is as it was");
}

/// `PutMode::Update` writes over the version it names and is `Precondition` for any other.
pub async fn update_needs_the_current_version(context: &Context) {
    let path = context.path("a");
    let first = context.store().put(&path, "first".into()).await.expect("put");
    let second = context.store().put_opts(&path, "second".into(), PutMode::Update(first.clone().into()).into()).await;
    let second = match second {
        Err(error) if context.has(Deviation::NoConditionalUpdate) && refused(&error) => return,
        second => second.expect("update of the current version"),
    };
    let stale = context.store().put_opts(&path, "third".into(), PutMode::Update(first.into()).into()).await;
    expect_error!(stale, Precondition, "update of an old version");
    assert_eq!(context.get(&path).await, "second", "the object is as it was");
    context
        .store()
        .put_opts(&path, "fourth".into(), PutMode::Update(second.into()).into())
        .await
        .expect("update of the current version");
}

/// Of many that create the same object at once, exactly one succeeds, and its object stays.
pub async fn one_of_many_creators_wins(context: &Context) {
    let path = context.path("a");
    let creators = (0..8).map(|index| {
        let path = &path;
        async move { context.store().put_opts(path, format!("{index}").into(), PutMode::Create.into()).await }
    });
    let results = join_all(creators).await;
    let winners: Vec<_> = results.iter().enumerate().filter(|(_, result)| result.is_ok()).map(|(i, _)| i).collect();
    for result in &results {
        assert!(matches!(result, Ok(_) | Err(Error::AlreadyExists { .. })), "a loser's error: {result:?}");
    }
    assert!(!winners.is_empty(), "someone wins");
    if !context.has(Deviation::CreateIsNotAtomic) {
        assert_eq!(winners.len(), 1, "winners: {winners:?}");
        assert_eq!(context.get(&path).await, winners[0].to_string(), "the winner's object");
    }
}

/// If-Match gives the object while its ETag is current and is `Precondition` once it has changed; with a range as well.
pub async fn get_if_match(context: &Context) {
    let path = context.put("a", "first object").await;
    let etag = context.store().head(&path).await.expect("head").e_tag.expect("an ETag");
    let get = |etag: &str| context.store().get_opts(&path, GetOptions::new().with_if_match(Some(etag)));
    let bytes = get(&etag).await.expect("if-match").bytes().await.expect("body");
    assert_eq!(bytes, "first object", "if-match with the current ETag");
    context.put("a", "second object").await;
    let ranged = GetOptions::new().with_if_match(Some(&etag)).with_range(Some(0..5));
    for (what, result) in
        [("if-match", get(&etag).await), ("if-match with a range", context.store().get_opts(&path, ranged).await)]
    {
        if !(context.has(Deviation::GetConditionsIgnored) && result.is_ok()) {
            expect_error!(result, Precondition, "{what} with an old ETag");
        }
    }
}

/// If-None-Match gives the object when its ETag is another and is `NotModified` while it is current.
pub async fn get_if_none_match(context: &Context) {
    let path = context.put("a", "first").await;
    let etag = context.store().head(&path).await.expect("head").e_tag.expect("an ETag");
    let get = || context.store().get_opts(&path, GetOptions::new().with_if_none_match(Some(&etag)));
    let result = get().await;
    if !(context.has(Deviation::GetConditionsIgnored) && result.is_ok()) {
        expect_error!(result, NotModified, "if-none-match with the current ETag");
    }
    context.put("a", "second").await;
    let bytes = get().await.expect("if-none-match").bytes().await.expect("body");
    assert_eq!(bytes, "second", "if-none-match with an old ETag");
}

/// Content type, the other standard headers and user metadata come back from get as they were put.
pub async fn attributes_on_put(context: &Context) {
    let path = context.path("a");
    let options = PutOptions { attributes: attributes(), ..PutOptions::default() };
    if refuses(context, context.store().put_opts(&path, "body".into(), options).await) {
        return;
    }
    check_attributes(context, "put").await;
    // An overwrite does not inherit them.
    context.put("a", "other").await;
    let after = context.store().get(&path).await.expect("get").attributes;
    assert_eq!(after.get(&Attribute::Metadata("color".into())), None, "user metadata after an overwrite");
}

/// The same for an object written in parts.
pub async fn attributes_on_multipart(context: &Context) {
    let path = context.path("a");
    let options = PutMultipartOptions { attributes: attributes(), ..PutMultipartOptions::default() };
    let upload = async {
        let mut upload = context.store().put_multipart_opts(&path, options).await?;
        upload.put_part("body".into()).await?;
        upload.complete().await
    };
    if !refuses(context, upload.await) {
        check_attributes(context, "multipart").await;
    }
}

fn attributes() -> Attributes {
    Attributes::from_iter([
        (Attribute::ContentType, "text/html; charset=utf-8"),
        (Attribute::ContentDisposition, "attachment; filename=\"a.html\""),
        (Attribute::ContentLanguage, "en-US"),
        (Attribute::CacheControl, "max-age=60"),
        (Attribute::Metadata("color".into()), "deep blue"),
        (Attribute::Metadata("shape_of_it".into()), "a=b&c; d"),
    ])
}

async fn check_attributes(context: &Context, what: &str) {
    let result = context.store().get(&context.path("a")).await.expect("get");
    for (attribute, value) in &attributes() {
        assert_eq!(result.attributes.get(attribute), Some(value), "{what}: {attribute:?}");
    }
    assert_eq!(result.bytes().await.expect("body"), "body", "{what}: the body");
}

/// True for a declared refusal; panics on any other error.
fn refuses<T>(context: &Context, result: Result<T>) -> bool {
    match result {
        Ok(_) => false,
        Err(error) if context.has(Deviation::NoAttributes) && refused(&error) => true,
        Err(error) => panic!("write with attributes: {error:?}"),
    }
}

/// Whether an error says that the store cannot do this at all.
pub(super) fn refused(error: &Error) -> bool {
    matches!(error, Error::NotImplemented { .. } | Error::NotSupported { .. })
}
