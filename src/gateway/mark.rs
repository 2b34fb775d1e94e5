//! Header fields that say what the gateway has made of a call.

use http::header::HeaderValue;

use super::call::Call;
use super::response::Reply;
use crate::base::ids::ApprovalId;
use crate::policy::evaluate::Findings;
use crate::policy::{Decision, Enforcement, Violation};

/// The most `warning` fields of an answer: clients give up on answers with many fields.
const WARNINGS_MAX: usize = 10;

/// The most characters of one warning.
const WARNING_CHARS_MAX: usize = 512;

/// Names the change whose record is durable, and what was decided.
pub(super) fn mark(reply: &mut Reply, call: &Call, decision: Decision) {
    append(reply, "changegate-change", &call.change.to_string());
    append(reply, "changegate-decision", decision.name());
}

/// Names the approval that the change waits for, or passed by.
pub(super) fn mark_approval(reply: &mut Reply, approval: Option<ApprovalId>) {
    if let Some(id) = approval {
        append(reply, "changegate-approval", &id.to_string());
    }
}

pub(super) fn append(reply: &mut Reply, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        reply.headers_mut().append(name, value);
    }
}

/// The messages of broken rules that only warn.
pub(super) fn warnings(findings: &Findings) -> Vec<String> {
    let warns = |violation: &&Violation| violation.enforcement == Enforcement::Warn;
    findings.violations.iter().filter(warns).map(|violation| violation.message.clone()).collect()
}

/// Adds the texts as warnings, ten at most; the last one then says how many more the record holds.
pub(super) fn warn(reply: &mut Reply, texts: &[String]) {
    let shown = if texts.len() > WARNINGS_MAX { WARNINGS_MAX - 1 } else { texts.len() };
    let more = texts.len() - shown;
    let more = (more > 0).then(|| format!("and {more} more: see the record of this change"));
    for text in texts.iter().take(shown).chain(&more) {
        append(reply, "warning", &format!("299 changegate \"{}\"", quotable(text)));
    }
}

/// Text that can stand in a quoted-string of a header (RFC 9110, 5.6.4); anything else than
/// printable ASCII becomes `?`.
fn quotable(text: &str) -> String {
    let plain = |c: char| if c == ' ' || c.is_ascii_graphic() { c } else { '?' };
    text.chars().take(WARNING_CHARS_MAX).map(plain).collect::<String>().replace(['"', '\\'], "'")
}
