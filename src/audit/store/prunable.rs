//! What may be pruned, and what goes with it: found by the same statements in every kind of store.

use std::collections::BTreeSet;
use std::time::Duration;

use super::Boxed;
use super::counted::RULES;
use super::rows::{BadColumn, Bytes, Row, cell, maybe};
use crate::audit::record::Event;
use crate::base::clock::Timestamp;

/// What a pass may prune, holds aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::audit) struct PruneBounds {
    /// Changes up to this place go by their number.
    pub(in crate::audit) by_count: i64,
    /// What ended before this goes by its age.
    pub(in crate::audit) by_age: Timestamp,
    /// Nothing goes that ended at or after this.
    pub(in crate::audit) settled: Timestamp,
    /// What is in force by then stays.
    pub(in crate::audit) now: Timestamp,
    /// The first position of a leaf that somebody else still needs.
    pub(in crate::audit) spared: Option<u64>,
}

/// How long what a sink still needs is kept beyond its time.
const SINK_WAIT_MAX: Duration = Duration::from_hours(7 * 24);

impl PruneBounds {
    /// Nothing that ended before this waits for a sink any more. What goes by its number alone
    /// waits from when it was old enough to.
    fn waited(&self) -> Timestamp {
        let is_by_age = self.by_age > Timestamp::from_millis(i64::MIN);
        let due = if is_by_age { self.by_age } else { self.settled };
        due.minus(SINK_WAIT_MAX)
    }
}

/// A change that is old enough, and why it stays where it does.
#[derive(Clone, Debug)]
pub(in crate::audit) struct Candidate {
    pub(in crate::audit) seq: i64,
    pub(in crate::audit) kept: Option<String>,
    pub(in crate::audit) received_at: Timestamp,
    pub(in crate::audit) is_old: bool,
    pub(in crate::audit) subjects: Subjects,
    pub(in crate::audit) deployment: Option<String>,
    /// The documents that it names.
    pub(in crate::audit) snapshots: Vec<i64>,
}

/// Whose a record is.
#[derive(Clone, Debug, Default)]
pub(in crate::audit) struct Subjects {
    pub(in crate::audit) fingerprint: Option<Vec<u8>>,
    pub(in crate::audit) name: Option<String>,
    pub(in crate::audit) team: Option<String>,
}

/// An event that is old enough.
#[derive(Clone, Debug)]
pub(in crate::audit) struct OldEvent {
    pub(in crate::audit) seq: i64,
    pub(in crate::audit) at: Timestamp,
    pub(in crate::audit) subjects: Subjects,
    pub(in crate::audit) detail: String,
}

/// What an event tells of holds, or of a prune.
#[derive(Clone, Debug)]
pub(in crate::audit) struct Word {
    pub(in crate::audit) seq: i64,
    pub(in crate::audit) at: Timestamp,
    pub(in crate::audit) detail: String,
}

/// A document that is built upon others.
#[derive(Clone, Copy, Debug)]
pub(in crate::audit) struct Dependent {
    pub(in crate::audit) number: i64,
    /// Whether a change names it that stays.
    pub(in crate::audit) is_used: bool,
}

/// Records that go together, in one transaction, and what is left of them.
#[derive(Clone, Debug)]
pub(in crate::audit) struct PruneStep {
    pub(in crate::audit) bounds: PruneBounds,
    /// The newest word on holds that is known: where there is a newer one, nothing is done.
    pub(in crate::audit) holds: i64,
    pub(in crate::audit) changes: Vec<i64>,
    pub(in crate::audit) events: Vec<i64>,
    /// Rows of `touched`: place, kind and change.
    pub(in crate::audit) touched: Vec<(i64, i64, i64)>,
    /// Rows of `broken`.
    pub(in crate::audit) broken: Vec<(String, i64)>,
    /// Documents that nothing names any more.
    pub(in crate::audit) snapshots: Vec<i64>,
    /// Documents that stay and stand alone from now on, by their frames.
    pub(in crate::audit) repacked: Vec<(i64, Vec<u8>)>,
    /// The leaves that have no record any more.
    pub(in crate::audit) leaves: Vec<i64>,
    pub(in crate::audit) event: Event,
}

