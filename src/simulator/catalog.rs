//! Agents and environments, as far as deployments need them.

use serde_json::{Value, json};

use super::problem::Problem;
use super::shelf::Shelf;
use super::timetable::seconds;
use crate::base::clock::Timestamp;
use crate::deployment::Object;

/// How many agents, and how many environments, there can be.
const CAPACITY: usize = 10_000;

/// The things that deployments refer to.
#[derive(Debug)]
pub(super) struct Catalog {
    /// The agents.
    pub(super) agents: Shelf<Entry>,
    /// The environments.
    pub(super) environments: Shelf<Entry>,
}

/// An agent or an environment.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    kind: Kind,
    id: String,
    /// Counts an agent's updates, from 1.
    pub(super) version: u64,
    created_at: Timestamp,
    updated_at: Timestamp,
    archived_at: Option<Timestamp>,
    fields: Object,
}

/// Which of the two an [`Entry`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `/agents`.
    Agent,
    /// `/environments`.
    Environment,
}

impl Kind {
    /// The kind whose collection is that path segment.
    pub(super) fn of_segment(segment: &str) -> Option<Self> {
        match segment {
            "agents" => Some(Self::Agent),
            "environments" => Some(Self::Environment),
            _ => None,
        }
    }

    /// The kind's name in bodies and messages.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Environment => "environment",
        }
    }

    /// The beginning of ids of this kind.
    pub(super) const fn id_prefix(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Environment => "env",
        }
    }
}

impl Catalog {
    /// A catalog without entries.
    pub(super) fn new() -> Self {
        Self { agents: Shelf::new(CAPACITY), environments: Shelf::new(CAPACITY) }
    }

    /// The entries of that kind.
    pub(super) fn shelf(&self, kind: Kind) -> &Shelf<Entry> {
        match kind {
            Kind::Agent => &self.agents,
            Kind::Environment => &self.environments,
        }
    }

    /// The entries of that kind, to be changed.
    pub(super) fn shelf_mut(&mut self, kind: Kind) -> &mut Shelf<Entry> {
        match kind {
            Kind::Agent => &mut self.agents,
            Kind::Environment => &mut self.environments,
        }
    }

    /// The entry of that id, to be changed.
    pub(super) fn entry_mut(&mut self, kind: Kind, id: &str) -> Result<&mut Entry, Problem> {
        self.shelf_mut(kind).find_mut(id).ok_or_else(|| Problem::not_found(kind.name()))
    }

    /// Reads a reference to an agent, a bare id or `{id, type, version}`, and pins it: to the
    /// version it names, else to the latest one.
    pub(super) fn pin(&self, reference: &Value) -> Result<Value, Problem> {
        let bad = |message: &str| Problem::field("agent", message);
        let id = match reference {
            Value::String(id) => Some(id.as_str()),
            Value::Object(object) if object.get("type").is_none_or(|kind| kind == "agent") => {
                object.get("id").and_then(Value::as_str)
            }
            _ => None,
        };
        let id = id.ok_or_else(|| bad("agent must be an id or {id, type: \"agent\", version}"))?;
        let latest = self.usable(Kind::Agent, id, "agent")?.version;
        let version = match reference.get("version") {
            None | Some(Value::Null) => latest,
            Some(version) => version
                .as_u64()
                .filter(|version| (1..=latest).contains(version))
                .ok_or_else(|| bad("agent.version names no version of this agent"))?,
        };
        Ok(json!({"id": id, "type": "agent", "version": version}))
    }

    /// Reads a reference to an environment.
    pub(super) fn environment(&self, reference: &Value) -> Result<Value, Problem> {
        let id = reference.as_str().ok_or_else(|| {
            Problem::field("environment_id", "environment_id must be an environment's id")
        })?;
        self.usable(Kind::Environment, id, "environment_id").map(|_entry| id.into())
    }

    fn usable(&self, kind: Kind, id: &str, param: &str) -> Result<&Entry, Problem> {
        match self.shelf(kind).find(id) {
            None => Err(Problem::field(param, format!("there is no such {}", kind.name()))),
            Some(entry) if entry.archived_at.is_some() => {
                Err(Problem::field(param, format!("the {} is archived", kind.name())))
            }
            Some(entry) => Ok(entry),
        }
    }
}

impl Entry {
    /// A new entry; it needs a name.
    pub(super) fn new(kind: Kind, id: &str, body: Object, now: Timestamp) -> Result<Self, Problem> {
        let mut entry = Self::planted(kind, id, 0, now);
        entry.fields.clear();
        entry.update(body, now)?;
        Ok(entry)
    }

    /// An entry that was there before anyone asked for it.
    pub(super) fn planted(kind: Kind, id: &str, version: u64, now: Timestamp) -> Self {
        let mut fields = Object::new();
        fields.insert("name".to_owned(), id.into());
        let id = id.to_owned();
        Self { kind, id, version, created_at: now, updated_at: now, archived_at: None, fields }
    }

    /// Changes what the body names: for an agent, that makes a new version.
    pub(super) fn update(&mut self, body: Object, now: Timestamp) -> Result<(), Problem> {
        if self.archived_at.is_some() {
            return Err(Problem::new(409, format!("the {} is archived", self.kind.name())));
        }
        let name = body.get("name").or_else(|| self.fields.get("name")).and_then(Value::as_str);
        if !name.is_some_and(|name| (1..=256).contains(&name.chars().count())) {
            return Err(Problem::field("name", "name must have 1 to 256 characters"));
        }
        self.fields.extend(body);
        self.version += 1;
        self.updated_at = now;
        Ok(())
    }

    /// Archives the entry; once archived it stays as it is.
    pub(super) fn archive(&mut self, now: Timestamp) {
        if self.archived_at.is_none() {
            self.archived_at = Some(now);
            self.updated_at = now;
        }
    }

    /// Whether it is archived.
    pub(super) fn is_archived(&self) -> bool {
        self.archived_at.is_some()
    }

    /// The entry as the API shows it.
    pub(super) fn show(&self) -> Value {
        let mut shown = self.fields.clone();
        shown.insert("id".to_owned(), self.id.as_str().into());
        shown.insert("type".to_owned(), self.kind.name().into());
        shown.insert("created_at".to_owned(), seconds(self.created_at).into());
        shown.insert("updated_at".to_owned(), seconds(self.updated_at).into());
        shown.insert("archived_at".to_owned(), self.archived_at.map(seconds).into());
        if self.kind == Kind::Agent {
            shown.insert("version".to_owned(), self.version.into());
        }
        shown.into()
    }
}
