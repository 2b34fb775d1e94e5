//! `[schedule]` and its freezes.

use std::time::Duration;

use super::{approvals, built_in, callers, enforced, operations_of, zone, zones_known};
use crate::policy::Mention;
use crate::policy::keys::FREEZES_MAX;
use crate::policy::rule::freeze::{FreezeRule, Window};
use crate::policy::rule::schedule::ScheduleRule;
use crate::policy::rule::{Rule, RuleKind, Scope};
use crate::settings::complaint::Location;
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
    let minimum_interval = span_of(reader, interval);
    let runs_per_day = reader.place(per_day).is_some().then(|| reader.count::<u32>(per_day));
    let runs_per_day = runs_per_day.and_then(|runs| usize::try_from(runs).ok());
    let must_fire = reader.value("schedule.must_fire", flag);
    let kind = RuleKind::Schedule(ScheduleRule::new(minimum_interval, runs_per_day, must_fire));
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
        let approvers = approvals::approvers_of_table(
            reader,
            table,
            "schedule.freeze[].approvers",
            (enforcement, &around.approvers),
        );
        let inherited = around.scope.callers.clone();
        let callers = callers::of_table(reader, table, "schedule.freeze", inherited, mentions);
        let operations = operations_of(reader, table, "schedule.freeze[].operations");
        let operations = operations.unwrap_or_else(|| Scope::default().operations);
        let scope = Scope { operations, callers };
        let Some(window) = window(reader, table, &known) else { continue };
        let is_alike = |rule: &&mut Rule| {
            rule.enforcement == enforcement && rule.approvers == approvers && rule.scope == scope
        };
        let alike = rules.iter_mut().find(is_alike).map(|rule| &mut rule.kind);
        if let Some(RuleKind::Freeze(FreezeRule { windows })) = alike {
            windows.push(window);
        } else {
            let kind = RuleKind::Freeze(FreezeRule { windows: vec![window] });
            rules.push(Rule {
                name: "schedule.freeze".into(),
                enforcement,
                approvers,
                scope,
                kind,
            });
        }
    }
    doubt_approvers(reader, &rules);
    rules
}

/// Warns of freezes whose approvers have nobody in common: an approval names the rule, and not
/// which of them it was.
fn doubt_approvers(reader: &mut Reader<'_>, freezes: &[Rule]) {
    let lists = freezes.iter().map(|rule| &rule.approvers).filter(|list| !list.is_empty());
    let mut first = lists.clone().take(1).flatten();
    let is_everywhere = |person: &String| lists.clone().all(|list| list.contains(person));
    if lists.clone().count() > 1 && !first.any(is_everywhere) {
        let place = reader.typed.section("schedule").cloned().unwrap_or(Location::File);
        let message = "the freezes name different approvers, and whoever approves must be named \
            by all of them: name somebody in every list";
        reader.complaints.warn(&place, message);
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::load::{LoadError, load};
    use crate::provider::Provider;

    fn complaints(text: &str) -> Vec<(usize, String)> {
        let errors = load(text, Provider::ALL[0]).unwrap_err().into_iter();
        errors.map(|LoadError { line, message, .. }| (line.unwrap_or(0), message)).collect()
    }

    #[test]
    fn every_complaint_about_schedules_and_freezes_names_its_fix() {
        let text = "[schedule]\nminimum_interval = '30s'\nruns_per_day = 0\nmust_fire = 'yes'\n\
            [[schedule.freeze]]\nstarts = '0 9 31 2 *'\nlasts = '1h'\ntimezone = 'UTC'\n\
            [[schedule.freeze]]\nstarts = '0 9 * * *'\nlasts = '25h'\ntimezone = 'utc'\n\
            [[schedule.freeze]]\nstarts = '0 9 * * *'\nlasts = '25h'\ntimezone = 'UTC'\n\
            [[schedule.freeze]]\nstarts = '@weekly'\nlasts = '1h'\ntimezone = 'UTC'\n\
            [[schedule.freeze]]\nlasts = '745h'\noperations = ['delete']\nteam = 'x'\n";
        let expected = [
            (2, "`schedule.minimum_interval` is \"30s\": write a text such as"),
            (3, "`schedule.runs_per_day` is 0: write a whole number from 1 to 1440"),
            (4, "`schedule.must_fire` is \"yes\": write true or false"),
            (6, "`schedule.freeze.starts` is \"0 9 31 2 *\": it never starts"),
            (12, "`schedule.freeze.timezone` is \"utc\": write \"UTC\""),
            (14, "`schedule.freeze.starts` is \"0 9 * * *\": it lasts longer than its period"),
            (18, "`schedule.freeze.starts` is \"@weekly\": cron expression must have exactly 5"),
            (21, "`starts` is missing in this [[schedule.freeze]]: add it"),
            (21, "`timezone` is missing in this [[schedule.freeze]]: add it"),
            (22, "`schedule.freeze.lasts` is \"745h\": write a text such as"),
            (23, "`schedule.freeze.operations` is \"delete\": write \"create\""),
            (24, "unknown key `schedule.freeze.team`: did you mean `teams`?"),
        ];
        let mut found = complaints(text);
        found.sort();
        assert_eq!(found.len(), expected.len(), "{found:#?}");
        for ((line, message), (expected_line, start)) in found.iter().zip(expected) {
            assert_eq!(*line, expected_line, "{message}");
            assert!(message.starts_with(start), "{message}");
        }
        let many = "[[schedule.freeze]]\nstarts='0 9 * * *'\nlasts='1h'\ntimezone='UTC'\n";
        assert!(complaints(&many.repeat(FREEZES_MAX + 1))[0].1.contains("more than 64 freezes"));
    }

    #[test]
    fn complaints_about_other_sections_name_their_fix() {
        let text = "[references]\nagents = ['a b']\nresource_urls = ['https://h*', 'git@h:a']\n\
            pinned_agent_version = 1\n[name]\n[metadata]\n\
            required = { team = '(', '' = 'a', 'a..b' = 'c', d = 7 }\n";
        let found = complaints(text);
        let expected = [
            "`references.agents` is \"a b\": write letters, digits",
            "`references.resource_urls` is \"https://h*\": a `*` in the host",
            "`references.resource_urls` is \"git@h:a\": it has no scheme",
            "`references.pinned_agent_version` is 1: write true or false",
            "`name.pattern` is missing: write pattern = '[a-z][a-z0-9-]*'",
            "`metadata.required.`",
            "`metadata.required.a..b` is \"c\": the pattern is empty",
            "`metadata.required.d` is 7: write a text in quotes",
            "`metadata.required.team` is \"(\": the pattern is not a regular expression",
        ];
        assert_eq!(found.len(), expected.len(), "{found:#?}");
        for ((_, message), start) in found.iter().zip(expected) {
            assert!(message.starts_with(start), "{message}");
        }
        assert!(complaints("[references]\n")[0].1.contains("holds nothing to anything"));
        assert!(complaints("metadata.required = ['a']")[0].1.contains("write a table"));
    }
}
