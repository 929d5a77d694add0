//! Containers, and the ways to name an account.

use s3dlio_store::{Buckets, ListRequest};

use super::*;

async fn names(account: &dyn Buckets) -> Vec<String> {
    account.list().await.unwrap().into_iter().map(|entry| entry.name).collect()
}

fn unique(name: &str) -> String {
    format!("{name}-{}", std::process::id())
}

#[tokio::test]
async fn a_container_is_made_listed_and_removed() {
    let account = Setup::azurite().account().unwrap();
    let name = unique("made-here");
    account.create(&name).await.unwrap();
    let again = account.create(&name).await.unwrap_err();
    assert_eq!((again.kind(), again.uri()), (ErrorKind::AlreadyExists, &*format!("az://devstoreaccount1/{name}")));
    assert!(names(&*account).await.contains(&name));
    account.delete(&name).await.unwrap();
    assert!(!names(&*account).await.contains(&name));
    assert_eq!(account.delete(&name).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(account.create("Not A Name").await.unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[tokio::test]
async fn a_container_that_is_not_empty_is_kept() {
    let account = Setup::azurite().account().unwrap();
    let name = unique("not-empty");
    account.create(&name).await.unwrap();
    let store = Setup::azurite().open(&format!("az://{name}")).unwrap();
    store.objects.put(&path("k"), "body".into()).await.unwrap();
    let error = account.delete(&name).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PreconditionFailed);
    assert_eq!(store.objects.get(&path("k")).await.unwrap().bytes().await.unwrap(), "body");
    store.objects.delete(&path("k")).await.unwrap();
    account.delete(&name).await.unwrap();
}

#[tokio::test]
async fn every_way_to_name_the_account_reaches_the_same_container() {
    let server = Azurite::shared();
    let container = server.new_container();
    let port = server.port().to_string();
    let (short, long) = (format!("az://{container}"), format!("az://devstoreaccount1/{container}"));
    let connection = server.connection_string();
    let emulator = format!("http://127.0.0.1:{port}");
    let setups = [
        (Setup::with(&[("AZURE_STORAGE_CONNECTION_STRING", &connection)]), &short),
        (Setup::with(&[("AZURE_STORAGE_CONNECTION_STRING", &connection)]), &long),
        (Setup::with(&[("AZURE_STORAGE_USE_EMULATOR", "true"), ("AZURITE_BLOB_STORAGE_URL", &emulator)]), &short),
        (
            Setup::at_azurite(&[("AZURE_STORAGE_ACCOUNT_NAME", server.account()), ("AZURE_STORAGE_KEY", server.key())]),
            &short,
        ),
        (Setup::at_azurite(&[("AZURE_STORAGE_ACCESS_KEY", server.key())]), &long),
        (Setup::at_azurite(&[]), &short),
    ];
    setups[0].0.open(&short).unwrap().objects.put(&path("k"), "body".into()).await.unwrap();
    for (number, (setup, uri)) in setups.iter().enumerate() {
        let store = setup.open(uri).unwrap();
        assert_eq!(store.name, long, "way {number}");
        assert_eq!(store.objects.get(&path("k")).await.unwrap().bytes().await.unwrap(), "body", "way {number}");
        assert_eq!(entries(&*store.lister, ListRequest::default()).await.unwrap().len(), 1, "way {number}");
    }
}

#[tokio::test]
async fn what_is_missing_is_said_before_anything_is_sent() {
    let kind = |setup: Setup, uri: &str| setup.open(uri).unwrap_err().kind();
    assert_eq!(kind(Setup::azurite(), "az://"), ErrorKind::InvalidInput);
    assert_eq!(kind(Setup::azurite(), "az://devstoreaccount1"), ErrorKind::InvalidInput);
    assert_eq!(kind(Setup::default(), "az://"), ErrorKind::Config);
    assert_eq!(kind(Setup::with(&[("AZURE_STORAGE_KEY", "not Base64")]), "az://a/c"), ErrorKind::Config);
    assert_eq!(kind(Setup::with(&[("AZURE_STORAGE_SAS_TOKEN", "nonsense")]), "az://a/c"), ErrorKind::Config);
    assert_eq!(
        kind(Setup::azurite(), "https://other.blob.core.windows.net/box/key"),
        ErrorKind::Config,
        "the connection string's key is of another account"
    );
}

#[tokio::test]
async fn anonymous_requests_carry_no_credentials() {
    let container = Azurite::shared().new_container();
    let mut setup = Setup::azurite();
    setup.config.anonymous = true;
    let store = setup.open(&format!("az://{container}")).unwrap();
    // The container is private, so being refused shows that no key was sent.
    let listed = entries(&*store.lister, ListRequest::default()).await.unwrap_err();
    for error in [reported(store.objects.get(&path("k")).await), listed] {
        assert!(matches!(error.kind(), ErrorKind::NotFound | ErrorKind::PermissionDenied), "{error}");
    }
}
