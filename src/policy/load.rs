//! The policy file (TOML) → [`Policy`](super::Policy), or every complaint about it.

mod approvals;
mod callers;
mod in_cel;
mod references;
mod schedule;

use std::path::PathBuf;

use jiff::tz::TimeZoneDatabase;
use sha2::{Digest as _, Sha256};

use super::keys::KEYS;
use super::rule::metadata::{
    Compare, KeyPattern, KeyShape, MetadataRule, PatternError, RequiredKey,
};
use super::rule::name::NameRule;
use super::rule::timezones::TimezoneRule;
use super::rule::{Rule, RuleKind, Scope};
use super::{Enforcement, Mention, Policy};
use crate::base::ids::Hex;
use crate::provider::{Operation, Provider};
use crate::settings::complaint::{Complaint, Complaints};
use crate::settings::raw::{Node, Typed};
use crate::settings::reader::Reader;
use crate::settings::value::{Meant, choice, name, text};

/// One thing that is wrong with the policy file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct LoadError {
    /// Line of the file, from 1; `None` where the file as a whole is meant.
    pub line: Option<usize>,
    /// Column in the line, in characters from 1, where an expression is at fault.
    pub column: Option<usize>,
    /// A sentence that says what is wrong and how to fix it.
    pub message: String,
}

/// Reads a policy file for deployments of a provider. An empty one forbids nothing. All complaints
/// come at once, in the order of their lines.
pub fn load(source: &str, provider: &'static Provider) -> Result<Policy, Vec<LoadError>> {
    let mut complaints = Complaints::about(PathBuf::new());
    let typed = Typed::read(&KEYS, source, &[], &mut complaints);
    let read = typed.map(|typed| {
        let mut reader = Reader { typed, folder: PathBuf::new(), complaints: &mut complaints };
        let contact = reader.read("contact", name(128)).map(|(contact, _)| contact);
        let mut mentions = Vec::new();
        let mut rules: Vec<Rule> = Vec::new();
        rules.extend(metadata(&mut reader, &mut mentions));
        rules.extend(timezones(&mut reader, &mut mentions));
        rules.extend(schedule::rules(&mut reader, &mut mentions));
        rules.extend(references::rule(&mut reader, &mut mentions));
        rules.extend(name_pattern(&mut reader, &mut mentions));
        rules.extend(in_cel::rules(&mut reader, source, provider, &mut mentions));
        let terms = (approvals::terms(&mut reader), approvals::break_glass(&mut reader));
        (rules, contact, mentions, terms)
    });
    let complaints = complaints.in_order();
    let told = |complaint| {
        let Complaint { line, column, message, .. } = complaint;
        LoadError { line, column, message }
    };
    let (doubts, errors): (Vec<_>, Vec<_>) =
        complaints.into_iter().partition(|complaint| complaint.warning);
    if !errors.is_empty() {
        return Err(errors.into_iter().map(told).collect());
    }
    let doubts = doubts.into_iter().map(told).collect();
    let digest = Hex(&Sha256::digest(source)).to_string();
    let (rules, contact, mentions, (approvals, break_glass)) = read.unwrap_or_default();
    let text = source.to_owned();
    Ok(Policy { rules, contact, approvals, break_glass, digest, text, mentions, doubts })
}

/// `[timezones]`.
fn timezones(reader: &mut Reader<'_>, mentions: &mut Vec<Mention>) -> Option<Rule> {
    let section = reader.typed.section("timezones")?.clone();
    if reader.place("timezones.allowed").is_none() {
        let message = "[timezones] lists no zone: add `allowed = [\"UTC\"]`, or remove the section";
        reader.complaints.error(&section, message);
    } else if reader.typed.items("timezones.allowed").is_some_and(<[_]>::is_empty) {
        let place = reader.place("timezones.allowed").cloned().unwrap_or(section);
        let message = "`timezones.allowed` is empty, so that no schedule fits: list a zone, such \
            as \"UTC\"";
        reader.complaints.error(&place, message);
    }
    let known = zones_known();
    let allowed = reader.each("timezones.allowed", |node| zone(node, &known));
    let rule = TimezoneRule { allowed: allowed.into_iter().map(|(zone, _)| zone).collect() };
    Some(built_in(reader, "timezones", RuleKind::Timezones(rule), mentions))
}

