//! Calls of this machine: the host names that a browser on it uses, and what pages of other sites
//! could make it send.

use axum::http::uri::Authority;
use axum::http::{HeaderMap, Uri, header};

use super::answer::Problem;

/// Refuses what a foreign web page can make a browser send: a host name that was bent to this
/// address (DNS rebinding), and a request across sites.
pub(crate) fn local(uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
    let hosts = headers.get_all(header::HOST).iter();
    let mut hosts = hosts.map(|host| host.to_str().unwrap_or_default()).peekable();
    let target = uri.authority().is_none_or(is_local);
    let read = |host: &str| host.parse().is_ok_and(|host| is_local(&host));
    if !target || hosts.peek().is_none() || !hosts.all(read) {
        return Err(Problem::forbidden(
            "without an admin token only the host names localhost, 127.0.0.1 and [::1] are \
             answered: use one of them, or configure an [[admin.token]]",
        ));
    }
    if headers.get_all("sec-fetch-site").iter().any(|site| site == "cross-site") {
        return Err(Problem::forbidden(
            "a page of another site asked: open this address by itself, \
             or configure an [[admin.token]]",
        ));
    }
    Ok(())
}

/// Whether the call came by a host name of this machine's own.
pub(super) fn came_locally(headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(header::HOST).iter();
    let (Some(only), None) = (hosts.next(), hosts.next()) else { return false };
    only.to_str().is_ok_and(|host| host.parse().is_ok_and(|host| is_local(&host)))
}

fn is_local(authority: &Authority) -> bool {
    let host = authority.host();
    let named = host.eq_ignore_ascii_case("localhost") || matches!(host, "127.0.0.1" | "[::1]");
    named && !authority.as_str().contains('@')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_local_host_names_are_local() {
        for (host, expected) in [
            ("localhost", true),
            ("LocalHost:8081", true),
            ("127.0.0.1:8081", true),
            ("[::1]", true),
            ("[::1]:9", true),
            ("localhost.evil.example", false),
            ("evil.example", false),
            ("evil@localhost", false),
            ("127.0.0.2", false),
        ] {
            assert_eq!(host.parse().is_ok_and(|host| is_local(&host)), expected, "{host}");
        }
    }
}
