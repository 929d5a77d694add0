//! The sources of credentials, against the front, which hands out tokens as Google's services do.

use super::*;

/// Made for the tests; it opens nothing.
const KEY: &str = include_str!("service_account_key.pem");

fn service_account(server: &GcsFront) -> String {
    serde_json::json!({
        "type": "service_account",
        "project_id": "the-project",
        "private_key_id": "the-key",
        "private_key": KEY,
        "client_email": "robot@the-project",
        "token_uri": format!("{}/_oauth/token", server.endpoint()),
    })
    .to_string()
}

fn authorized_user(server: &GcsFront) -> String {
    serde_json::json!({
        "type": "authorized_user",
        "client_id": "c",
        "client_secret": "hunter2",
        "refresh_token": "hunter2",
        "token_uri": format!("{}/_oauth/token", server.endpoint()),
    })
    .to_string()
}

/// Reads, lists and writes with these variables. Gives the paths that tokens were asked for at.
async fn token_requests(server: &GcsFront, variables: &[(&str, &str)]) -> Vec<String> {
    server.put_object("bucket", "k", "body");
    let store = Setup::at(&server.endpoint(), variables).open("gs://bucket").unwrap();
    let shown = format!("{store:?} {:?} {:?}", store.objects, store.lister);
    assert!(!shown.contains("hunter2") && !shown.contains(KEY.lines().nth(1).unwrap()), "{shown}");
    server.log().clear();
    assert_eq!(store.objects.get(&path("k")).await.unwrap().bytes().await.unwrap(), "body");
    assert_eq!(keys(&store, ListRequest::default()).await, ["k"]);
    store.objects.put(&path("k"), "other".into()).await.unwrap();
    let paths = server.log().records().into_iter().map(|record| record.path);
    paths.filter(|path| !path.starts_with("/bucket")).collect()
}

#[tokio::test]
async fn a_service_account_gets_one_token() {
    let server = GcsFront::start_with_bucket("bucket").unwrap();
    let json = service_account(&server);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, &json).unwrap();
    let path = file.path().to_str().unwrap();
    for (name, value) in [
        ("GOOGLE_SERVICE_ACCOUNT", path),
        ("GOOGLE_SERVICE_ACCOUNT_KEY", &json),
        ("GOOGLE_APPLICATION_CREDENTIALS", path),
    ] {
        assert_eq!(token_requests(&server, &[(name, value)]).await, ["/_oauth/token"], "{name}");
    }
}

#[tokio::test]
async fn the_file_that_gcloud_writes_is_found() {
    let server = GcsFront::start_with_bucket("bucket").unwrap();
    let home = tempfile::tempdir().unwrap();
    let directory = home.path().join(".config/gcloud");
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::write(directory.join("application_default_credentials.json"), authorized_user(&server)).unwrap();
    for (name, path) in [("HOME", home.path()), ("CLOUDSDK_CONFIG", &directory)] {
        let requests = token_requests(&server, &[(name, path.to_str().unwrap())]).await;
        assert_eq!(requests, ["/_oauth/token"], "{name}");
    }
}

#[tokio::test]
async fn the_metadata_server_is_the_last_resort() {
    let server = GcsFront::start_with_bucket("bucket").unwrap();
    let address = server.address().to_string();
    let requests = token_requests(&server, &[("GCE_METADATA_HOST", &address)]).await;
    assert_eq!(requests, ["/computeMetadata/v1/instance/service-accounts/default/token"]);
    let given = [("GCE_METADATA_HOST", address.as_str()), ("CLOUDSDK_AUTH_ACCESS_TOKEN", server.token())];
    assert_eq!(token_requests(&server, &given).await, [""; 0]);
}

#[tokio::test]
async fn a_machine_without_an_identity_has_no_credentials() {
    let server = GcsFront::start_with_bucket("bucket").unwrap();
    let mut setup = Setup::at(&server.endpoint(), &[("GCE_METADATA_HOST", "127.0.0.1:1")]);
    setup.config.connect_timeout = std::time::Duration::from_millis(1);
    let store = setup.open("gs://bucket").unwrap();
    let listed = entries(&*store.lister, ListRequest::default()).await.unwrap_err();
    for error in [listed, reported(store.objects.get(&path("k")).await)] {
        assert_eq!(error.kind(), ErrorKind::Unauthenticated, "{error}");
        assert!(error.to_string().contains("no Google credentials are configured: set GOOGLE_"), "{error}");
    }
}

#[tokio::test]
async fn a_public_bucket_is_read_without_credentials() {
    let server = GcsFront::start_with_bucket("bucket").unwrap();
    server.make_public("bucket");
    server.put_object("bucket", "k", "body");
    let mut setup = Setup::at(&server.endpoint(), &[]);
    setup.config.anonymous = true;
    let store = setup.open("gs://bucket").unwrap();
    assert_eq!(store.objects.get(&path("k")).await.unwrap().bytes().await.unwrap(), "body");
    assert_eq!(keys(&store, ListRequest::default()).await, ["k"]);
    assert_eq!(reported(store.objects.put(&path("k"), "other".into()).await).kind(), ErrorKind::PermissionDenied);
    assert_eq!(server.log().len(), 3);
    assert!(server.log().records().iter().all(|record| record.header("authorization").is_none()));
}

#[tokio::test]
async fn an_emulator_is_asked_without_credentials() {
    let server = GcsFront::start_with_bucket("bucket").unwrap();
    server.make_public("bucket");
    server.put_object("bucket", "k", "body");
    for host in [server.address().to_string(), server.endpoint()] {
        // Were anything looked for, this file would be an error.
        let variables = [("STORAGE_EMULATOR_HOST", host.as_str()), ("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere")];
        let store = Setup::with(&variables).open("gs://bucket").unwrap();
        assert_eq!(store.objects.get(&path("k")).await.unwrap().bytes().await.unwrap(), "body");
    }
}
