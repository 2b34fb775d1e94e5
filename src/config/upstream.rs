//! `[upstream]`: whose API is behind the gateway, where it is, and which writes pass by it.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use http::{Method, Uri};
use percent_encoding::percent_decode_str;
use rustls::pki_types::ServerName;

use super::files;
use super::{AllowedWrite, ForwardProxy, Origin, Upstream};
use crate::base::clock::Clock;
use crate::base::key::Token;
use crate::provider::{Operation, Provider};
use crate::settings::raw::Node;
use crate::settings::reader::Reader;
use crate::settings::value::{Meant, duration, text};

/// The segment below which deployments lie.
const DEPLOYMENTS: &str = "deployments";

/// Reads the section.
pub(super) fn read(reader: &mut Reader<'_>, files: &mut Vec<PathBuf>) -> Option<Upstream> {
    let provider = reader.required("upstream.provider", provider);
    let url = reader.required("upstream.url", origin);
    let proxy = reader.read("upstream.proxy", forward_proxy);
    let ca_file = reader.path("upstream.ca_file");
    if let Some((path, place)) = &ca_file {
        if let Err(message) = files::certificates(path) {
            reader.complaints.error(place, &format!("`upstream.ca_file`: {message}"));
        }
        if let Some(message) = files::lapsed(path, Clock::System.now()) {
            reader.complaints.warn(place, &format!("`upstream.ca_file`: {message}"));
        }
        files.push(path.clone());
    }
    let connect_timeout = reader.value("upstream.connect_timeout", duration);
    let response_timeout = reader.read("upstream.response_timeout", duration);
    let provider = provider.map(|(provider, _)| provider);
    let allowed = reader.each("upstream.allow_writes", |node| allowed_write(node, provider));
    let (origin, place) = url?;
    if !origin.tls && !is_loopback(&origin.host) {
        let message = "`upstream.url` is plain http to another host, so that tokens travel in \
            clear: use https";
        reader.complaints.warn(&place, message);
    }
    if let Some((proxy, place)) = &proxy
        && proxy.credentials.is_some()
        && !proxy.origin.tls
        && !is_loopback(&proxy.origin.host)
    {
        let message = "`upstream.proxy` is plain http, so that its password travels in clear: use \
            https where the proxy speaks it";
        reader.complaints.warn(place, message);
    }
    let name = reader.read("upstream.name", name);
    let provider = provider?;
    Some(Upstream {
        name: name?.0,
        provider,
        origin,
        proxy: proxy.map(|(proxy, _)| proxy),
        ca_file: ca_file.map(|(path, _)| path),
        connect_timeout,
        response_timeout: response_timeout.map_or(provider.response_timeout, |(time, _)| time),
        allow_writes: allowed.into_iter().map(|(write, _)| write).collect(),
    })
}

/// The name of an upstream or a gateway in records.
pub(super) fn name(node: &Node) -> Meant<Arc<str>> {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let is_name = |text: &str| (1..=63).contains(&text.len()) && text.bytes().all(fits);
    let fix = "write a name of a-z, 0-9 and -, such as \"main\", of at most 63 characters";
    node.text().filter(|text| is_name(text)).map(Arc::from).ok_or_else(|| fix.to_owned())
}

/// The provider of a name.
pub(super) fn provider(node: &Node) -> Meant<&'static Provider> {
    let name = text(node)?;
    let served = || Provider::ALL.map(|provider| provider.name).join(", ");
    Provider::named(&name).ok_or_else(|| {
        if Provider::NOT_YET.contains(&name.as_str()) {
            format!("not supported by this version yet; write one of {}", served())
        } else {
            format!("write one of {}", served())
        }
    })
}

/// An origin: scheme, host, port, and nothing else.
fn origin(node: &Node) -> Meant<Origin> {
    let fix = "write scheme, host and port only, such as \"https://api.qoder.com.cn\"";
    let (origin, user) = location(&text(node)?, fix)?;
    if user.is_some() {
        return Err(format!("no user or password here; {fix}"));
    }
    Ok(origin)
}

