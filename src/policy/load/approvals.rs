//! `[approvals]` and `[break_glass]`, and the `approvers` of a section or a rule.

use std::collections::HashSet;

use crate::policy::Enforcement;
use crate::policy::approvals::{ApprovalTerms, BreakGlassTerms};
use crate::settings::complaint::Location;
use crate::settings::raw::{Node, Value};
use crate::settings::reader::{Placed, Reader, member};
use crate::settings::value::{name, span};

/// The longest name of a person, in characters.
const PERSON_CHARS_MAX: usize = 128;

/// Reads `[approvals]`.
pub(super) fn terms(reader: &mut Reader<'_>) -> ApprovalTerms {
    let usual = ApprovalTerms::default();
    let mut time = |path, usual| {
        let bounds = reader.span(path);
        let typed = bounds.and_then(|bounds| reader.read(path, span(bounds)));
        typed.map_or(usual, |(time, _)| time)
    };
    let expires_after = time("approvals.expires_after", usual.expires_after);
    let run_within = time("approvals.run_within", usual.run_within);
    let reason_chars_min = reader.count("approvals.reason_min_chars");
    ApprovalTerms { expires_after, run_within, reason_chars_min }
}

/// Reads `[break_glass]`.
pub(super) fn break_glass(reader: &mut Reader<'_>) -> Option<BreakGlassTerms> {
    let section = reader.typed.section("break_glass")?.clone();
    let persons = reader.each("break_glass.persons", name(PERSON_CHARS_MAX));
    if persons.is_empty() {
        let place = reader.place("break_glass.persons").cloned().unwrap_or(section);
        let message = "[break_glass] names nobody: add `persons = [\"wang.li\"]`, or remove the \
            section";
        reader.complaints.error(&place, message);
    }
    let persons = persons.into_iter().map(|(person, _)| person).collect();
    Some(BreakGlassTerms { persons, per_day: reader.count("break_glass.per_day") })
}

/// The approvers whom a section names.
pub(super) fn approvers_of_section(
    reader: &mut Reader<'_>,
    section: &str,
    enforcement: Enforcement,
) -> Vec<String> {
    let path = format!("{section}.approvers");
    let Some(place) = reader.place(&path).cloned() else { return Vec::new() };
    let is_empty = reader.typed.items(&path).is_some_and(<[_]>::is_empty);
    let persons = reader.each(&path, name(PERSON_CHARS_MAX));
    approvers(reader, &path, (persons, is_empty), &place, enforcement)
}

/// The approvers whom a table of an array names; one that says nothing and has the effect for it
/// has those of `around`.
pub(super) fn approvers_of_table(
    reader: &mut Reader<'_>,
    table: &Node,
    path: &str,
    (enforcement, around): (Enforcement, &[String]),
) -> Vec<String> {
    let Some(node) = member(table, path) else {
        let asks = enforcement == Enforcement::Approve;
        return if asks { around.to_vec() } else { Vec::new() };
    };
    let is_empty = matches!(&node.value, Value::Array(items) if items.is_empty());
    let persons = reader.items(table, path, name(PERSON_CHARS_MAX)).unwrap_or_default();
    approvers(reader, path, (persons, is_empty), &node.place, enforcement)
}

fn approvers(
    reader: &mut Reader<'_>,
    path: &str,
    (persons, is_empty): (Vec<Placed<String>>, bool),
    place: &Location,
    enforcement: Enforcement,
) -> Vec<String> {
    let path = path.replace("[]", "");
    if enforcement != Enforcement::Approve {
        let message = format!(
            "`{path}` names who approves, and the enforcement here is \"{}\": write \
             enforcement = \"approve\", or remove the list",
            enforcement.name()
        );
        reader.complaints.error(place, &message);
    } else if is_empty {
        let message = format!(
            "`{path}` is empty, so that nobody could approve: name somebody, or remove the key"
        );
        reader.complaints.error(place, &message);
    }
    let mut known = HashSet::new();
    for (person, place) in persons.iter().filter(|(person, _)| !known.insert(person.as_str())) {
        let message = format!("`{path}` names {person:?} twice: keep it once");
        reader.complaints.error(place, &message);
    }
    persons.into_iter().map(|(person, _)| person).collect()
}