/// `[metadata]`.
fn metadata(reader: &mut Reader<'_>, mentions: &mut Vec<Mention>) -> Option<Rule> {
    reader.typed.section("metadata")?;
    let compares = choice(&[("loose", Compare::Loose), ("strict", Compare::Strict)]);
    let rule = MetadataRule {
        forbidden_keys: patterns(reader, "metadata.forbidden_keys"),
        protected_keys: patterns(reader, "metadata.protected_keys"),
        key_pattern: reader.read("metadata.key_pattern", key_shape).map(|(shape, _)| shape),
        required: required(reader),
        compare: reader.value("metadata.compare", compares),
    };
    Some(built_in(reader, "metadata", RuleKind::Metadata(rule), mentions))
}

/// `metadata.required`.
fn required(reader: &mut Reader<'_>) -> Vec<RequiredKey> {
    let key = |key: &str, node: &Node| sound(RequiredKey::of(key, &text(node)?));
    reader.entries("metadata.required", key).into_iter().map(|(key, _)| key).collect()
}

/// `[name]`.
fn name_pattern(reader: &mut Reader<'_>, mentions: &mut Vec<Mention>) -> Option<Rule> {
    reader.typed.section("name")?;
    let pattern = reader.required("name.pattern", key_shape);
    let rule = pattern.map(|(pattern, _)| RuleKind::Name(NameRule { pattern }));
    rule.map(|kind| built_in(reader, "name", kind, mentions))
}

fn enforcement(reader: &mut Reader<'_>, section: &str) -> Enforcement {
    let path = format!("{section}.enforcement");
    reader.read(&path, enforced).map_or(Enforcement::Deny, |(enforcement, _)| enforcement)
}

fn enforced(node: &Node) -> Meant<Enforcement> {
    choice(&[
        ("deny", Enforcement::Deny),
        ("approve", Enforcement::Approve),
        ("warn", Enforcement::Warn),
        ("audit", Enforcement::Audit),
    ])(node)
}

/// The names of all time zones, of the bundled database: a policy is as valid here as on any other
/// machine.
fn zones_known() -> Vec<String> {
    let zones = TimeZoneDatabase::bundled();
    zones.available().map(|zone| zone.as_str().to_owned()).collect()
}

/// The operations that a table lists.
fn operations_of(reader: &mut Reader<'_>, table: &Node, path: &str) -> Option<Vec<Operation>> {
    let operations = reader.items(table, path, operation)?;
    if operations.is_empty() {
        let key = path.rsplit('.').next().unwrap_or(path);
        let message = format!(
            "`{key} = []` is about no operation, so that nothing is held to it: list some, or \
             remove the key"
        );
        reader.complaints.warn(&table.place.clone(), &message);
    }
    Some(operations.into_iter().map(|(operation, _)| operation).collect())
}

fn operation(node: &Node) -> Meant<Operation> {
    node.text().and_then(Operation::named).ok_or_else(|| {
        let names = Operation::ALL.map(|operation| format!("\"{operation}\""));
        format!("write {}", names.join(" or "))
    })
}

/// The name of a time zone, as the IANA database spells it.
fn zone(node: &Node, known: &[String]) -> Meant<String> {
    let zone = text(node)?;
    if known.contains(&zone) {
        return Ok(zone);
    }
    Err(match known.iter().find(|known| known.eq_ignore_ascii_case(zone.trim())) {
        Some(right) => format!("write \"{right}\""),
        None => {
            "this is not an IANA time zone: use a name from the IANA time zone database".to_owned()
        }
    })
}

fn patterns(reader: &mut Reader<'_>, path: &str) -> Vec<KeyPattern> {
    let pattern = |node: &Node| sound(KeyPattern::parse(&text(node)?));
    reader.each(path, pattern).into_iter().map(|(pattern, _)| pattern).collect()
}

fn key_shape(node: &Node) -> Meant<KeyShape> {
    sound(KeyShape::parse(&text(node)?))
}

fn sound<P>(parsed: Result<P, PatternError>) -> Meant<P> {
    parsed.map_err(|error| format!("the pattern {error}"))
}

