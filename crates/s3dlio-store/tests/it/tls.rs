//! TLS: which servers are trusted, and what is said of those that are not. The authority and the server's certificate
//! are made by the test.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use s3dlio_store::{Client, Config, Environment, Error, ErrorKind};
use s3dlio_testkit::http_server::HttpServer;
use tempfile::TempDir;

const ANSWER: &str =
    "HTTP/1.1 200 OK\r\nContent-Length: 6\r\nETag: \"x\"\r\nLast-Modified: Mon, 23 Nov 2026 00:00:00 GMT\r\n\r\nsecure";

/// An HTTPS server for `localhost` that answers every request with `secure`.
struct Secure {
    address: SocketAddr,
    directory: TempDir,
    bundle: PathBuf,
}

fn secure_server() -> Secure {
    let key = || KeyPair::generate().unwrap();
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, key()).unwrap();
    let server_key = key();
    let server = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let server = server.signed_by(&server_key, &authority).unwrap();

    let directory = tempfile::tempdir().unwrap();
    let bundle = directory.path().join("authority.pem");
    std::fs::write(&bundle, authority.pem()).unwrap();

    let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![server.der().clone()], PrivateKeyDer::Pkcs8(server_key.serialize_der().into()))
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for socket in listener.incoming() {
            let (Ok(socket), config) = (socket, config.clone()) else { return };
            std::thread::spawn(move || {
                let session = rustls::ServerConnection::new(config).unwrap();
                let mut stream = rustls::StreamOwned::new(session, socket);
                let mut head = [0; 4096];
                // A client that does not trust the certificate goes away; the next request of one that does is answered.
                while stream.read(&mut head).is_ok_and(|length| length > 0) {
                    let _ = stream.write_all(ANSWER.as_bytes());
                }
            });
        }
    });
    Secure { address, directory, bundle }
}

fn client(settings: &[(&str, &str)], environment: &[(&str, &str)]) -> Client {
    let mut config = Config::builder().environment(Environment::from_iter(environment.iter().copied()));
    for (key, value) in settings {
        config = config.set(*key, *value);
    }
    Client::new(config.build().unwrap())
}

/// Fails, and not only after the attempts of a connection that may come back.
async fn fails_at_once(client: &Client, uri: &str) -> Error {
    let started = Instant::now();
    let error = client.get(uri).await.unwrap_err();
    assert!(started.elapsed() < Duration::from_millis(1500), "{:?}: {error}", started.elapsed());
    error
}

#[tokio::test]
async fn a_bundle_makes_its_authority_trusted() {
    let server = secure_server();
    let uri = format!("https://localhost:{}/object", server.address.port());
    let bundle = server.bundle.to_str().unwrap();
    let named = client(&[("ca_bundle", bundle)], &[]);
    for _ in 0..2 {
        assert_eq!(named.get(&uri).await.unwrap(), "secure");
    }
    assert_eq!(named.statistics().connections_opened, 1);

    let endpoint = format!("https://localhost:{}", server.address.port());
    let keys = [("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "b"), ("AWS_CA_BUNDLE", bundle)];
    let s3 = client(&[("endpoint_url", &endpoint)], &keys);
    assert_eq!(s3.get("s3://bucket/key").await.unwrap(), "secure");
}

#[tokio::test]
async fn a_certificate_that_is_not_trusted_fails_at_once_and_names_the_setting() {
    let server = secure_server();
    let error = fails_at_once(&client(&[], &[]), &format!("https://localhost:{}/object", server.address.port())).await;
    assert_eq!(error.kind(), ErrorKind::Connect);
    assert!(error.to_string().contains("ca_bundle"), "{error}");
}

#[tokio::test]
async fn a_certificate_of_another_name_fails_at_once() {
    let server = secure_server();
    let client = client(&[("ca_bundle", server.bundle.to_str().unwrap())], &[]);
    let error = fails_at_once(&client, &format!("https://127.0.0.1:{}/object", server.address.port())).await;
    assert_eq!(error.kind(), ErrorKind::Connect);
    assert!(error.to_string().contains("certificate"), "{error}");
}

#[tokio::test]
async fn tls_where_there_is_none_and_none_where_there_is() {
    let plain = HttpServer::start().unwrap();
    let error = fails_at_once(&client(&[], &[]), &format!("https://127.0.0.1:{}/object", plain.address().port())).await;
    assert!(error.to_string().contains("http://"), "{error}");

    let server = secure_server();
    let error = fails_at_once(&client(&[], &[]), &format!("http://localhost:{}/object", server.address.port())).await;
    assert!(error.to_string().contains("https://"), "{error}");
}

#[tokio::test]
async fn a_bundle_without_certificates_is_named() {
    let server = secure_server();
    let empty = server.directory.path().join("empty.pem");
    std::fs::write(&empty, "nothing").unwrap();
    for path in [empty, server.directory.path().join("absent.pem")] {
        let client = client(&[("ca_bundle", path.to_str().unwrap())], &[]);
        let error = client.get("https://localhost:1/object").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{error}");
        assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
    }
}
