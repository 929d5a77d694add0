//! The sources that fetch a token, against services in this process.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use parking_lot::Mutex;

use super::*;

/// What a request said: its first line, its headers and its body, as it came.
type Seen = Arc<Mutex<Vec<String>>>;

/// Hands out `the-token`, and an empty listing to whoever brings it. Test kit servers take no such requests.
struct Service {
    address: String,
    seen: Seen,
}

impl Service {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let seen = Seen::default();
        let log = seen.clone();
        // The thread ends with the process; it waits for connections and holds nothing.
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                let Ok(mut connection) = connection else { return };
                let text = read_request(&mut BufReader::new(&connection));
                let (status, body) = answer(&text);
                log.lock().push(text);
                let length = body.len();
                let head = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
                let _ = connection.write_all(format!("{head}{body}").as_bytes());
            }
        });
        Self { address, seen }
    }

    /// Lists a container with these variables, at this service.
    async fn list(&self, variables: &[(&str, &str)]) -> Result<Vec<ObjectEntry>> {
        let mut setup = Setup::with(variables);
        setup.config.endpoint_url = Some(self.address.clone());
        let store = setup.open("az://acc/box")?;
        let shown = format!("{store:?} {:?} {:?}", store.objects, store.lister);
        assert!(!shown.contains("hunter2"), "{shown}");
        // The second listing shows that the token is kept.
        entries(&*store.lister, ListRequest::default()).await?;
        entries(&*store.lister, ListRequest::default()).await
    }

    fn seen(&self) -> Vec<String> {
        self.seen.lock().clone()
    }
}

fn read_request(reader: &mut impl BufRead) -> String {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).is_ok_and(|read| read > 0) {}
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    head + std::str::from_utf8(&body).unwrap()
}

fn answer(request: &str) -> (&'static str, &'static str) {
    let is_storage = request.contains("comp=list");
    match (is_storage, request.contains("authorization: Bearer the-token"), request.contains("wrong")) {
        (true, true, _) => ("200 OK", "<EnumerationResults><Blobs/><NextMarker/></EnumerationResults>"),
        (true, false, _) => ("403 Forbidden", ""),
        (false, _, false) => {
            ("200 OK", r#"{"access_token": "the-token", "expires_in": "3600", "token_type": "Bearer"}"#)
        }
        (false, _, true) => (
            "401 Unauthorized",
            r#"{"error": "invalid_client", "error_description": "AADSTS7000215: Invalid client secret provided."}"#,
        ),
    }
}

const PRINCIPAL: [(&str, &str); 2] = [("AZURE_TENANT_ID", "the-tenant"), ("AZURE_CLIENT_ID", "the-client")];

#[tokio::test]
async fn a_service_principal_gets_one_token() {
    let service = Service::start();
    let variables = [&PRINCIPAL[..], &[("AZURE_CLIENT_SECRET", "hunter2"), ("AZURE_AUTHORITY_HOST", &service.address)]];
    service.list(&variables.concat()).await.unwrap();
    let seen = service.seen();
    assert_eq!(seen.len(), 3, "one token, two listings");
    assert!(seen[0].starts_with("POST /the-tenant/oauth2/v2.0/token HTTP/1.1"), "{}", seen[0]);
    for part in
        ["grant_type=client%5Fcredentials", "client_id=the%2Dclient", "client_secret=hunter2", "storage%2Eazure%2Ecom"]
    {
        assert!(seen[0].contains(part), "{part} in {}", seen[0]);
    }
}

#[tokio::test]
async fn a_wrong_secret_is_refused_at_once_and_not_shown() {
    let service = Service::start();
    let variables =
        [&PRINCIPAL[..], &[("AZURE_CLIENT_SECRET", "wrong-hunter2"), ("AZURE_AUTHORITY_HOST", &service.address)]];
    let error = service.list(&variables.concat()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthenticated);
    assert!(error.to_string().contains("check AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET"), "{error}");
    assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    assert_eq!(service.seen().len(), 1);
}

#[tokio::test]
async fn a_machine_without_an_identity_has_no_credentials() {
    let mut setup = Setup::with(&[("AZURE_POD_IDENTITY_AUTHORITY_HOST", "http://127.0.0.1:1")]);
    setup.config.connect_timeout = std::time::Duration::from_millis(1);
    let store = setup.open("az://acc/box").unwrap();
    let listed = entries(&*store.lister, ListRequest::default()).await.unwrap_err();
    for error in [listed, reported(store.objects.get(&path("k")).await)] {
        assert_eq!(error.kind(), ErrorKind::Unauthenticated, "{error}");
        assert!(error.to_string().contains("no Azure credentials are configured: set AZURE_"), "{error}");
    }
}

#[tokio::test]
async fn a_workload_identity_sends_what_its_file_holds() {
    let service = Service::start();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, "federated.hunter2\n").unwrap();
    let path = file.path().to_str().unwrap().to_owned();
    let variables =
        [&PRINCIPAL[..], &[("AZURE_FEDERATED_TOKEN_FILE", &path), ("AZURE_AUTHORITY_HOST", &service.address)]].concat();
    service.list(&variables).await.unwrap();
    assert!(service.seen()[0].contains("client_assertion=federated%2Ehunter2"), "{}", service.seen()[0]);

    drop(file);
    let error = service.list(&variables).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthenticated);
    assert!(error.to_string().contains("AZURE_FEDERATED_TOKEN_FILE"), "{error}");
}

