//! The files that a configuration names: whether they can be read, and hold what they should.

use std::path::{Path, PathBuf};

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem;
use rustls::sign::CertifiedKey;

use crate::base::certificate::{Lapse, Validity};
use crate::base::clock::Timestamp;
use crate::base::database::Database;
use crate::base::file;
use crate::base::key::{Key, KeyError};
use crate::settings::raw::Node;
use crate::settings::value::Meant;

/// Which half of a certificate and its key is at fault, and how to fix it.
#[derive(Debug)]
pub(super) enum BadPair {
    Cert(String),
    Key(String),
}

/// Holds that a PEM file's certificate chain and another one's private key belong together.
pub(super) fn certificate_with_key(cert: &Path, key: &Path) -> Result<(), BadPair> {
    let chain = certificates(cert).map_err(BadPair::Cert)?;
    let shown = key.display();
    let secret = file::private_key(key).map_err(|error| {
        let why = said(&error);
        BadPair::Key(format!("{shown} gives no private key ({why}): name a readable PEM file"))
    })?;
    match CertifiedKey::from_der(chain, secret, &aws_lc_rs::default_provider()) {
        Ok(_) => Ok(()),
        Err(rustls::Error::InconsistentKeys(_)) => Err(BadPair::Key(format!(
            "{shown} is not the key of {}: name the two files of one certificate",
            cert.display()
        ))),
        Err(rustls::Error::InvalidCertificate(error)) => Err(BadPair::Cert(format!(
            "{} holds a certificate that can't be used ({error:?}): issue it anew",
            cert.display()
        ))),
        Err(error) => Err(BadPair::Key(format!(
            "{shown} can't be used ({error}): name an RSA, ECDSA or Ed25519 key"
        ))),
    }
}

/// The certificates of a PEM file, at least one.
pub(super) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    file::certificates(path).map_err(|error| {
        let shown = path.display();
        format!("{shown} gives no certificate ({}): name a readable PEM file", said(&error))
    })
}

/// Why a certificate of a PEM file does not hold at `now`, and how to fix it; `None` where all do.
pub(crate) fn lapsed(path: &Path, now: Timestamp) -> Option<String> {
    let all = file::certificates(path).ok()?;
    let lapse = all.iter().find_map(|der| Validity::of(der)?.lapse(now))?;
    let subject = if all.len() > 1 { "holds a certificate that " } else { "" };
    let fix = match lapse {
        Lapse::Expired(_) => "renew it",
        Lapse::NotYet(_) => "use another until then, or set the clock right",
    };
    Some(format!("{} {subject}{lapse}: {fix}", path.display()))
}

/// The place of a log.
pub(super) fn database(node: &Node) -> Meant<Database> {
    Database::parse(node.text().unwrap_or_default())
}

/// Holds that the key file can be used, or made.
pub(super) fn key(path: &Path) -> Result<(), String> {
    if !path.exists() {
        return can_keep(path);
    }
    Key::load(path).map(|_key| ()).map_err(|error| match &error {
        KeyError::File { source, .. } => format!("{error} ({source})"),
        KeyError::Garbled { .. } | KeyError::Exposed { .. } => error.to_string(),
    })
}

/// The place that a path leads to; the path itself where nothing is there.
pub(super) fn real(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_absent| path.to_owned())
}

/// Holds that a file can be written, and files beside it made.
pub(super) fn can_keep(path: &Path) -> Result<(), String> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let shown = folder.display();
    if !folder.is_dir() {
        return Err(format!("the folder {shown} does not exist: make it"));
    }
    if !writable(folder) {
        return Err(format!("the folder {shown} can't be written: give this user the right to"));
    }
    if path.is_dir() {
        return Err(format!("{} is a folder: name a file in it", path.display()));
    }
    if path.exists() && !writable(path) {
        return Err(format!("{} can't be written: give this user the right to", path.display()));
    }
    Ok(())
}

/// Whether this process may write there, found without leaving a trace: a check must not wake
/// those who watch the folder.
#[cfg(unix)]
fn writable(path: &Path) -> bool {
    use rustix::fs::{Access, access};
    access(path, Access::WRITE_OK).is_ok()
}

#[cfg(not(unix))]
fn writable(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| !metadata.permissions().readonly())
}

fn said(error: &pem::Error) -> String {
    match error {
        pem::Error::Io(error) => error.to_string(),
        pem::Error::NoItemsFound => "none is in it".to_owned(),
        pem::Error::MissingSectionEnd { .. } => "its END line is missing".to_owned(),
        error => error.to_string(),
    }
}
