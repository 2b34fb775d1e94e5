//! `sink.url`: where a sink of the network is.

use super::{Kind, Target};
use crate::base::key::Token;
use crate::config::upstream::{is_loopback, place};
use crate::settings::raw::Node;
use crate::settings::value::{Meant, text};

/// The place that a URL names, for a kind.
pub(super) fn target(node: &Node, kind: Kind) -> Meant<Target> {
    let (schemes, own_path, fix) = match kind {
        Kind::Syslog => (
            [("tcp", 601), ("tls", 6514)],
            "",
            "write such as \"tls://syslog.example.com:6514\" or \"tcp://127.0.0.1:601\"",
        ),
        Kind::SplunkHec => (
            [("http", 80), ("https", 443)],
            "/services/collector/event",
            "write such as \"https://splunk.example.com:8088\"",
        ),
        Kind::Otlp => (
            [("http", 80), ("https", 443)],
            "/v1/logs",
            "write such as \"https://otel.example.com:4318\"",
        ),
        Kind::Webhook | Kind::File => (
            [("http", 80), ("https", 443)],
            "/",
            "write such as \"https://siem.example.com/changegate\"",
        ),
    };
    let (origin, user, path) = place(&text(node)?, schemes, fix)?;
    if user.is_some() {
        return Err(format!("no user or password here; {fix}"));
    }
    if path.contains('#') {
        return Err(format!("a fragment is sent nowhere: remove it; {fix}"));
    }
    let is_bare = path.is_empty() || path == "/";
    if kind == Kind::Syslog && !is_bare {
        return Err(format!("no path here; {fix}"));
    }
    if !origin.tls && !is_loopback(&origin.host) && kind != Kind::Syslog {
        return Err(format!("records would travel in clear to another host: use https; {fix}"));
    }
    let path = if is_bare { own_path } else { path.as_str() };
    Ok(Target { origin, path: Token::new(path), ca_file: None })
}
