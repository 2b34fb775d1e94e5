//! The statements of sinks: how far they have come, and what they are sent.

use std::ops::Range;

use sqlx::{AssertSqlSafe, Error, SqliteConnection};

use super::asking::{Asking, Documents};
use super::columns::CHANGE;
use super::leaves::records;
use super::select::Reads;
use crate::audit::sink::{DeadLetter, FinishedRecord, LETTERS_MAX, SinkOrder, SinkState, SinkStep};
use crate::audit::store::Boxed;
use crate::audit::store::finished::{Finished, OTHERS, PLACE, STATE, letter, place, state};
use crate::audit::store::rows;
use crate::base::clock::Timestamp;

const WITHIN: &str = "position >= ?1 AND position < ?2";

const BEGIN: &str = "INSERT INTO sinks (name, next) VALUES (?, ?) ON CONFLICT DO NOTHING";

/// The revision below zero, which the table refuses, stands for another one than it was.
const KEEP: &str = "UPDATE sinks SET revision = CASE WHEN revision = ?2 THEN revision ELSE -1 END, \
    next = ?3, attempts = ?4, next_at = ?5, sent = ?6, sent_at = ?7, error = ?8, error_at = ?9, \
    dead = ?10, disabled = ?11 WHERE name = ?1";

const LETTER: &str = "INSERT INTO dead_letters (sink, position, at, reason) VALUES (?, ?, ?, ?) \
    ON CONFLICT (sink, position) DO UPDATE SET at = excluded.at, reason = excluded.reason";

const FORGET: &str = "DELETE FROM dead_letters WHERE sink = ?1 AND position <= (SELECT position \
    FROM dead_letters WHERE sink = ?1 ORDER BY position DESC LIMIT 1 OFFSET ?2)";

const ORDER: &str = "UPDATE sinks SET next = coalesce(?2, next), revision = revision + 1, \
    attempts = 0, next_at = NULL, disabled = NULL WHERE name = ?1";

impl Reads {
    /// How far every sink has come that the log knows.
    pub(in crate::audit) async fn sink_states(&self) -> Result<Vec<SinkState>, Boxed> {
        let mut asking = Asking::on(&self.sinks).await?;
        let query = format!("SELECT {STATE}, NULL AS timeline FROM sinks ORDER BY name LIMIT 1000");
        let rows = sqlx::query(AssertSqlSafe(query)).fetch_all(&mut *asking).await?;
        rows.iter().map(state).collect()
    }

    /// The newest records that a sink refused, the newest first.
    pub(in crate::audit) async fn dead_letters(
        &self,
        sink: &str,
    ) -> Result<Vec<DeadLetter>, Boxed> {
        let mut asking = Asking::on(&self.sinks).await?;
        let query = sqlx::query(
            "SELECT position, at, reason FROM dead_letters WHERE sink = ? \
             ORDER BY position DESC LIMIT ?",
        );
        let rows = query.bind(sink).bind(LETTERS_MAX).fetch_all(&mut *asking).await?;
        rows.iter().map(letter).collect()
    }

    /// The documents of the log, for a sink.
    pub(in crate::audit) async fn sink_documents(&self) -> Result<Documents, Boxed> {
        Ok(Documents::by(Asking::on(&self.sinks).await?))
    }

    /// The finished records of a range, in their order.
    pub(in crate::audit) async fn finished(
        &self,
        range: Range<u64>,
    ) -> Result<Vec<FinishedRecord>, Boxed> {
        let mut asking = Asking::on(&self.sinks).await?;
        let (from, to) = (i64::try_from(range.start)?, i64::try_from(range.end)?);
        let query = format!("SELECT {PLACE} FROM leaves WHERE {WITHIN} ORDER BY 1");
        let query = sqlx::query(AssertSqlSafe(query)).bind(from).bind(to);
        let leaves = query.fetch_all(&mut *asking).await?;
        let leaves = leaves.iter().map(place).collect::<Result<Vec<_>, _>>()?;
        if leaves.is_empty() {
            return Ok(Vec::new());
        }
        let mut found = Finished::default();
        // By positions: the index of all leaves of a kind has nothing of them.
        let named = |kinds: &str| format!("(SELECT ref FROM leaves WHERE {WITHIN} AND +{kinds})");
        let query = format!("{CHANGE} WHERE c.seq IN {}", named("kind BETWEEN 1 AND 3"));
        let query = sqlx::query(AssertSqlSafe(query)).bind(from).bind(to);
        for row in &query.fetch_all(&mut *asking).await? {
            let change = rows::change(row)?;
            found.changes.insert(change.seq, change);
        }
        let query = format!("SELECT * FROM events v WHERE v.seq IN {}", named("kind = 4"));
        let query = sqlx::query(AssertSqlSafe(query)).bind(from).bind(to);
        for row in &query.fetch_all(&mut *asking).await? {
            let (seq, event) = rows::event(row)?;
            found.events.insert(seq, event);
        }
        for kind in OTHERS {
            let number = kind.number();
            if !leaves.iter().any(|leaf| leaf.kind == number) {
                continue;
            }
            let records = records(&mut asking, kind, (from, to)).await?;
            let records = records.into_iter().map(|(row, record)| ((number, row), record));
            found.others.extend(records);
        }
        Ok(found.of(&leaves))
    }
}

/// Writes what sinks say, inside a transaction.
pub(super) async fn write(
    connection: &mut SqliteConnection,
    steps: &[&SinkStep],
) -> Result<(), Error> {
    for step in steps {
        match step {
            SinkStep::Begin(name, next) => {
                let query = sqlx::query(BEGIN).bind(name.clone()).bind(number(*next));
                query.execute(&mut *connection).await?;
            }
            SinkStep::Keep(state, letters) => keep(connection, state, letters).await?,
            SinkStep::Order(name, order) => {
                let from = match order {
                    SinkOrder::Resume => None,
                    SinkOrder::Replay(from) => Some(number(*from)),
                };
                let query = sqlx::query(ORDER).bind(name.clone()).bind(from);
                query.execute(&mut *connection).await?;
            }
        }
    }
    Ok(())
}

async fn keep(
    connection: &mut SqliteConnection,
    state: &SinkState,
    letters: &[DeadLetter],
) -> Result<(), Error> {
    let query = sqlx::query(KEEP)
        .bind(state.name.clone())
        .bind(number(state.revision))
        .bind(number(state.next))
        .bind(i64::from(state.attempts))
        .bind(state.next_at.map(Timestamp::millis))
        .bind(number(state.sent))
        .bind(state.sent_at.map(Timestamp::millis))
        .bind(state.error.clone())
        .bind(state.error_at.map(Timestamp::millis))
        .bind(number(state.dead))
        .bind(state.disabled.clone());
    query.execute(&mut *connection).await?;
    for letter in letters {
        let query = sqlx::query(LETTER).bind(state.name.clone()).bind(number(letter.position));
        let query = query.bind(letter.at.millis()).bind(letter.reason.clone());
        query.execute(&mut *connection).await?;
    }
    if !letters.is_empty() {
        let query = sqlx::query(FORGET).bind(state.name.clone()).bind(LETTERS_MAX);
        query.execute(&mut *connection).await?;
    }
    Ok(())
}

fn number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
