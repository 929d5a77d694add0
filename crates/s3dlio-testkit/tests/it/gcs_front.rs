//! The GCS front under object_store's own conformance suite and client.

use object_store::integration;
use object_store::multipart::MultipartStore;
use object_store::path::Path;
use object_store::{Attribute, Attributes, Error, ObjectStore, ObjectStoreExt, PutMode, PutOptions};
use s3dlio_testkit::data;
use s3dlio_testkit::gcs_front::GcsFront;

use crate::servers::gcs;

#[tokio::test]
async fn object_stores_own_suite_passes() {
    let server = GcsFront::start_with_bucket("bucket").unwrap();
    server.set_versioning(true);
    let store = gcs(&server.endpoint(), "bucket", server.token());
    integration::put_get_delete_list(&store).await;
    integration::put_get_attributes(&store).await;
    integration::get_opts(&store).await;
    integration::put_opts(&store, true).await;
    store.delete(&Path::from("RACE")).await.unwrap();
    integration::list_uses_directories_correctly(&store).await;
    integration::list_with_delimiter(&store).await;
    integration::list_paginated(&store, &store).await;
    integration::list_with_offset_exclusivity(&store).await;
    integration::rename_and_copy(&store).await;
    integration::copy_if_not_exists(&store).await;
    integration::copy_rename_nonexistent_object(&store).await;
    integration::get_nonexistent_object(&store, None).await.unwrap_err();
}

#[tokio::test]
async fn object_stores_own_multipart_suite_passes() {
    let server = GcsFront::start_with_bucket("bucket").unwrap();
    let store = gcs(&server.endpoint(), "bucket", server.token());
    integration::stream_get(&store).await;
    integration::multipart(&store, &store).await;
    integration::multipart_with_opts(&store, &store).await;
    integration::multipart_put_part_out_of_order(&store, &store).await;
    integration::multipart_out_of_order(&store).await;
    integration::multipart_race_condition(&store, true).await;
    assert!(server.multipart_uploads("bucket").is_empty());
}

#[tokio::test]
async fn a_wrong_token_is_refused_and_a_public_bucket_needs_none() {
    let server = GcsFront::start_with_bucket("bucket").unwrap();
    server.put_object("bucket", "a", "hello");
    let path = Path::from("a");
    let error = gcs(&server.endpoint(), "bucket", "wrong").get(&path).await.unwrap_err();
    assert!(matches!(error, Error::Unauthenticated { .. }), "{error}");
    let error = gcs(&server.endpoint(), "no-bucket", server.token()).get(&path).await.unwrap_err();
    assert!(matches!(error, Error::NotFound { .. }), "{error}");

    let anonymous = object_store::gcp::GoogleCloudStorageBuilder::new()
        .with_base_url(&server.endpoint())
        .with_bucket_name("bucket")
        .with_skip_signature(true)
        .with_http_connector(crate::connector::PlainConnector)
        .build()
        .unwrap();
    let error = anonymous.get(&path).await.unwrap_err();
    assert!(matches!(error, Error::PermissionDenied { .. }), "{error}");
    server.make_public("bucket");
    assert_eq!(anonymous.get(&path).await.unwrap().bytes().await.unwrap(), "hello");
}

#[tokio::test]
async fn generations_guard_writes_and_metadata_comes_back() {
    let server = GcsFront::start_with_bucket("bucket").unwrap();
    let store = gcs(&server.endpoint(), "bucket", server.token());
    let path = Path::parse("a b/ü+%25").unwrap();
    let attributes =
        Attributes::from_iter([(Attribute::ContentType, "text/plain"), (Attribute::Metadata("color".into()), "blue")]);
    let options = PutOptions { attributes: attributes.clone(), mode: PutMode::Create, ..PutOptions::default() };
    let first = store.put_opts(&path, "one".into(), options).await.unwrap();
    let result = store.get(&path).await.unwrap();
    assert_eq!((result.attributes, &result.meta.version), (attributes, &first.version));
    store.put(&path, "two".into()).await.unwrap();
    let stale = PutMode::Update(first.into());
    let error = store.put_opts(&path, "three".into(), stale.into()).await.unwrap_err();
    assert!(matches!(error, Error::Precondition { .. }), "{error}");
    assert_eq!(server.keys("bucket"), ["a b/ü+%25"]);
    assert_eq!(server.object("bucket", "a b/ü+%25").unwrap(), "two");
}

#[tokio::test]
async fn small_parts_are_refused_and_an_aborted_upload_is_gone() {
    let server = GcsFront::start_with_bucket("bucket").unwrap();
    let store = gcs(&server.endpoint(), "bucket", server.token());
    let path = Path::from("m");
    let id = store.create_multipart(&path).await.unwrap();
    let mut parts = Vec::new();
    for index in 0..2 {
        parts.push(store.put_part(&path, &id, index, data::bytes(index as u64, 1000).into()).await.unwrap());
    }
    assert_eq!(server.multipart_uploads("bucket"), ["m"]);
    store.complete_multipart(&path, &id, parts).await.unwrap_err();
    store.abort_multipart(&path, &id).await.unwrap();
    assert!(server.multipart_uploads("bucket").is_empty());
    let error = store.get(&path).await.unwrap_err();
    assert!(matches!(error, Error::NotFound { .. }), "{error}");
}
