//! The persons of a configuration and of its policy: whether approvals and break-glass can work.

use std::collections::{HashMap, HashSet};

use caseless::default_case_fold_str;
use unicode_normalization::UnicodeNormalization as _;

use super::{Config, Role};
use crate::policy::Enforcement;
use crate::policy::rule::Rule;
use crate::settings::complaint::{Complaints, Location};
use crate::settings::reader::Placed;

/// Complains of names that differ in their letters' case or form alone, or in white space: one
/// human would be two, and could approve their own changes.
pub(super) fn tell_apart(persons: &[Placed<String>], complaints: &mut Complaints) {
    let mut known: HashMap<String, &str> = HashMap::new();
    for (person, place) in persons {
        let first = *known.entry(folded(person)).or_insert(person);
        if first != person {
            let message = format!(
                "`person` is {person:?} here and {first:?} elsewhere: write both alike, or give \
                 another human another name"
            );
            complaints.error(place, &message);
        }
    }
}

/// A name without what tells two writings of it apart.
pub(super) fn folded(person: &str) -> String {
    let plain: String = person.nfkc().filter(|letter| !letter.is_whitespace()).collect();
    default_case_fold_str(&plain)
}

/// Warns of what nobody can ask for, approve or do.
pub(super) fn warn(config: &Config, complaints: &mut Complaints) {
    let mut told = |message: &str| complaints.warn(&Location::File, message);
    let asks = config.policy.rules.iter().any(|rule| rule.enforcement == Enforcement::Approve);
    let mut approvers = config.admin_tokens.iter();
    if asks && !approvers.any(|token| token.role >= Role::Approver && token.person.is_some()) {
        told(
            "a rule asks for approval, and no [[admin.token]] with the role approver or admin has \
             a `person`: nobody can approve; add one",
        );
    }
    let persons = config.actors.persons();
    if asks && persons.is_empty() {
        told(
            "a rule asks for approval, and no [[actor]] has a `person`: nobody can ask for one; \
             add it to those who may",
        );
    }
    for message in strangers(config) {
        told(&message);
    }
    let listed = config.policy.break_glass.iter().flat_map(|terms| &terms.persons);
    for stranger in listed.filter(|listed| !persons.contains(&listed.as_str())) {
        told(&format!(
            "`break_glass.persons` of the policy names {stranger:?}, and no [[actor]] has that \
             `person`: add it, or fix the name"
        ));
    }
}

/// Doubts about approvers whom rules name: written in another way than elsewhere, or, where tokens
/// alone log in, of no token that may approve.
fn strangers(config: &Config) -> Vec<String> {
    let persons = |least: Role| {
        let tokens = config.admin_tokens.iter().filter(move |token| token.role >= least);
        tokens.filter_map(|token| token.person.as_deref())
    };
    let may_decide: HashSet<_> = persons(Role::Approver).collect();
    let known: HashSet<_> = persons(Role::Viewer).chain(config.actors.persons()).collect();
    let by_form: HashMap<_, _> = known.iter().map(|person| (folded(person), *person)).collect();
    let doubt = |rule: &Rule, person: &String| {
        let name = &rule.name;
        let is_known = known.contains(person.as_str());
        if let Some(other) = by_form.get(&folded(person)).filter(|_| !is_known) {
            return Some(format!(
                "`approvers` of the rule `{name}` name {person:?}, who is {other:?} in the \
                 configuration: write both alike"
            ));
        }
        let is_strange = !config.logins.are_there() && !may_decide.contains(person.as_str());
        is_strange.then(|| {
            format!(
                "`approvers` of the rule `{name}` name {person:?}, and no [[admin.token]] with \
                 the role approver or admin has that `person`: add it, or fix the name"
            )
        })
    };
    let rules = config.policy.rules.iter();
    rules
        .flat_map(|rule| rule.approvers.iter().filter_map(move |person| doubt(rule, person)))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use crate::config::check::check_text;

    #[test]
    fn what_nobody_can_ask_for_approve_or_do_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let policy = "timezones = { allowed = ['UTC'], enforcement = 'approve' }\n\
            break_glass.persons = ['wang.li']\n";
        fs::write(folder.path().join("policy.toml"), policy).unwrap();
        let digest = "1b988d7c6233e6a7b9beecc77f17be0de3151cb55166760ae5c8f3ad83d7e3f4";
        let told = |more: &str| {
            let text = format!(
                "upstream = {{ provider = 'qoder', url = 'http://127.0.0.1:1' }}\n\
                 policy.file = 'policy.toml'\n{more}"
            );
            let checked = check_text(&folder.path().join("changegate.toml"), &text, &[]);
            let words = ["nobody can approve", "nobody can ask", "break_glass.persons"];
            let has =
                |word: &&str| checked.complaints.iter().any(|one| one.message.contains(*word));
            words.iter().filter(|word| has(word)).count()
        };
        let actor = "[[actor]]\nfingerprint = 'pat_0123456789abcdef'\nname = 'a'\n";
        let token =
            format!("[[admin.token]]\nname = 'b'\nrole = 'approver'\nsha256 = '{digest}'\n");
        assert_eq!(told(""), 3);
        assert_eq!(told(&format!("{actor}{token}")), 3);
        assert_eq!(told(&format!("{actor}{token}person = 'jun'\n")), 2);
        assert_eq!(told(&format!("{token}person = 'jun'\n{actor}person = 'wang.li'\n")), 0);
    }

    #[test]
    fn approvers_whom_nobody_is_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let policy = "[timezones]\nallowed = ['UTC']\nenforcement = 'approve'\n\
            approvers = ['jun', 'Wang.Li', 'zhao.min']\n";
        fs::write(folder.path().join("policy.toml"), policy).unwrap();
        let digest = "1b988d7c6233e6a7b9beecc77f17be0de3151cb55166760ae5c8f3ad83d7e3f4";
        let text = format!(
            "upstream = {{ provider = 'qoder', url = 'http://127.0.0.1:1' }}\n\
             policy.file = 'policy.toml'\n\
             [[actor]]\nfingerprint = 'pat_0123456789abcdef'\nname = 'a'\nperson = 'wang.li'\n\
             [[admin.token]]\nname = 'b'\nrole = 'approver'\nperson = 'jun'\nsha256 = '{digest}'\n"
        );
        let told = |text: &str| {
            let checked = check_text(&folder.path().join("changegate.toml"), text, &[]);
            let complaints = checked.complaints.iter().map(|one| one.message.as_str());
            complaints.filter(|told| told.contains("approvers")).collect::<Vec<_>>().join("\n")
        };
        let both = told(&text);
        assert!(both.contains("name \"Wang.Li\", who is \"wang.li\""), "{both}");
        assert!(both.contains("name \"zhao.min\", and no [[admin.token]]"), "{both}");
        assert_eq!(both.lines().count(), 2);
        // Whoever a proxy vouches for may be named too.
        let word = format!("{text}[admin.auth_proxy]\naddresses = ['127.0.0.1']\n");
        assert_eq!(told(&word).lines().count(), 1);
    }
}
