//! What is left of a record of which bodies are erased: who, when, what was asked for in one word,
//! which rules were broken, and how it ended. That is what a viewer is shown. Pure.

use serde_json::{Map, Value, json};

use crate::audit::record::{ErasedBody, RefusedBody, Unkept};
use crate::audit::store::{Boxed, ERASED, OwnedRow};
use crate::provider::Provider;

/// The loss of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Loss {
    /// All bodies and texts.
    Whole,
    /// The documents that it shares with another change.
    Shared { before: bool, after: bool, late_after: bool },
}

impl Loss {
    pub(super) fn is_whole(self) -> bool {
        self == Self::Whole
    }

    pub(super) fn before(self) -> bool {
        matches!(self, Self::Whole | Self::Shared { before: true, .. })
    }

    pub(super) fn after(self) -> bool {
        matches!(self, Self::Whole | Self::Shared { after: true, .. })
    }

    pub(super) fn late_after(self) -> bool {
        matches!(self, Self::Whole | Self::Shared { late_after: true, .. })
    }
}

/// Takes out of a change and its end what they lose.
pub(super) fn change(row: &mut OwnedRow, loss: Loss) -> Result<(), Boxed> {
    let mut intent = unkept(row, "unkept")?;
    let mut end = unkept(row, "after_unkept")?;
    if loss.is_whole() {
        let had_body = row.has("patch") || row.has("body_bytes") || intent.patch.is_some();
        note(&mut intent, ErasedBody::Patch, had_body);
        intent.patch = intent.patch.take().map(undigested);
        row.take("patch");
        row.take("body_digest");
        concealed(row, "redacted", "/patch")?;
    }
    if loss.before() || loss.after() {
        // Who guesses where it changed could hold that against a digest.
        row.take("touched");
    }
    if loss.before() {
        let was_there = row.has("before") || intent.before.is_some();
        note(&mut intent, ErasedBody::Before, was_there);
        intent.before = intent.before.take().map(undigested);
        row.take("before");
        concealed(row, "redacted", "/before")?;
        // They repeat what was asked, or the deployment before.
        findings(row, "violations")?;
        findings(row, "standing")?;
        reason(row)?;
    }
    if loss.after() {
        let was_there = row.has("after") || end.after.is_some();
        note(&mut end, ErasedBody::After, was_there);
        end.after = end.after.take().map(undigested);
        row.take("after");
        concealed(row, "after_redacted", "/after")?;
        findings(row, "after_violations")?;
    }
    put(row, "unkept", &intent)?;
    put(row, "after_unkept", &end)
}

/// The same of an end that came late.
pub(super) fn late(row: &mut OwnedRow, loss: Loss) -> Result<(), Boxed> {
    if loss.before() {
        reason(row)?;
    }
    if loss.late_after() {
        let mut end = unkept(row, "unkept")?;
        let was_there = row.has("after") || end.after.is_some();
        note(&mut end, ErasedBody::After, was_there);
        end.after = end.after.take().map(undigested);
        row.take("after");
        concealed(row, "redacted", "/after")?;
        findings(row, "after_violations")?;
        put(row, "unkept", &end)?;
    }
    Ok(())
}

/// Takes the reason out of an approval, or of a step of one.
pub(super) fn approval(row: &mut OwnedRow) {
    if row.has("reason") {
        row.set("reason", Some(ERASED.to_owned()));
    }
}

/// Takes out of an event what repeats a body, or the reason of an approval.
pub(super) fn event(row: &mut OwnedRow) -> Result<(), Boxed> {
    let detail = row.text("detail").ok_or("an event tells nothing")?;
    let mut detail: Map<String, Value> = serde_json::from_str(detail)?;
    detail.remove("diff");
    detail.remove("reason");
    detail.insert("erased".to_owned(), json!(true));
    row.set("detail", Some(Value::Object(detail).to_string()));
    Ok(())
}

/// Whether an event has anything to lose.
pub(super) fn repeats(detail: &Map<String, Value>) -> bool {
    detail.contains_key("diff") || detail.contains_key("reason")
}

fn unkept(row: &OwnedRow, column: &str) -> Result<Unkept, Boxed> {
    Ok(row.text(column).map(serde_json::from_str).transpose()?.unwrap_or_default())
}

fn put(row: &mut OwnedRow, column: &'static str, unkept: &Unkept) -> Result<(), Boxed> {
    // What was not touched stays as it was written.
    if *unkept != self::unkept(row, column)? {
        row.set(column, Some(serde_json::to_string(unkept)?));
    }
    Ok(())
}

fn note(unkept: &mut Unkept, body: ErasedBody, was_there: bool) {
    if was_there && !unkept.has_erased(body) {
        unkept.erased.push(body);
    }
}

/// The size of a body that was never kept, without its digest: who has the key could guess by it.
fn undigested(mut body: RefusedBody) -> RefusedBody {
    body.digest = None;
    body
}

/// Leaves of a list of concealed places those that are not in a body: names in there are its own.
fn concealed(row: &mut OwnedRow, column: &'static str, body: &str) -> Result<(), Boxed> {
    let Some(text) = row.text(column) else { return Ok(()) };
    let mut places: Vec<String> = serde_json::from_str(text)?;
    let before = places.len();
    places.retain(|place| {
        place.strip_prefix(body).is_none_or(|rest| !(rest.is_empty() || rest.starts_with('/')))
    });
    if places.len() < before {
        let left = (!places.is_empty()).then(|| serde_json::to_string(&places));
        row.set(column, left.transpose()?);
    }
    Ok(())
}

