//! `[schedule]` and its freezes.

use std::time::Duration;

use super::callers;
use super::{built_in, enforced, operations_of, zone, zones_known};
use crate::policy::Mention;
use crate::policy::keys::FREEZES_MAX;
use crate::policy::rule::freeze::{FreezeRule, Window};
use crate::policy::rule::schedule::ScheduleRule;
use crate::policy::rule::{Rule, RuleKind, Scope};
use crate::settings::raw::Node;
use crate::settings::reader::{Reader, member};
use crate::settings::value::{flag, span, text};

/// Reads `[schedule]`: the rule on schedules, and one for the freezes of each scope and effect.
pub(super) fn rules(reader: &mut Reader<'_>, mentions: &mut Vec<Mention>) -> Vec<Rule> {
    if reader.typed.section("schedule").is_none() {
        return Vec::new();
    }
    let keys =
        ["minimum_interval", "runs_per_day", "must_fire"].map(|key| format!("schedule.{key}"));
    let tables = reader.tables("schedule.freeze");
    // Freezes alone ask nothing of a schedule.
    let is_said = keys.iter().any(|key| reader.place(key).is_some()) || tables.is_empty();
    let [interval, per_day, _] = &keys;
    let kind = RuleKind::Schedule(ScheduleRule {
        minimum_interval: span_of(reader, interval),
        runs_per_day: reader
            .place(per_day)
            .is_some()
            .then(|| reader.count::<u32>(per_day))
            .map(|runs| usize::try_from(runs).unwrap_or(usize::MAX)),
        must_fire: reader.value("schedule.must_fire", flag),
    });
    let rule = built_in(reader, "schedule", kind, mentions);
    let mut rules = freezes(reader, &tables, &rule, mentions);
    if is_said {
        rules.insert(0, rule);
    }
    rules
}

fn span_of(reader: &mut Reader<'_>, path: &str) -> Option<Duration> {
    let bounds = reader.span(path)?;
    reader.read(path, span(bounds)).map(|(length, _)| length)
}

/// The freezes, those together that have the same scope and the same effect.
fn freezes(
    reader: &mut Reader<'_>,
    tables: &[Node],
    around: &Rule,
    mentions: &mut Vec<Mention>,
) -> Vec<Rule> {
    if let Some(beyond) = tables.get(FREEZES_MAX) {
        let message = format!("there are more than {FREEZES_MAX} freezes: merge some");
        reader.complaints.error(&beyond.place.clone(), &message);
        return Vec::new();
    }
    let known = if tables.is_empty() { Vec::new() } else { zones_known() };
    let mut rules: Vec<Rule> = Vec::new();
    for table in tables {
        let enforcement = reader.optional(table, "schedule.freeze[].enforcement", enforced);
        let enforcement = enforcement.map_or(around.enforcement, |(enforcement, _)| enforcement);
        let inherited = around.scope.callers.clone();
        let callers = callers::of_table(reader, table, "schedule.freeze", inherited, mentions);
        let operations = operations_of(reader, table, "schedule.freeze[].operations");
        let operations = operations.unwrap_or_else(|| Scope::default().operations);
        let scope = Scope { operations, callers };
        let Some(window) = window(reader, table, &known) else { continue };
        let is_alike = |rule: &&mut Rule| rule.enforcement == enforcement && rule.scope == scope;
        let alike = rules.iter_mut().find(is_alike).map(|rule| &mut rule.kind);
        if let Some(RuleKind::Freeze(FreezeRule { windows })) = alike {
            windows.push(window);
        } else {
            let kind = RuleKind::Freeze(FreezeRule { windows: vec![window] });
            rules.push(Rule { name: "schedule.freeze".into(), enforcement, scope, kind });
        }
    }
    rules
}

fn window(reader: &mut Reader<'_>, table: &Node, known: &[String]) -> Option<Window> {
    let starts = reader.field(table, "schedule.freeze[].starts", text);
    let lasts = reader.span("schedule.freeze[].lasts");
    let lasts =
        lasts.and_then(|bounds| reader.field(table, "schedule.freeze[].lasts", span(bounds)));
    let zone = reader.field(table, "schedule.freeze[].timezone", |node| zone(node, known));
    let ((starts, place), (lasts, _), (zone, _)) = (starts?, lasts?, zone?);
    match Window::new(&starts, &zone, lasts) {
        Ok(window) => Some(window),
        Err(error) => {
            let path = "schedule.freeze[].starts";
            let told = member(table, path).map_or_else(String::new, Node::shown);
            let message = format!("`schedule.freeze.starts` is {told}: {error}");
            reader.complaints.error(&place, &message);
            None
        }
    }
}
