//! Callers: whose token a request carries, and which address it comes from.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use http::header::{self, HeaderMap, HeaderValue};
use subtle::ConstantTimeEq as _;

use super::headers::{Sent, Sole};
use super::refusal::Refusal;
use crate::audit::record::Client;
use crate::base::claims::Claims;
use crate::base::ids::Fingerprint;
use crate::base::key::{Key, Token};
use crate::base::peer::PeerAddress;
use crate::config::{ActorName, Config};
use crate::policy::Actor;
use crate::provider::Credential;

/// The longest token taken, in bytes.
const TOKEN_BYTES_MAX: usize = 4096;

/// The caller of a request.
#[derive(Debug)]
pub(super) struct Caller {
    pub(super) actor: Actor,
    pub(super) token: Token,
    /// The fingerprint of the token itself. That of the actor is another one where the token is
    /// one of many that a service account has.
    pub(super) token_fingerprint: Fingerprint,
    /// The service account that the token says it is of, as long as upstream has not confirmed it
    /// by an answer.
    pub(super) claims: Option<Claims>,
    /// Whether `[[actor]]` lists the token, or the service account that has it.
    pub(super) listed: bool,
    /// The edition of [`RefusedCredentials`](super::limit::RefusedCredentials) when it learned that
    /// upstream takes the token; 0 where it did not learn that from this caller.
    pub(super) taken: AtomicU64,
}

impl Caller {
    /// The caller that a token stands for by itself.
    fn by_token(token: &str, kind: Credential, config: &Config, key: &Key) -> Self {
        let fingerprint = key.fingerprint(token.as_bytes());
        let known = config.actors.known.get(&fingerprint);
        let is_bearer = kind == Credential::Bearer;
        Self {
            actor: actor(fingerprint, known),
            token: Token::new(token),
            token_fingerprint: fingerprint,
            claims: Claims::of(token).filter(|_| is_bearer && known.is_none()),
            listed: known.is_some(),
            taken: AtomicU64::new(0),
        }
    }

    /// The caller that the token says it is of, now that upstream has taken it; `None` where it
    /// says nothing.
    pub(super) fn by_claims(&self, config: &Config, key: &Key) -> Option<Self> {
        let claims = self.claims.as_ref()?;
        let known = config.actors.of_claims(claims);
        Some(Self {
            actor: actor(key.fingerprint_of(claims), known),
            token: self.token.clone(),
            token_fingerprint: self.token_fingerprint,
            claims: None,
            listed: known.is_some(),
            taken: AtomicU64::new(self.taken.load(Ordering::Relaxed)),
        })
    }

    /// Whether the caller may turn out to be a listed one.
    pub(super) fn may_be_listed(&self, config: &Config) -> bool {
        let claimed = || self.claims.as_ref().and_then(|claims| config.actors.of_claims(claims));
        self.listed || claimed().is_some()
    }

    /// Whether upstream has answered well to a call of this caller's.
    pub(super) fn was_taken(&self) -> bool {
        self.taken.load(Ordering::Relaxed) != 0
    }
}

/// The last caller on a connection. Nearly always it is the next one, and then need not be found
/// out anew by a digest.
#[derive(Debug, Default)]
pub(super) struct LastCaller(Mutex<Option<CachedCaller>>);

struct CachedCaller {
    kind: Credential,
    value: Box<[u8]>,
    caller: Arc<Caller>,
}

/// Without the credential, which nothing may print.
impl std::fmt::Debug for CachedCaller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Known({:?})", self.caller.actor.fingerprint)
    }
}

impl LastCaller {
    fn recall(&self, (kind, value): Sent<'_>) -> Option<Arc<Caller>> {
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = last.as_ref()?;
        // A connection may have many users behind it: how long the comparison takes tells none of
        // them anything of another's token.
        let same = known.kind == kind && alike(&known.value, value.as_bytes());
        same.then(|| Arc::clone(&known.caller))
    }

    fn remember(&self, (kind, value): Sent<'_>, caller: &Arc<Caller>) {
        let known =
            CachedCaller { kind, value: value.as_bytes().into(), caller: Arc::clone(caller) };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(known);
    }
}

