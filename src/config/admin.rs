//! The part of a configuration that those need who call the admin API. Nothing else of it is looked
//! at: who approves may read neither the key nor the policy.

use std::path::{Path, PathBuf};

use super::ListenAddress;
use super::keys::KEYS;
use super::listen::address;
use crate::settings::complaint::{Complaint, Complaints, Location};
use crate::settings::raw::Typed;
use crate::settings::reader::{Reader, read_text};

/// Where the admin API is.
#[derive(Clone, Debug)]
pub struct AdminConfig {
    /// `listen.admin`.
    pub address: ListenAddress,
    /// `listen.admin_tls.cert`; `None` where it speaks plain HTTP.
    pub certificate: Option<PathBuf>,
}

/// Reads the configuration at `path` as far as the admin listener is concerned, or says why that is
/// not known.
pub fn read(path: &Path, environment: &[(String, String)]) -> Result<AdminConfig, Vec<Complaint>> {
    read_listener(path, environment, ("listen.admin", "listen.admin_tls.cert"))
}

/// The same of the proxy's listener.
pub fn read_proxy(
    path: &Path,
    environment: &[(String, String)],
) -> Result<AdminConfig, Vec<Complaint>> {
    read_listener(path, environment, ("listen.proxy", "listen.tls.cert"))
}

fn read_listener(
    path: &Path,
    environment: &[(String, String)],
    (listener, cert): (&'static str, &'static str),
) -> Result<AdminConfig, Vec<Complaint>> {
    let mut complaints = Complaints::about(path.to_owned());
    let text = read_text(path).unwrap_or_else(|why| {
        complaints.error(&Location::File, &why);
        String::new()
    });
    let typed = Typed::read(&KEYS, &text, environment, &mut complaints);
    let folder = path.parent().map(Path::to_owned).unwrap_or_default();
    let mut unheard = Complaints::about(path.to_owned());
    let found = typed.and_then(|typed| {
        let mut reader = Reader { typed, folder, complaints: &mut unheard };
        let (address, _) = reader.read(listener, address(&reader.folder.clone()))?;
        let certificate = reader.path(cert).map(|(path, _)| path);
        Some(AdminConfig { address, certificate })
    });
    found.ok_or_else(|| {
        let mut all = complaints.in_order();
        all.extend(unheard.in_order());
        all
    })
}
