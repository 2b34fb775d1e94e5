//! Cookies of the console: under TLS for this very host alone, and on loopback without it under a
//! name of their own, since browsers keep none there that is for TLS.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, header};

use super::AdminState;
use super::local::came_locally;

/// The most cookies of one name that are looked at.
const COOKIES_MAX: usize = 4;

/// The purpose of a cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cookie {
    /// A session. No other site's link brings it along.
    Session,
    /// A login that an issuer is to finish, whose page leads back here.
    Pending,
}

impl Cookie {
    const fn name(self, is_plain: bool) -> &'static str {
        match (self, is_plain) {
            (Self::Session, false) => "__Host-changegate",
            (Self::Session, true) => "changegate",
            (Self::Pending, false) => "__Host-changegate-login",
            (Self::Pending, true) => "changegate-login",
        }
    }

    /// The cookie with that text, as a browser is told to keep it for a while.
    pub(crate) fn set(
        self,
        state: &AdminState,
        headers: &HeaderMap,
        text: &str,
        life: Duration,
    ) -> HeaderValue {
        let is_plain = is_plain(state, headers);
        let (name, age) = (self.name(is_plain), life.as_secs());
        let site = if self == Self::Session { "Strict" } else { "Lax" };
        let secure = if is_plain { "" } else { "; Secure" };
        let cookie =
            format!("{name}={text}; Path=/; Max-Age={age}; HttpOnly; SameSite={site}{secure}");
        // Letters, digits and signs of ASCII.
        HeaderValue::try_from(cookie).unwrap_or_else(|_never| HeaderValue::from_static(""))
    }

    /// The end of the cookie, as a browser is told.
    pub(crate) fn end(self, state: &AdminState, headers: &HeaderMap) -> HeaderValue {
        self.set(state, headers, "", Duration::ZERO)
    }

    /// The first value that `read` makes of a text, among those that a call brings; `None` where
    /// it takes none of them.
    pub(crate) fn find<T>(
        self,
        state: &AdminState,
        headers: &HeaderMap,
        read: impl FnMut(&str) -> Option<T>,
    ) -> Option<T> {
        let wanted = self.name(is_plain(state, headers));
        let lines = headers.get_all(header::COOKIE).iter();
        let pairs = lines.filter_map(|line| line.to_str().ok()).flat_map(|line| line.split(';'));
        let named = pairs.filter_map(|pair| pair.trim().split_once('='));
        let texts = named.filter(|(name, _)| *name == wanted).map(|(_, text)| text);
        texts.take(COOKIES_MAX).find_map(read)
    }
}

/// Whether a call came on loopback without TLS, where browsers keep no cookie that is for TLS.
pub(crate) fn is_plain(state: &AdminState, headers: &HeaderMap) -> bool {
    state.tls.is_none() && came_locally(headers)
}
