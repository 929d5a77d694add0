//! Each server answers object_store's own client.

use std::io::{BufRead, BufReader};
use std::path::Path as FilePath;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, S3CopyIfNotExists};
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::{GcpCredential, GoogleCloudStorageBuilder};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, RetryConfig, StaticCredentialProvider};
use s3dlio_testkit::process::eventually;
use s3dlio_testkit::servers::{Azurite, FakeGcs, S3sFs, SeaweedFs};

use crate::connector::PlainConnector;

pub(crate) fn s3(endpoint: &str, bucket: &str, access_key: &str, secret_key: &str) -> AmazonS3Builder {
    AmazonS3Builder::new()
        .with_endpoint(endpoint)
        .with_allow_http(true)
        .with_bucket_name(bucket)
        .with_region("us-east-1")
        .with_access_key_id(access_key)
        .with_secret_access_key(secret_key)
        .with_copy_if_not_exists(S3CopyIfNotExists::Multipart)
        .with_retry(RetryConfig { max_retries: 1, ..RetryConfig::default() })
        .with_http_connector(PlainConnector)
}

pub(crate) fn seaweedfs() -> Arc<dyn ObjectStore> {
    let server = SeaweedFs::shared();
    let bucket = server.new_bucket();
    Arc::new(s3(&server.endpoint(), &bucket, server.access_key(), server.secret_key()).build().unwrap())
}

pub(crate) fn s3s_fs(server: &S3sFs, bucket: &str) -> Arc<dyn ObjectStore> {
    Arc::new(s3(&server.endpoint(), bucket, server.access_key(), server.secret_key()).build().unwrap())
}

pub(crate) fn azurite() -> Arc<dyn ObjectStore> {
    let server = Azurite::shared();
    let builder = MicrosoftAzureBuilder::new()
        .with_account(server.account())
        .with_access_key(server.key())
        .with_endpoint(server.endpoint())
        .with_container_name(server.new_container())
        .with_allow_http(true)
        .with_http_connector(PlainConnector);
    Arc::new(builder.build().unwrap())
}

pub(crate) fn gcs(endpoint: &str, bucket: &str, token: &str) -> object_store::gcp::GoogleCloudStorage {
    GoogleCloudStorageBuilder::new()
        .with_base_url(endpoint)
        .with_bucket_name(bucket)
        .with_credentials(Arc::new(StaticCredentialProvider::new(GcpCredential { bearer: token.into() })))
        .with_http_connector(PlainConnector)
        .build()
        .unwrap()
}

async fn round_trip(store: &dyn ObjectStore) {
    let path = Path::from("a/b c");
    store.put(&path, "hello".into()).await.unwrap();
    assert_eq!(store.get(&path).await.unwrap().bytes().await.unwrap(), "hello");
}

#[tokio::test]
async fn seaweedfs_stores_and_refuses_a_wrong_secret() {
    round_trip(&seaweedfs()).await;
    let server = SeaweedFs::shared();
    let bucket = server.new_bucket();
    let wrong = s3(&server.endpoint(), &bucket, server.access_key(), "wrong").build().unwrap();
    let error = wrong.put(&Path::from("a"), "x".into()).await.unwrap_err();
    assert!(matches!(error, object_store::Error::PermissionDenied { .. }), "{error}");
}

#[tokio::test]
async fn seaweedfs_shows_the_uploads_under_way() {
    let server = SeaweedFs::shared();
    let bucket = server.new_bucket();
    let store = s3(&server.endpoint(), &bucket, server.access_key(), server.secret_key()).build().unwrap();
    let mut upload = store.put_multipart(&Path::from("a/b")).await.unwrap();
    upload.put_part(vec![0; 5 << 20].into()).await.unwrap();
    assert_eq!(server.multipart_uploads(&bucket), ["a/b"]);
    upload.abort().await.unwrap();
    assert!(server.multipart_uploads(&bucket).is_empty());
}

