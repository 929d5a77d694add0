//! `gs://`: reads and listings against fake-gcs-server, writes against the test kit's XML front.
//!
//! fake-gcs-server's XML listing deviates, by name: `max-keys` and `start-after` are ignored (all keys come in one page;
//! what lies before the start is left out here), `encoding-type` is ignored, ETags come without quotes, and a missing
//! bucket is answered with 500 instead of 404. Pages are therefore tested against the front.

use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{GetOptions, GetRange, ObjectStoreExt, integration};
use s3dlio_store::backend::{Account, Store, gcs, path_of_key};
use s3dlio_store::transport::Transport;
use s3dlio_store::{
    Environment, Error, ErrorKind, ListRequest, Lister, Location, ObjectEntry, Operation, Result, UnifiedLoaderConfig,
};
use s3dlio_testkit::contracts::run_all;
use s3dlio_testkit::gcs_front::GcsFront;
use s3dlio_testkit::servers::FakeGcs;

mod credentials;

/// What a test sets: the configuration and the environment that a store is opened with.
#[derive(Default)]
struct Setup {
    config: UnifiedLoaderConfig,
    environment: Environment,
}

impl Setup {
    fn at(endpoint: &str, variables: &[(&str, &str)]) -> Self {
        let mut setup = Self::with(variables);
        setup.config.endpoint_url = Some(endpoint.into());
        setup
    }

    fn with(variables: &[(&str, &str)]) -> Self {
        Self { config: UnifiedLoaderConfig::default(), environment: Environment::from_iter(variables.iter().copied()) }
    }

    fn front(server: &GcsFront) -> Self {
        Self::at(&server.endpoint(), &[("CLOUDSDK_AUTH_ACCESS_TOKEN", server.token())])
    }

    fn emulator() -> Self {
        Self::with(&[("STORAGE_EMULATOR_HOST", &FakeGcs::shared().endpoint())])
    }

    fn open(&self, uri: &str) -> Result<Store> {
        gcs::open(&uri.parse()?, &self.config, &self.environment, &Transport::new(&self.config)?)
    }

    fn account(&self) -> Result<Account> {
        gcs::account(&self.config, &self.environment, &Transport::new(&self.config)?)
    }
}

fn path(key: &str) -> Path {
    path_of_key(&Location::parse("gs://b").unwrap().with_key(key), Operation::Get).unwrap()
}

async fn entries(lister: &dyn Lister, request: ListRequest) -> Result<Vec<ObjectEntry>> {
    let pages: Vec<_> = lister.pages(request).try_collect().await?;
    Ok(pages.into_iter().flat_map(|page| page.objects).collect())
}

async fn keys(store: &Store, request: ListRequest) -> Vec<String> {
    entries(&*store.lister, request).await.unwrap().into_iter().map(|entry| entry.key).collect()
}

/// How the crate reports what a call through the trait gave.
fn reported<T: std::fmt::Debug>(result: object_store::Result<T>) -> Error {
    Error::from_store(result.unwrap_err(), Operation::Get, "gs://b/k")
}

const KEYS: [&str; 9] = ["%41 +&?#", "a b", "a+b", "a//b", "dir", "dir/", "dir//", "dir/a", "ü/日本/"];

