//! `[listen.tls]`: what the proxy listener shows its clients.

use std::sync::Arc;

use rustls::{CipherSuite, ServerConfig};
use tokio_rustls::TlsAcceptor;

use crate::config::TlsFiles;
use crate::file;
use crate::wire::{ALPN_H2, ALPN_HTTP_1_1};

/// The suites preferred to all others (RFC 8446, B.4; RFC 5289, 3.2).
const AES_128_SHA_256: [CipherSuite; 3] = [
    CipherSuite::TLS13_AES_128_GCM_SHA256,
    CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
];

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
    let chain = file::certificates(&files.cert).map_err(TlsError::File)?;
    let key = file::private_key(&files.key).map_err(TlsError::File)?;
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    // AES-128 and SHA-256 first, of what a client offers: processors do both by themselves, but few
    // do SHA-384, which is a fifth of a handshake.
    provider.cipher_suites.sort_by_key(|suite| !AES_128_SHA_256.contains(&suite.suite()));
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Pair)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(TlsError::Pair)?;
    config.ignore_client_order = true;
    config.alpn_protocols = vec![ALPN_H2.to_vec(), ALPN_HTTP_1_1.to_vec()];
    // A client comes back with its session in the ticket, to whichever worker: nothing is kept
    // here. One ticket is enough for that, and each costs a record to every client.
    config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new().map_err(TlsError::Pair)?;
    config.send_tls13_tickets = 1;
    Ok(Some(TlsAcceptor::from(Arc::new(config))))
}