/// Leaves of each violation its rule, its enforcement, and the member of the deployment.
fn findings(row: &mut OwnedRow, column: &'static str) -> Result<(), Boxed> {
    let Some(text) = row.text(column) else { return Ok(()) };
    let mut all: Vec<Map<String, Value>> = serde_json::from_str(text)?;
    for violation in &mut all {
        let path =
            violation.get("path").and_then(Value::as_str).map(|path| member(path).to_owned());
        violation.retain(|name, _value| matches!(name.as_str(), "rule" | "enforcement"));
        violation.insert("message".to_owned(), json!(ERASED));
        violation.insert("path".to_owned(), json!(path.unwrap_or_default()));
    }
    row.set(column, Some(serde_json::to_string(&all)?));
    Ok(())
}

/// The place of the member of a deployment that a place lies in. The name of any other is its
/// caller's own: nothing is left of it.
fn member(path: &str) -> &str {
    let end = path.match_indices('/').nth(1).map_or(path.len(), |(end, _)| end);
    let member = path.get(..end).unwrap_or_default();
    let name = member.strip_prefix('/');
    if Provider::members().any(|known| name == Some(known)) { member } else { "" }
}

/// Leaves of the answer its status and type.
fn reason(row: &mut OwnedRow) -> Result<(), Boxed> {
    let Some(text) = row.text("reason") else { return Ok(()) };
    let mut answer: Map<String, Value> = serde_json::from_str(text)?;
    if answer.remove("message").is_some_and(|message| !message.is_null()) {
        row.set("reason", Some(serde_json::to_string(&answer)?));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(columns: &[(&'static str, &str)]) -> OwnedRow {
        let mut row = OwnedRow::default();
        for (column, text) in columns {
            row.set(column, Some((*text).to_owned()));
        }
        row
    }

    const VIOLATIONS: &str = r#"[{"rule":"metadata.allowed","enforcement":"deny",
        "path":"/metadata/mr-canary","message":"canary is not allowed","actual":"canary"}]"#;

    fn full() -> OwnedRow {
        row(&[
            ("patch", "canary"),
            ("before", "canary"),
            ("after", "canary"),
            ("violations", VIOLATIONS),
            ("standing", VIOLATIONS),
            ("after_violations", VIOLATIONS),
            ("redacted", r#"["/patch/canary","/before/canary"]"#),
            ("after_redacted", r#"["/after/canary"]"#),
            ("body_digest", "canary"),
            ("reason", r#"{"status":403,"type":"t","message":"canary"}"#),
            ("unkept", r#"{"before":{"bytes":3,"digest":"canary"}}"#),
            ("upstream", "main"),
        ])
    }

    #[test]
    fn of_a_whole_change_nothing_is_left_that_repeats_a_body() {
        let mut row = full();
        change(&mut row, Loss::Whole).unwrap();
        assert!(!format!("{row:?}").contains("canary"), "{row:?}");
        assert_eq!(row.text("upstream"), Some("main"));
        let violations: Value = serde_json::from_str(row.text("violations").unwrap()).unwrap();
        let left = json!([{"rule": "metadata.allowed", "enforcement": "deny", "path": "/metadata",
            "message": "erased"}]);
        assert_eq!(violations, left);
        let unkept: Value = serde_json::from_str(row.text("unkept").unwrap()).unwrap();
        assert_eq!(unkept["erased"], json!(["patch", "before"]));
        assert_eq!(unkept["before"]["bytes"], 3);
        let once = row.clone();
        change(&mut row, Loss::Whole).unwrap();
        assert_eq!(row, once, "what is erased is not erased again");
    }

    #[test]
    fn a_change_that_shares_a_document_loses_that_half_alone() {
        let mut row = full();
        change(&mut row, Loss::Shared { before: true, after: false, late_after: false }).unwrap();
        assert!(row.has("patch") && row.has("after") && !row.has("before"), "{row:?}");
        assert_eq!(row.text("redacted"), Some(r#"["/patch/canary"]"#));
        assert!(!row.text("violations").unwrap().contains("canary"));
        assert!(row.text("after_violations").unwrap().contains("canary"));
        let mut row = full();
        change(&mut row, Loss::Shared { before: false, after: true, late_after: false }).unwrap();
        assert!(row.has("patch") && row.has("before") && !row.has("after"), "{row:?}");
        assert!(row.text("violations").unwrap().contains("canary"));
        assert!(!row.text("after_violations").unwrap().contains("canary"));
        assert_eq!(row.text("after_unkept"), Some(r#"{"erased":["after"]}"#));
    }

    #[test]
    fn an_event_keeps_what_is_no_body_and_an_approval_its_form() {
        let mut told = row(&[("detail", r#"{"change":"chg_1","diff":[{"from":"canary"}]}"#)]);
        event(&mut told).unwrap();
        assert_eq!(told.text("detail"), Some(r#"{"change":"chg_1","erased":true}"#));
        let mut asked = row(&[("reason", "canary"), ("person", "ana")]);
        approval(&mut asked);
        assert_eq!((asked.text("reason"), asked.text("person")), (Some("erased"), Some("ana")));
    }

    #[test]
    fn a_place_is_told_by_the_member_that_it_lies_in() {
        for (path, told) in [
            ("/metadata/b/c", "/metadata"),
            ("/name", "/name"),
            ("", ""),
            ("/own/c", ""),
            ("/name~1b", ""),
        ] {
            assert_eq!(member(path), told);
        }
    }
}