#[tokio::test]
async fn the_contracts_hold() {
    let server = GcsFront::start_with_bucket("bucket").unwrap();
    run_all(Setup::front(&server).open("gs://bucket").unwrap().objects, &[]).await;
    assert_eq!(server.multipart_uploads("bucket").len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_public_suite_of_object_store_passes() {
    let server = GcsFront::start_with_bucket("bucket").unwrap();
    // The suite reads an object by a version that it has replaced.
    server.set_versioning(true);
    let store = Setup::front(&server).open("gs://bucket").unwrap();
    let objects = store.objects.as_ref();
    integration::put_get_delete_list(objects).await;
    integration::put_get_attributes(objects).await;
    integration::list_with_offset_exclusivity(objects).await;
    integration::get_opts(objects).await;
    integration::list_uses_directories_correctly(objects).await;
    integration::list_with_delimiter(objects).await;
    integration::rename_and_copy(objects).await;
    integration::copy_if_not_exists(objects).await;
    integration::copy_rename_nonexistent_object(objects).await;
    integration::stream_get(objects).await;
    integration::put_opts(objects, true).await;
    let multipart = store.multipart.as_deref().unwrap();
    integration::multipart(objects, multipart).await;
    integration::multipart_with_opts(objects, multipart).await;
    integration::multipart_put_part_out_of_order(objects, multipart).await;
    integration::multipart_race_condition(objects, true).await;
    integration::multipart_out_of_order(objects).await;
}

#[tokio::test]
async fn odd_keys_round_trip_and_are_listed_as_they_are() {
    let server = GcsFront::start_with_bucket("bucket").unwrap();
    let store = Setup::front(&server).open("gs://bucket").unwrap();
    for key in KEYS {
        store.objects.put(&path(key), key.into()).await.unwrap();
    }
    assert_eq!(server.keys("bucket"), KEYS);
    assert_eq!(keys(&store, ListRequest::default()).await, KEYS);
    for key in KEYS {
        let got = store.objects.get(&path(key)).await.unwrap();
        assert_eq!(got.meta.location, path(key));
        assert_eq!(got.bytes().await.unwrap(), key, "{key:?}");
    }
    store.objects.copy(&path("dir/"), &path("copy/")).await.unwrap();
    assert_eq!(server.object("bucket", "copy/").unwrap(), "dir/");
    for key in KEYS {
        store.objects.delete(&path(key)).await.unwrap();
    }
    assert_eq!(server.keys("bucket"), ["copy/"]);
}

#[tokio::test]
async fn pages_join_without_a_gap_at_any_size() {
    let server = GcsFront::start_with_bucket("bucket").unwrap();
    let mut wanted: Vec<String> = (0..12).map(|n| format!("p/{}/{n:02}", n % 3)).collect();
    for key in &wanted {
        server.put_object("bucket", key, "x");
    }
    server.put_object("bucket", "outside", "x");
    wanted.sort();
    let store = Setup::front(&server).open("gs://bucket").unwrap();
    for page_size in [1, 5, 12, 1000] {
        let request = ListRequest { prefix: "p/".into(), page_size: Some(page_size), ..ListRequest::default() };
        assert_eq!(keys(&store, request.clone()).await, wanted);
        let later = ListRequest { start_after: Some(wanted[6].clone()), ..request };
        assert_eq!(keys(&store, later).await, wanted[7..]);
    }
}

#[tokio::test]
async fn objects_of_fake_gcs_server_are_read_and_listed() {
    let server = FakeGcs::shared();
    let bucket = server.new_bucket();
    for key in KEYS {
        server.put_object(&bucket, key, "text/plain", b"0123456789");
    }
    let store = Setup::emulator().open(&format!("gs://{bucket}")).unwrap();
    for key in KEYS {
        let got = store.objects.get(&path(key)).await.unwrap();
        assert_eq!(got.attributes.get(&object_store::Attribute::ContentType).unwrap().as_ref(), "text/plain");
        assert_eq!(got.bytes().await.unwrap(), "0123456789", "{key:?}");
        assert_eq!(store.objects.head(&path(key)).await.unwrap().size, 10);
    }
    for (range, expected) in [
        (GetRange::Bounded(2..5), "234"),
        (GetRange::Bounded(8..100), "89"),
        (GetRange::Offset(7), "789"),
        (GetRange::Suffix(2), "89"),
    ] {
        let options = GetOptions { range: Some(range.clone()), ..GetOptions::default() };
        let got = store.objects.get_opts(&path("dir/"), options).await.unwrap();
        assert_eq!(got.meta.size, 10);
        assert_eq!(got.bytes().await.unwrap(), expected, "{range:?}");
    }
    assert_eq!(keys(&store, ListRequest::default()).await, KEYS);
    let after = ListRequest { prefix: "dir".into(), start_after: Some("dir/".into()), ..ListRequest::default() };
    assert_eq!(keys(&store, after).await, ["dir//", "dir/a"]);
    let folded = ListRequest { delimiter: true, ..ListRequest::default() };
    let pages: Vec<_> = store.lister.pages(folded).try_collect().await.unwrap();
    let prefixes: Vec<_> = pages.iter().flat_map(|page| page.prefixes.clone()).collect();
    assert_eq!(prefixes, ["a/", "dir/", "ü/"]);
    assert_eq!(reported(store.objects.get(&path("missing")).await).kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn a_bucket_is_made_listed_and_removed() {
    let account = Setup::emulator().account().unwrap();
    let name = format!("made-here-{}", std::process::id());
    account.create(&name).await.unwrap();
    let again = account.create(&name).await.unwrap_err();
    assert_eq!((again.kind(), again.uri()), (ErrorKind::AlreadyExists, &*format!("gs://{name}")));
    let entry = account.list().await.unwrap().into_iter().find(|entry| entry.name == name).unwrap();
    assert!(entry.created.is_some());

    FakeGcs::shared().put_object(&name, "k", "text/plain", b"body");
    assert_eq!(account.delete(&name).await.unwrap_err().kind(), ErrorKind::PreconditionFailed);
    assert!(FakeGcs::shared().object(&name, "k").is_some());
    let store = Setup::emulator().open(&format!("gs://{name}")).unwrap();
    store.objects.delete(&path("k")).await.unwrap();
    account.delete(&name).await.unwrap();
    assert!(!account.list().await.unwrap().iter().any(|entry| entry.name == name));
    assert_eq!(account.delete(&name).await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn buckets_need_a_project() {
    let server = GcsFront::start().unwrap();
    let account = Setup::front(&server).account().unwrap();
    for error in [account.list().await.unwrap_err(), account.create("b").await.unwrap_err()] {
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains("GOOGLE_CLOUD_PROJECT"), "{error}");
    }
    assert_eq!(server.log().len(), 0);
}

#[tokio::test]
async fn wrong_credentials_and_missing_things_are_told_apart_at_once() {
    let server = GcsFront::start_with_bucket("bucket").unwrap();
    let of = |setup: &Setup, uri: &str| setup.open(uri).unwrap();
    let known = Setup::front(&server);
    assert_eq!(reported(of(&known, "gs://bucket").objects.get(&path("k")).await).kind(), ErrorKind::NotFound);
    let error = entries(&*of(&known, "gs://nowhere").lister, ListRequest::default()).await.unwrap_err();
    assert_eq!((error.kind(), error.uri()), (ErrorKind::NotFound, "gs://nowhere"));

    server.log().clear();
    let wrong = Setup::at(&server.endpoint(), &[("GOOGLE_OAUTH_ACCESS_TOKEN", "hunter2")]);
    let mut anonymous = Setup::front(&server);
    anonymous.config.anonymous = true;
    for (setup, kind) in [(wrong, ErrorKind::Unauthenticated), (anonymous, ErrorKind::PermissionDenied)] {
        let store = of(&setup, "gs://bucket");
        let listed = entries(&*store.lister, ListRequest::default()).await.unwrap_err();
        for error in [reported(store.objects.get(&path("k")).await), listed] {
            assert_eq!(error.kind(), kind, "{error}");
            let shown = format!("{error} {error:?} {:?} {:?}", store.objects, store.lister);
            assert!(!shown.contains("hunter2"), "{shown}");
        }
    }
    assert_eq!(server.log().len(), 4, "nothing is tried again");
    assert_eq!(Setup::default().open("gs://").unwrap_err().kind(), ErrorKind::InvalidInput);
}