#[cfg(test)]
mod tests {
    use crate::policy::approvers::APPROVERS_MAX;
    use crate::policy::load::load;
    use crate::provider::Provider;

    #[test]
    fn approvers_are_taken_where_a_rule_asks_and_inherited_by_freezes_that_do() {
        let freeze = "[[schedule.freeze]]\nstarts = '0 0 * * *'\nlasts = '1h'\ntimezone = 'UTC'\n";
        let text = format!(
            "[schedule]\nruns_per_day = 4\nenforcement = 'approve'\napprovers = ['wang.li']\n\
             {freeze}{freeze}enforcement = 'deny'\n{freeze}approvers = ['wang.li', '陈洁']\n\
             [[rule]]\nname = 'a'\nrequire = 'false'\nenforcement = 'approve'\n\
             approvers = ['chen.jie']\n"
        );
        let policy = load(&text, Provider::ALL[0]).unwrap();
        let lists: Vec<_> = policy.rules.iter().map(|rule| rule.approvers.as_slice()).collect();
        let one = ["wang.li".to_owned()];
        let two = ["wang.li".to_owned(), "陈洁".to_owned()];
        assert_eq!(lists, [&one[..], &one, &[], &two, &["chen.jie".to_owned()]]);
        assert_eq!(policy.doubts, []);
        let told = policy.rules[3].words(crate::base::clock::Timestamp::from_millis(0));
        assert_eq!(told.last().unwrap(), "Only these approve: \"wang.li\", \"陈洁\".");
        let other = text.replace("['wang.li', '陈洁']", "['陈洁']");
        let doubts = load(&other, Provider::ALL[0]).unwrap().doubts;
        assert!(doubts[0].message.contains("name somebody in every list"), "{doubts:?}");
    }

    #[test]
    fn approvers_that_can_t_be_are_refused_with_their_fix() {
        let long = format!("['{}']", "x".repeat(129));
        let many = (0..=APPROVERS_MAX).map(|n| format!("'p{n}'")).collect::<Vec<_>>().join(",");
        let many = format!("[{many}]");
        for (enforcement, list, expected) in [
            ("approve", "[]", "is empty, so that nobody could approve: name somebody"),
            ("approve", "['a', 'b', 'a']", "names \"a\" twice: keep it once"),
            ("approve", "'a'", "write [...]"),
            ("approve", "['']", "write 1 to 128 characters"),
            ("approve", "[7]", "write 1 to 128 characters"),
            ("approve", long.as_str(), "write 1 to 128 characters"),
            ("approve", many.as_str(), "it has more than 64 entries"),
            ("deny", "['a']", "is \"deny\": write enforcement = \"approve\", or remove the list"),
            ("warn", "['a']", "is \"warn\": write enforcement = \"approve\", or remove the list"),
        ] {
            for head in ["[name]\npattern = 'a'", "[[rule]]\nname = 'a'\nrequire = 'false'"] {
                let text = format!("{head}\nenforcement = '{enforcement}'\napprovers = {list}\n");
                let errors = load(&text, Provider::ALL[0]).unwrap_err();
                let line = head.lines().count() + 2;
                assert_eq!((errors.len(), errors[0].line), (1, Some(line)), "{text} {errors:?}");
                let message = &errors[0].message;
                assert!(message.contains(".approvers`") && message.contains(expected), "{message}");
            }
        }
        let unsaid = "[name]\npattern = 'a'\napprovers = ['a']\n";
        assert_eq!(load(unsaid, Provider::ALL[0]).unwrap_err().len(), 1);
    }
}
