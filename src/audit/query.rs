//! Questions to the log: filters, cursors, pages.

mod approvals;
mod blame;
mod bodies;
mod drift;
mod named;
mod unseen;
mod walk;

use std::fmt;
use std::path::Path;

use serde::Serialize;
use utoipa::ToSchema;
use utoipa::openapi::Ref;
use utoipa::openapi::schema::{Array, ArrayBuilder};

pub(crate) use self::approvals::asked_diff;
pub use self::blame::{Blame, Field, Origin, Setter};
pub use self::bodies::Texts;
pub use self::drift::{Drift, DriftNow, DriftPlace, LastLeft};
pub use self::named::NAMED_MAX;
pub use self::unseen::Unseen;
pub use self::walk::Walk;
pub use super::count::{
    BadCounting, Count, CountedBy, Counting, Counts, Step, StepCounts, VALUES_MAX,
};
use super::idempotency::EarlierCall;
pub use super::pruned::PrunedSpan;
pub(crate) use super::question::Text;
pub use super::question::{
    ActorFilter, BodyTexts, DeploymentAt, DeploymentSummary, EventFilter, Filter, KnownPolicy,
    RecordedChange,
};
use super::question::{FoundChanges, FoundEvents, Unclear};
use super::record::{Change, Event};
use super::store::{Beside, Boxed, FindError, Reads, find};
use crate::base::clock::Timestamp;
use crate::base::database::Database;
use crate::base::ids::{ChangeId, Fingerprint, Hex, unhex};
use crate::deployment::key::DeploymentKey;

/// The most items of one page.
pub const LIMIT_MAX: u16 = 1_000;

/// The most changes of one page that shows their bodies, each of which may be megabytes.
pub const BODIES_LIMIT_MAX: u16 = 100;

/// The most characters of a text that is searched for.
const SEARCH_CHARS_MAX: usize = 200;

/// How the text of a cursor begins: its version.
const CURSOR_VERSION: &str = "c1_";

/// A place in a list that stays the same while the list grows: opaque text outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The `seq` of the last item seen.
    pub seq: i64,
    /// The newest `seq` when the list was begun, where its items move: a deployment that changes
    /// meanwhile keeps its place.
    pub until: Option<i64>,
}

/// Which part of a list is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageRequest {
    /// At most so many, 1 to 1,000 ([`LIMIT_MAX`]); of changes with bodies at most 100
    /// ([`BODIES_LIMIT_MAX`]). What lies outside is taken as the nearest that does not.
    pub limit: u16,
    /// The place that the part begins behind; `None` for the first part.
    pub cursor: Option<Cursor>,
}

/// One part of a list, newest first.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Page<T> {
    /// The items.
    #[schema(schema_with = items::<T>)]
    pub data: Vec<T>,
    /// Where the next page begins; null on the last one.
    #[schema(required)]
    pub next_cursor: Option<String>,
    /// Whether there is a next page.
    pub has_more: bool,
}

/// The schema of a page's items: named, where a derived one would repeat theirs.
fn items<T: ToSchema>() -> Array {
    let item = Ref::from_schema_name(T::name());
    ArrayBuilder::new().items(item).description(Some("The items.")).build()
}

