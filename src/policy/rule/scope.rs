//! The calls that a rule is asked about.

use std::collections::BTreeSet;

use crate::policy::Actor;
use crate::policy::subject::Subject;
use crate::provider::Operation;

/// The calls that a rule is asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// The operations.
    pub operations: Vec<Operation>,
    /// Those who call.
    pub callers: Callers,
}

/// Those whose calls a rule is asked about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Callers {
    /// These alone, and those of `teams`: by name, person or fingerprint. `None` together with no
    /// `teams` is everybody.
    pub actors: Option<BTreeSet<String>>,
    /// The actors of these teams alone, and `actors`.
    pub teams: Option<BTreeSet<String>>,
    /// Never these, by name, person or fingerprint.
    pub except_actors: BTreeSet<String>,
    /// Never the actors of these teams.
    pub except_teams: BTreeSet<String>,
}

impl Default for Scope {
    /// Every call: what a call leaves as it is is standing.
    fn default() -> Self {
        Self { operations: Operation::ALL.to_vec(), callers: Callers::default() }
    }
}

impl Scope {
    /// Whether the rule is asked about a change.
    pub(super) fn covers(&self, subject: &Subject<'_>) -> bool {
        self.operations.contains(&subject.operation) && self.callers.include(subject.actor)
    }
}

impl Scope {
    /// What it says, in sentences; nothing where it is every call.
    pub(super) fn words(&self) -> Vec<String> {
        let of = |operations: &[Operation]| {
            let names: Vec<&str> = operations.iter().map(|operation| operation.name()).collect();
            names.join(", ")
        };
        let is_all = Operation::ALL.iter().all(|all| self.operations.contains(all));
        let operations = (!is_all).then(|| format!("Asked on {}.", of(&self.operations)));
        let callers = self.callers.words().map(|callers| format!("Asked about {callers}."));
        operations.into_iter().chain(callers).collect()
    }
}

impl Callers {
    /// Whether an actor is one of them. A token that is not listed has no name, no person and no
    /// team: nothing but its fingerprint picks it out, for better or worse.
    fn include(&self, actor: &Actor) -> bool {
        let is_in = |actors: Option<&BTreeSet<String>>, teams: Option<&BTreeSet<String>>| {
            actors.is_some_and(|actors| is_one_of(actor, actors))
                || teams.is_some_and(|teams| is_of(actor, teams))
        };
        let everybody = self.actors.is_none() && self.teams.is_none();
        (everybody || is_in(self.actors.as_ref(), self.teams.as_ref()))
            && !is_in(Some(&self.except_actors), Some(&self.except_teams))
    }

    /// What it says, in words; `None` where it is everybody.
    fn words(&self) -> Option<String> {
        let list = |what: &str, names: &BTreeSet<String>| {
            let names: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
            (!names.is_empty()).then(|| format!("{what} {}", names.join(", ")))
        };
        let joined = |[actors, teams]: [Option<&BTreeSet<String>>; 2]| {
            let actors = actors.and_then(|names| list("the actors", names));
            let teams = teams.and_then(|names| list("the teams", names));
            let all: Vec<String> = actors.into_iter().chain(teams).collect();
            (!all.is_empty()).then(|| all.join(" and "))
        };
        let only = joined([self.actors.as_ref(), self.teams.as_ref()]);
        let except = joined([Some(&self.except_actors), Some(&self.except_teams)]);
        let is_nobody = only.is_none() && (self.actors.is_some() || self.teams.is_some());
        match (only, except) {
            _ if is_nobody => Some("nobody".to_owned()),
            (None, None) => None,
            (Some(only), None) => Some(format!("only {only}")),
            (None, Some(except)) => Some(format!("everybody except {except}")),
            (Some(only), Some(except)) => Some(format!("only {only}, except {except}")),
        }
    }
}

/// Whether an actor is listed, by whatever it is known by.
fn is_one_of(actor: &Actor, listed: &BTreeSet<String>) -> bool {
    let is_listed = |name: &Option<String>| name.as_ref().is_some_and(|name| listed.contains(name));
    !listed.is_empty()
        && (is_listed(&actor.name)
            || is_listed(&actor.person)
            || listed.contains(&actor.fingerprint.to_string()))
}

fn is_of(actor: &Actor, teams: &BTreeSet<String>) -> bool {
    actor.team.as_ref().is_some_and(|team| teams.contains(team))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::Fingerprint;

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    fn actor(name: &str, person: &str, team: &str) -> Actor {
        let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        Actor {
            fingerprint: Fingerprint::from_bytes([7; 8]),
            name: text(name),
            person: text(person),
            team: text(team),
        }
    }

    #[test]
    fn callers_are_picked_out_by_what_they_are_known_by() {
        let everybody = Callers::default();
        let of = |actors: &[&str], teams: &[&str]| Callers {
            actors: (!actors.is_empty()).then(|| set(actors)),
            teams: (!teams.is_empty()).then(|| set(teams)),
            ..Callers::default()
        };
        let except = |actors: &[&str], teams: &[&str]| Callers {
            except_actors: set(actors),
            except_teams: set(teams),
            ..Callers::default()
        };
        let (bot, unlisted) = (actor("bot", "wang.li", "platform"), actor("", "", ""));
        let token = "pat_0707070707070707";
        for (callers, includes_bot, includes_unlisted) in [
            (everybody, true, true),
            (of(&["bot"], &[]), true, false),
            (of(&["wang.li"], &[]), true, false),
            (of(&[token], &[]), true, true),
            (of(&["Bot", "bot ", "platform", ""], &[]), false, false),
            (of(&[], &["platform"]), true, false),
            (of(&[], &["bot", "Platform", ""]), false, false),
            (of(&["other"], &["platform"]), true, false),
            (of(&["bot"], &["other"]), true, false),
            (except(&["bot"], &[]), false, true),
            (except(&["wang.li"], &[]), false, true),
            (except(&[token], &[]), false, false),
            (except(&[], &["platform"]), false, true),
            (except(&["other"], &["other", ""]), true, true),
            (Callers { actors: Some(set(&[])), ..Callers::default() }, false, false),
            (Callers { teams: Some(set(&[])), ..Callers::default() }, false, false),
            (Callers { except_actors: set(&["bot"]), ..of(&[], &["platform"]) }, false, false),
        ] {
            assert_eq!(callers.include(&bot), includes_bot, "{callers:?}");
            assert_eq!(callers.include(&unlisted), includes_unlisted, "{callers:?}");
        }
    }

    #[test]
    fn callers_are_told_in_words() {
        let callers = Callers {
            actors: Some(set(&["b", "a"])),
            teams: Some(set(&["t"])),
            except_actors: set(&["c"]),
            except_teams: set(&[]),
        };
        let words = "only the actors \"a\", \"b\" and the teams \"t\", except the actors \"c\"";
        assert_eq!(callers.words().as_deref(), Some(words));
        assert_eq!(Callers::default().words(), None);
        let nobody = Callers { actors: Some(set(&[])), ..Callers::default() };
        assert_eq!(nobody.words().as_deref(), Some("nobody"));
    }
}
