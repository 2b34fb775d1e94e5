//! ID tokens: what of one is made sure of (OpenID Connect Core, 3.1.3.7), and whom it names.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::{Map, Value};
use subtle::ConstantTimeEq as _;

use super::key_set::{Algorithm, KeySet};
use crate::base::clock::Timestamp;
use crate::config::OidcConfig;

/// How far the issuer's clock may be from this one's, in seconds.
const CLOCKS_APART_MAX: i64 = 60;

/// The longest name of a human that is taken, in characters.
const PERSON_CHARS_MAX: usize = 128;

/// The most groups of one human that are looked at.
const GROUPS_MAX: usize = 2_000;

/// The human that an ID token names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Person {
    pub(crate) name: String,
    pub(crate) groups: Vec<String>,
}

/// The values that an ID token must have.
pub(super) struct Expected<'e> {
    pub(super) config: &'e OidcConfig,
    pub(super) nonce: &'e str,
    pub(super) now: Timestamp,
}

/// Why an ID token counts for nothing.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TokenError {
    #[error("it is not a JSON Web Token in its compact form")]
    Form,
    #[error("it is signed by neither RS256 nor ES256: have the issuer use one of them")]
    Algorithm,
    #[error("it is signed by a key that the issuer does not publish")]
    UnknownKey,
    #[error("its signature is not the issuer's")]
    Signature,
    #[error("its claims can't be read")]
    Claims,
    #[error("it was issued by another issuer than admin.oidc.issuer")]
    Issuer,
    #[error("it is for another client than admin.oidc.client_id")]
    Audience,
    #[error("it has expired, or is not valid yet: set the clocks right where they differ")]
    Time,
    #[error("it is of another login: log in once more")]
    Nonce,
    #[error("it has no text as {0:?}: fix admin.oidc.person_claim, or have the issuer add it")]
    Person(String),
    #[error("the issuer has not verified the email that it names")]
    Unverified,
}

/// The head of a token. A member that is given twice makes it unreadable.
#[derive(Deserialize)]
struct Head {
    alg: String,
    kid: Option<String>,
    /// Extensions that must be understood (RFC 7515, 4.1.11): none is.
    crit: Option<Value>,
}

/// The claims that are held against what was asked.
#[derive(Deserialize)]
struct Held {
    iss: String,
    aud: Audience,
    azp: Option<String>,
    exp: i64,
    iat: i64,
    nbf: Option<i64>,
    nonce: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

/// The human whom `token` names, once all of it is made sure of.
pub(super) fn person(
    token: &str,
    keys: &KeySet,
    expected: &Expected<'_>,
) -> Result<Person, TokenError> {
    let claims = verified(token, keys)?;
    let held: Held = serde_json::from_slice(&claims).map_err(|_unread| TokenError::Claims)?;
    held.holds(expected)?;
    let all: Map<String, Value> =
        serde_json::from_slice(&claims).map_err(|_unread| TokenError::Claims)?;
    let config = expected.config;
    let groups = claim(&all, &config.groups_claim).map(groups).unwrap_or_default();
    Ok(Person { name: named(&all, &config.person_claim)?, groups })
}

/// The bytes of the claims, which the issuer has signed.
fn verified(token: &str, keys: &KeySet) -> Result<Vec<u8>, TokenError> {
    let (signed, signature) = token.rsplit_once('.').ok_or(TokenError::Form)?;
    let (head, claims) = signed.split_once('.').ok_or(TokenError::Form)?;
    let decode = |text| URL_SAFE_NO_PAD.decode(text).map_err(|_no_text| TokenError::Form);
    let (head, claims, signature) = (decode(head)?, decode(claims)?, decode(signature)?);
    let head: Head = serde_json::from_slice(&head).map_err(|_unread| TokenError::Form)?;
    let algorithm = Algorithm::named(&head.alg).filter(|_| head.crit.is_none());
    let algorithm = algorithm.ok_or(TokenError::Algorithm)?;
    let id = head.kid.as_deref();
    if !keys.knows(id) {
        return Err(TokenError::UnknownKey);
    }
    let is_signed = keys.verifies(id, algorithm, signed.as_bytes(), &signature);
    if is_signed { Ok(claims) } else { Err(TokenError::Signature) }
}

impl Held {
    fn holds(&self, expected: &Expected<'_>) -> Result<(), TokenError> {
        let Expected { config, nonce, now } = expected;
        let (client, now) = (&config.client_id, now.unix_seconds());
        if self.iss != config.issuer {
            return Err(TokenError::Issuer);
        }
        let is_ours = match &self.aud {
            Audience::One(one) => one == client,
            // For several, the one that it was issued to is named too.
            Audience::Several(all) => {
                all.contains(client) && (all.len() == 1 || self.azp.is_some())
            }
        };
        if !is_ours || self.azp.as_ref().is_some_and(|party| party != client) {
            return Err(TokenError::Audience);
        }
        let latest = now.saturating_add(CLOCKS_APART_MAX);
        let is_over = self.exp <= now.saturating_sub(CLOCKS_APART_MAX);
        if is_over || self.iat > latest || self.nbf.is_some_and(|from| from > latest) {
            return Err(TokenError::Time);
        }
        let found = self.nonce.as_deref().unwrap_or_default();
        if bool::from(found.as_bytes().ct_eq(nonce.as_bytes())) {
            Ok(())
        } else {
            Err(TokenError::Nonce)
        }
    }
}

/// The claim of that name, or the member that a path of names with points leads to.
fn claim<'c>(all: &'c Map<String, Value>, name: &str) -> Option<&'c Value> {
    all.get(name).or_else(|| {
        let (first, rest) = name.split_once('.')?;
        rest.split('.').try_fold(all.get(first)?, |value, name| value.get(name))
    })
}

/// The name of the human.
fn named(all: &Map<String, Value>, name: &str) -> Result<String, TokenError> {
    let text = claim(all, name).and_then(Value::as_str).map(str::trim);
    let fits = |text: &&str| {
        !text.is_empty()
            && text.chars().count() <= PERSON_CHARS_MAX
            && !text.chars().any(char::is_control)
    };
    let text = text.filter(fits).ok_or_else(|| TokenError::Person(name.to_owned()))?;
    let is_unverified = match all.get("email_verified") {
        Some(Value::Bool(is_verified)) => !is_verified,
        Some(Value::String(word)) => word != "true",
        None => false,
        Some(_other) => true,
    };
    if name == "email" && is_unverified {
        return Err(TokenError::Unverified);
    }
    Ok(text.to_owned())
}

fn groups(claim: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    match claim {
        Value::String(one) => vec![one.clone()],
        Value::Array(all) => all.iter().take(GROUPS_MAX).filter_map(text).collect(),
        _other => Vec::new(),
    }
}

#[cfg(test)]
mod tests;