/// Whether two values are the same, found out in a time that tells of their lengths alone: word by
/// word, which takes an eighth of the comparisons of their bytes.
fn alike(one: &[u8], other: &[u8]) -> bool {
    let ((ones, one_rest), (others, other_rest)) = (one.as_chunks(), other.as_chunks());
    let words = ones.iter().zip(others).fold(0, |differs, (one, other)| {
        differs | (u64::from_ne_bytes(*one) ^ u64::from_ne_bytes(*other))
    });
    let same = words.ct_eq(&0) & one_rest.ct_eq(other_rest);
    one.len() == other.len() && bool::from(same)
}

/// Where a call came from. An IPv6 client counts as its /64, which is what one host can own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Address(pub(super) IpAddr);

impl Address {
    /// The client's address: the connection's, or, where that is a trusted proxy's, the last
    /// address in `X-Forwarded-For` that is not a trusted proxy's.
    pub(super) fn of(peer: PeerAddress, headers: &HeaderMap, config: &Config) -> Self {
        let mut nearest = peer.ip();
        if !config.listen.trusts_peer(peer) {
            return Self(nearest);
        }
        for value in headers.get_all("x-forwarded-for").iter().rev() {
            // A client's own bytes may stand before what the proxy has added.
            for hop in String::from_utf8_lossy(value.as_bytes()).rsplit(',') {
                // An empty element of a list is none (RFC 9110, 5.6.1).
                if hop.trim().is_empty() {
                    continue;
                }
                let Some(ip) = forwarded_ip(hop) else { return Self(nearest) };
                nearest = ip.to_canonical();
                if !config.listen.trusts(nearest) {
                    return Self(nearest);
                }
            }
        }
        Self(nearest)
    }

    /// The address by which budgets are kept.
    pub(super) fn network(self) -> IpAddr {
        network(self.0)
    }
}

/// The address in an element of `X-Forwarded-For`, in any form that proxies write: with a port or
/// without, in brackets, in quotes (RFC 7239, 6), with a zone. `None` where it names no address,
/// as `unknown` does.
fn forwarded_ip(element: &str) -> Option<IpAddr> {
    let text = element.trim().trim_matches('"').trim();
    let unbracketed = match text.strip_prefix('[') {
        Some(inner) => inner.split_once(']').filter(|(_, port)| is_port(port))?.0,
        None => text,
    };
    let without_zone = unbracketed.split('%').next().unwrap_or(unbracketed);
    without_zone.parse().ok().or_else(|| {
        // An address of IPv6 has more than one colon, and takes a port in brackets alone.
        let (host, port) = unbracketed.split_once(':')?;
        let ip: std::net::Ipv4Addr = host.parse().ok()?;
        is_port(&format!(":{port}")).then_some(IpAddr::V4(ip))
    })
}

/// Whether a text is empty, or a colon and a number.
fn is_port(text: &str) -> bool {
    text.is_empty() || text.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok())
}

/// The network that one client can own: an address of IPv4, a /64 of IPv6.
pub(crate) fn network(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(ip) => IpAddr::V4(ip),
        IpAddr::V6(ip) => IpAddr::V6((ip.to_bits() & !u128::from(u64::MAX)).into()),
    }
}

/// Finds out whose the one credential is. Where its token names a service account, that is the
/// caller once upstream `is_confirmed` to have taken the token of that fingerprint.
pub(super) fn identify(
    sent: Sole<Sent<'_>>,
    config: &Config,
    key: &Key,
    last: &LastCaller,
    is_confirmed: impl Fn(Fingerprint) -> bool,
) -> Result<Arc<Caller>, Refusal> {
    let sent = only(sent, config.upstream.provider.credentials)?;
    if let Some(caller) = last.recall(sent) {
        return Ok(caller);
    }
    let token = token(sent, config.upstream.provider.credentials)?;
    let caller = Caller::by_token(token, sent.0, config, key);
    let is_confirmed = caller.claims.is_some() && is_confirmed(caller.token_fingerprint);
    let claimed = is_confirmed.then(|| caller.by_claims(config, key)).flatten();
    let caller = Arc::new(claimed.unwrap_or(caller));
    // Whom a token stands for may show in the answer to this very call.
    if caller.claims.is_none() {
        last.remember(sent, &caller);
    }
    Ok(caller)
}

/// An actor, by the name that `[[actor]]` gives it.
fn actor(fingerprint: Fingerprint, known: Option<&ActorName>) -> Actor {
    Actor {
        fingerprint,
        name: known.map(|known| known.name.clone()),
        team: known.and_then(|known| known.team.clone()),
        person: known.and_then(|known| known.person.clone()),
    }
}

