//! `[listen.tls]` and `[listen.admin_tls]`: the certificates that the listeners show.

use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{CipherSuite, ServerConfig};
use tokio_rustls::TlsAcceptor;

use crate::base::clock::Timestamp;
use crate::base::file;
use crate::config::{Config, Listen, TlsFiles, files};
use crate::net::stream::{ALPN_H2, ALPN_HTTP_1_1};

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
    #[error("{section}.cert or {section}.key can't be read")]
    File {
        /// The section that names it.
        section: &'static str,
        /// The fault of the file.
        source: rustls::pki_types::pem::Error,
    },
    /// The chain and the key can't be used together.
    #[error("the certificate and the key of [{section}] can't be used together")]
    Pair {
        /// The section that names them.
        section: &'static str,
        /// The part that does not fit.
        source: rustls::Error,
    },
}

/// The certificates of all listeners.
#[derive(Debug)]
pub(super) struct Certificates {
    /// `None` where the proxy listener speaks plain HTTP.
    proxy: Option<Certificate>,
    /// `None` where the admin listener does.
    admin: Option<Certificate>,
}

/// The certificate of one listener, the newest that could be used. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Certificate {
    kind: Kind,
    shown: Arc<ArcSwap<Shown>>,
}

/// The kind of a listener's TLS: its section of the configuration, and its protocols.
#[derive(Clone, Copy, Debug)]
struct Kind {
    section: &'static str,
    alpn: &'static [&'static [u8]],
}

const PROXY: Kind = Kind { section: "listen.tls", alpn: &[ALPN_H2, ALPN_HTTP_1_1] };
const ADMIN: Kind = Kind { section: "listen.admin_tls", alpn: &[ALPN_HTTP_1_1] };

/// A chain and its key, ready for handshakes.
#[derive(Debug)]
struct Shown {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    config: Arc<ServerConfig>,
}

impl Certificates {
    /// Reads what `[listen]` names.
    pub(super) fn load(listen: &Listen) -> Result<Self, TlsError> {
        let load = |kind, files: Option<&TlsFiles>| {
            files.map(|files| Certificate::load(kind, files)).transpose()
        };
        let proxy = load(PROXY, listen.tls.as_ref())?;
        Ok(Self { proxy, admin: load(ADMIN, listen.admin_tls.as_ref())? })
    }

    pub(super) fn proxy(&self) -> Option<&Certificate> {
        self.proxy.as_ref()
    }

    pub(super) fn admin(&self) -> Option<&Certificate> {
        self.admin.as_ref()
    }

    /// Shows what `listen` names from the next handshake on: all of it, or, where some of it can't
    /// be used, what was shown before. Whether a listener speaks TLS at all was settled at the
    /// start.
    pub(super) fn replace(&self, listen: &Listen) -> Result<(), TlsError> {
        let pairs = [(&self.proxy, &listen.tls), (&self.admin, &listen.admin_tls)];
        let mut renewed = Vec::new();
        for (certificate, files) in pairs {
            if let (Some(certificate), Some(files)) = (certificate, files) {
                renewed.push((certificate, certificate.renewed(files)?));
            }
        }
        for (certificate, shown) in renewed {
            if let Some(shown) = shown {
                certificate.shown.store(Arc::new(shown));
                let section = certificate.kind.section;
                tracing::info!(section, "a new certificate is shown from now on");
            }
        }
        Ok(())
    }
}

impl Certificate {
    fn load(kind: Kind, files: &TlsFiles) -> Result<Self, TlsError> {
        let shown = Arc::new(ArcSwap::from_pointee(Shown::load(kind, files)?));
        Ok(Self { kind, shown })
    }

    /// The acceptor of a handshake that begins now.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.shown.load().config))
    }

    /// The certificate in the files, if it is not shown yet. Sessions are resumed while it is.
    fn renewed(&self, files: &TlsFiles) -> Result<Option<Shown>, TlsError> {
        let new = Shown::load(self.kind, files)?;
        let shown = self.shown.load();
        let same = shown.chain == new.chain && shown.key.secret_der() == new.key.secret_der();
        Ok((!same).then_some(new))
    }
}

impl Shown {
    fn load(kind: Kind, files: &TlsFiles) -> Result<Self, TlsError> {
        let section = kind.section;
        let unread = |source| TlsError::File { section, source };
        let chain = file::certificates(&files.cert).map_err(unread)?;
        let key = file::private_key(&files.key).map_err(unread)?;
        let config = config(kind, chain.clone(), key.clone_key())
            .map_err(|source| TlsError::Pair { section, source })?;
        Ok(Self { chain, key, config: Arc::new(config) })
    }
}