/// What came of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::audit) enum Pruned {
    /// It is done; it took so long up to its commit.
    Done(std::time::Duration),
    /// The log is not any more as it was found: nothing is done.
    Overtaken,
    /// Somebody else prunes it.
    Busy,
}

/// Something that a row tells.
pub(super) trait FromRow: Sized {
    fn of(row: &impl Row) -> Result<Self, Boxed>;
}

/// Events that are never pruned: what says that something else is not there any more, or why.
const KINDS_KEPT: &str =
    "'prune', 'erase', 'hold', 'key_rotation', 'seal_rotation', 'move', 'failover'";

/// Numbers as a list of SQL. One that is empty holds a number that nothing has: NOT IN takes NULL
/// for an answer to nothing.
pub(super) fn list(numbers: &[i64]) -> String {
    let numbers: Vec<String> = numbers.iter().map(ToString::to_string).collect();
    if numbers.is_empty() { "-1".to_owned() } else { numbers.join(",") }
}

/// Changes that are old enough, in order, each with what keeps it.
///
/// The newest change of a deployment stays, and the newest that shows it: they tell how it was
/// left.
pub(super) fn candidates(bounds: &PruneBounds, is_shared: bool, which: &str) -> String {
    let PruneBounds { by_count, by_age, settled, now, spared } = *bounds;
    let waited = bounds.waited().millis();
    let (by_age, settled, now) = (by_age.millis(), settled.millis(), now.millis());
    let spared = spared.map_or_else(|| "NULL".to_owned(), |position| position.to_string());
    let (late, late_after, late_kept) = if is_shared {
        (
            "LEFT JOIN late z ON z.seq = c.seq",
            "z.after",
            // A gateway that comes back after days finds its change as it left it.
            format!(
                "WHEN e.swept AND z.seq IS NULL AND e.completed_at >= {settled} - 604800000 \
                THEN 'young' "
            ),
        )
    } else {
        ("", "NULL", String::new())
    };
    format!(
        "SELECT c.seq, c.received_at, c.actor_fingerprint, c.actor_name, c.actor_team, c.before, \
            e.after, {late_after} AS late_after, d.id AS deployment_id, \
            CAST(CASE WHEN e.completed_at < {by_age} THEN 1 ELSE 0 END AS bigint) AS is_old, \
        CASE WHEN e.seq IS NULL THEN 'pending' \
            WHEN e.completed_at >= {settled} \
                OR (c.seq > {by_count} AND e.completed_at >= {by_age}) THEN 'young' \
            WHEN l.hash IS NULL OR EXISTS (SELECT 1 FROM leaves m WHERE m.ref = c.seq \
                AND (m.kind = 2 OR m.kind = 3) AND m.hash IS NULL) THEN 'young' \
            {late_kept}\
            WHEN e.completed_at >= {waited} AND (l.position >= {spared} \
                OR EXISTS (SELECT 1 FROM leaves m WHERE m.ref = c.seq \
                    AND (m.kind = 2 OR m.kind = 3) AND m.position >= {spared})) THEN 'sink' \
            WHEN EXISTS (SELECT 1 FROM idempotency_keys k \
                WHERE k.seq = c.seq AND k.until_at > {now}) THEN 'idempotency_key' \
            WHEN c.approval IS NOT NULL AND EXISTS (SELECT 1 FROM approvals a \
                JOIN approval_states s ON s.approval = a.number WHERE a.change_id = c.id \
                AND ((a.kind = 'break_glass' AND s.step <> 'approved') \
                    OR EXISTS (SELECT 1 FROM live_approvals v WHERE v.approval = a.number \
                        AND v.actor_fingerprint = a.actor_fingerprint))) THEN 'approval' \
            WHEN EXISTS (SELECT 1 FROM unsettled u \
                WHERE u.deployment = c.deployment AND u.seq = c.seq) THEN 'unsettled' \
            WHEN c.deployment IS NOT NULL AND NOT EXISTS (SELECT 1 FROM changes n \
                WHERE n.deployment = c.deployment AND n.seq > c.seq) THEN 'newest' \
            WHEN c.deployment IS NOT NULL \
                AND (c.before IS NOT NULL OR e.after IS NOT NULL) \
                AND NOT EXISTS (SELECT 1 FROM changes n LEFT JOIN ends m ON m.seq = n.seq \
                    WHERE n.deployment = c.deployment AND n.seq > c.seq \
                    AND (n.before IS NOT NULL OR m.after IS NOT NULL)) THEN 'newest' \
        END AS kept \
        FROM changes c LEFT JOIN ends e ON e.seq = c.seq \
        LEFT JOIN deployments d ON d.number = c.deployment \
        LEFT JOIN leaves l ON l.kind = 1 AND l.ref = c.seq {late} WHERE {which}"
    )
}

