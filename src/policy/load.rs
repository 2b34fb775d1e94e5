//! The policy file (TOML) → [`Policy`](super::Policy), or every complaint about it.

use jiff::tz::TimeZoneDatabase;
use sha2::{Digest as _, Sha256};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::rule::metadata::{Compare, KeyPattern, KeyShape, MetadataRule, PatternError};
use super::rule::timezones::TimezoneRule;
use super::rule::{Rule, RuleKind, Scope};
use super::{Enforcement, Policy};
use crate::deployment::excerpt::excerpt;
use crate::ids::Hex;

/// The most entries of one list.
const ENTRIES_MAX: usize = 256;

/// The most characters of the file's own text that a complaint shows.
const SHOWN_CHARS_MAX: usize = 64;

/// One thing that is wrong with the policy file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct LoadError {
    /// Line of the file, from 1; `None` where the file as a whole is meant.
    pub line: Option<usize>,
    /// A sentence that says what is wrong and how to fix it.
    pub message: String,
}

/// Reads a policy file. An empty one forbids nothing. All complaints come at once, in the order
/// of their lines.
pub fn load(text: &str) -> Result<Policy, Vec<LoadError>> {
    let mut reading = Reading { text, errors: Vec::new() };
    let (file, broken) = DeTable::parse_recoverable(text);
    for error in broken {
        let hint = format!("not valid TOML ({}): fix it", error.message());
        reading.complain(error.span().map(|span| span.start), hint);
    }
    let digest = Hex(&Sha256::digest(text)).to_string();
    let mut policy = Policy { rules: Vec::new(), digest, text: text.to_owned() };
    // What a broken text says beyond its first fault is a guess: no complaints about that.
    if reading.errors.is_empty() {
        reading.file(file.get_ref(), &mut policy);
    }
    if reading.errors.is_empty() {
        return Ok(policy);
    }
    reading.errors.sort_by_key(|error| error.line);
    Err(reading.errors)
}

struct Reading<'t> {
    text: &'t str,
    errors: Vec<LoadError>,
}

type Entry<'t> = Spanned<DeValue<'t>>;

