//! A login on its way: what it needs until an issuer has sent the browser back. The browser keeps
//! it, signed, so that any gateway finishes what another one began; its secrets are made of it by
//! the installation's key, and are nowhere but there.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq as _;

use super::super::form::own_target;
use crate::admin::AdminState;
use crate::admin::cookie::Cookie;
use crate::base::ids::{Hex, random, unhex};
use crate::oidc::Secrets;

/// How long somebody may take to log in at the issuer.
const LIFE: Duration = Duration::from_mins(10);

/// How far the clocks of two gateways may be apart, in seconds.
const CLOCKS_APART_MAX: i64 = 300;

/// The longest target that is gone on to afterwards, in bytes.
const NEXT_BYTES_MAX: usize = 2_000;

/// A login that has begun.
#[derive(Debug)]
pub(super) struct Pending {
    seed: [u8; 16],
    begun_at: i64,
    /// Where it leads.
    pub(super) next: String,
}

impl Pending {
    /// A login that begins now.
    pub(super) fn new(state: &AdminState, next: &str) -> Self {
        let next = if next.len() <= NEXT_BYTES_MAX { next } else { "/" };
        let begun_at = state.clock.now().unix_seconds();
        Self { seed: random(), begun_at, next: next.to_owned() }
    }

    /// The cookie that keeps it.
    pub(super) fn cookie(&self, state: &AdminState, headers: &HeaderMap) -> HeaderValue {
        let next = URL_SAFE_NO_PAD.encode(&self.next);
        let mac = self.signed(state, "console login");
        let text = format!("{}.{:x}.{next}.{mac}", Hex(&self.seed), self.begun_at);
        Cookie::Pending.set(state, headers, &text, LIFE)
    }

    /// The login that a browser comes back with, to which the issuer's answer belongs by `brought`.
    pub(super) fn find(state: &AdminState, headers: &HeaderMap, brought: &str) -> Option<Self> {
        Cookie::Pending.find(state, headers, |text| {
            let pending = Self::read(state, text)?;
            let wanted = pending.secrets(state).state;
            bool::from(wanted.as_bytes().ct_eq(brought.as_bytes())).then_some(pending)
        })
    }

    fn read(state: &AdminState, text: &str) -> Option<Self> {
        let mut parts = text.split('.');
        let (Some(seed), Some(begun_at), Some(next), Some(mac), None) =
            (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return None;
        };
        let next = String::from_utf8(URL_SAFE_NO_PAD.decode(next).ok()?).ok()?;
        let begun_at = i64::from_str_radix(begun_at, 16).ok()?;
        let pending = Self { seed: unhex(seed)?, begun_at, next };
        let is_own = pending.signed(state, "console login").as_bytes().ct_eq(mac.as_bytes());
        let age = state.clock.now().unix_seconds().saturating_sub(begun_at);
        let life = i64::try_from(LIFE.as_secs()).unwrap_or(i64::MAX);
        let is_in_time = (-CLOCKS_APART_MAX..life).contains(&age);
        // Signed texts are this console's own; the target is looked at once more all the same.
        let is_target = own_target(Some(&pending.next)) == pending.next;
        (bool::from(is_own) && is_in_time && is_target).then_some(pending)
    }

    /// What only this login knows.
    pub(super) fn secrets(&self, state: &AdminState) -> Secrets {
        Secrets {
            state: self.signed(state, "console login state"),
            nonce: self.signed(state, "console login nonce"),
            verifier: self.signed(state, "console login verifier"),
        }
    }

    /// 64 hex digits that only this installation makes of it, in one role.
    fn signed(&self, state: &AdminState, label: &str) -> String {
        let mut content = self.seed.to_vec();
        content.extend(self.begun_at.to_be_bytes());
        content.extend(self.next.as_bytes());
        Hex(&state.audit.sign(label, &content)).to_string()
    }
}
