//! TLS by rustls: the system's certificate authorities, and a bundle of the user's.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::failure::{Failure, Reason};
use crate::error::{Error, ErrorKind, Operation, Result};

/// Makes TLS sessions. The system's certificates are read when the first one is made: a client of plain HTTP endpoints
/// or files never pays for them.
pub(super) struct Connector {
    bundle: Vec<CertificateDer<'static>>,
    connector: OnceLock<TlsConnector>,
}

impl Connector {
    pub(super) fn new(ca_bundle: Option<&Path>) -> Result<Self> {
        let bundle = match ca_bundle {
            Some(path) => read_bundle(path)?,
            None => Vec::new(),
        };
        Ok(Self { bundle, connector: OnceLock::new() })
    }

    /// The handshake over a connected socket.
    pub(super) async fn handshake(&self, host: &str, socket: TcpStream) -> Result<TlsStream<TcpStream>, Failure> {
        let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned()).map_err(|error| {
            Failure::new(ErrorKind::InvalidInput, Reason::Final, format!("{host:?} is not a host name"))
                .caused_by(error)
        })?;
        let connector = self.connector.get_or_init(|| TlsConnector::from(Arc::new(self.client_config())));
        connector.connect(name, socket).await.map_err(|error| {
            // A certificate that is not trusted now will not be trusted in a second.
            let of_rustls = error.get_ref().and_then(|source| source.downcast_ref::<rustls::Error>());
            let hint = match of_rustls {
                Some(rustls::Error::InvalidCertificate(rustls::CertificateError::NotValidForName))
                | Some(rustls::Error::InvalidCertificate(rustls::CertificateError::NotValidForNameContext {
                    ..
                })) => "name the server in endpoint_url as its certificate does",
                Some(rustls::Error::InvalidCertificate(_)) => {
                    "set ca_bundle (or AWS_CA_BUNDLE) to a PEM file with the authority that signed the certificate"
                }
                Some(rustls::Error::InvalidMessage(_)) => "the server may not speak TLS: try http:// in endpoint_url",
                _ => "check endpoint_url, the network and whether the server runs",
            };
            let reason = if of_rustls.is_some() { Reason::Final } else { Reason::NotSent };
            Failure::new(ErrorKind::Connect, reason, format!("TLS with {host} failed: {error}"))
                .with_hint(hint)
                .caused_by(error)
        })
    }

    fn client_config(&self) -> rustls::ClientConfig {
        let mut roots = RootCertStore::empty();
        let native = rustls_native_certs::load_native_certs();
        for error in &native.errors {
            tracing::warn!(%error, "a certificate of the system could not be read");
        }
        let (added, _) = roots.add_parsable_certificates(native.certs);
        roots.add_parsable_certificates(self.bundle.iter().cloned());
        if added == 0 && self.bundle.is_empty() {
            tracing::warn!("no certificate authority is installed: install ca-certificates or set ca_bundle");
        }
        let mut config =
            rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
                .with_safe_default_protocol_versions()
                .expect("ring supports the default protocol versions")
                .with_root_certificates(roots)
                .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config
    }
}

fn read_bundle(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let failed = || Error::new(ErrorKind::Config, Operation::Configure, format!("ca_bundle {}", path.display()));
    let certificates = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| failed().with_source(error))?;
    if certificates.is_empty() {
        return Err(failed().with_message("the file holds no PEM certificate"));
    }
    Ok(certificates)
}