fn only<'a>(sent: Sole<Sent<'a>>, accepted: &[Credential]) -> Result<Sent<'a>, Refusal> {
    match sent {
        Sole::One(sent) => Ok(sent),
        Sole::None => Err(Refusal::credential(missing(accepted))),
        Sole::Several => Err(Refusal::credential(
            "two credentials that differ: send one. SDKs send both headers where both of their \
             variables are set, such as ANTHROPIC_API_KEY and ANTHROPIC_AUTH_TOKEN",
        )),
    }
}

/// The token in a header that may carry one.
fn token<'a>((kind, value): Sent<'a>, accepted: &[Credential]) -> Result<&'a str, Refusal> {
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

/// The message for a caller whose token is not listed, where only listed ones are taken.
pub(super) fn not_listed_message(caller: &Caller) -> String {
    format!(
        "the token {} is not listed here: an operator can add it as an [[actor]]",
        caller.actor.fingerprint
    )
}

/// The fields in which SDKs say how often they had sent a call before.
const RETRY_COUNTS: [&str; 2] = ["x-stainless-retry-count", "x-qoder-retry-count"];

/// The record of where a call came from.
pub(super) fn client(address: Address, headers: &HeaderMap) -> Client {
    let agent = headers.get(header::USER_AGENT);
    // The record cuts it, when no credential is in it any longer.
    let agent = agent.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let retry = RETRY_COUNTS.iter().find_map(|name| headers.get(*name));
    let retry = retry.and_then(|count| count.to_str().ok()).and_then(|count| count.parse().ok());
    Client { ip: address.0.to_string(), user_agent: agent, retry }
}

/// A fingerprint or address under which refusals are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum RefusalSource {
    Actor(Fingerprint),
    Address(IpAddr),
}

impl std::fmt::Display for RefusalSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Actor(fingerprint) => fingerprint.fmt(f),
            Self::Address(ip) => ip.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::headers::Fields;
    use super::*;

    fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn values_are_alike_only_where_every_byte_is() {
        let value = b"Bearer pt-0123456789abcdef-xyz";
        for length in 0..value.len() {
            let part = &value[..length];
            assert!(alike(part, part), "{length}");
            assert!(!alike(part, &value[..=length]) && !alike(&value[..=length], part));
            for place in 0..length {
                let mut other = part.to_vec();
                other[place] ^= 1;
                assert!(!alike(part, &other), "{length} {place}");
            }
        }
    }

    #[test]
    fn an_address_is_read_in_every_form_that_proxies_write() {
        for (element, expected) in [
            ("203.0.113.9", Some("203.0.113.9")),
            (" 203.0.113.9:51008 ", Some("203.0.113.9")),
            ("\"203.0.113.9:51008\"", Some("203.0.113.9")),
            ("2001:db8::9", Some("2001:db8::9")),
            ("[2001:db8::9]", Some("2001:db8::9")),
            ("[2001:db8::9]:51008", Some("2001:db8::9")),
            ("\"[2001:db8::9]:51008\"", Some("2001:db8::9")),
            ("fe80::1%eth0", Some("fe80::1")),
            ("[fe80::1%25eth0]:80", Some("fe80::1")),
            ("::ffff:203.0.113.9", Some("203.0.113.9")),
            ("unknown", None),
            ("_hidden", None),
            ("203.0.113.9:", None),
            ("203.0.113.9:x", None),
            ("203.0.113.9:65536", None),
            ("[2001:db8::9", None),
            ("[2001:db8::9]x", None),
            ("[203.0.113.9]:80", Some("203.0.113.9")),
            ("203.0.113", None),
            ("", None),
        ] {
            let found = forwarded_ip(element).map(|ip| ip.to_canonical().to_string());
            assert_eq!(found.as_deref(), expected, "{element:?}");
        }
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
            (&[("authorization", "Bearer a"), ("authorization", "Bearer a")], &both, Some("a")),
            (&[("authorization", "Bearer a"), ("authorization", "Bearer b")], &both, None),
            (&[("authorization", "Bearer a"), ("x-api-key", "a")], &both, Some("a")),
            (&[("x-api-key", "a"), ("authorization", "Bearer a")], &both[..1], Some("a")),
            (&[("authorization", "Bearer a"), ("x-api-key", "b")], &both, None),
        ] {
            let headers = headers(fields);
            let sent = only(Fields::of(&headers).credential, accepted);
            let found = sent.and_then(|sent| token(sent, accepted)).ok();
            assert_eq!(found, expected, "{fields:?}");
        }
    }
}