/// A proxy: scheme, host, port, and the user and password for it, if any.
fn forward_proxy(node: &Node) -> Meant<ForwardProxy> {
    let fix = "write scheme, host and port, and user and password where it asks for them, such as \
        \"http://proxy.example.com:3128\" or \"http://user:password@proxy.example.com:3128\"";
    let (origin, user) = location(&text(node)?, fix)?;
    let credentials = user.map(|user| user_and_password(&user, fix)).transpose()?;
    let credentials = credentials.map(|(user, password)| Token::new(&format!("{user}:{password}")));
    Ok(ForwardProxy { origin, credentials })
}

/// The user and the password in what stands before a URL's `@`.
pub(super) fn user_and_password(text: &str, fix: &str) -> Meant<(String, String)> {
    let (user, password) = text.split_once(':').unwrap_or((text, ""));
    let decoded = [user, password].map(|text| percent_decode_str(text).decode_utf8());
    if let [Ok(user), Ok(password)] = decoded
        && !user.contains(':')
        && !user.chars().chain(password.chars()).any(char::is_control)
    {
        return Ok((user.into_owned(), password.into_owned()));
    }
    Err(format!(
        "user and password are UTF-8 in percent-encoding, without control characters, and no \
         colon is in the user; {fix}"
    ))
}

/// The origin that a URL without a path names, and what stands before its `@`.
fn location(text: &str, fix: &str) -> Meant<(Origin, Option<String>)> {
    let (origin, user, path) = place(text, [("http", 80), ("https", 443)], fix)?;
    if path.is_empty() || path == "/" {
        return Ok((origin, user));
    }
    Err(format!("what clients ask for passes unchanged, so no path here; {fix}"))
}

/// The host and the port that a URL names, what stands before its `@`, and what comes after. The
/// schemes are that in clear and that with TLS, each with the port that is its own.
pub(super) fn place(
    text: &str,
    [clear, secure]: [(&str, u16); 2],
    fix: &str,
) -> Meant<(Origin, Option<String>, String)> {
    if !text.is_ascii() {
        return Err(in_ascii(text, fix));
    }
    let bracketed = text.rsplit_once('[').and_then(|(_, rest)| rest.split(']').next());
    if bracketed.is_some_and(|address| address.contains('%')) {
        return Err(format!(
            "an address with a zone can't be called, for no message may name one: write an address \
             without a zone, or a name; {fix}"
        ));
    }
    let uri: Uri = text.parse().map_err(|_source| fix.to_owned())?;
    let scheme = uri.scheme_str().map(str::to_ascii_lowercase).unwrap_or_default();
    let (tls, own_port) = match scheme.as_str() {
        scheme if scheme == secure.0 => (true, secure.1),
        scheme if scheme == clear.0 => (false, clear.1),
        _ => return Err(format!("the scheme must be {} or {}; {fix}", clear.0, secure.0)),
    };
    let fragment = text.find('#').and_then(|at| text.get(at..)).unwrap_or_default();
    let after = uri.path_and_query().map(ToString::to_string).unwrap_or_default() + fragment;
    let authority = uri.authority().ok_or(fix)?;
    let (user, named) = match authority.as_str().rsplit_once('@') {
        Some((user, named)) => (Some(user.to_owned()), named),
        None => (None, authority.as_str()),
    };
    let host = authority.host();
    let port = match named.strip_prefix(host) {
        Some("") => Some(own_port),
        Some(port) => port.strip_prefix(':').and_then(|port| port.parse().ok()),
        None => None,
    };
    let port = port
        .filter(|port| *port != 0)
        .ok_or_else(|| format!("a port is a number from 1 to 65535; {fix}"))?;
    let host = host.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
    ServerName::try_from(host.as_str())
        .map_err(|_source| format!("this is neither a host name nor an address; {fix}"))?;
    Ok((Origin { tls, host, port }, user, after))
}

