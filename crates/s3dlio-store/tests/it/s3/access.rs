//! Who may do what: refused requests, missing buckets, wrong regions.

use super::*;

async fn failures(setup: &Setup, bucket: &str) -> [Error; 3] {
    let store = setup.open(bucket).await.unwrap();
    [
        reported(store.objects.get(&path("key")).await),
        reported(store.objects.put(&path("key"), "x".into()).await),
        pages(&*store.lister, ListRequest::default()).await.unwrap_err(),
    ]
}

#[tokio::test]
async fn a_wrong_secret_is_refused_by_the_first_request() {
    let server = S3sFs::start_with_bucket("bucket").unwrap();
    let setup = Setup::keys(server.endpoint(), server.access_key(), "hunter2");
    for error in failures(&setup, "bucket").await {
        assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}");
        assert!(error.to_string().contains("SignatureDoesNotMatch"), "{error}");
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    }
    assert_eq!(server.log().len(), 3, "one request each");
}

#[tokio::test]
async fn seaweedfs_refuses_a_wrong_secret_and_an_unknown_key() {
    let server = SeaweedFs::shared();
    let bucket = server.new_bucket();
    for (access_key, secret_key) in [(server.access_key(), "hunter2"), ("nobody", server.secret_key())] {
        for error in failures(&Setup::keys(server.endpoint(), access_key, secret_key), &bucket).await {
            assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}");
        }
    }
}

#[tokio::test]
async fn anonymous_requests_are_not_signed() {
    let server = S3sFs::start_with_bucket("bucket").unwrap();
    let mut setup = Setup::s3s_fs(&server);
    setup.config.anonymous = true;
    for error in failures(&setup, "bucket").await {
        assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}");
    }
    assert_eq!(server.log().count(|request| request.header("authorization").is_some()), 0);
    assert_eq!(server.log().len(), 3);
}

#[tokio::test]
async fn a_missing_bucket_is_not_found() {
    let server = S3sFs::start().unwrap();
    // Not asked: a put, for which both servers make the bucket.
    for setup in [Setup::s3s_fs(&server), Setup::seaweedfs()] {
        let store = setup.open("no-such-bucket").await.unwrap();
        let list = pages(&*store.lister, ListRequest::default()).await.unwrap_err();
        assert_eq!((list.kind(), list.uri()), (ErrorKind::NotFound, "s3://no-such-bucket"), "{list}");
        let get = reported(store.objects.get(&path("key")).await);
        assert_eq!(get.kind(), ErrorKind::NotFound, "{get}");
    }
}

#[tokio::test]
async fn a_bucket_without_a_name_is_refused_here() {
    let server = S3sFs::start().unwrap();
    let error = Setup::s3s_fs(&server).open("").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(server.log().is_empty());
}

#[tokio::test]
async fn a_wrong_region_is_told_the_right_one() {
    let moved = ("301 Moved Permanently\r\nx-amz-bucket-region: eu-west-3", "PermanentRedirect", "use another address");
    let wrong = ("400 Bad Request", "AuthorizationHeaderMalformed", "expecting &apos;eu-west-3&apos;");
    for (status, code, message) in [moved, wrong] {
        let body = format!("<Error><Code>{code}</Code><Message>{message}</Message></Error>");
        let service = service::Service::start(move |_| Some((status, body.clone())));
        let setup = Setup::keys(service.address(), "id", "secret");
        for error in failures(&setup, "bucket").await {
            assert!(error.to_string().contains("eu-west-3"), "{error}");
        }
        assert_eq!(service.take().len(), 3, "a wrong region is not tried again");
    }
}

#[tokio::test]
async fn bodies_are_signed_over_plain_http() {
    let server = S3sFs::start_with_bucket("bucket").unwrap();
    put(&s3s_fs(&server).await, "key").await;
    let hash = server.log().records()[0].header("x-amz-content-sha256").unwrap().to_owned();
    assert_eq!(hash, "2c70e12b7a0646f92279f427c7b38e7334d8e5389cff167a1dc30e73f826b683");
}
