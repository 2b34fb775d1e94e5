//! Sessions of the console: a cookie that stands for an admin token, for a while. Nothing of it is
//! kept here, so that it holds at every gateway of the log; and it ends with the token that it
//! names.
use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, header};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq as _;

use super::AdminState;
use super::local::came_locally;
use crate::base::clock::Timestamp;
use crate::base::ids::{Hex, unhex};
use crate::config::AdminToken;

/// How long a session lasts.
pub(crate) const LIFE: Duration = Duration::from_hours(12);

/// How far the clocks of two gateways may be apart.
const CLOCKS_APART_MAX: Duration = Duration::from_mins(5);

/// The cookie's name under TLS: browsers take it from this very host alone, and only under TLS.
const SECURE: &str = "__Host-changegate";

/// Its name on loopback without TLS.
const PLAIN: &str = "changegate";

/// The most cookies of that name that are looked at.
const COOKIES_MAX: usize = 4;

/// A session that holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Session {
    issued_at: i64,
}

/// The cookie that stands for `token` from now on, as a browser is told to keep it.
pub(crate) fn cookie(state: &AdminState, headers: &HeaderMap, token: &AdminToken) -> HeaderValue {
    let session = Session { issued_at: state.clock.now().unix_seconds() };
    let name = URL_SAFE_NO_PAD.encode(&token.name);
    let mac = session.signed(state, "console session", token);
    let text = format!("{name}.{:x}.{}", session.issued_at, Hex(&mac));
    set(state, headers, &text, LIFE)
}

/// The end of a session, as a browser is told.
pub(crate) fn no_cookie(state: &AdminState, headers: &HeaderMap) -> HeaderValue {
    set(state, headers, "", Duration::ZERO)
}

fn set(state: &AdminState, headers: &HeaderMap, text: &str, life: Duration) -> HeaderValue {
    let name = name(state, headers);
    let secure = if name == SECURE { "; Secure" } else { "" };
    let age = life.as_secs();
    let cookie = format!("{name}={text}; Path=/; Max-Age={age}; HttpOnly; SameSite=Strict{secure}");
    // Letters, digits and signs of ASCII.
    HeaderValue::try_from(cookie).unwrap_or_else(|_never| HeaderValue::from_static(""))
}

/// The cookie's name where a call came from.
fn name(state: &AdminState, headers: &HeaderMap) -> &'static str {
    if is_plain(state, headers) { PLAIN } else { SECURE }
}

/// Whether a call came on loopback without TLS, where browsers keep no cookie that is for TLS.
pub(crate) fn is_plain(state: &AdminState, headers: &HeaderMap) -> bool {
    state.tls.is_none() && came_locally(headers)
}

/// The token that a call's cookie stands for, where it does.
pub(super) fn find(state: &AdminState, headers: &HeaderMap) -> Option<(AdminToken, Session)> {
    let wanted = name(state, headers);
    let lines = headers.get_all(header::COOKIE).iter();
    let pairs = lines.filter_map(|line| line.to_str().ok()).flat_map(|line| line.split(';'));
    let named = pairs.filter_map(|pair| pair.trim().split_once('='));
    let mut texts = named.filter(|(name, _)| *name == wanted).map(|(_, text)| text);
    texts.by_ref().take(COOKIES_MAX).find_map(|text| read(state, text))
}

fn read(state: &AdminState, text: &str) -> Option<(AdminToken, Session)> {
    let (name, rest) = text.split_once('.')?;
    let (issued_at, mac) = rest.split_once('.')?;
    let name = String::from_utf8(URL_SAFE_NO_PAD.decode(name).ok()?).ok()?;
    let session = Session { issued_at: i64::from_str_radix(issued_at, 16).ok()? };
    let mac: [u8; 32] = unhex(mac)?;
    let tokens = (state.tokens)();
    let token = tokens.iter().find(|token| token.name == name)?;
    let is_own = session.signed(state, "console session", token).ct_eq(&mac);
    (bool::from(is_own) && session.holds(state.clock.now())).then(|| (token.clone(), session))
}

impl Session {
    fn holds(self, now: Timestamp) -> bool {
        let seconds = |duration: Duration| i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
        let age = now.unix_seconds().saturating_sub(self.issued_at);
        (-seconds(CLOCKS_APART_MAX)..seconds(LIFE)).contains(&age)
    }

    /// The text that a form of this session's pages brings along, which no other page knows.
    pub(crate) fn form_token(self, state: &AdminState, token: &AdminToken) -> String {
        Hex(&self.signed(state, "console form", token)).to_string()
    }

    /// The installation's word for it, which another secret under the same name does not have.
    fn signed(self, state: &AdminState, label: &str, token: &AdminToken) -> [u8; 32] {
        let mut content = self.issued_at.to_be_bytes().to_vec();
        content.extend(token.sha256);
        content.extend(token.name.as_bytes());
        state.audit.sign(label, &content)
    }
}
