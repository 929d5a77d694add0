//! The HTTP server under object_store's HTTP client.

use http::Method;
use object_store::http::{HttpBuilder, HttpStore};
use object_store::path::Path;
use object_store::{ClientOptions, Error, GetOptions, GetRange, ObjectStore, ObjectStoreExt};
use s3dlio_testkit::data;
use s3dlio_testkit::http_server::{Behaviour, HttpServer};

use crate::connector::PlainConnector;

fn store(server: &HttpServer) -> HttpStore {
    HttpBuilder::new()
        .with_url(server.endpoint())
        .with_client_options(ClientOptions::new().with_allow_http(true))
        .with_http_connector(PlainConnector)
        .build()
        .unwrap()
}

#[tokio::test]
async fn objects_ranges_and_conditions_are_served_and_logged() {
    let server = HttpServer::start().unwrap();
    let body = data::bytes(1, 100_000);
    server.put_with_type("/dir/a b", body.clone(), "image/png");
    let (store, path) = (store(&server), Path::from("dir/a b"));

    let result = store.get(&path).await.unwrap();
    let etag = result.meta.e_tag.clone().unwrap();
    assert_eq!(result.attributes.get(&object_store::Attribute::ContentType).unwrap().as_ref(), "image/png");
    data::assert_same(&result.bytes().await.unwrap(), &body, "get");
    assert_eq!(store.get_range(&path, 10..20).await.unwrap(), body[10..20]);
    let suffix = GetOptions::new().with_range(Some(GetRange::Suffix(5)));
    assert_eq!(store.get_opts(&path, suffix).await.unwrap().bytes().await.unwrap(), body[99_995..]);
    assert_eq!(store.head(&path).await.unwrap().size, 100_000);
    store.get_range(&path, 100_000..100_001).await.unwrap_err();
    let error = store.get(&Path::from("missing")).await.unwrap_err();
    assert!(matches!(error, Error::NotFound { .. }), "{error}");
    assert_eq!((server.log().len(), server.log().count_method(&Method::HEAD)), (6, 1));
    assert_eq!(server.log().records()[1].range(), Some("bytes=10-19"));

    server.put("/dir/a b", "other");
    let error = store.get_opts(&path, GetOptions::new().with_if_match(Some(etag))).await.unwrap_err();
    assert!(matches!(error, Error::Precondition { .. }), "{error}");
    server.remove("/dir/a b");
    store.get(&path).await.unwrap_err();
}

#[tokio::test]
async fn odd_behaviour_is_as_odd_as_asked_for() {
    let server = HttpServer::start().unwrap();
    server.put("/a", data::bytes(1, 1000));
    let (store, path) = (store(&server), Path::from("a"));

    server.set_behaviour(Behaviour { ignore_range: true, ..Behaviour::default() });
    let error = store.get_range(&path, 10..20).await.unwrap_err();
    assert!(matches!(error, Error::NotSupported { .. }), "{error}");

    server.set_behaviour(Behaviour { refuse_head: true, no_etag: true, ..Behaviour::default() });
    store.head(&path).await.unwrap_err();
    assert_eq!(store.get(&path).await.unwrap().meta.e_tag, None);

    // object_store itself needs to be told a size.
    server.set_behaviour(Behaviour { chunked: true, ..Behaviour::default() });
    let error = store.get(&path).await.unwrap_err();
    assert!(error.to_string().contains("Content-Length"), "{error}");
}
