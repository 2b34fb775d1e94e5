//! Absolute URLs of upstream's own in its answers, made to name the gateway as the client called
//! it: a client that follows one with its credential would go around the gateway.

use std::net::IpAddr;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::uri::Authority;
use percent_encoding::percent_decode_str;

use super::fields::{Fields, Marks, Sole};
use crate::base::peer::PeerAddress;
use crate::config::{Config, Origin};

/// Fields whose value may be, or hold, a URL that a client follows.
const LEADING: [HeaderName; 4] =
    [header::LOCATION, header::CONTENT_LOCATION, header::LINK, header::REFRESH];

/// How a client called the gateway: the scheme and the authority of its request's URL.
#[derive(Clone, Debug)]
pub(crate) struct Called {
    scheme: &'static str,
    host: Option<Named>,
}

#[derive(Clone, Debug)]
enum Named {
    Field(HeaderValue),
    Target(Authority),
}

/// Both ends of a call: where upstream is, and how the client called the gateway.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ProxyEnds<'a> {
    pub(crate) upstream: &'a Origin,
    pub(crate) called: &'a Called,
}

impl Called {
    /// How the request's URL begins. A trusted proxy's word on it is taken.
    pub(crate) fn of(
        head: &Parts,
        fields: &Fields<'_>,
        peer: PeerAddress,
        config: &Config,
    ) -> Self {
        let scheme = if config.listen.tls.is_some() { "https" } else { "http" };
        let host = match fields.host {
            Sole::One(host) => Some(Named::Field(host.clone())),
            _ => head.uri.authority().cloned().map(Named::Target),
        };
        let called = Self { scheme, host };
        let told = fields.marks.any(Marks::TELLTALE) && config.listen.trusts_peer(peer);
        if told { called.told_by(&head.headers) } else { called }
    }

    fn told_by(self, headers: &HeaderMap) -> Self {
        let last = |name: &str| {
            let value = headers.get_all(name).iter().next_back()?.to_str().ok()?;
            value.rsplit(',').next().map(str::trim)
        };
        let scheme = match last("x-forwarded-proto").map(str::to_ascii_lowercase).as_deref() {
            Some("https") => "https",
            Some("http") => "http",
            _ => self.scheme,
        };
        let host = last("x-forwarded-host").and_then(|host| host.parse::<Authority>().ok());
        let host = host.filter(|host| !host.as_str().contains('@')).map(Named::Target);
        Self { scheme, host: host.or(self.host) }
    }

    /// The origin of the gateway; `None` where the request named no host.
    fn origin(&self) -> Option<String> {
        let host = match self.host.as_ref()? {
            Named::Field(host) => host.to_str().ok()?,
            Named::Target(host) => host.as_str(),
        };
        Some(format!("{}://{host}", self.scheme))
    }
}

/// Rewrites what leads to upstream itself. What leads elsewhere stays: it is not upstream's.
pub(super) fn lead_here(headers: &mut HeaderMap, ends: ProxyEnds<'_>) {
    for name in LEADING {
        let values: Vec<HeaderValue> = headers.get_all(&name).iter().cloned().collect();
        let rewritten: Vec<Option<HeaderValue>> =
            values.iter().map(|value| rewritten(&name, value, ends)).collect();
        if rewritten.iter().all(Option::is_none) {
            continue;
        }
        headers.remove(&name);
        for (value, rewritten) in values.into_iter().zip(rewritten) {
            headers.append(name.clone(), rewritten.unwrap_or(value));
        }
    }
}

/// The value with every URL of upstream's rewritten; `None` where it holds none.
fn rewritten(name: &HeaderName, value: &HeaderValue, ends: ProxyEnds<'_>) -> Option<HeaderValue> {
    let text = value.to_str().ok()?;
    let whole = *name == header::LOCATION || *name == header::CONTENT_LOCATION;
    let text = if whole { here(text, ends)? } else { within(text, ends)? };
    HeaderValue::try_from(text).ok()
}

/// A URL on upstream's origin as one on the gateway's; `None` where it is on another one, or names
/// none. The path, the query and the fragment stay.
///
/// It is read as widely as any client reads one (the URL Standard, 4.4; curl): a backslash is a
/// slash, behind a scheme there may be any number of them, tabs are left out, and a host may have
/// escapes.
fn here(url: &str, ends: ProxyEnds<'_>) -> Option<String> {
    let url = url.trim().replace('\t', "");
    let scheme = ["https:", "http:"].into_iter().find(|scheme| {
        url.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    });
    let rest = url.get(scheme.map_or(0, str::len)..)?;
    let authority = rest.trim_start_matches(['/', '\\']);
    if scheme.is_none() && rest.len() - authority.len() < 2 {
        return None;
    }
    let tls = scheme.map_or(ends.upstream.tls, |scheme| scheme == "https:");
    let end = authority.find(['/', '?', '#', '\\']).unwrap_or(authority.len());
    let (authority, path) = authority.split_at(end);
    let authority = percent_decode_str(authority).decode_utf8().ok()?;
    if !is_upstreams(ends.upstream, tls, &authority) {
        return None;
    }
    let slash = if path.starts_with('/') { "" } else { "/" };
    Some(format!("{}{slash}{path}", ends.called.origin()?))
}

