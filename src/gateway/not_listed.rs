//! Callers who are not listed, where only listed ones are taken.

use super::identify::Caller;
use crate::policy::{Enforcement, Violation};

/// The rule that a caller breaks who is not listed where only listed ones are taken.
pub(super) fn not_listed(caller: &Caller) -> Violation {
    Violation {
        rule: "actors.unknown".to_owned(),
        enforcement: Enforcement::Deny,
        path: String::new(),
        message: stranger_message(caller),
        actual: None,
    }
}

/// The message for a caller whose token is not listed, where only listed ones are taken.
pub(super) fn stranger_message(caller: &Caller) -> String {
    format!(
        "the token {} is not listed here: an operator can add it as an [[actor]]",
        caller.actor.fingerprint
    )
}
