//! Questions to the log: filters, cursors, pages.

use std::path::Path;

use serde::Serialize;
use serde_json::Value;

use super::record::{Change, Event, Outcome, Ruling};
use crate::clock::Timestamp;
use crate::ids::{ChangeId, Fingerprint};
use crate::provider::Operation;

/// Which changes are asked for; what is none is not asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Of this deployment.
    pub deployment_id: Option<String>,
    /// By this actor: a fingerprint, or a name from `[[actor]]`.
    pub actor: Option<ActorFilter>,
    /// By this team.
    pub team: Option<String>,
    /// Of this operation.
    pub operation: Option<Operation>,
    /// So decided.
    pub decision: Option<Ruling>,
    /// So ended.
    pub outcome: Option<Outcome>,
    /// Breaking this rule.
    pub rule: Option<String>,
    /// Changing this place (a JSON Pointer) or one below it, computed fields aside.
    pub path: Option<String>,
    /// Of this request.
    pub request_id: Option<String>,
    /// Received at or after.
    pub since: Option<Timestamp>,
    /// Received before.
    pub until: Option<Timestamp>,
    /// This text, case-insensitive, in ids, names, user agent, violation messages or changed
    /// paths.
    pub q: Option<String>,
}

/// How an actor is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ActorFilter {
    /// By token.
    Fingerprint(Fingerprint),
    /// By name.
    Name(String),
}

/// A place in a list that stays the same while the list grows: opaque text outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The `seq` of the last item seen.
    pub seq: i64,
}

/// Which part of a list is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageRequest {
    /// At most so many, 1 to 1,000.
    pub limit: u16,
    /// What comes after this place.
    pub cursor: Option<Cursor>,
}

/// One part of a list, newest first.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Page<T> {
    /// The items.
    pub data: Vec<T>,
    /// Where the next part begins, if there is one.
    pub next_cursor: Option<String>,
    /// Whether there is a next part.
    pub has_more: bool,
}

/// What the log knows of one deployment.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DeploymentSummary {
    /// Its id.
    pub id: String,
    /// Its name in the newest snapshot, where there is one.
    pub name: Option<String>,
    /// How many changes are recorded.
    pub changes: i64,
    /// When the newest was received.
    pub last_changed_at: Timestamp,
    /// The newest change.
    pub last_change: ChangeId,
}

/// A deployment as the log last saw it at a moment.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DeploymentAt {
    /// Its id.
    pub deployment_id: String,
    /// The moment asked for.
    pub time: Timestamp,
    /// When the log saw it so.
    pub seen_at: Timestamp,
    /// The change whose before or after it is.
    pub change: ChangeId,
    /// The document, concealed values concealed.
    pub deployment: Value,
}

/// A question could not be answered.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The cursor is not one of ours.
    #[error("the cursor is not one that this API gave: start again without it")]
    BadCursor,
    /// The store did not answer.
    #[error("can't read the audit database")]
    Store(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Reads the log, beside a running gateway or without one.
#[derive(Clone, Debug)]
pub struct Reader {}

impl Cursor {
    /// The cursor from its text.
    pub fn parse(text: &str) -> Result<Self, QueryError> {
        let _ = text;
        todo!()
    }
}

impl Reader {
    /// Opens an existing log for reading only.
    pub async fn open(database: &Path) -> Result<Self, QueryError> {
        let _ = database;
        todo!()
    }

    /// Changes, newest first, with their bodies where `bodies`.
    pub async fn changes(
        &self,
        filter: &Filter,
        page: PageRequest,
        bodies: bool,
    ) -> Result<Page<Change>, QueryError> {
        let _ = (filter, page, bodies);
        todo!()
    }

    /// One whole change.
    pub async fn change(&self, id: ChangeId) -> Result<Option<Change>, QueryError> {
        let _ = id;
        todo!()
    }

    /// Every deployment that a change is recorded of, the newest changed first.
    pub async fn deployments(
        &self,
        page: PageRequest,
    ) -> Result<Page<DeploymentSummary>, QueryError> {
        let _ = page;
        todo!()
    }

    /// A deployment as last seen at or before `time`.
    pub async fn deployment_at(
        &self,
        deployment_id: &str,
        time: Timestamp,
    ) -> Result<Option<DeploymentAt>, QueryError> {
        let _ = (deployment_id, time);
        todo!()
    }

    /// Events, newest first; `since` and `until` bound their time.
    pub async fn events(
        &self,
        since: Option<Timestamp>,
        until: Option<Timestamp>,
        page: PageRequest,
    ) -> Result<Page<Event>, QueryError> {
        let _ = (since, until, page);
        todo!()
    }
}
