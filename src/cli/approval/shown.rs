//! Approvals as people read them. Pure: the API's values in, lines out.

use serde_json::Value;

use crate::base::visible::plain;
use crate::cli::audit::table::Table;
use crate::cli::terminal::{cut, folded, short_id};

const HEADINGS: [&str; 7] =
    ["OPENED", "APPROVAL", "STATE", "PERSON", "OPERATION", "DEPLOYMENT", "RULES"];

/// How wide the names before the facts are.
const LABEL_WIDTH: usize = 12;

const NARROW_HEADINGS: [&str; 5] = ["OPENED", "STATE", "PERSON", "OPERATION", "DEPLOYMENT"];

/// The most columns of a person in a list on a terminal.
const PERSON_WIDTH_MAX: usize = 20;

/// A list of approvals, part by part.
pub(super) enum List {
    /// One line each, as another program takes it.
    Whole(Table<7>),
    /// Two lines each, in so many columns.
    Narrow(Table<5>, usize),
}

impl List {
    /// The list for a terminal of so many columns; `None` where it is read on none.
    pub(super) fn for_reader(width: Option<usize>) -> Self {
        match width {
            Some(width) => Self::Narrow(Table::new(&NARROW_HEADINGS), width),
            None => Self::Whole(Table::new(&HEADINGS)),
        }
    }

    /// The lines of more approvals, the first time under headings.
    pub(super) fn lines(&mut self, approvals: &[Value]) -> Vec<String> {
        let (table, width) = match self {
            Self::Whole(table) => return table.rows(approvals.iter().map(row)),
            Self::Narrow(table, width) => (table, *width),
        };
        let mut lines = table.rows(approvals.iter().map(narrow_row)).into_iter();
        let headings = lines.len().saturating_sub(approvals.len());
        let mut paired: Vec<String> = lines.by_ref().take(headings).collect();
        for (line, approval) in lines.zip(approvals) {
            paired.push(line);
            let glass = if is_glass(approval) { "break-glass: " } else { "" };
            let second = format!("  {}  {glass}{}", text(approval, "id"), list(approval, "rules"));
            paired.extend(folded(&second, width));
        }
        paired
    }
}

fn is_glass(approval: &Value) -> bool {
    text(approval, "kind") == "break_glass"
}

/// The first line of an approval in a list on a terminal. Its time, to the second, is in UTC.
fn narrow_row(approval: &Value) -> [String; 5] {
    let opened = text(approval, "opened_at");
    let second = opened.split('.').next().unwrap_or_default();
    [
        if second.len() < opened.len() { format!("{second}Z") } else { opened },
        text(approval, "state"),
        cut(&at(approval, "/actor/person"), PERSON_WIDTH_MAX),
        text(approval, "operation"),
        short_id(&text(approval, "deployment_id")),
    ]
}

/// An approval in a list that another program takes.
fn row(approval: &Value) -> [String; 7] {
    let state = text(approval, "state");
    [
        text(approval, "opened_at"),
        text(approval, "id"),
        if is_glass(approval) { format!("{state} (break-glass)") } else { state },
        at(approval, "/actor/person"),
        text(approval, "operation"),
        text(approval, "deployment_id"),
        list(approval, "rules"),
    ]
}

/// A whole approval: who asks for what, what it would change, and what became of it.
pub(super) fn lines(approval: &Value) -> Vec<String> {
    let actor = [at(approval, "/actor/person"), at(approval, "/actor/name")].join(", ");
    let actor = format!("{actor} ({})", at(approval, "/actor/fingerprint"));
    let mut facts = vec![
        ("state", text(approval, "state")),
        ("who", actor),
        ("asked", format!("{} {}", text(approval, "operation"), text(approval, "deployment_id"))),
        ("change", text(approval, "change")),
        ("opened", text(approval, "opened_at")),
        ("rules", list(approval, "rules")),
    ];
    if approval.get("approvers").is_some() {
        let persons = list(approval, "approvers");
        let nobody = "nobody: all the rules that ask name nobody else".to_owned();
        facts.push(("approvers", if persons.is_empty() { nobody } else { persons }));
    }
    if is_glass(approval) {
        facts.push(("break-glass", text(approval, "reason")));
    } else {
        facts.push(("decide by", text(approval, "expires_at")));
        facts.push(("use by", text(approval, "run_until")));
    }
    let mut lines = vec![format!("approval {}", text(approval, "id"))];
    lines.extend(facts.into_iter().map(|(label, fact)| format!("{label:LABEL_WIDTH$}{fact}")));
    section(&mut lines, "violations", approval, "violations", |violation| {
        format!("{} ({})", text(violation, "message"), text(violation, "enforcement"))
    });
    section(&mut lines, "would change", approval, "diff", |place| {
        let [from, to] = ["from", "to"].map(|side| json(place.get(side)));
        format!("{} {}: {from} -> {to}", text(place, "op"), text(place, "path"))
    });
    section(&mut lines, "became of it", approval, "steps", step);
    lines
}

