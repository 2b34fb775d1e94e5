//! `[listen.tls]`: what the proxy listener shows its clients.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use crate::config::TlsFiles;
use crate::wire::{ALPN_H2, ALPN_HTTP_1_1};

/// Why a certificate can't be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file can't be read as PEM.
    #[error("listen.tls.cert or listen.tls.key can't be read")]
    File(#[source] rustls::pki_types::pem::Error),
    /// The chain and the key can't be used together.
    #[error("the certificate and the key can't be used together")]
    Pair(#[source] rustls::Error),
}

/// Offers HTTP/2 and HTTP/1.1 by ALPN, over TLS 1.2 and 1.3.
pub(super) fn acceptor(files: Option<&TlsFiles>) -> Result<Option<TlsAcceptor>, TlsError> {
    let Some(files) = files else { return Ok(None) };
    let chain = CertificateDer::pem_file_iter(&files.cert)
        .and_then(Iterator::collect)
        .map_err(TlsError::File)?;
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(TlsError::File)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Pair)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(TlsError::Pair)?;
    config.alpn_protocols = vec![ALPN_H2.to_vec(), ALPN_HTTP_1_1.to_vec()];
    // A client comes back with its session in the ticket, to whichever worker: nothing is kept
    // here. One ticket is enough for that, and each costs a record to every client.
    config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new().map_err(TlsError::Pair)?;
    config.send_tls13_tickets = 1;
    Ok(Some(TlsAcceptor::from(Arc::new(config))))
}