/// The words for a URL with letters outside ASCII: how its host is written there, where it is one.
fn in_ascii(text: &str, fix: &str) -> String {
    let named = text.split_once("://").map_or(text, |(_scheme, rest)| rest);
    let named = named.rsplit_once('@').map_or(named, |(_user, place)| place);
    let host = named.split(['/', ':', '?', '#']).next().unwrap_or(named);
    let why = "a URL is written in ASCII here, the international letters of its host in punycode";
    match idna::domain_to_ascii_strict(host) {
        Ok(ascii) if ascii != host => format!("{why}: write {ascii} in its place"),
        _ => format!("{why}; {fix}"),
    }
}

/// An entry such as `DELETE /deployments/{id}`.
fn allowed_write(node: &Node, provider: Option<&Provider>) -> Meant<AllowedWrite> {
    let fix = "write a method and a path below the provider's base, such as \
        \"DELETE /deployments/{id}\"";
    let text = text(node)?;
    let (method, path) = text.split_once(' ').ok_or(fix)?;
    let method = match method {
        "POST" => Method::POST,
        "PUT" => Method::PUT,
        "PATCH" => Method::PATCH,
        "DELETE" => Method::DELETE,
        "OPTIONS" => Method::OPTIONS,
        "GET" | "HEAD" => return Err("GET and HEAD pass anyway: remove it".to_owned()),
        _ => return Err(format!("the method must be POST, PUT, PATCH, DELETE or OPTIONS; {fix}")),
    };
    if let Some(base) = provider.map(|provider| provider.base_path)
        && path.strip_prefix(base).is_some_and(|rest| rest.starts_with('/'))
    {
        return Err(format!("the path is taken below {base}: remove that from it"));
    }
    let path = path.strip_prefix('/').ok_or(fix)?;
    let segments = path.split('/').map(segment).collect::<Option<Vec<_>>>().ok_or(fix)?;
    if !segments.iter().flatten().any(|segment| segment.eq_ignore_ascii_case(DEPLOYMENTS)) {
        return Err("only writes below /deployments are held back, others pass anyway: \
            remove it"
            .to_owned());
    }
    let write = AllowedWrite { method, segments };
    if governed().iter().any(|route| overlap(route, &write)) {
        return Err("this route is governed, and a governed call never passes unjudged: \
            remove it"
            .to_owned());
    }
    Ok(write)
}

/// One segment of a path: a plain word, or `{name}` for any one.
#[expect(clippy::option_option, reason = "no segment at all differs from one that fits any")]
fn segment(text: &str) -> Option<Option<String>> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
    let word =
        |text: &str| !text.is_empty() && text != "." && text != ".." && text.bytes().all(plain);
    match text.strip_prefix('{').and_then(|text| text.strip_suffix('}')) {
        Some(name) => word(name).then_some(None),
        None => word(text).then(|| Some(text.to_owned())),
    }
}

/// The routes of governed calls.
fn governed() -> Vec<AllowedWrite> {
    let deployments = || Some(DEPLOYMENTS.to_owned());
    let route = |method: Method, segments| AllowedWrite { method, segments };
    let mut routes = vec![route(Method::POST, vec![deployments()])];
    for method in [Method::POST, Method::PATCH, Method::PUT] {
        routes.push(route(method, vec![deployments(), None]));
    }
    for operation in Operation::ALL {
        if Operation::of_verb(operation.name()).is_some() {
            let verb = Some(operation.name().to_owned());
            routes.push(route(Method::POST, vec![deployments(), None, verb]));
        }
    }
    routes
}

/// Whether some call fits both.
fn overlap(one: &AllowedWrite, other: &AllowedWrite) -> bool {
    let meet = |(one, other): (&Option<String>, &Option<String>)| match (one, other) {
        (Some(one), Some(other)) => one.eq_ignore_ascii_case(other),
        _ => true,
    };
    one.method == other.method
        && one.segments.len() == other.segments.len()
        && one.segments.iter().zip(&other.segments).all(meet)
}

pub(crate) fn is_loopback(host: &str) -> bool {
    host == "localhost"
        || host.ends_with(".localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}
