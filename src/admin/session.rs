//! Sessions of the console: a cookie that stands for an admin token, or for what an issuer said,
//! for a while. Nothing of it is kept here, so that it holds at every gateway of the log; and it
//! ends with the token that it names, or with the logins that it came by.
use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;

use super::AdminState;
use super::cookie::Cookie;
use super::holder::{BY_ISSUER, Holder, Proof};
use crate::base::clock::Timestamp;
use crate::base::ids::{Hex, unhex};
use crate::config::Role;

/// How long a session by a token lasts.
pub(crate) const LIFE: Duration = Duration::from_hours(12);

/// How far the clocks of two gateways may be apart.
const CLOCKS_APART_MAX: Duration = Duration::from_mins(5);

/// The first letter of a cookie that stands for an issuer's word: no name in base64url has it.
const OF_WORD: char = '~';

/// A session that holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Session {
    issued_at: i64,
}

/// The word of an issuer on somebody, as the cookie has it.
#[derive(Deserialize, Serialize)]
struct Word {
    person: String,
    role: u8,
}

/// The roles by their numbers in cookies.
const ROLES: [Role; 4] = [Role::Viewer, Role::Auditor, Role::Approver, Role::Admin];

/// The number of a role there.
fn number(role: Role) -> u8 {
    (0..).zip(ROLES).find(|(_, one)| *one == role).map_or(0, |(number, _)| number)
}

/// The cookie that stands for `holder` from now on, as a browser is told to keep it.
pub(crate) fn cookie(state: &AdminState, headers: &HeaderMap, holder: &Holder) -> HeaderValue {
    let session = Session { issued_at: state.clock.now().unix_seconds() };
    let told = match holder.proof {
        Proof::Token(_) => URL_SAFE_NO_PAD.encode(&holder.name),
        Proof::Word(_) => {
            let person = holder.person.clone().unwrap_or_default();
            let word = Word { person, role: number(holder.role) };
            // A text and a number can be written.
            let json = serde_json::to_vec(&word).unwrap_or_default();
            format!("{OF_WORD}{}", URL_SAFE_NO_PAD.encode(json))
        }
    };
    let mac = session.signed(state, "console session", holder);
    let text = format!("{told}.{:x}.{}", session.issued_at, Hex(&mac));
    Cookie::Session.set(state, headers, &text, life(state, holder))
}

/// The holder whom a call's cookie stands for, where it does.
pub(super) fn find(state: &AdminState, headers: &HeaderMap) -> Option<(Holder, Session)> {
    Cookie::Session.find(state, headers, |text| read(state, text))
}

fn read(state: &AdminState, text: &str) -> Option<(Holder, Session)> {
    let (told, rest) = text.split_once('.')?;
    let (issued_at, mac) = rest.split_once('.')?;
    let holder = match told.strip_prefix(OF_WORD) {
        Some(word) => of_word(state, word)?,
        None => of_token(state, told)?,
    };
    let session = Session { issued_at: i64::from_str_radix(issued_at, 16).ok()? };
    let mac: [u8; 32] = unhex(mac)?;
    let is_own = session.signed(state, "console session", &holder).ct_eq(&mac);
    (bool::from(is_own) && session.holds(state, &holder)).then_some((holder, session))
}

fn of_token(state: &AdminState, name: &str) -> Option<Holder> {
    let name = String::from_utf8(URL_SAFE_NO_PAD.decode(name).ok()?).ok()?;
    (state.tokens)().iter().find(|token| token.name == name).map(Holder::of)
}

fn of_word(state: &AdminState, word: &str) -> Option<Holder> {
    (state.logins)().oidc.as_ref()?;
    let Word { person, role } = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(word).ok()?).ok()?;
    let role = *ROLES.get(usize::from(role))?;
    Some(Holder::by_word(state, BY_ISSUER, person, role))
}

/// How long a session of that holder lasts.
fn life(state: &AdminState, holder: &Holder) -> Duration {
    match holder.proof {
        Proof::Token(_) => LIFE,
        Proof::Word(_) => {
            (state.logins)().oidc.as_ref().map_or(Duration::ZERO, |oidc| oidc.session)
        }
    }
}

impl Session {
    /// Whether its time is not over yet.
    pub(super) fn holds(self, state: &AdminState, holder: &Holder) -> bool {
        self.is_within(state.clock.now(), life(state, holder))
    }

    fn is_within(self, now: Timestamp, life: Duration) -> bool {
        let seconds = |duration: Duration| i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
        let age = now.unix_seconds().saturating_sub(self.issued_at);
        (-seconds(CLOCKS_APART_MAX)..seconds(life)).contains(&age)
    }

    /// The installation's word for it, which another secret under the same name does not have, nor
    /// other logins.
    fn signed(self, state: &AdminState, label: &str, holder: &Holder) -> [u8; 32] {
        let mut content = self.issued_at.to_be_bytes().to_vec();
        match &holder.proof {
            Proof::Token(sha256) => {
                content.extend(sha256);
                content.extend(holder.name.as_bytes());
                state.audit.sign(label, &content)
            }
            Proof::Word(logins) => {
                content.extend(logins);
                content.push(number(holder.role));
                content.extend(holder.person.as_deref().unwrap_or_default().as_bytes());
                state.audit.sign(&format!("{label} by word"), &content)
            }
        }
    }
}

/// The text that a form of this holder's pages brings along, which no other page knows.
pub(crate) fn form_token(
    state: &AdminState,
    session: Option<Session>,
    holder: Option<&Holder>,
) -> String {
    let signed = match holder {
        Some(holder) => {
            let session = session.unwrap_or(Session { issued_at: 0 });
            session.signed(state, "console form", holder)
        }
        None => state.audit.sign("console form", b""),
    };
    Hex(&signed).to_string()
}