/// A question could not be answered.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The cursor is not one of ours.
    #[error("the cursor is not one that this API gave: start again without it")]
    BadCursor,
    /// There is no log.
    #[error("there is no audit database at {database}: start the gateway once, or fix the path")]
    Missing {
        /// Where it was looked for.
        database: String,
    },
    /// It is the database of another program.
    #[error("{database} is not an audit log: name that of the gateway in audit.database")]
    Foreign {
        /// The database.
        database: String,
    },
    /// A name stands for more deployments than one question may be about.
    #[error(
        "more than {most} deployments have this in their name: write more of it, or the id of one"
    )]
    ManyNamed {
        /// How many one question may be about.
        most: usize,
    },
    /// The store did not answer.
    #[error("can't read the audit database")]
    Store(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Reads the log, beside a running gateway or without one.
#[derive(Clone, Debug)]
pub struct Reader {
    reads: Reads,
}

impl Cursor {
    /// The cursor from its text.
    pub fn parse(text: &str) -> Result<Self, QueryError> {
        let digits = text.strip_prefix(CURSOR_VERSION).ok_or(QueryError::BadCursor)?;
        let place = |digits| unhex::<8>(digits).map(i64::from_be_bytes).filter(|seq| *seq > 0);
        let (seq, until) = digits.split_at_checked(16).ok_or(QueryError::BadCursor)?;
        let seq = place(seq).ok_or(QueryError::BadCursor)?;
        if until.is_empty() {
            return Ok(Self { seq, until: None });
        }
        let until = place(until).ok_or(QueryError::BadCursor)?;
        Ok(Self { seq, until: Some(until) })
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{CURSOR_VERSION}{}", Hex(&self.seq.to_be_bytes()))?;
        self.until.map_or(Ok(()), |until| write!(f, "{}", Hex(&until.to_be_bytes())))
    }
}

impl Filter {
    /// Whether changes may have to be looked through one by one: nothing that is asked for here
    /// beside these has an index.
    pub(crate) fn scans(&self) -> bool {
        let rest = Self {
            deployment_id: None,
            deployment_ids: None,
            deployment_name: None,
            actor: None,
            team: None,
            decision: None,
            outcome: None,
            request_id: None,
            since: None,
            until: None,
            rule: None,
            path: None,
            asked_path: None,
            q_in_ids: false,
            ..self.clone()
        };
        rest != Self::default()
    }
}

impl PageRequest {
    /// The place before which the page begins: that of the cursor, or the end of the log.
    fn before(self) -> i64 {
        self.cursor.map_or(i64::MAX, |cursor| cursor.seq)
    }

    /// The newest place that the list knows of, where it is not begun with this page.
    fn until(self) -> Option<i64> {
        self.cursor.and_then(|cursor| cursor.until)
    }

    fn limit(self, limit_max: u16) -> u16 {
        self.limit.clamp(1, limit_max)
    }
}

impl<T> Page<T> {
    /// A page from up to one item more than `limit`, which shows whether there are more.
    fn cut(mut items: Vec<(i64, T)>, limit: u16, until: Option<i64>) -> Self {
        let has_more = items.len() > usize::from(limit);
        items.truncate(usize::from(limit));
        let last = items.last().filter(|_last| has_more);
        let next_cursor = last.map(|(seq, _item)| Cursor { seq: *seq, until }.to_string());
        let data = items.into_iter().map(|(_seq, item)| item).collect();
        Self { data, next_cursor, has_more }
    }
}

impl Reader {
    /// The store's own asking side.
    pub(super) fn reads(&self) -> &Reads {
        &self.reads
    }

    /// Whether several gateways share the log.
    pub(crate) fn is_shared(&self) -> bool {
        self.reads.are_shared()
    }

    /// Opens an existing log for reading only.
    pub async fn open(database: &Database) -> Result<Self, QueryError> {
        if database.is_missing() {
            return Err(QueryError::Missing { database: database.to_string() });
        }
        // What else is wrong with it, the first question tells.
        if let Err(FindError::Foreign) = find(database, Beside::Anyone).await {
            return Err(QueryError::Foreign { database: database.to_string() });
        }
        let reads = Reads::open(database).await.map_err(QueryError::Store)?;
        Ok(Self { reads })
    }

    /// The asking side of a log that this process writes.
    pub(super) fn beside_the_writer(reads: Reads) -> Self {
        Self { reads }
    }

    /// Changes, newest first, with their bodies where `bodies`. Where they are large, or where
    /// 20,000 were looked through, a page has fewer than were asked for, and its cursor leads on. A
    /// question that is dropped is interrupted, as all are.
    pub async fn changes(
        &self,
        filter: &Filter,
        page: PageRequest,
        bodies: bool,
    ) -> Result<Page<Change>, QueryError> {
        let limit = page.limit(if bodies { BODIES_LIMIT_MAX } else { LIMIT_MAX });
        let mut filter = self.with_named(filter.clone(), NAMED_MAX).await?;
        filter.q = filter.q.map(|text| text.chars().take(SEARCH_CHARS_MAX).collect());
        let found = Box::pin(self.reads.changes(&filter, page.before(), limit, bodies)).await;
        let FoundChanges { changes, next } = found.map_err(QueryError::Store)?;
        let next_cursor = next.map(|seq| Cursor { seq, until: None }.to_string());
        Ok(Page { data: changes, has_more: next_cursor.is_some(), next_cursor })
    }

    /// One whole change.
    pub async fn change(&self, id: ChangeId) -> Result<Option<Change>, QueryError> {
        self.reads.change(id).await.map_err(QueryError::Store)
    }

    /// One change without its bodies.
    pub async fn bare_change(&self, id: ChangeId) -> Result<Option<Change>, QueryError> {
        self.reads.bare_change(id).await.map_err(QueryError::Store)
    }

    /// The bodies of changes, as the log holds them, to be read one after another.
    pub async fn texts(&self) -> Result<Texts, QueryError> {
        Ok(Texts(self.reads.documents().await.map_err(QueryError::Store)?))
    }

    /// Every deployment that a change is recorded of, the newest changed first; on later pages as
    /// it was when the first was asked for. Their names are read where `names`.
    pub async fn deployments(
        &self,
        page: PageRequest,
        names: bool,
    ) -> Result<Page<DeploymentSummary>, QueryError> {
        let limit = page.limit(LIMIT_MAX);
        let (until, most) = (page.until(), i64::from(limit) + 1);
        let found = self.reads.deployments(page.before(), until, most, names).await;
        let found = found.map_err(QueryError::Store)?;
        let until = until.or(found.first().map(|(newest, _deployment)| *newest));
        Ok(Page::cut(found, limit, until))
    }

    /// The name of each of these deployments in its newest snapshot, where there is one.
    pub async fn deployment_names(
        &self,
        ids: &[String],
    ) -> Result<Vec<Option<String>>, QueryError> {
        self.reads.deployment_names(ids).await.map_err(QueryError::Store)
    }

    /// The tokens that had this name in the newest 20,000 of its changes: what they did before they
    /// were named is found by them.
    pub async fn tokens_of(&self, name: &str) -> Result<Vec<Fingerprint>, QueryError> {
        self.reads.tokens_of(name).await.map_err(QueryError::Store)
    }

    /// Copies the whole log into `target`, an empty file or none, as it is at one moment.
    pub async fn copy_to(&self, target: &Path) -> Result<(), QueryError> {
        self.reads.copy_to(target).await.map_err(QueryError::Store)
    }

    /// The texts of the newest 1,000 policies that changes were judged by.
    pub async fn policies(&self) -> Result<Vec<String>, QueryError> {
        self.reads.policies(i64::from(LIMIT_MAX)).await.map_err(QueryError::Store)
    }

    /// A deployment as last seen at or before `time`.
    pub async fn deployment_at(
        &self,
        deployment_id: &str,
        time: Timestamp,
    ) -> Result<Option<DeploymentAt>, QueryError> {
        self.reads.deployment_at(deployment_id, time).await.map_err(QueryError::Store)
    }

    /// Changes counted over time.
    pub async fn counts(&self, counting: &Counting) -> Result<Counts, QueryError> {
        let rows = self.reads.counts(counting).await.map_err(QueryError::Store)?;
        Ok(counting.counts(rows))
    }

    /// Events, newest first. Where 20,000 were looked through, a page has fewer than were asked
    /// for, and its cursor leads on.
    pub async fn events(
        &self,
        filter: &EventFilter,
        page: PageRequest,
    ) -> Result<Page<Event>, QueryError> {
        let found = self.reads.events(filter, page.before(), page.limit(LIMIT_MAX)).await;
        let FoundEvents { events, next } = found.map_err(QueryError::Store)?;
        let next_cursor = next.map(|seq| Cursor { seq, until: None }.to_string());
        let data = events.into_iter().map(|(_seq, event)| event).collect();
        Ok(Page { data, has_more: next_cursor.is_some(), next_cursor })
    }

    /// The call that was forwarded under the idempotency key of this digest, in force `now`.
    pub(super) async fn earlier_call(
        &self,
        digest: [u8; 16],
        now: Timestamp,
    ) -> Result<Option<EarlierCall>, Boxed> {
        self.reads.earlier_call(digest, now).await
    }

    /// The unclear changes of a deployment, the oldest first.
    pub(super) async fn unclear(&self, deployment: &DeploymentKey) -> Result<Vec<Unclear>, Boxed> {
        self.reads.unclear(deployment).await
    }

    /// Deployments with unclear changes, at most `limit` of them, and how many each has.
    pub(super) async fn unsettled(&self, limit: i64) -> Result<Vec<(DeploymentKey, i64)>, Boxed> {
        self.reads.unsettled(limit).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_survives_printing_and_foreign_text_is_refused() {
        for until in [None, Some(0x89ab_cdef)] {
            let cursor = Cursor { seq: 0x0123_4567, until };
            assert_eq!(Cursor::parse(&cursor.to_string()).unwrap(), cursor);
        }
        let bad = ["", "c1_", "7", "c2_0000000000000001", "c1_ffffffffffffffff", "c1_\u{e9}"];
        let longer = ["0", "0000000000000000", "00000000000000010"];
        let longer = longer.map(|until| format!("c1_0000000000000001{until}"));
        for text in bad.into_iter().chain(longer.iter().map(String::as_str)) {
            assert!(matches!(Cursor::parse(text), Err(QueryError::BadCursor)), "{text}");
        }
    }
}