#[tokio::test]
async fn azurite_stores_and_shows_blobs_that_were_never_committed() {
    round_trip(&azurite()).await;
    let server = Azurite::shared();
    let container = server.new_container();
    let store = MicrosoftAzureBuilder::from_env()
        .with_account(server.account())
        .with_access_key(server.key())
        .with_endpoint(server.endpoint())
        .with_container_name(&container)
        .with_allow_http(true)
        .with_http_connector(PlainConnector)
        .build()
        .unwrap();
    store.put(&Path::from("empty"), vec![].into()).await.unwrap();
    let mut upload = store.put_multipart(&Path::from("a/b")).await.unwrap();
    upload.put_part(vec![0; 1000].into()).await.unwrap();
    assert_eq!(server.uncommitted_blobs(&container), ["a/b"]);
    upload.complete().await.unwrap();
    assert!(server.uncommitted_blobs(&container).is_empty());
}

#[tokio::test]
async fn fake_gcs_server_serves_what_was_written_over_its_json_api() {
    let server = FakeGcs::shared();
    let bucket = server.new_bucket();
    server.put_object(&bucket, "a/b c", "text/plain", b"hello");
    let store = gcs(&server.endpoint(), &bucket, "any");
    let path = Path::from("a/b c");
    assert_eq!(store.get_range(&path, 1..4).await.unwrap(), "ell");
    assert_eq!(server.object(&bucket, "a/b c").as_deref(), Some(&b"hello"[..]));
    assert_eq!(server.object(&bucket, "missing"), None);
}

#[tokio::test]
async fn s3s_fs_stores_logs_checks_signatures_and_leaves_nothing() {
    let server = S3sFs::start_with_bucket("bucket").unwrap();
    let store = s3s_fs(&server, "bucket");
    round_trip(&store).await;
    assert_eq!(server.log().count_operation("PutObject"), 1);
    assert_eq!(server.log().count_operation("GetObject"), 1);
    assert_eq!(server.log().len(), 2);

    let mut upload = store.put_multipart(&Path::from("m")).await.unwrap();
    upload.put_part("x".into()).await.unwrap();
    assert_eq!(server.multipart_uploads().len(), 1);
    upload.abort().await.unwrap();
    assert!(server.multipart_uploads().is_empty());

    let wrong = s3(&server.endpoint(), "bucket", server.access_key(), "wrong").build().unwrap();
    let error = wrong.put(&Path::from("a"), "x".into()).await.unwrap_err();
    assert!(matches!(error, object_store::Error::PermissionDenied { .. }), "{error}");

    let root = server.root().to_owned();
    drop(server);
    assert!(!root.exists());
}

#[test]
fn a_server_of_ones_own_ends_with_its_handle() {
    let server = FakeGcs::start().unwrap();
    let process = format!("/proc/{}", server.pid());
    assert!(FilePath::new(&process).exists());
    drop(server);
    assert!(!FilePath::new(&process).exists());
}

/// The test starts itself again, as the process that is killed.
#[test]
fn a_server_does_not_outlive_a_killed_test_process() {
    const HOLD: &str = "S3DLIO_TESTKIT_HOLD_A_SERVER";
    if std::env::var_os(HOLD).is_some() {
        println!("pid {}", FakeGcs::start().map(|server| Box::leak(Box::new(server)).pid()).unwrap());
        loop {
            std::thread::park();
        }
    }
    let test = "servers::a_server_does_not_outlive_a_killed_test_process";
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture"])
        .env(HOLD, "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let pid = lines.map_while(Result::ok).find_map(|line| line.split_once("pid ").map(|(_, pid)| pid.to_owned()));
    let process = format!("/proc/{}", pid.expect("the child says its server's pid"));
    assert!(FilePath::new(&process).exists());
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(eventually(Duration::from_secs(10), || !FilePath::new(&process).exists()));
}
