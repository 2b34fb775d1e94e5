//! `[[rule]]`: rules in CEL.

use std::collections::HashSet;

use super::{approvals, callers, enforced, operations_of};
use crate::policy::keys::RULES_MAX;
use crate::policy::rule::cel::{CelError, CelRule, CelSource, on_a_large_stack};
use crate::policy::rule::scope::Callers;
use crate::policy::rule::{Rule, RuleKind, Scope};
use crate::policy::{Enforcement, Mention};
use crate::provider::{Operation, Provider};
use crate::settings::complaint::Location;
use crate::settings::raw::{Node, Value};
use crate::settings::reader::Reader;
use crate::settings::value::{Meant, text};

/// The longest name of a rule, in bytes.
const NAME_BYTES_MAX: usize = 64;

/// The longest description, in bytes.
const DESCRIPTION_BYTES_MAX: usize = 4_096;

/// The names of built-in rules, which no rule in CEL may have.
const TAKEN: [&str; 6] = ["actors", "metadata", "name", "references", "schedule", "timezones"];

/// A rule as it was typed.
struct Typed {
    name: String,
    enforcement: Enforcement,
    approvers: Vec<String>,
    callers: Callers,
    source: CelSource,
    /// Where its expressions were typed.
    places: Vec<(&'static str, Location)>,
}

/// Reads every `[[rule]]`.
pub(super) fn rules(
    reader: &mut Reader<'_>,
    file: &str,
    provider: &'static Provider,
    mentions: &mut Vec<Mention>,
) -> Vec<Rule> {
    let tables = reader.tables("rule");
    if let Some(beyond) = tables.get(RULES_MAX) {
        let message = format!("there are more than {RULES_MAX} rules: merge some");
        reader.complaints.error(&beyond.place.clone(), &message);
        return Vec::new();
    }
    let mut names = HashSet::new();
    let typed: Vec<Typed> = tables
        .iter()
        .filter_map(|table| {
            let callers = callers::of_table(reader, table, "rule", Callers::default(), mentions);
            let typed = rule(reader, table, provider, &mut names)?;
            Some(Typed { callers, ..typed })
        })
        .collect();
    if typed.is_empty() {
        return Vec::new();
    }
    let make = |typed: Typed| {
        let Typed { name, enforcement, approvers, callers, source, places } = typed;
        let scope = Scope { operations: source.operations.clone(), callers };
        let texts = source.clone();
        match CelRule::of(source) {
            Ok(rule) => {
                let doubt = rule.doubt().map(|doubt| format!("the rule `{name}`: {doubt}"));
                let place = places.into_iter().next().map(|(_, place)| place);
                let kind = RuleKind::Cel(rule);
                let rule = Rule { name: name.into(), enforcement, approvers, scope, kind };
                Ok((rule, doubt.zip(place)))
            }
            Err(errors) => Err(Box::new((name, texts, places, errors))),
        }
    };
    let Some(made) = on_a_large_stack(|| typed.into_iter().map(make).collect::<Vec<_>>()) else {
        let message = "the rules in CEL can't be read: there is no thread to be had for it, or \
            an expression is beyond the parser; try again, then simplify the last one added";
        reader.complaints.error(&Location::File, message);
        return Vec::new();
    };
    let mut rules = Vec::new();
    for made in made {
        match made {
            Ok((rule, doubt)) => {
                rules.push(rule);
                if let Some((doubt, place)) = doubt {
                    reader.complaints.warn(&place, &doubt);
                }
            }
            Err(refused) => {
                let (name, texts, places, errors) = *refused;
                for error in errors {
                    complain(reader, file, &name, &texts, &places, error);
                }
            }
        }
    }
    rules
}

fn rule(
    reader: &mut Reader<'_>,
    table: &Node,
    provider: &'static Provider,
    names: &mut HashSet<String>,
) -> Option<Typed> {
    let name = reader.field(table, "rule[].name", name);
    let bounded = bounded(DESCRIPTION_BYTES_MAX);
    let description = reader.optional(table, "rule[].description", bounded);
    let operations = operations_of(reader, table, "rule[].operations");
    let when = reader.optional(table, "rule[].when", text);
    let require = reader.field(table, "rule[].require", text);
    let message = reader.optional(table, "rule[].message", self::bounded(1_024));
    let about = reader.items(table, "rule[].about", pointer);
    let enforcement = reader.optional(table, "rule[].enforcement", enforced);
    let enforcement = enforcement.map_or(Enforcement::Deny, |(enforcement, _)| enforcement);
    let approvers =
        approvals::approvers_of_table(reader, table, "rule[].approvers", (enforcement, &[]));
    let (name, place) = name?;
    if !names.insert(name.clone()) {
        let message = format!("two rules are named `{name}`: rename one");
        reader.complaints.error(&place, &message);
    }
    let (require, require_place) = require?;
    let mut places = vec![("require", require_place)];
    places.extend(when.as_ref().map(|(_, place)| ("when", place.clone())));
    places.extend(message.as_ref().map(|(_, place)| ("message", place.clone())));
    let plain = |(value, _): (_, Location)| value;
    let operations = operations.unwrap_or_else(|| vec![Operation::Create, Operation::Update]);
    let source = CelSource {
        provider,
        operations,
        description: description.map(plain),
        when: when.map(plain),
        require,
        message: message.map(plain),
        about: about.map(|about| about.into_iter().map(|(pointer, _)| pointer).collect()),
    };
    Some(Typed { name, enforcement, approvers, callers: Callers::default(), source, places })
}

/// Complains of a fault of an expression, where it was typed.
fn complain(
    reader: &mut Reader<'_>,
    file: &str,
    rule: &str,
    texts: &CelSource,
    places: &[(&'static str, Location)],
    error: CelError,
) {
    let CelError { key, line, column, message } = error;
    let place = places.iter().find(|(name, _)| *name == key).map(|(_, place)| place);
    let place = place.cloned().unwrap_or(Location::File);
    let text = match key {
        "when" => texts.when.as_deref(),
        "message" => texts.message.as_deref(),
        _ => Some(texts.require.as_str()),
    };
    let start = match place {
        Location::Line(line) => text.and_then(|text| start_of(file, line, text)),
        _ => None,
    };
    let place = match (start, place.line(), text) {
        (Some((first, before)), _, _) if line == 1 => Location::Column(first, before + column),
        (Some((first, _)), _, _) => Location::Column(first + line - 1, column),
        (None, Some(typed), Some(text)) => {
            let before: usize =
                text.split('\n').take(line - 1).map(|line| line.chars().count() + 1).sum();
            within_escapes(file, typed, text, before + column - 1)
                .map_or(Location::Line(typed), |(line, column)| Location::Column(line, column))
        }
        _ => place,
    };
    let message = format!("`{key}` of the rule `{rule}`: {message}");
    reader.complaints.error(&place, &message);
}

/// The line at which a text begins that stands in the file as it is, from a line on, and the
/// columns before it there.
fn start_of(file: &str, line: usize, text: &str) -> Option<(usize, usize)> {
    let skipped: usize = file.split_inclusive('\n').take(line.checked_sub(1)?).map(str::len).sum();
    let rest = file.get(skipped..)?;
    let at = rest.find(text)?;
    let before = rest.get(..at)?;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count();
    Some((line + before.matches('\n').count(), column))
}

/// The line and the column of a character of a text that stands in double quotes, some of its
/// characters escaped; the quotes begin on `line`.
fn within_escapes(file: &str, line: usize, text: &str, at: usize) -> Option<(usize, usize)> {
    let skipped: usize = file.split_inclusive('\n').take(line.checked_sub(1)?).map(str::len).sum();
    let rest = file.get(skipped..)?;
    let key = rest.find('=')?;
    let quote = key + rest.get(key..)?.find('"')?;
    let body = rest.get(quote..)?;
    let quotes = if body.starts_with("\"\"\"") { 3 } else { 1 };
    let body = body.get(quotes..)?;
    let body = body.strip_prefix('\n').filter(|_| quotes == 3).unwrap_or(body);
    let mut letters = body.char_indices();
    for expected in text.chars().take(at) {
        let (_, letter) = letters.next()?;
        let is_plain = letter != '\\';
        if is_plain && letter != expected {
            return None;
        }
        let digits = match letters.as_str().chars().next().filter(|_| !is_plain) {
            None => continue,
            Some('u') => 4,
            Some('U') => 8,
            Some('x') => 2,
            // A line's end that is left out.
            Some(space) if space.is_whitespace() => return None,
            Some(_) => 0,
        };
        letters.nth(digits)?;
    }
    let before = rest.get(..rest.len() - letters.as_str().len())?;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    Some((line + before.matches('\n').count(), column))
}

fn name(node: &Node) -> Meant<String> {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let name = node
        .text()
        .filter(|name| (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(is_plain));
    match name {
        Some(name) if TAKEN.contains(&name) => {
            Err("a built-in rule has this name: choose another".to_owned())
        }
        Some(name) => Ok(name.to_owned()),
        None => Err(format!("write 1 to {NAME_BYTES_MAX} of a-z, 0-9 and -")),
    }
}

/// A JSON Pointer.
fn pointer(node: &Node) -> Meant<String> {
    let fix = "write a JSON Pointer such as \"/schedule\", or \"\" for the whole deployment";
    let text = match &node.value {
        Value::Text(text) => Some(text),
        _ => None,
    };
    let is_pointer =
        |text: &&String| (text.is_empty() || text.starts_with('/')) && text.len() <= 1_024;
    text.filter(is_pointer).cloned().ok_or_else(|| fix.to_owned())
}

fn bounded(most: usize) -> impl Fn(&Node) -> Meant<String> {
    move |node| {
        let fits = |text: &String| text.len() <= most;
        let fix = format!("write a text in quotes of at most {most} bytes that is not empty");
        text(node).ok().filter(fits).ok_or(fix)
    }
}

#[cfg(test)]
mod tests {
    use crate::policy::load::load;
    use crate::provider::Provider;

    #[test]
    fn a_rule_that_reads_a_patch_and_is_about_another_place_is_doubted() {
        for (keys, doubted) in [
            ("require = \"!has(patch.schedule) || object.name == 'a'\"", Some("patch.schedule")),
            (
                "when = 'has(patch.schedule)'\nrequire = \"object.name == 'a'\"",
                Some("patch.schedule"),
            ),
            ("require = \"size(patch) < 3 || object.name == 'a'\"", Some("patch")),
            ("require = \"!has(patch.schedule) || object.name == 'a'\"\nabout = []", None),
            ("require = \"!has(patch.name) || object.name == 'a'\"", None),
            ("require = \"!touches('/schedule') || object.name == 'a'\"", None),
            ("require = \"!has(patch.schedule)\"", None),
            ("require = \"object.name == 'a'\"", None),
            (
                "require = \"!has(patch.schedule) || object.name == 'a'\"\noperations = ['create']",
                None,
            ),
        ] {
            let policy = format!("[[rule]]\nname = 'a'\n{keys}\n");
            let policy = load(&policy, Provider::ALL[0]).unwrap();
            let doubts = policy.doubts.iter().map(|doubt| (doubt.line, doubt.message.as_str()));
            let expected = doubted.map(|read| {
                let message = format!(
                    "the rule `a`: it reads `{read}`, but is about \"/name\" alone, and does not \
                     hold up an update that leaves that as it is: write `about = []` to have it \
                     hold for every call, or list in `about` what it is about"
                );
                (Some(if keys.starts_with("when") { 4 } else { 3 }), message)
            });
            let expected = expected.as_ref().map(|(line, message)| (*line, message.as_str()));
            assert_eq!(doubts.collect::<Vec<_>>(), Vec::from_iter(expected), "{keys}");
        }
    }

    #[test]
    fn a_rule_about_no_operation_is_doubted() {
        let freeze = "[[schedule.freeze]]\nstarts = '0 0 * * *'\nlasts = '1h'\ntimezone = 'UTC'";
        for section in ["[[rule]]\nname = 'a'\nrequire = 'false'", freeze] {
            let policy = load(&format!("{section}\noperations = []\n"), Provider::ALL[0]).unwrap();
            let [doubt] = policy.doubts.as_slice() else { panic!("{section}") };
            assert!(doubt.line == Some(1) && doubt.message.contains("no operation"), "{doubt}");
        }
    }

    #[test]
    fn a_fault_is_told_at_its_line_and_column_however_the_text_is_quoted() {
        for (typed, expected) in [
            ("'object.nam == \"a\"'", (2, 12)),
            ("\"object.nam == 'a'\"", (2, 12)),
            ("\"'\\\"' == object.name && object.nam == 'a'\"", (2, 35)),
            ("\"'\\u00e9\\t' == '' || object.nam == 'a'\"", (2, 32)),
            ("'''\ntrue &&\n  object.nam == 'a''''", (4, 3)),
            ("\"\"\"\n'\\\"' == '' ||\n object.nam == 'a'\"\"\"", (4, 2)),
        ] {
            let policy = format!("[[rule]]\nrequire = {typed}\nname = 'a'\n");
            let errors = load(&policy, Provider::ALL[0]).unwrap_err();
            let place = (errors[0].line.unwrap(), errors[0].column.unwrap());
            assert_eq!((place, errors.len()), (expected, 1), "{typed} {errors:?}");
        }
    }
}