/// Events before a time behind the place `after`, at most so many, in order.
pub(super) fn old_events(bounds: &PruneBounds, before: Timestamp, which: &str) -> String {
    let (before, waited) = (before.millis(), bounds.waited().millis());
    let spared = bounds.spared.and_then(|position| i64::try_from(position).ok());
    let spared = spared.unwrap_or(i64::MAX);
    format!(
        "SELECT v.seq, v.at, v.actor_fingerprint, v.actor_name, v.actor_team, v.detail \
        FROM events v CROSS JOIN leaves l \
        WHERE l.kind = 4 AND l.ref = v.seq AND l.hash IS NOT NULL \
            AND (l.position < {spared} OR v.at < {waited}) \
        AND v.at < {before} AND v.kind NOT IN ({KINDS_KEPT}) AND {which}"
    )
}

/// The places that the changes of a span touched.
pub(super) fn touched(first: i64, last: i64) -> String {
    format!(
        "SELECT t.place, CAST(t.kind AS bigint) AS kind, t.seq FROM touched t \
        WHERE t.place IN (SELECT number FROM places) AND t.kind IN (0, 1, 2, 3, 4, 5) \
        AND t.seq >= {first} AND t.seq <= {last}"
    )
}

/// The rules that the changes of a span broke.
pub(super) fn broken(first: i64, last: i64) -> String {
    format!(
        "{RULES} SELECT b.rule, b.seq FROM rules r CROSS JOIN broken b \
        WHERE b.rule = r.rule AND b.seq >= {first} AND b.seq <= {last}"
    )
}

/// The leaves of changes with all that followed on them, and of events.
pub(super) fn leaves_of(changes: &[i64], events: &[i64]) -> String {
    let (changes, events) = (list(changes), list(events));
    format!(
        "SELECT position AS number FROM leaves WHERE (kind IN (1, 2, 3) AND ref IN ({changes})) \
        OR (kind = 4 AND ref IN ({events}))"
    )
}

/// The condition that a change beside those names the document of that expression.
fn is_used(number: &str, beside: &str, is_shared: bool) -> String {
    let late = format!(
        " OR EXISTS (SELECT 1 FROM late u WHERE u.after = {number} AND u.seq NOT IN ({beside}))"
    );
    format!(
        "(EXISTS (SELECT 1 FROM changes u WHERE u.before = {number} AND u.seq NOT IN ({beside})) \
        OR EXISTS (SELECT 1 FROM ends u WHERE u.after = {number} AND u.seq NOT IN ({beside})){})",
        if is_shared { &late } else { "" }
    )
}

/// Which of some documents changes name beside those.
pub(super) fn used(documents: &[i64], beside: &[i64], is_shared: bool) -> String {
    let (documents, beside) = (list(documents), list(beside));
    let is_used = is_used("s.number", &beside, is_shared);
    format!("SELECT s.number FROM snapshots s WHERE s.number IN ({documents}) AND {is_used}")
}

