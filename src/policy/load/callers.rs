//! `actors`, `teams`, `except_actors` and `except_teams` of a section or a rule.

use std::collections::BTreeSet;

use crate::policy::rule::scope::Callers;
use crate::policy::{Mention, MentionKind};
use crate::settings::complaint::Location;
use crate::settings::raw::Node;
use crate::settings::reader::{Placed, Reader};
use crate::settings::value::name;

/// The longest name of an actor or a team, in characters.
const NAME_CHARS_MAX: usize = 128;

/// The four keys, where they were typed.
struct Typed {
    actors: Option<Vec<Placed<String>>>,
    teams: Option<Vec<Placed<String>>>,
    except_actors: Option<Vec<Placed<String>>>,
    except_teams: Option<Vec<Placed<String>>>,
}

/// The callers that a section is about.
pub(super) fn of_section(
    reader: &mut Reader<'_>,
    section: &str,
    mentions: &mut Vec<Mention>,
) -> Callers {
    let mut list = |key: &str| {
        let path = format!("{section}.{key}");
        let is_there = reader.place(&path).is_some();
        let names = reader.each(&path, name(NAME_CHARS_MAX));
        is_there.then_some(names)
    };
    let typed = Typed {
        actors: list("actors"),
        teams: list("teams"),
        except_actors: list("except_actors"),
        except_teams: list("except_teams"),
    };
    typed.callers(Callers::default(), mentions)
}

/// The callers that a table of an array is about; what it does not say itself is as in `around`.
pub(super) fn of_table(
    reader: &mut Reader<'_>,
    table: &Node,
    array: &str,
    around: Callers,
    mentions: &mut Vec<Mention>,
) -> Callers {
    let mut list = |key: &str| {
        let path = format!("{array}[].{key}");
        reader.items(table, &path, name(NAME_CHARS_MAX))
    };
    let typed = Typed {
        actors: list("actors"),
        teams: list("teams"),
        except_actors: list("except_actors"),
        except_teams: list("except_teams"),
    };
    typed.callers(around, mentions)
}

impl Typed {
    fn callers(self, around: Callers, mentions: &mut Vec<Mention>) -> Callers {
        let mut names = |kind: MentionKind, names: Vec<Placed<String>>| -> BTreeSet<String> {
            let mention = |(name, place): &Placed<String>| {
                let line = if let Location::Line(line) = place { Some(*line) } else { None };
                Mention { kind, name: name.clone(), line }
            };
            mentions.extend(names.iter().map(mention));
            names.into_iter().map(|(name, _place)| name).collect()
        };
        let (actor, team) = (MentionKind::Actor, MentionKind::Team);
        // `actors` and `teams` say together who is meant: one of them alone replaces both.
        let says_who = self.actors.is_some() || self.teams.is_some();
        let actors = self.actors.map(|listed| names(actor, listed));
        let teams = self.teams.map(|listed| names(team, listed));
        let except_actors = self.except_actors.map(|listed| names(actor, listed));
        let except_teams = self.except_teams.map(|listed| names(team, listed));
        let (actors, teams) =
            if says_who { (actors, teams) } else { (around.actors, around.teams) };
        Callers {
            actors,
            teams,
            except_actors: except_actors.unwrap_or(around.except_actors),
            except_teams: except_teams.unwrap_or(around.except_teams),
        }
    }
}
