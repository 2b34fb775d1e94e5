//! URLs that are fetched: of https, or of this machine where the issuer is on it too.

use http::Uri;
use http::uri::PathAndQuery;

use crate::config::{Origin, is_loopback};

/// The longest URL that a document may name, in bytes.
const URL_BYTES_MAX: usize = 2 << 10;

/// A URL, in the parts that a request is made of.
#[derive(Clone, Debug)]
pub(super) struct Url {
    pub(super) origin: Origin,
    pub(super) target: PathAndQuery,
}

impl Url {
    /// The URL of that text; `None` where nothing may be fetched from it. Plain http is taken where
    /// it `may_be_clear`, and then of loopback alone.
    pub(super) fn parse(text: &str, may_be_clear: bool) -> Option<Self> {
        let is_plain = text.len() <= URL_BYTES_MAX && text.is_ascii() && !text.contains('#');
        let uri: Uri = text.parse().ok().filter(|_uri| is_plain)?;
        let authority = uri.authority().filter(|named| !named.as_str().contains('@'))?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        let tls = match uri.scheme_str()? {
            "https" => true,
            "http" if may_be_clear && is_loopback(host) => false,
            _other => return None,
        };
        let port = authority.port_u16().unwrap_or(if tls { 443 } else { 80 });
        let origin = Origin { tls, host: host.to_ascii_lowercase(), port };
        let target = uri.path_and_query().cloned();
        Some(Self { origin, target: target.unwrap_or_else(|| PathAndQuery::from_static("/")) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_fetched_in_clear_but_from_this_machine() {
        for (text, of_clear, expected) in [
            ("https://i.example/a?b", false, Some("https://i.example /a?b")),
            ("https://i.example:8443", false, Some("https://i.example:8443 /")),
            ("http://127.0.0.1:9/a", true, Some("http://127.0.0.1:9 /a")),
            ("http://[::1]:9/a", true, Some("http://[::1]:9 /a")),
            ("http://127.0.0.1:9/a", false, None),
            ("http://i.example/a", true, None),
            ("http://169.254.169.254/latest", true, None),
            ("file:///etc/passwd", true, None),
            ("https://user@i.example/", false, None),
            ("https://i.example/#part", false, None),
            ("//i.example/", false, None),
            ("", true, None),
        ] {
            let found = Url::parse(text, of_clear);
            let found = found.map(|url| format!("{} {}", url.origin, url.target));
            assert_eq!(found.as_deref(), expected, "{text}");
        }
    }
}
