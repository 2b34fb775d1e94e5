//! Whom TLS believes: the certificate authorities of a client's side.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;

use crate::base::file;
use crate::config::Origin;

/// The trust or the name of a server can't be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TrustError {
    #[error("the certificate authorities in {} can't be used", file.display())]
    File { file: PathBuf, source: rustls::pki_types::pem::Error },
    #[error("a certificate in {} can't be used", file.display())]
    Certificate { file: PathBuf, source: rustls::Error },
    #[error("no version of TLS can be used")]
    Protocol(#[source] rustls::Error),
    #[error("{host} is not a name that a certificate can carry")]
    Name { host: String, source: rustls::pki_types::InvalidDnsNameError },
    #[error("upstream.url's host can't stand in a Host header")]
    Host(#[source] http::header::InvalidHeaderValue),
}

/// The certificate authorities that are trusted: the system's, and those of `ca_file` beside them.
pub(crate) struct Trusted {
    ca_file: Option<PathBuf>,
    /// Read once they are needed.
    roots: Option<Arc<RootCertStore>>,
}

impl Trusted {
    pub(crate) fn new(ca_file: Option<PathBuf>) -> Self {
        Self { ca_file, roots: None }
    }

    fn roots(&mut self) -> Result<Arc<RootCertStore>, TrustError> {
        if let Some(roots) = &self.roots {
            return Ok(Arc::clone(roots));
        }
        let mut roots = RootCertStore::empty();
        let system = rustls_native_certs::load_native_certs();
        for error in system.errors {
            tracing::warn!(%error, "a system certificate authority can't be read");
        }
        roots.add_parsable_certificates(system.certs);
        if let Some(file) = &self.ca_file {
            let unusable = |source| TrustError::File { file: file.clone(), source };
            for certificate in file::certificates(file).map_err(unusable)? {
                roots
                    .add(certificate)
                    .map_err(|source| TrustError::Certificate { file: file.clone(), source })?;
            }
        }
        Ok(Arc::clone(self.roots.insert(Arc::new(roots))))
    }

    /// The client's side of TLS with the server at `origin`, which may choose among `protocols`.
    pub(crate) fn connector(
        &mut self,
        origin: &Origin,
        protocols: &[&[u8]],
    ) -> Result<(TlsConnector, ServerName<'static>), TrustError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(TrustError::Protocol)?
            .with_root_certificates(self.roots()?)
            .with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        let host = &origin.host;
        let name = ServerName::try_from(host.clone())
            .map_err(|source| TrustError::Name { host: host.clone(), source })?;
        Ok((TlsConnector::from(Arc::new(config)), name))
    }
}