impl Reading<'_> {
    fn file(&mut self, file: &DeTable<'_>, policy: &mut Policy) {
        for (name, value) in file {
            let start = name.span().start;
            match (name.get_ref().as_ref(), value.get_ref()) {
                ("timezones", DeValue::Table(table)) => {
                    policy.rules.extend(self.timezones(start, table));
                }
                ("metadata", DeValue::Table(table)) => policy.rules.push(self.metadata(table)),
                (known @ ("timezones" | "metadata"), _) => {
                    self.complain(start, format!("`{known}` is not a table: write [{known}]"));
                }
                ("rule", _) => self.complain(
                    start,
                    "rules in CEL are not supported by this version yet: remove the rule",
                ),
                (other, _) => self.unknown(start, other, "[timezones] and [metadata]"),
            }
        }
    }

    fn timezones(&mut self, start: usize, table: &DeTable<'_>) -> Option<Rule> {
        let mut rule = TimezoneRule { allowed: Vec::new() };
        let mut enforcement = Enforcement::Deny;
        let mut listed = false;
        for (name, value) in table {
            match name.get_ref().as_ref() {
                "allowed" => {
                    listed = true;
                    rule.allowed = self.zones(value);
                }
                "enforcement" => enforcement = self.enforcement(value),
                other => self.unknown(name.span().start, other, "`allowed` and `enforcement`"),
            }
        }
        if !listed {
            self.complain(
                start,
                "[timezones] lists no zone: add `allowed = [\"UTC\"]`, or remove the table",
            );
        }
        listed.then(|| built_in("timezones", enforcement, RuleKind::Timezones(rule)))
    }

    fn metadata(&mut self, table: &DeTable<'_>) -> Rule {
        let mut rule = MetadataRule {
            forbidden_keys: Vec::new(),
            protected_keys: Vec::new(),
            key_pattern: None,
            compare: Compare::default(),
        };
        let mut enforcement = Enforcement::Deny;
        for (name, value) in table {
            match name.get_ref().as_ref() {
                "forbidden_keys" => rule.forbidden_keys = self.patterns("forbidden_keys", value),
                "protected_keys" => rule.protected_keys = self.patterns("protected_keys", value),
                "key_pattern" => {
                    let parsed = self.string("key_pattern", value).map(KeyShape::parse);
                    rule.key_pattern = parsed.and_then(|parsed| self.pattern(value, parsed));
                }
                "compare" => rule.compare = self.compare(value),
                "enforcement" => enforcement = self.enforcement(value),
                other => self.unknown(
                    name.span().start,
                    other,
                    "`forbidden_keys`, `protected_keys`, `key_pattern`, `compare` and \
                     `enforcement`",
                ),
            }
        }
        built_in("metadata", enforcement, RuleKind::Metadata(rule))
    }

    fn zones(&mut self, value: &Entry<'_>) -> Vec<String> {
        let listed = self.strings("allowed", value);
        if value.get_ref().as_array().is_some_and(|zones| zones.is_empty()) {
            self.complain(
                value.span().start,
                "`allowed` is empty, so that no schedule fits: list a zone, such as \"UTC\"",
            );
        }
        // The bundled database, so that a policy is as valid here as on any other machine.
        let zones = TimeZoneDatabase::bundled();
        let known: Vec<String> = zones.available().map(|zone| zone.as_str().to_owned()).collect();
        for (start, zone) in &listed {
            if known.iter().any(|known| known == zone) {
                continue;
            }
            let shown = excerpt(zone, SHOWN_CHARS_MAX);
            let fix = match known.iter().find(|known| known.eq_ignore_ascii_case(zone.trim())) {
                Some(right) => format!("write \"{right}\""),
                None => "use a name from the IANA time zone database".to_owned(),
            };
            self.complain(*start, format!("`{shown}` is not an IANA time zone: {fix}"));
        }
        listed.into_iter().map(|(_, zone)| zone).collect()
    }

    fn patterns(&mut self, name: &str, value: &Entry<'_>) -> Vec<KeyPattern> {
        let mut patterns = Vec::new();
        for (start, text) in self.strings(name, value) {
            match KeyPattern::parse(&text) {
                Ok(pattern) => patterns.push(pattern),
                Err(error) => self.complain(start, format!("the pattern {error}")),
            }
        }
        patterns
    }

    fn pattern<P>(&mut self, value: &Entry<'_>, parsed: Result<P, PatternError>) -> Option<P> {
        parsed
            .map_err(|error| self.complain(value.span().start, format!("the pattern {error}")))
            .ok()
    }

    fn enforcement(&mut self, value: &Entry<'_>) -> Enforcement {
        let complaint = match value.get_ref().as_str() {
            Some("deny") => return Enforcement::Deny,
            Some("warn") => return Enforcement::Warn,
            Some("audit") => return Enforcement::Audit,
            Some("approve") => {
                "enforcement \"approve\" is not supported by this version yet: use \"deny\""
            }
            _ => "`enforcement` is unknown: use \"deny\", \"warn\" or \"audit\"",
        };
        self.complain(value.span().start, complaint);
        Enforcement::Deny
    }

    fn compare(&mut self, value: &Entry<'_>) -> Compare {
        match value.get_ref().as_str() {
            Some("strict") => return Compare::Strict,
            Some("loose") => {}
            _ => self
                .complain(value.span().start, "`compare` is unknown: use \"loose\" or \"strict\""),
        }
        Compare::Loose
    }

    /// A list of texts, each with where it starts.
    fn strings(&mut self, name: &str, value: &Entry<'_>) -> Vec<(usize, String)> {
        let Some(list) = value.get_ref().as_array() else {
            let fix = format!("`{name}` is not a list: write a list of strings");
            self.complain(value.span().start, fix);
            return Vec::new();
        };
        if list.len() > ENTRIES_MAX {
            let fix = format!("`{name}` has more than {ENTRIES_MAX} entries: merge some with `*`");
            self.complain(value.span().start, fix);
            return Vec::new();
        }
        let mut texts = Vec::new();
        for entry in list {
            if let Some(text) = self.string(name, entry) {
                texts.push((entry.span().start, text.to_owned()));
            }
        }
        texts
    }

    fn string<'v>(&mut self, name: &str, value: &'v Entry<'_>) -> Option<&'v str> {
        let text = value.get_ref().as_str();
        if text.is_none() {
            self.complain(value.span().start, format!("`{name}` wants a string: put it in quotes"));
        }
        text
    }

    fn unknown(&mut self, start: usize, name: &str, known: &str) {
        let name = excerpt(name, SHOWN_CHARS_MAX);
        self.complain(start, format!("`{name}` is unknown here: {known} are known"));
    }

    fn complain(&mut self, start: impl Into<Option<usize>>, message: impl Into<String>) {
        let before = start.into().and_then(|start| self.text.as_bytes().get(..start));
        let line = before.map(|before| before.split(|byte| *byte == b'\n').count());
        self.errors.push(LoadError { line, message: message.into() });
    }
}

/// A rule that a section of the file stands for.
fn built_in(name: &'static str, enforcement: Enforcement, kind: RuleKind) -> Rule {
    Rule { name: name.into(), enforcement, scope: Scope::default(), kind }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            enforcement = \"approve\"\n\
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
            (1, "`colour` is unknown here"),
            (4, "`asia/shanghai` is not an IANA time zone: write \"Asia/Shanghai\""),
            (5, "`allowed` wants a string"),
            (5, "`Mars/Phobos` is not an IANA time zone: use a name"),
            (6, "enforcement \"approve\" is not supported by this version yet: use \"deny\""),
            (7, "`zone` is unknown here: `allowed` and `enforcement` are known"),
            (9, "the pattern is empty"),
            (9, "the pattern holds a control character"),
            (10, "`protected_keys` is not a list"),
            (11, "the pattern is not a regular expression"),
            (12, "`enforcement` is unknown: use \"deny\", \"warn\" or \"audit\""),
            (13, "rules in CEL are not supported by this version yet: remove the rule"),
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
        assert!(load("timezones = 1").unwrap_err()[0].message.contains("not a table"));
    }

    #[test]
    fn broken_toml_is_told_with_its_line() {
        let errors = load("\n[timezones\nallowed = ['UTC']").unwrap_err();
        assert_eq!(errors[0].line, Some(2));
        assert!(errors[0].message.starts_with("not valid TOML ("), "{errors:?}");
        assert!(load("[metadata]\n[metadata]\n").is_err());
    }

    #[test]
    fn a_list_is_bounded() {
        let many = vec!["'a'"; ENTRIES_MAX + 1].join(",");
        let errors = load(&format!("metadata.forbidden_keys = [{many}]")).unwrap_err();
        assert!(errors[0].message.contains("more than 256"));
    }
}