/// The documents that are built upon some of those, and whether changes name them beside those.
pub(super) fn dependents(documents: &[i64], beside: &[i64], is_shared: bool) -> String {
    let (documents, beside) = (list(documents), list(beside));
    let is_used = is_used("s.number", &beside, is_shared);
    format!(
        "SELECT s.number, CAST(CASE WHEN {is_used} THEN 1 ELSE 0 END AS bigint) AS is_used \
        FROM snapshots s WHERE s.base IN ({documents})"
    )
}

/// Whether anything is left that names one of those documents.
pub(super) fn dangling(documents: &[i64], is_shared: bool) -> String {
    let documents = list(documents);
    let late = format!(" OR EXISTS (SELECT 1 FROM late WHERE after IN ({documents}))");
    format!(
        "SELECT CAST(CASE WHEN EXISTS (SELECT 1 FROM changes WHERE before IN ({documents})) \
        OR EXISTS (SELECT 1 FROM ends WHERE after IN ({documents})) \
        OR EXISTS (SELECT 1 FROM snapshots WHERE base IN ({documents})){} \
        THEN 1 ELSE 0 END AS bigint) AS number",
        if is_shared { &late } else { "" }
    )
}

fn subjects(row: &impl Row) -> Result<Subjects, Boxed> {
    let text = |column| Ok::<_, Boxed>(row.text(column)?.map(str::to_owned));
    Ok(Subjects {
        fingerprint: row.bytes("actor_fingerprint")?.map(Bytes::into_owned),
        name: text("actor_name")?,
        team: text("actor_team")?,
    })
}

impl FromRow for Candidate {
    fn of(row: &impl Row) -> Result<Self, Boxed> {
        let named = ["before", "after", "late_after"].map(|column| row.integer(column));
        let named: BTreeSet<i64> =
            named.into_iter().filter_map(Result::transpose).collect::<Result<_, _>>()?;
        Ok(Self {
            seq: cell(row, "seq")?,
            kept: row.text("kept")?.map(str::to_owned),
            received_at: cell(row, "received_at")?,
            is_old: cell::<i64>(row, "is_old")? == 1,
            subjects: subjects(row)?,
            deployment: row.text("deployment_id")?.map(str::to_owned),
            snapshots: named.into_iter().collect(),
        })
    }
}

impl FromRow for OldEvent {
    fn of(row: &impl Row) -> Result<Self, Boxed> {
        let detail = row.text("detail")?.ok_or(BadColumn("detail"))?.to_owned();
        let (seq, at) = (cell(row, "seq")?, cell(row, "at")?);
        Ok(Self { seq, at, subjects: subjects(row)?, detail })
    }
}

impl FromRow for Dependent {
    fn of(row: &impl Row) -> Result<Self, Boxed> {
        Ok(Self { number: cell(row, "number")?, is_used: cell::<i64>(row, "is_used")? == 1 })
    }
}

/// A number alone, in the column of that name; 0 where it has no value.
impl FromRow for i64 {
    fn of(row: &impl Row) -> Result<Self, Boxed> {
        Ok(maybe(row, "number")?.unwrap_or(0))
    }
}

/// A row of `touched`.
impl FromRow for (i64, i64, i64) {
    fn of(row: &impl Row) -> Result<Self, Boxed> {
        Ok((cell(row, "place")?, cell(row, "kind")?, cell(row, "seq")?))
    }
}

/// A row of `broken`.
impl FromRow for (String, i64) {
    fn of(row: &impl Row) -> Result<Self, Boxed> {
        Ok((cell(row, "rule")?, cell(row, "seq")?))
    }
}

impl FromRow for Word {
    fn of(row: &impl Row) -> Result<Self, Boxed> {
        Ok(Self { seq: cell(row, "seq")?, at: cell(row, "at")?, detail: cell(row, "detail")? })
    }
}
