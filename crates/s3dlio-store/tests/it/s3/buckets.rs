//! Buckets made, listed and removed.

use s3dlio_store::Buckets;
use s3dlio_testkit::servers::unique_name;

use super::*;

async fn names_of(account: &dyn Buckets) -> Vec<String> {
    account.list().await.unwrap().into_iter().map(|entry| entry.name).collect()
}

async fn a_bucket_lives(setup: Setup) {
    let account = setup.account().await.unwrap();
    let name = unique_name("made-here");
    account.create(&name).await.unwrap();
    let again = account.create(&name).await.unwrap_err();
    assert_eq!((again.kind(), again.uri()), (ErrorKind::AlreadyExists, &*format!("s3://{name}")), "{again}");
    assert!(names_of(&*account).await.contains(&name));

    let store = setup.open(&name).await.unwrap();
    put(&store, "key").await;
    let full = account.delete(&name).await.unwrap_err();
    assert_eq!(full.kind(), ErrorKind::PreconditionFailed, "{full}");
    assert!(full.to_string().contains("the bucket is not empty (delete what"), "{full}");
    assert_eq!(store.objects.get(&path("key")).await.unwrap().bytes().await.unwrap(), "key");

    store.objects.delete(&path("key")).await.unwrap();
    account.delete(&name).await.unwrap();
    assert!(!names_of(&*account).await.contains(&name));
    assert_eq!(account.delete(&name).await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn a_bucket_is_made_listed_and_removed_on_seaweedfs() {
    a_bucket_lives(Setup::seaweedfs()).await;
}

#[tokio::test]
async fn a_bucket_is_made_listed_and_removed_on_s3s_fs() {
    a_bucket_lives(Setup::s3s_fs(&S3sFs::start().unwrap())).await;
}

#[tokio::test]
async fn buckets_are_listed_by_name() {
    let server = S3sFs::start().unwrap();
    let account = Setup::s3s_fs(&server).account().await.unwrap();
    assert_eq!(names_of(&*account).await, [""; 0]);
    for name in ["bbb", "aaa", "a.b"] {
        server.create_bucket(name);
    }
    assert_eq!(names_of(&*account).await, ["a.b", "aaa", "bbb"]);
}

#[tokio::test]
async fn a_name_that_no_bucket_can_have_is_refused_here() {
    let server = S3sFs::start().unwrap();
    let account = Setup::s3s_fs(&server).account().await.unwrap();
    for name in ["", "a/b", "..", "a b", "?x"] {
        assert_eq!(account.create(name).await.unwrap_err().kind(), ErrorKind::InvalidInput, "{name}");
        assert_eq!(account.delete(name).await.unwrap_err().kind(), ErrorKind::InvalidInput, "{name}");
    }
    assert!(server.log().is_empty());
}

#[tokio::test]
async fn the_region_of_a_bucket_is_named_but_for_the_first() {
    let service = service::Service::start(|request| request.starts_with("PUT").then(|| ("200 OK", String::new())));
    for (region, named) in [("us-east-1", false), ("eu-west-3", true)] {
        let mut setup = Setup::keys(service.address(), "id", "secret");
        setup.config.region = Some(region.into());
        setup.account().await.unwrap().create("bucket").await.unwrap();
        let asked = service.take().remove(1);
        assert!(asked.starts_with("PUT /bucket HTTP/1.1"), "{asked}");
        assert!(asked.contains(&format!("/{region}/s3/aws4_request")), "{asked}");
        assert_eq!(asked.contains("<LocationConstraint>eu-west-3</LocationConstraint>"), named, "{asked}");
    }
}

#[tokio::test]
async fn what_the_server_says_of_a_full_bucket_is_told() {
    // A listing that shows nothing, as of a bucket that holds versions alone.
    let service = service::Service::start(|request| match request.starts_with("GET") {
        true => Some(("200 OK", "<ListBucketResult/>".into())),
        false => {
            Some(("409 Conflict", "<Error><Code>BucketNotEmpty</Code><Message>Versions.</Message></Error>".into()))
        }
    });
    let error = Setup::keys(service.address(), "id", "s").account().await.unwrap().delete("bucket").await.unwrap_err();
    assert_eq!((error.kind(), error.uri()), (ErrorKind::PreconditionFailed, "s3://bucket"));
    assert!(error.to_string().contains("BucketNotEmpty: Versions."), "{error}");
}
