//! Holders of a right to ask: by an admin token, or by the word of an issuer or a proxy.

use axum::http::{HeaderMap, HeaderValue};
use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConditionallySelectable as _, ConstantTimeEq as _};

use super::AdminState;
use super::answer::Problem;
use crate::base::peer::PeerAddress;
use crate::config::{AdminToken, AuthProxy, Role};

/// The longest name of a human that a proxy may send, in characters.
const PERSON_CHARS_MAX: usize = 128;

/// The most groups of a human that are looked at.
const GROUPS_MAX: usize = 2_000;

/// The one who asks, and the login or token that their right stands on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Holder {
    /// The name of the token, or of the kind of login.
    pub(crate) name: String,
    pub(crate) role: Role,
    /// The human.
    pub(crate) person: Option<String>,
    pub(crate) proof: Proof,
}

/// The login or token that a right stands on, and ends with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Proof {
    /// The admin token of this SHA-256.
    Token([u8; 32]),
    /// Somebody else's word, under the configured logins of this digest.
    Word([u8; 32]),
}

/// The kind of login that a word came by, as records name it.
pub(crate) const BY_ISSUER: &str = "oidc";
const BY_PROXY: &str = "auth_proxy";

impl Holder {
    pub(crate) fn of(token: &AdminToken) -> Self {
        let proof = Proof::Token(token.sha256);
        let AdminToken { name, role, person, sha256: _ } = token.clone();
        Self { name, role, person, proof }
    }

    /// The holder of a right by somebody's word, under the logins that hold now.
    pub(crate) fn by_word(state: &AdminState, by: &str, person: String, role: Role) -> Self {
        let proof = Proof::Word((state.logins)().digest());
        Self { name: by.to_owned(), role, person: Some(person), proof }
    }

    /// The mark that tells one asker from others.
    pub(crate) fn identity(&self) -> [u8; 32] {
        match self.proof {
            Proof::Token(sha256) => sha256,
            Proof::Word(logins) => {
                let person = self.person.as_deref().unwrap_or_default();
                Sha256::new().chain_update(logins).chain_update(person).finalize().into()
            }
        }
    }

    /// The name to show: the human's, where a login tells of one.
    pub(crate) fn shown(&self) -> &str {
        match (&self.proof, &self.person) {
            (Proof::Word(_), Some(person)) => person,
            _token => &self.name,
        }
    }

    /// Whether what the right stands on holds still.
    pub(super) fn is_known(&self, state: &AdminState) -> bool {
        match self.proof {
            Proof::Token(_) => (state.tokens)().iter().any(|token| Self::of(token) == *self),
            Proof::Word(logins) => (state.logins)().digest() == logins,
        }
    }
}

/// The holder of a token. All of them are compared whole, so that the time taken tells nothing.
pub(crate) fn by_token<'a>(tokens: &'a [AdminToken], token: &str) -> Option<&'a AdminToken> {
    let digest: [u8; 32] = Sha256::digest(token.as_bytes()).into();
    let mut place = u32::MAX;
    for (candidate, token) in (0..).zip(tokens) {
        let same: Choice = token.sha256.ct_eq(&digest);
        place.conditional_assign(&candidate, same);
    }
    tokens.get(usize::try_from(place).ok()?)
}

/// The human whom an authenticating proxy names; `None` where a call comes from no such proxy, or
/// it names none. What anybody else sends in these fields is not looked at.
pub(super) fn by_proxy(
    state: &AdminState,
    peer: Option<PeerAddress>,
    headers: &HeaderMap,
) -> Result<Option<Holder>, Problem> {
    let logins = (state.logins)();
    let proxy = logins.proxy.as_ref().filter(|proxy| peer.is_some_and(|peer| proxy.is_at(peer)));
    let Some(proxy) = proxy else { return Ok(None) };
    let Some(person) = person(proxy, headers)? else { return Ok(None) };
    let role = logins.roles.role_of(&groups(proxy, headers)?).ok_or_else(no_role)?;
    Ok(Some(Holder::by_word(state, BY_PROXY, (state.person_named)(&person), role)))
}

/// The refusal of who is in no group that has a role.
pub(crate) fn no_role() -> Problem {
    Problem::forbidden(
        "none of your groups has a role here: have one of them added to [admin.roles], or have \
         yourself added to a group that is there",
    )
}

fn person(proxy: &AuthProxy, headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut values = headers.get_all(&proxy.user_header).iter();
    let (first, second) = (values.next(), values.next());
    let Some(value) = first else { return Ok(None) };
    let text = text(value).filter(|_text| second.is_none());
    let fits = |text: &&str| {
        text.chars().count() <= PERSON_CHARS_MAX && !text.chars().any(char::is_control)
    };
    match text.filter(fits) {
        // Some proxies send it empty for who is not logged in.
        Some("") => Ok(None),
        Some(text) => Ok(Some(text.to_owned())),
        None => Err(Problem::forbidden(
            "the proxy names a human in a way that can't be read: have it set \
             admin.auth_proxy.user_header once, and remove what clients send of it",
        )),
    }
}

/// The groups. A second line may be the client's own, beside that of the proxy.
fn groups(proxy: &AuthProxy, headers: &HeaderMap) -> Result<Vec<String>, Problem> {
    let mut lines = headers.get_all(&proxy.groups_header).iter();
    let (first, second) = (lines.next(), lines.next());
    if second.is_some() {
        return Err(Problem::forbidden(
            "the groups come twice: have the proxy set admin.auth_proxy.groups_header once, and \
             remove what clients send of it",
        ));
    }
    let all = first.and_then(text).into_iter().flat_map(|line| line.split(',')).map(str::trim);
    Ok(all.filter(|group| !group.is_empty()).take(GROUPS_MAX).map(str::to_owned).collect())
}

fn text(value: &HeaderValue) -> Option<&str> {
    std::str::from_utf8(value.as_bytes()).ok().map(str::trim)
}
