//! Holds: whose records are never pruned or erased.

use std::collections::BTreeSet;
use std::fmt;

use serde_json::{Value, json};

use crate::audit::record::{Event, EventKind};
use crate::audit::store::{Boxed, Reads, Subjects, Word};
use crate::base::clock::Timestamp;
use crate::base::ids::Fingerprint;

/// The most holds that are in force at a time by the log's own word.
pub(super) const HOLDS_MAX: usize = 1_000;

/// The most bytes of a name that is held.
pub(crate) const SUBJECT_BYTES_MAX: usize = 512;

/// Whose records a hold is of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HoldSubject {
    /// A deployment, by its id.
    Deployment(String),
    /// An actor, by name or by fingerprint.
    Actor(String),
    /// A team.
    Team(String),
}

/// A hold that the log knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// Whose records it is of.
    pub subject: HoldSubject,
    /// When it was added.
    pub at: Timestamp,
    /// Why, where somebody said so.
    pub reason: Option<String>,
}

/// Everything that is held.
#[derive(Clone, Debug, Default)]
pub(in crate::audit) struct Held {
    deployments: BTreeSet<String>,
    actors: BTreeSet<String>,
    fingerprints: BTreeSet<Vec<u8>>,
    teams: BTreeSet<String>,
    /// The newest word of the log on holds.
    pub(in crate::audit) word: i64,
}

impl HoldSubject {
    /// The word for its kind.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Deployment(_) => "deployment",
            Self::Actor(_) => "actor",
            Self::Team(_) => "team",
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Deployment(name) | Self::Actor(name) | Self::Team(name) => name,
        }
    }

    fn told(detail: &Value) -> Option<Self> {
        let name = |kind: &str| detail.get(kind).and_then(Value::as_str).map(str::to_owned);
        let deployment = name("deployment").map(Self::Deployment);
        deployment
            .or_else(|| name("actor").map(Self::Actor))
            .or_else(|| name("team").map(Self::Team))
    }

    /// The event that tells that it is held from now on, or is not any more.
    pub(super) fn event(&self, is_added: bool, reason: Option<&str>, at: Timestamp) -> Event {
        let step = if is_added { "added" } else { "removed" };
        let mut detail = json!({"step": step, self.kind(): self.name()});
        if let (Some(reason), Some(members)) = (reason, detail.as_object_mut()) {
            members.insert("reason".to_owned(), json!(reason));
        }
        let (actor, client_ip, request_id) = (None, None, None);
        Event { at, kind: EventKind::Hold, actor, client_ip, request_id, detail }
    }
}

impl fmt::Display for HoldSubject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind(), self.name())
    }
}

/// The holds that are in force by the words of the log, and the place of the newest word.
pub(super) async fn in_force(reads: &Reads) -> Result<(Vec<Hold>, i64), Boxed> {
    let (mut holds, mut newest): (Vec<Hold>, i64) = (Vec::new(), 0);
    loop {
        let words = reads.hold_words(newest).await?;
        let Some(last) = words.last() else { return Ok((holds, newest)) };
        newest = last.seq;
        for Word { at, detail, .. } in words {
            let detail: Value = serde_json::from_str(&detail)?;
            let Some(subject) = HoldSubject::told(&detail) else { continue };
            holds.retain(|hold| hold.subject != subject);
            if detail.get("step").and_then(Value::as_str) == Some("added") {
                let reason = detail.get("reason").and_then(Value::as_str).map(str::to_owned);
                holds.push(Hold { subject, at, reason });
            }
        }
    }
}

impl Held {
    /// What these and the log itself hold. An actor's name stands for the tokens that had it, too.
    pub(in crate::audit) async fn of(
        reads: &Reads,
        configured: &[HoldSubject],
    ) -> Result<Self, Boxed> {
        let (holds, word) = in_force(reads).await?;
        let mut held = Self { word, ..Self::default() };
        for subject in configured.iter().chain(holds.iter().map(|hold| &hold.subject)) {
            match subject {
                HoldSubject::Deployment(id) => drop(held.deployments.insert(id.clone())),
                HoldSubject::Team(name) => drop(held.teams.insert(name.clone())),
                HoldSubject::Actor(name) => {
                    if let Ok(fingerprint) = name.parse::<Fingerprint>() {
                        held.fingerprints.insert(fingerprint.as_bytes().to_vec());
                    }
                    let tokens = reads.tokens_of(name).await?;
                    held.fingerprints.extend(tokens.iter().map(|token| token.as_bytes().to_vec()));
                    held.actors.insert(name.clone());
                }
            }
        }
        Ok(held)
    }

    /// The hold that keeps a record of those.
    pub(in crate::audit) fn by(&self, subjects: &Subjects) -> Option<&'static str> {
        let Subjects { fingerprint, name, team } = subjects;
        let is_actor = fingerprint.as_ref().is_some_and(|token| self.fingerprints.contains(token))
            || name.as_ref().is_some_and(|name| self.actors.contains(name));
        let is_team = team.as_ref().is_some_and(|team| self.teams.contains(team));
        match (is_actor, is_team) {
            (true, _) => Some("held_actor"),
            (false, true) => Some("held_team"),
            (false, false) => None,
        }
    }

    /// The hold that keeps the records of a deployment.
    pub(in crate::audit) fn deployment(&self, id: Option<&str>) -> Option<&'static str> {
        id.is_some_and(|id| self.deployments.contains(id)).then_some("held_deployment")
    }

    /// Whether a text names a deployment that is held.
    pub(super) fn is_named_in(&self, text: &str) -> bool {
        self.deployments.iter().any(|id| text.contains(id.as_str()))
    }
}