fn step(step: &Value) -> String {
    let named = [("by", "by"), ("with token", "token"), ("in", "change")];
    let told = named.iter().filter(|(_, key)| step.get(key).is_some());
    let told: Vec<_> = told.map(|(label, key)| format!(" {label} {}", text(step, key))).collect();
    let why = step.get("reason").map(|_| format!(": {}", text(step, "reason")));
    let (at, what) = (text(step, "at"), text(step, "step"));
    format!("{at}  {what}{}{}", told.concat(), why.unwrap_or_default())
}

fn section(
    lines: &mut Vec<String>,
    heading: &str,
    approval: &Value,
    member: &str,
    told: impl Fn(&Value) -> String,
) {
    let items = approval.get(member).and_then(Value::as_array);
    let Some(items) = items.filter(|items| !items.is_empty()) else { return };
    lines.push(String::new());
    lines.push(heading.to_owned());
    lines.extend(items.iter().map(|item| format!("  {}", told(item))));
}

fn text(value: &Value, member: &str) -> String {
    shown(value.get(member))
}

fn at(value: &Value, pointer: &str) -> String {
    shown(value.pointer(pointer))
}

fn shown(value: Option<&Value>) -> String {
    value.and_then(Value::as_str).map_or_else(|| "-".to_owned(), plain)
}

fn json(value: Option<&Value>) -> String {
    value.map_or_else(|| "nothing".to_owned(), |value| plain(&value.to_string()))
}

fn list(value: &Value, member: &str) -> String {
    let items = value.get(member).and_then(Value::as_array).into_iter().flatten();
    items.filter_map(Value::as_str).map(plain).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_approval_says_who_asks_for_what_until_when_and_what_became_of_it() {
        let approval = json!({
            "id": "apr_1", "kind": "request", "state": "approved", "change": "chg_1",
            "operation": "update", "deployment_id": "dep_1", "rules": ["renames"],
            "approvers": ["jun", "wang.li"],
            "actor": {"fingerprint": "pat_1", "name": "mei", "team": null, "person": "mei.lin"},
            "opened_at": "t1", "expires_at": "t2", "run_until": "t3",
            "violations": [{"message": "renames: \u{1b}[2J", "enforcement": "approve"}],
            "diff": [{"op": "replace", "path": "/name", "from": "a", "to": "b"}],
            "steps": [{
                "step": "approved", "at": "t1", "by": "jun", "token": "release",
                "reason": "agreed", "until": "t3",
            }],
        });
        assert_eq!(
            lines(&approval),
            [
                "approval apr_1",
                "state       approved",
                "who         mei.lin, mei (pat_1)",
                "asked       update dep_1",
                "change      chg_1",
                "opened      t1",
                "rules       renames",
                "approvers   jun, wang.li",
                "decide by   t2",
                "use by      t3",
                "",
                "violations",
                "  renames: \\u{1b}[2J (approve)",
                "",
                "would change",
                "  replace /name: \"a\" -> \"b\"",
                "",
                "became of it",
                "  t1  approved by jun with token release: agreed",
            ]
        );
        assert_eq!(row(&approval)[3], "mei.lin");
    }

    #[test]
    fn a_list_fits_eighty_columns_on_a_terminal_and_is_whole_elsewhere() {
        let approval = |kind: &str, rules: &[&str]| {
            json!({
                "id": "apr_01a2276ed92a91ac73f51c91ce6d3c44", "kind": kind, "state": "approved",
                "operation": "unpause", "deployment_id": "dep_019ec55a2b687b3f94eee77dd77e4b2a",
                "actor": {"person": "a-person-of-a-long-name"}, "rules": rules,
                "opened_at": "2026-11-29T13:11:45.706Z",
            })
        };
        let rule = "x".repeat(60);
        let all = [approval("break_glass", &["renames"]), approval("request", &[&rule, &rule])];
        let lines = List::for_reader(Some(80)).lines(&all);
        assert_eq!(
            &lines[..3],
            [
                "OPENED                STATE     PERSON                OPERATION  DEPLOYMENT",
                "2026-11-29T13:11:45Z  approved  a-person-of-a-long-…  unpause    dep_019e…4b2a",
                "  apr_01a2276ed92a91ac73f51c91ce6d3c44  break-glass: renames",
            ]
        );
        assert!(lines.iter().all(|line| line.chars().count() <= 80), "{lines:#?}");
        let mut whole = List::for_reader(None);
        assert_eq!(whole.lines(&all).len(), 3);
        assert_eq!(whole.lines(&all).len(), 2, "headings come once");
    }
}
