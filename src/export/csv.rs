//! CSV (RFC 4180) such that a spreadsheet takes no cell for a formula, by OWASP's list.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::Value;

use crate::audit::query::{BodyTexts, Text};
use crate::audit::record::Change;
use crate::deployment::diff::Difference;

/// The characters that a formula begins with, and those behind which one does (OWASP, "CSV
/// Injection"); the wide ones are taken for the narrow ones.
const FORMULA: [char; 11] = ['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠'];

/// The characters that end a cell in some reader or other, and those that quote one.
const ENDING: [char; 6] = [',', ';', '\t', '"', '\n', '\r'];

/// The columns of an export.
const COLUMNS: [&str; 34] = [
    "seq",
    "change",
    "received_at",
    "completed_at",
    "node",
    "upstream",
    "provider",
    "operation",
    "method",
    "deployment_id",
    "fingerprint",
    "actor",
    "team",
    "person",
    "client_ip",
    "user_agent",
    "request_id",
    "decision",
    "outcome",
    "applied",
    "effect",
    "rules",
    "reason",
    "upstream_status",
    "upstream_request_id",
    "approval",
    "policy_digest",
    "changed",
    "violations",
    "redacted",
    "diff",
    "patch",
    "before",
    "after",
];

/// The record of a row's cells, which ends as RFC 4180 says.
#[must_use]
pub fn record<C: AsRef<str>>(cells: &[C]) -> String {
    let cells: Vec<String> = cells.iter().map(|cell| quoted(cell.as_ref())).collect();
    format!("{}\r\n", cells.join(","))
}

/// A cell as it stands in a record. What a spreadsheet would take for a formula begins with an
/// apostrophe; numbers stay as they are.
fn quoted(cell: &str) -> String {
    let is_number = || cell.parse::<f64>().is_ok_and(f64::is_finite);
    let is_formula = cell.starts_with(FORMULA) && !is_number();
    let mark = if is_formula { "'" } else { "" };
    if is_formula || cell.contains(ENDING) {
        return format!("\"{mark}{}\"", cell.replace('"', "\"\""));
    }
    cell.to_owned()
}

pub(super) fn head(out: &mut impl Write) -> io::Result<()> {
    out.write_all(record(&COLUMNS).as_bytes())
}

/// Writes a change as a row.
pub(super) fn change(change: &Change, bodies: &BodyTexts, out: &mut impl Write) -> io::Result<()> {
    let diff = bodies.diff(change)?;
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let actor = &change.actor;
    let (client, upstream) = (&change.client, change.upstream.as_ref());
    let mut rules: Vec<&str> = change.violations.iter().map(|at| at.rule.as_str()).collect();
    rules.dedup();
    let settled = change.settled.as_ref().and_then(|settled| settled.applied);
    let reason = change.reason.as_ref().and_then(|reason| reason.message.clone());
    let status = upstream.and_then(|answer| answer.status);
    let request = upstream.and_then(|answer| answer.request_id.clone());
    let cells: [String; COLUMNS.len()] = [
        change.seq.to_string(),
        change.id.to_string(),
        change.received_at.to_string(),
        change.completed_at.map(|at| at.to_string()).unwrap_or_default(),
        change.node.clone(),
        change.upstream_name.clone(),
        change.provider.clone(),
        change.operation.to_string(),
        text(&change.method),
        text(&change.deployment_id),
        actor.fingerprint.to_string(),
        text(&actor.name),
        text(&actor.team),
        text(&actor.person),
        client.ip.clone(),
        text(&client.user_agent),
        change.request_id.clone(),
        word(&change.decision)?,
        word(&change.outcome)?,
        settled.map(|applied| applied.to_string()).unwrap_or_default(),
        change.effect.as_ref().map(word).transpose()?.unwrap_or_default(),
        rules.join(" "),
        reason.unwrap_or_default(),
        status.map(|status| status.to_string()).unwrap_or_default(),
        request.unwrap_or_default(),
        change.approval.as_ref().map(|approval| approval.id.to_string()).unwrap_or_default(),
        change.policy_digest.clone(),
        changed(&diff),
        filled(&change.violations)?,
        filled(&change.redacted)?,
        filled(&diff)?,
        body(bodies.patch.as_ref()),
        body(bodies.before.as_ref()),
        body(bodies.after.as_ref()),
    ];
    out.write_all(record(&cells).as_bytes())
}

/// The places that a change has changed, the server's own aside.
fn changed(diff: &[Difference]) -> String {
    let places = diff.iter().filter(|place| !place.computed).map(|place| place.path.as_str());
    places.collect::<Vec<_>>().join(" ")
}

/// A list as JSON; nothing where it is empty.
fn filled<T: Serialize>(list: &[T]) -> io::Result<String> {
    if list.is_empty() { Ok(String::new()) } else { Ok(serde_json::to_string(list)?) }
}

fn body(text: Option<&Text>) -> String {
    text.map(|text| String::from_utf8_lossy(text).into_owned()).unwrap_or_default()
}

/// The word that records use for a value.
fn word(value: &impl Serialize) -> io::Result<String> {
    match serde_json::to_value(value)? {
        Value::String(word) => Ok(word),
        value => Ok(value.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_and_never_formulas() {
        for (cell, expected) in [
            ("夜间", "夜间"),
            ("a,b", "\"a,b\""),
            ("a;=1+2", "\"a;=1+2\""),
            ("say \"x\"\n", "\"say \"\"x\"\"\n\""),
            ("=1+2", "\"'=1+2\""),
            ("@a,b", "\"'@a,b\""),
            ("\tx", "\"'\tx\""),
            ("\n=1", "\"'\n=1\""),
            ("＝1", "\"'＝1\""),
            ("-x", "\"'-x\""),
            ("-7.5", "-7.5"),
            ("+49", "+49"),
            ("-inf", "\"'-inf\""),
            ("", ""),
        ] {
            assert_eq!(quoted(cell), expected);
        }
        assert_eq!(record(&["a", "=b"]), "a,\"'=b\"\r\n");
    }
}
