//! Callers who are not listed, where only listed ones are taken.

use super::context::RequestContext;
use crate::policy::{Enforcement, Violation};

/// The rule that a caller breaks who is not listed where only listed ones are taken.
pub(super) fn not_listed(context: &RequestContext) -> Violation {
    Violation {
        rule: "actors.unknown".to_owned(),
        enforcement: Enforcement::Deny,
        path: String::new(),
        message: stranger_message(context),
        actual: None,
    }
}

/// The message for a caller whose token is not listed, where only listed ones are taken.
pub(super) fn stranger_message(context: &RequestContext) -> String {
    let fingerprint = context.caller.as_ref().map(|caller| caller.actor.fingerprint.to_string());
    format!(
        "the token {} is not listed here: an operator can add it as an [[actor]]",
        fingerprint.unwrap_or_default()
    )
}
