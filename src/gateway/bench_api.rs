//! The inside of the gateway that `benches/` measures. Public for that alone: nothing else may
//! use it, and it may change at any time.

use http::Method;

use super::limit::{LocalLimiter, RequestKind};
use super::route::{Target, classify};
use crate::base::clock::{Clock, Moment};
use crate::base::ids::Fingerprint;
use crate::config::RateLimit;
use crate::provider::Provider;

/// The budgets of all tokens.
#[derive(Debug)]
pub struct Budgets(LocalLimiter);

impl Budgets {
    /// Full ones.
    #[must_use]
    pub fn new(limits: RateLimit, clock: &Clock) -> Self {
        Self(LocalLimiter::new(limits, 1, clock))
    }

    /// Draws a call; whether it may pass.
    #[must_use]
    pub fn draw(&self, token: Fingerprint, method: &Method, now: Moment) -> bool {
        self.0.draw(token, RequestKind::of(method), now).is_ok()
    }
}

/// Judges a call by its target; `true` unless it is refused.
#[must_use]
pub fn passes(provider: &Provider, method: &Method, path: &str) -> bool {
    let target = Target { method, path, query: None, has_body: false };
    classify(provider, &[], target).is_ok()
}
