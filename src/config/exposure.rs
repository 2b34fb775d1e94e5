//! Doubts about a configuration that is valid: what it exposes to whom.

use std::fs::Metadata;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::{Config, Listen, Upstream};
use crate::settings::complaint::{Complaints, Location};
use crate::settings::raw::Typed;

/// Permission bits by which others than the owner may read or write a file.
const OTHERS: u32 = 0o077;

/// Permission bits by which others than the owner may write a file.
const OTHERS_WRITE: u32 = 0o022;

/// The bit of a folder in which everybody may only remove what is theirs.
const STICKY: u32 = 0o1000;

/// Hosts of known APIs, and the start of the names of the providers that they speak.
const HOSTS: [(&str, &str); 3] =
    [("qoder.com", "qoder"), ("qoder.com.cn", "qoder"), ("anthropic.com", "claude")];

/// Where the keys were typed that doubts are about.
#[derive(Debug)]
pub(super) struct Places {
    admin: Location,
    proxy: Location,
    trusted_proxies: Location,
    url: Location,
    database: Location,
    key_file: Location,
    policy: Location,
}

impl Places {
    pub(super) fn of(typed: &Typed) -> Self {
        let place = |path: &str| typed.place(path).cloned().unwrap_or(Location::File);
        Self {
            admin: place("listen.admin"),
            proxy: place("listen.proxy"),
            trusted_proxies: place("listen.trusted_proxies"),
            url: place("upstream.url"),
            database: place("audit.database"),
            key_file: place("audit.key_file"),
            policy: place("policy.file"),
        }
    }
}

/// Warns of what a configuration exposes.
pub(super) fn warn(config: &Config, places: &Places, complaints: &mut Complaints) {
    let Listen { proxy, admin, tls, admin_tls, trusted_proxies, .. } = &config.listen;
    if !admin.is_local() && admin_tls.is_none() {
        let message = "`listen.admin` can be reached by others without TLS: admin tokens and what \
            is inside deployments travel in clear: add [listen.admin_tls], or listen on 127.0.0.1";
        complaints.warn(&places.admin, message);
    }
    if !proxy.is_local() && tls.is_none() {
        let message = "`listen.proxy` can be reached by others without TLS: callers' tokens travel \
            in clear: add [listen.tls], or have what stands before it speak TLS";
        complaints.warn(&places.proxy, message);
    }
    if trusted_proxies.iter().any(|network| network.prefix_len() == 0) {
        let message = "`listen.trusted_proxies` holds every address, so that anybody chooses the \
            address that is recorded and limited: name the proxies' own networks";
        complaints.warn(&places.trusted_proxies, message);
    }
    if let Some(message) = other_provider(&config.upstream) {
        complaints.warn(&places.url, &message);
    }
    files(config, places, complaints);
}

fn files(config: &Config, places: &Places, complaints: &mut Complaints) {
    let (database, key_file) = (&config.audit.database, &config.audit.key_file);
    let file = database.file().filter(|file| file.is_file());
    if let Some(file) = file.filter(|file| mode(file).is_some_and(|mode| mode & OTHERS != 0)) {
        let shown = file.display();
        let message = format!(
            "`audit.database`: {shown} can be read or written by others: chmod 600 it, and its \
             -wal and -shm files"
        );
        complaints.warn(&places.database, &message);
    }
    let folder = key_file.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    if mode(folder).is_some_and(|mode| mode & OTHERS_WRITE != 0 && mode & STICKY == 0) {
        let message = format!(
            "`audit.key_file`: others may write to its folder {}, and put another key in its \
             place: chmod go-w it",
            folder.display()
        );
        complaints.warn(&places.key_file, &message);
    }
    for (number, file) in config.files.iter().enumerate() {
        if mode(file).is_some_and(|mode| mode & OTHERS_WRITE != 0) {
            let place = if number == 0 { &Location::File } else { &places.policy };
            let message = format!(
                "{} may be written by others, who then choose what is allowed: chmod go-w it",
                file.display()
            );
            complaints.warn(place, &message);
        }
    }
}

fn mode(path: &Path) -> Option<u32> {
    let mode = |found: Metadata| found.permissions().mode();
    path.metadata().ok().map(mode)
}

/// A known API that another provider's table is set for.
fn other_provider(upstream: &Upstream) -> Option<String> {
    let host = upstream.origin.host.as_str();
    let is_of = |domain: &str| {
        host.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    let (domain, speaks) = HOSTS.into_iter().find(|(domain, _)| is_of(domain))?;
    let provider = upstream.provider;
    (!provider.name.starts_with(speaks)).then(|| {
        format!(
            "`upstream.url` is an API of {domain}, but `upstream.provider` is {}, whose \
             deployments lie below {}: name the provider that fits",
            provider.name, provider.base_path
        )
    })
}