/// TLS 1.2 and 1.3, with the listener's protocols by ALPN.
fn config(
    kind: Kind,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<ServerConfig, rustls::Error> {
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    // AES-128 and SHA-256 first, of what a client offers: processors do both by themselves, but few
    // do SHA-384, which is a fifth of a handshake.
    provider.cipher_suites.sort_by_key(|suite| !AES_128_SHA_256.contains(&suite.suite()));
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.ignore_client_order = true;
    config.alpn_protocols = kind.alpn.iter().map(|name| name.to_vec()).collect();
    // A client comes back with its session in the ticket, to whichever worker: nothing is kept
    // here. One ticket is enough for that, and each costs a record to every client.
    config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new()?;
    config.send_tls13_tickets = 1;
    Ok(config)
}

/// Says which of the certificates that `config` names do not hold at `now`.
pub(super) fn warn_of_lapsed(config: &Config, now: Timestamp) {
    let listen = &config.listen;
    let shown = [(PROXY.section, &listen.tls), (ADMIN.section, &listen.admin_tls)];
    let shown = shown
        .into_iter()
        .filter_map(|(section, files)| files.as_ref().map(|files| (section, &files.cert)));
    let trusted = config.upstream.ca_file.as_ref().map(|path| ("upstream.ca_file", path));
    for (key, path) in shown.chain(trusted) {
        if let Some(reason) = files::lapsed(path, now) {
            tracing::warn!(key, reason, "a certificate does not hold");
        }
    }
}

/// `[listen]` as it was at the start, but for the files of its certificates: they may be others,
/// not whether there are any.
pub(super) fn with_files_of(former: &Listen, new: &Listen) -> Listen {
    let mut listen = former.clone();
    let pairs = [(&mut listen.tls, &new.tls), (&mut listen.admin_tls, &new.admin_tls)];
    for (files, new) in pairs {
        if let (Some(files), Some(new)) = (files, new) {
            files.clone_from(new);
        }
    }
    listen
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::ListenAddress;

    fn write(folder: &Path, name: &str) -> TlsFiles {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let files = TlsFiles {
            cert: folder.join(format!("{name}.pem")),
            key: folder.join(format!("{name}-key.pem")),
        };
        std::fs::write(&files.cert, made.cert.pem()).unwrap();
        std::fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
        files
    }

    #[test]
    fn certificates_are_replaced_all_or_none_and_only_where_they_differ() {
        let folder = tempfile::tempdir().unwrap();
        let [first, second] = ["first", "second"].map(|name| write(folder.path(), name));
        let listen = |tls: &TlsFiles, admin: &TlsFiles| Listen {
            proxy: ListenAddress::Tcp("127.0.0.1:0".parse().unwrap()),
            admin: ListenAddress::Tcp("127.0.0.1:0".parse().unwrap()),
            tls: Some(tls.clone()),
            admin_tls: Some(admin.clone()),
            trusted_proxies: Vec::new(),
            trusts_socket_file: false,
            cors: Vec::new(),
            socket_mode: 0o660,
        };
        let all = Certificates::load(&listen(&first, &first)).unwrap();
        let shown = || [&all.proxy, &all.admin].map(|one| one.as_ref().unwrap().shown.load_full());
        let former = shown();
        all.replace(&listen(&first, &first)).unwrap();
        assert!(shown().iter().zip(&former).all(|(now, former)| Arc::ptr_eq(now, former)));
        // The key of another certificate: neither is replaced.
        let torn = TlsFiles { cert: first.cert.clone(), key: second.key.clone() };
        assert!(all.replace(&listen(&second, &torn)).is_err());
        assert!(shown().iter().zip(&former).all(|(now, former)| Arc::ptr_eq(now, former)));
        all.replace(&listen(&second, &first)).unwrap();
        assert!(!Arc::ptr_eq(&shown()[0], &former[0]));
        assert!(Arc::ptr_eq(&shown()[1], &former[1]));
    }

    #[test]
    fn the_files_of_certificates_may_change_but_not_whether_there_are_any() {
        let files = |name: &str| Some(TlsFiles { cert: name.into(), key: name.into() });
        let listen = |tls, admin_tls, admin: &str| Listen {
            proxy: ListenAddress::Tcp("127.0.0.1:1".parse().unwrap()),
            admin: ListenAddress::Tcp(admin.parse().unwrap()),
            tls,
            admin_tls,
            trusted_proxies: Vec::new(),
            trusts_socket_file: false,
            cors: Vec::new(),
            socket_mode: 0o660,
        };
        let former = listen(files("a"), None, "127.0.0.1:2");
        let new = listen(files("b"), files("c"), "127.0.0.1:3");
        assert_eq!(with_files_of(&former, &new), listen(files("b"), None, "127.0.0.1:2"));
        let off = listen(None, None, "127.0.0.1:2");
        assert_eq!(with_files_of(&former, &off), former);
    }
}
