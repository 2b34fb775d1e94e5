//! Actors, as the configuration lists them.

use std::collections::{HashMap, HashSet};

use super::persons;
use crate::base::claims::Claims;
use crate::base::ids::Fingerprint;

/// `[[actor]]` and `[actors]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Actors {
    /// Whether a token that is not listed is refused (`unknown = "deny"`).
    pub deny_unknown: bool,
    /// The listed ones.
    pub known: HashMap<Fingerprint, ActorName>,
    /// The listed service accounts, by their subjects.
    pub subjects: HashMap<String, Vec<SubjectName>>,
}

/// A service account, as `[[actor]]` names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubjectName {
    /// The issuer that its tokens must come from; `None` for any.
    pub issuer: Option<String>,
    /// The name of the account.
    pub name: ActorName,
}

impl Actors {
    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.known.len() + self.subjects.values().map(Vec::len).sum::<usize>()
    }

    /// The service account that a token's claims name; one whose issuer is listed comes first.
    #[must_use]
    pub fn of_claims(&self, claims: &Claims) -> Option<&ActorName> {
        let listed = self.subjects.get(&claims.subject)?;
        let by = |issuer: Option<&str>| {
            listed.iter().find(move |listed| listed.issuer.as_deref() == issuer)
        };
        by(Some(&claims.issuer)).or_else(|| by(None)).map(|listed| &listed.name)
    }

    /// The names of all of them.
    pub fn names(&self) -> impl Iterator<Item = &ActorName> {
        let accounts = self.subjects.values().flatten().map(|listed| &listed.name);
        self.known.values().chain(accounts)
    }

    /// The humans behind them.
    #[must_use]
    pub fn persons(&self) -> HashSet<&str> {
        let accounts = self.subjects.values().flatten().map(|subject| &subject.name);
        self.known.values().chain(accounts).filter_map(|name| name.person.as_deref()).collect()
    }

    /// A human's name as it is written here, where `person` differs from that in its letters' case
    /// or form alone: an issuer may write it otherwise, and nobody is two.
    #[must_use]
    pub fn spelled(&self, person: &str) -> String {
        let persons = self.persons();
        if persons.contains(person) {
            return person.to_owned();
        }
        let wanted = persons::folded(person);
        let known = persons.into_iter().find(|known| persons::folded(known) == wanted);
        known.unwrap_or(person).to_owned()
    }

    /// The tokens that are listed under a name.
    #[must_use]
    pub fn tokens_of(&self, name: &str) -> Vec<Fingerprint> {
        let theirs = self.known.iter().filter(|(_, holder)| holder.name == name);
        theirs.map(|(token, _)| *token).collect()
    }
}

/// The holder of a token, as `[[actor]]` names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActorName {
    /// The holder.
    pub name: String,
    /// The holder's team.
    pub team: Option<String>,
    /// The human behind it: who may neither approve its changes nor be anybody else.
    pub person: Option<String>,
}

impl ActorName {
    /// Whether it is the actor's own name, or that of the person behind it.
    #[must_use]
    pub fn is_called(&self, name: &str) -> bool {
        self.name == name || self.person.as_deref() == Some(name)
    }
}