/// A rule that a section of the file stands for.
fn built_in(
    reader: &mut Reader<'_>,
    name: &'static str,
    kind: RuleKind,
    mentions: &mut Vec<Mention>,
) -> Rule {
    let enforcement = enforcement(reader, name);
    let approvers = approvals::approvers_of_section(reader, name, enforcement);
    let callers = callers::of_section(reader, name, mentions);
    let scope = Scope { callers, ..Scope::default() };
    Rule { name: name.into(), enforcement, approvers, scope, kind }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::keys::ENTRIES_MAX;

    fn load(text: &str) -> Result<Policy, Vec<LoadError>> {
        super::load(text, Provider::ALL[0])
    }

    #[test]
    fn an_empty_file_forbids_nothing_and_has_a_digest() {
        let policy = load("").unwrap();
        assert!(policy.rules.is_empty());
        assert_eq!(policy.digest.len(), 64);
        assert!(policy.digest.starts_with("e3b0c442"));
    }

    #[test]
    fn a_whole_file_is_read() {
        let policy = load(
            "[timezones]\nallowed = [\"Asia/Shanghai\", \"UTC\"]\nenforcement = \"warn\"\n\
             [metadata]\nforbidden_keys = [\"owner_override\", \"secret_*\"]\n\
             protected_keys = [\"cas_config.config.max_concurrent\"]\nkey_pattern = \"[a-z_]+\"\n",
        )
        .unwrap();
        let named = |name| policy.rules.iter().find(|rule| rule.name == name).unwrap();
        let RuleKind::Timezones(zones) = &named("timezones").kind else { panic!("{policy:?}") };
        assert_eq!(zones.allowed, ["Asia/Shanghai", "UTC"]);
        assert_eq!(named("timezones").enforcement, Enforcement::Warn);
        let RuleKind::Metadata(metadata) = &named("metadata").kind else { panic!("{policy:?}") };
        assert_eq!(named("metadata").enforcement, Enforcement::Deny);
        assert_eq!(metadata.forbidden_keys.len(), 2);
        assert!(metadata.key_pattern.as_ref().unwrap().fits("a_b"));
    }

    #[test]
    fn every_complaint_comes_at_once_with_its_line() {
        let text = "colour = 1\n\
            [timezones]\n\
            allowed = [\n  \"asia/shanghai\",\n  \"Mars/Phobos\", 7]\n\
            enforcement = \"approved\"\n\
            zone = \"UTC\"\n\
            [metadata]\n\
            forbidden_keys = [\"a..b\", \"c\\u0007\"]\n\
            protected_keys = \"x\"\n\
            key_pattern = \"(\"\n\
            enforcement = \"block\"\n\
            [[rule]]\n\
            name = \"x\"\n";
        let errors = load(text).unwrap_err();
        let found: Vec<_> =
            errors.iter().map(|error| (error.line.unwrap(), error.message.as_str())).collect();
        let expected = [
            (1, "unknown key `colour`: remove it; known here: approvals, break_glass"),
            (4, "`timezones.allowed` is \"asia/shanghai\": write \"Asia/Shanghai\""),
            (
                5,
                "`timezones.allowed` is \"Mars/Phobos\": this is not an IANA time zone: use a name",
            ),
            (5, "`timezones.allowed` is 7: write a text in quotes"),
            (6, "`timezones.enforcement` is \"approved\": write \"deny\" or \"approve\""),
            (7, "unknown key `timezones.zone`: remove it; known here: actors, allowed, approvers"),
            (9, "`metadata.forbidden_keys` is \"a..b\": the pattern is empty"),
            (9, "`metadata.forbidden_keys` is \"c\\u{7}\": the pattern holds a control character"),
            (10, "`metadata.protected_keys` is \"x\": write [...]"),
            (11, "`metadata.key_pattern` is \"(\": the pattern is not a regular expression"),
            (12, "`metadata.enforcement` is \"block\": write \"deny\" or \"approve\" or \"warn\""),
            (13, "`require` is missing in this [[rule]]: add it"),
        ];
        assert_eq!(found.len(), expected.len(), "{found:#?}");
        for ((line, message), (expected_line, start)) in found.iter().zip(expected) {
            assert_eq!(*line, expected_line, "{message}");
            assert!(message.starts_with(start), "{message}");
        }
    }

    #[test]
    fn a_zone_list_must_be_there_and_hold_a_zone() {
        assert_eq!(load("[timezones]\n").unwrap_err()[0].line, Some(1));
        assert!(load("timezones.allowed = []").unwrap_err()[0].message.contains("is empty"));
        assert!(load("timezones = 1").unwrap_err()[0].message.contains("is a section"));
    }

    #[test]
    fn broken_toml_is_told_with_its_line() {
        let errors = load("\n[timezones\nallowed = ['UTC']").unwrap_err();
        assert_eq!(errors[0].line, Some(2));
        assert!(errors[0].message.starts_with("not TOML: "), "{errors:?}");
        assert!(load("[metadata]\n[metadata]\n").is_err());
    }

    #[test]
    fn a_list_is_bounded() {
        let many = vec!["'a'"; ENTRIES_MAX + 1].join(",");
        let errors = load(&format!("metadata.forbidden_keys = [{many}]")).unwrap_err();
        assert!(errors[0].message.contains("more than 256"));
    }
}