#[tokio::test]
async fn the_identity_of_a_service_is_asked_for_with_its_header() {
    let service = Service::start();
    let endpoint = format!("{}/msi/token", service.address);
    let variables = [("IDENTITY_ENDPOINT", endpoint.as_str()), ("IDENTITY_HEADER", "hunter2")];
    service.list(&[&variables[..], &[("AZURE_CLIENT_ID", "the-client")]].concat()).await.unwrap();
    let asked = service.seen().remove(0);
    assert!(asked.starts_with("GET /msi/token?api-version=2019%2D08%2D01&resource=https%3A%2F%2Fstorage"), "{asked}");
    assert!(asked.contains("client_id=the%2Dclient") && asked.contains("x-identity-header: hunter2"), "{asked}");
}

#[tokio::test]
async fn the_identity_of_a_machine_is_the_last_resort() {
    let service = Service::start();
    service.list(&[("AZURE_POD_IDENTITY_AUTHORITY_HOST", &service.address)]).await.unwrap();
    let asked = service.seen().remove(0);
    assert!(asked.starts_with("GET /metadata/identity/oauth2/token?api-version=2018%2D02%2D01&"), "{asked}");
    assert!(asked.contains("metadata: true"), "{asked}");
    // Where a key is given, nobody is asked.
    let service = Service::start();
    let variables = [("AZURE_POD_IDENTITY_AUTHORITY_HOST", service.address.as_str()), ("AZURE_STORAGE_KEY", "a2V5")];
    assert_eq!(service.list(&variables).await.unwrap_err().kind(), ErrorKind::PermissionDenied);
    assert_eq!(service.seen().len(), 1);
}

#[tokio::test]
async fn the_az_command_is_asked_where_somebody_has_signed_in() {
    let service = Service::start();
    let home = tempfile::tempdir().unwrap();
    let program = home.path().join("az");
    let say = |script: &str| {
        std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    };
    let directory = home.path().to_str().unwrap();
    let variables = [("PATH", directory), ("AZURE_CONFIG_DIR", directory)];
    std::fs::write(home.path().join("azureProfile.json"), "{}").unwrap();

    say(r#"[ "$1 $2" = "account get-access-token" ] && echo '{"accessToken": "the-token", "tokenType": "Bearer"}'"#);
    service.list(&variables).await.unwrap();
    say("echo 'ERROR: Please run az login' >&2; exit 1");
    let error = service.list(&variables).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthenticated);
    assert!(error.to_string().contains("Please run az login"), "{error}");
}
