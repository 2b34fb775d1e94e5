//! Who calls, and from where.

use std::net::IpAddr;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use super::reply::Refusal;
use crate::audit::record::{Actor, Client};
use crate::config::Config;
use crate::ids::Fingerprint;
use crate::key::{Key, Token};
use crate::provider::Credential;

/// The longest token taken, in bytes.
const TOKEN_BYTES_MAX: usize = 4096;

/// The most of a `User-Agent` that is recorded, in bytes.
const USER_AGENT_BYTES_MAX: usize = 256;

/// Who calls.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    pub(super) actor: Actor,
    pub(super) token: Token,
    /// Whether `[[actor]]` lists the token.
    pub(super) listed: bool,
}

/// Where a call came from. An IPv6 client counts as its /64, which is what one host can own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Address(pub(super) IpAddr);

impl Address {
    /// The client's address: the connection's, or, where that is a trusted proxy's, the last
    /// address in `X-Forwarded-For` that is none.
    pub(super) fn of(peer: IpAddr, headers: &HeaderMap, config: &Config) -> Self {
        let trusted =
            |ip: &IpAddr| config.listen.trusted_proxies.iter().any(|net| net.contains(ip));
        let peer = peer.to_canonical();
        if config.listen.trusted_proxies.is_empty() || !trusted(&peer) {
            return Self(peer);
        }
        let mut nearest = peer;
        for value in headers.get_all("x-forwarded-for").iter().rev() {
            for hop in value.to_str().unwrap_or_default().rsplit(',') {
                let Ok(ip) = hop.trim().parse::<IpAddr>() else { return Self(nearest) };
                nearest = ip.to_canonical();
                if !trusted(&nearest) {
                    return Self(nearest);
                }
            }
        }
        Self(nearest)
    }

    /// The address by which budgets are kept.
    pub(super) fn network(self) -> IpAddr {
        match self.0 {
            IpAddr::V4(ip) => IpAddr::V4(ip),
            IpAddr::V6(ip) => IpAddr::V6((ip.to_bits() & !u128::from(u64::MAX)).into()),
        }
    }
}

/// Finds the one credential and whose it is.
pub(super) fn identify(headers: &HeaderMap, config: &Config, key: &Key) -> Result<Caller, Refusal> {
    let token = credential(headers, config.upstream.provider.credentials)?;
    let fingerprint = key.fingerprint(token.as_bytes());
    let known = config.actors.known.get(&fingerprint);
    let actor = Actor {
        fingerprint,
        name: known.map(|known| known.name.clone()),
        team: known.and_then(|known| known.team.clone()),
    };
    Ok(Caller { actor, token: Token::new(token), listed: known.is_some() })
}

/// The one token among the headers that may carry one.
fn credential<'a>(headers: &'a HeaderMap, accepted: &[Credential]) -> Result<&'a str, Refusal> {
    let api_key = HeaderName::from_static("x-api-key");
    let mut all = [(Credential::Bearer, header::AUTHORIZATION), (Credential::ApiKey, api_key)]
        .into_iter()
        .flat_map(|(kind, name)| headers.get_all(name).iter().map(move |value| (kind, value)));
    let (kind, value) = match (all.next(), all.next()) {
        (Some(only), None) => only,
        (None, _) => return Err(Refusal::credential(missing(accepted))),
        (Some(_), Some(_)) => {
            return Err(Refusal::credential("more than one credential: send exactly one"));
        }
    };
    let token = match kind {
        Credential::Bearer => bearer(value),
        Credential::ApiKey => value.to_str().ok(),
    };
    token
        .filter(|_| accepted.contains(&kind))
        .filter(|token| (1..=TOKEN_BYTES_MAX).contains(&token.len()))
        .filter(|token| token.bytes().all(|b| b.is_ascii_graphic() && b != b','))
        .ok_or_else(|| Refusal::credential(missing(accepted)))
}

/// The token of `Bearer <token>`; the scheme's name is case-insensitive (RFC 9110, 11.1).
fn bearer(value: &HeaderValue) -> Option<&str> {
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim_matches(' '))
}

fn missing(accepted: &[Credential]) -> &'static str {
    if accepted.contains(&Credential::ApiKey) {
        "no usable credential: send x-api-key: <key>, or Authorization: Bearer <token>"
    } else {
        "no usable credential: send Authorization: Bearer <personal access token>"
    }
}

/// What is recorded of where a call came from.
pub(super) fn client(address: Address, headers: &HeaderMap) -> Client {
    let agent = headers.get(header::USER_AGENT).map(|value| {
        let text = String::from_utf8_lossy(value.as_bytes());
        let mut end = text.len().min(USER_AGENT_BYTES_MAX);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.get(..end).unwrap_or_default().to_owned()
    });
    Client { ip: address.0.to_string(), user_agent: agent }
}

/// A fingerprint or address under which refusals are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Subject {
    Actor(Fingerprint),
    Address(IpAddr),
}

impl std::fmt::Display for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Actor(fingerprint) => fingerprint.fmt(f),
            Self::Address(ip) => ip.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn exactly_one_usable_credential_is_taken() {
        let both = [Credential::Bearer, Credential::ApiKey];
        for (fields, accepted, expected) in [
            (&[("authorization", "Bearer pt-1")][..], &both[..1], Some("pt-1")),
            (&[("authorization", "bearer  pt-1")], &both[..1], Some("pt-1")),
            (&[("x-api-key", "sk-1")], &both, Some("sk-1")),
            (&[("x-api-key", "sk-1")], &both[..1], None),
            (&[], &both, None),
            (&[("authorization", "Basic eDp5")], &both, None),
            (&[("authorization", "Bearer ")], &both, None),
            (&[("authorization", "Bearer a b")], &both, None),
            (&[("authorization", "Bearer a, Bearer b")], &both, None),
            (&[("authorization", "Bearer a"), ("authorization", "Bearer a")], &both, None),
            (&[("authorization", "Bearer a"), ("x-api-key", "a")], &both, None),
            (&[("authorization", "Bearer a"), ("x-api-key", "a")], &both[..1], None),
        ] {
            let headers = headers(fields);
            assert_eq!(credential(&headers, accepted).ok(), expected, "{fields:?}");
        }
    }
}