/// Whether an authority is upstream's own, under either scheme: on its port, or on the one that
/// the scheme has by default.
fn is_upstreams(upstream: &Origin, tls: bool, authority: &str) -> bool {
    let host_and_port = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let (host, port) = match host_and_port.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port.parse().ok()),
        _ => (host_and_port, None),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.');
    let usual = if tls { 443 } else { 80 };
    let port: u16 = port.unwrap_or(usual);
    let same_host = host.eq_ignore_ascii_case(upstream.host.trim_end_matches('.'))
        || host.parse::<IpAddr>().is_ok_and(|ip| Ok(ip) == upstream.host.parse());
    same_host && (port == upstream.port || port == usual)
}

/// A text with every URL of upstream's rewritten that stands between `<` and `>`, or behind `url=`;
/// `None` where it holds none.
fn within(text: &str, ends: ProxyEnds<'_>) -> Option<String> {
    let mut found = None;
    let mut told = String::new();
    let mut rest = text;
    while let Some(start) = next_url(rest) {
        let (before, url) = rest.split_at(start);
        let end = url.find(['>', '"', '\'', ' ', ';']).unwrap_or(url.len());
        let (url, after) = url.split_at(end);
        told.push_str(before);
        match here(url, ends) {
            Some(here) => {
                told.push_str(&here);
                found = Some(());
            }
            None => told.push_str(url),
        }
        rest = after;
    }
    found.map(|()| told + rest)
}

/// Where the next URL begins.
fn next_url(text: &str) -> Option<usize> {
    let lower = text.to_ascii_lowercase();
    let bracket = lower.find('<').map(|at| at + 1);
    let named = lower.find("url=").map(|at| {
        let quoted = lower.get(at + 4..).is_some_and(|url| url.starts_with(['"', '\'']));
        at + 4 + usize::from(quoted)
    });
    bracket.into_iter().chain(named).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten_as(name: &str, value: &str) -> String {
        let upstream = Origin { tls: true, host: "api.example.com".to_owned(), port: 8443 };
        let host = Some(Named::Field(HeaderValue::from_static("gate.example.org:8080")));
        let called = Called { scheme: "http", host };
        let mut headers = HeaderMap::new();
        headers.insert(HeaderName::try_from(name).unwrap(), HeaderValue::try_from(value).unwrap());
        lead_here(&mut headers, ProxyEnds { upstream: &upstream, called: &called });
        headers.values().next().unwrap().to_str().unwrap().to_owned()
    }

    #[test]
    fn what_leads_to_upstream_leads_here_however_it_is_spelt() {
        for (url, path) in [
            ("https://api.example.com:8443/v1/x?a=1#b", "/v1/x?a=1#b"),
            ("https://api.example.com/v1/x", "/v1/x"),
            ("http://api.example.com/v1/x", "/v1/x"),
            ("http://api.example.com:8443", "/"),
            ("HTTPS://API.Example.COM.:8443?x", "/?x"),
            ("//api.example.com:8443/v1", "/v1"),
            ("https://user:pw@api.example.com:8443/v1", "/v1"),
            (r"https:\\api.example.com:8443\v1", r"/\v1"),
            (r"/\api.example.com:8443/v1", "/v1"),
            ("https:/api.example.com:8443/v1", "/v1"),
            ("https:api.example.com:8443/v1", "/v1"),
            (r"http:\/\api.example.com:8443/v1", "/v1"),
            ("///api.example.com:8443/v1", "/v1"),
            ("/\t/api.example.com:8443/v1", "/v1"),
            ("ht\ttps://api.example.com:8443/v1", "/v1"),
            ("https://api%2Eexample%2ecom:8443/v1", "/v1"),
        ] {
            let expected = format!("http://gate.example.org:8080{path}");
            assert_eq!(rewritten_as("location", url), expected, "{url}");
            assert_eq!(rewritten_as("content-location", url), expected, "{url}");
        }
        for url in [
            "/v1/x",
            "v1/x",
            "?x",
            "https://api.example.com:444/x",
            "https://other.example.com:8443/x",
            "https://api.example.com.evil.org:8443/x",
            "https://evil.org/https://api.example.com:8443/x",
            "ftp://api.example.com/x",
            "/api.example.com:8443/x",
            "https:/other.example.com/api.example.com:8443",
            "httpx://api.example.com:8443/x",
        ] {
            assert_eq!(rewritten_as("location", url), url, "{url}");
        }
    }

    #[test]
    fn links_and_refreshes_lead_here_too() {
        for (name, value, expected) in [
            (
                "link",
                "<https://api.example.com:8443/v1?page=2>; rel=\"next\", <https://x.org/>; rel=a",
                "<http://gate.example.org:8080/v1?page=2>; rel=\"next\", <https://x.org/>; rel=a",
            ),
            (
                "refresh",
                "0; URL='https://api.example.com:8443/v1'",
                "0; URL='http://gate.example.org:8080/v1'",
            ),
            ("refresh", "5", "5"),
            ("link", "<style.css>; rel=x", "<style.css>; rel=x"),
        ] {
            assert_eq!(rewritten_as(name, value), expected, "{value}");
        }
    }
}
