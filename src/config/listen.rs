//! `[listen]`: where clients and operators connect, and who of them is believed.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use http::{HeaderValue, Uri};
use ipnet::IpNet;

use super::files;
use super::{Listen, ListenAddress, TlsFiles};
use crate::base::clock::Clock;
use crate::settings::complaint::Location;
use crate::settings::raw::Node;
use crate::settings::reader::Reader;
use crate::settings::value::{Meant, text};

/// The longest path of a socket file (`sun_path`), in bytes.
const SOCKET_PATH_BYTES_MAX: usize = 107;

/// Reads the section.
pub(super) fn read(reader: &mut Reader<'_>, files: &mut Vec<PathBuf>) -> Option<Listen> {
    let proxy = reader.read("listen.proxy", address(&reader.folder.clone()));
    let admin = reader.read("listen.admin", address(&reader.folder.clone()));
    let trusted_proxies = reader.each("listen.trusted_proxies", trusted_proxy);
    let mode = reader.read("listen.socket_mode", socket_mode);
    let cors = reader.each("listen.cors", page_origin);
    let proxy_tls = tls(reader, "listen.tls", files);
    let admin_tls = tls(reader, "listen.admin_tls", files);
    let (admin, place) = admin?;
    let has_none = |list: &str| reader.typed.items(list).is_none_or(<[_]>::is_empty);
    let has_login = reader.place("admin.oidc.issuer").is_some();
    if !admin.is_local()
        && !has_login
        && has_none("admin.token")
        && has_none("admin.auth_proxy.addresses")
    {
        let message = format!(
            "`listen.admin` is {admin}, which others can reach, and there is no \
             [[admin.token]]: add one, or listen on 127.0.0.1"
        );
        reader.complaints.error(&place, &message);
    }
    let (proxy, _) = proxy?;
    if clash(&proxy, &admin) {
        let message = format!(
            "`listen.admin` is {admin}, which `listen.proxy` takes already: choose another port"
        );
        reader.complaints.error(&place, &message);
    }
    let trusts_socket_file = trusted_proxies.iter().any(|(network, _)| network.is_none());
    let trusted_proxies = trusted_proxies.into_iter().filter_map(|(network, _)| network).collect();
    let cors = cors.into_iter().map(|(origin, _)| origin).collect();
    Some(Listen {
        proxy,
        admin,
        tls: proxy_tls,
        admin_tls,
        trusted_proxies,
        trusts_socket_file,
        cors,
        socket_mode: mode?.0,
    })
}

fn tls(reader: &mut Reader<'_>, section: &str, files: &mut Vec<PathBuf>) -> Option<TlsFiles> {
    let [cert, key] = ["cert", "key"].map(|name| format!("{section}.{name}"));
    let home = reader.typed.home(&cert);
    match [&cert, &key].map(|path| reader.typed.place(path)) {
        [Some(_), Some(_)] => {}
        [None, None] if home == Location::File => return None,
        [cert, key] => {
            let place = cert.or(key).cloned().unwrap_or(home);
            let message = format!("[{section}] needs both `cert` and `key`: name two PEM files");
            reader.complaints.error(&place, &message);
        }
    }
    let (cert, key) = (reader.path(&cert), reader.path(&key));
    let ((cert, cert_place), (key, key_place)) = (cert?, key?);
    if let Err(bad) = files::certificate_with_key(&cert, &key) {
        let (place, path, message) = match bad {
            files::BadPair::Cert(message) => (&cert_place, "cert", message),
            files::BadPair::Key(message) => (&key_place, "key", message),
        };
        reader.complaints.error(place, &format!("`{section}.{path}`: {message}"));
    }
    if let Some(message) = files::lapsed(&cert, Clock::System.now()) {
        reader.complaints.warn(&cert_place, &format!("`{section}.cert`: {message}"));
    }
    files.extend([cert.clone(), key.clone()]);
    Some(TlsFiles { cert, key })
}

/// Whether two listeners can't stand beside each other: an unspecified address takes its port on
/// all, that of IPv6 those of IPv4 too.
fn clash(one: &ListenAddress, other: &ListenAddress) -> bool {
    let (Some(one), Some(other)) = (one.tcp(), other.tcp()) else { return one == other };
    let covers = |a: SocketAddr, b: SocketAddr| {
        a.ip().is_unspecified() && (a.is_ipv6() || b.is_ipv4()) || a.ip() == b.ip()
    };
    one.port() == other.port() && one.port() != 0 && (covers(one, other) || covers(other, one))
}

/// An IP address and a port, or a socket file.
pub(super) fn address(folder: &Path) -> impl Fn(&Node) -> Meant<ListenAddress> {
    move |node| {
        let fix = "write an IP address and a port, such as \"127.0.0.1:8080\" or \"[::]:8080\", or \
            a socket file, such as \"unix:/run/changegate/proxy.sock\"";
        let text = node.text().ok_or(fix)?;
        let Some(path) = text.strip_prefix("unix:").filter(|path| !path.is_empty()) else {
            return text.parse().map(ListenAddress::Tcp).map_err(|_source| fix.to_owned());
        };
        let path = folder.join(path.strip_prefix("//").unwrap_or(path));
        if path.as_os_str().len() > SOCKET_PATH_BYTES_MAX {
            return Err(format!(
                "a socket file's path has at most {SOCKET_PATH_BYTES_MAX} bytes: shorten it"
            ));
        }
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        match parent {
            Some(parent) if !parent.is_dir() => {
                Err(format!("the folder {} does not exist: make it", parent.display()))
            }
            _ => Ok(ListenAddress::Unix(path)),
        }
    }
}

/// Permission bits in octal digits.
fn socket_mode(node: &Node) -> Meant<u32> {
    let digits = node.text().filter(|text| matches!(text.len(), 3 | 4));
    let mode = digits.and_then(|digits| u32::from_str_radix(digits, 8).ok());
    let fix = "write permission bits in octal digits, such as \"0660\"";
    mode.filter(|mode| *mode <= 0o777).ok_or_else(|| fix.to_owned())
}

/// A range of addresses, or one address; `None` for whoever connects by a socket file.
pub(super) fn trusted_proxy(node: &Node) -> Meant<Option<IpNet>> {
    let parse = |text: &str| {
        if text == "unix" {
            return Some(None);
        }
        let one = || text.parse::<IpAddr>().map(IpNet::from);
        text.parse::<IpNet>().or_else(|_no_range| one()).ok().map(Some)
    };
    let fix = "write ranges of addresses such as \"10.0.0.0/8\" or \"fd00::/8\"";
    node.text().and_then(parse).ok_or_else(|| fix.to_owned())
}

/// The origin of a page, as browsers write it (RFC 6454, 6.2): in small letters, without the port
/// that is the scheme's own.
fn page_origin(node: &Node) -> Meant<HeaderValue> {
    let fix = "write scheme and host, and the port where it is not the scheme's own, such as \
        \"https://console.example.com\" or \"http://localhost:5173\"";
    let text = text(node)?.to_ascii_lowercase();
    if text == "*" {
        return Err(format!(
            "any page that somebody opens could reach the gateway then: name the origins; {fix}"
        ));
    }
    let is_whole = |uri: &Uri| {
        let scheme = uri.scheme_str()?;
        let authority = uri.authority()?.as_str();
        (uri.path() == "/" && text == format!("{scheme}://{authority}")).then_some(())?;
        let host_only = !authority.contains('@') && !authority.ends_with(':');
        host_only.then_some(())
    };
    let uri: Uri = text.parse().map_err(|_source| fix.to_owned())?;
    is_whole(&uri).ok_or(fix)?;
    let port = match uri.scheme_str() {
        Some("https") => ":443",
        Some("http") => ":80",
        _ => "\0",
    };
    let shown = text.strip_suffix(port).unwrap_or(&text);
    HeaderValue::from_str(shown).map_err(|_source| fix.to_owned())
}
