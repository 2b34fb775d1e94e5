//! The statements of sinks: how far they have come, and what they are sent.

use std::ops::Range;
use std::time::Duration;

use serde::Serialize;

use super::asking::Documents;
use super::columns::CHANGE;
use super::leaves::records;
use super::literal::{json, text};
use super::select::Reads;
use crate::audit::evidence::leaf::LeafKind;
use crate::audit::sink::{DeadLetter, FinishedRecord, LETTERS_MAX, SinkOrder, SinkState};
use crate::audit::store::Boxed;
use crate::audit::store::finished::{Finished, OTHERS, PLACE, STATE, letter, place, state};
use crate::audit::store::rows::{self, maybe};
use crate::base::clock::Timestamp;

/// How far a sink has come, as the function takes it.
#[derive(Serialize)]
struct KeptRow<'s> {
    name: &'s str,
    next: u64,
    revision: u64,
    attempts: u32,
    next_at: Option<i64>,
    sent: u64,
    sent_at: Option<i64>,
    error: Option<&'s str>,
    error_at: Option<i64>,
    dead: u64,
    disabled: Option<&'s str>,
}

#[derive(Serialize)]
struct LetterRow<'s> {
    position: u64,
    at: i64,
    reason: &'s str,
}

impl Reads {
    /// How far every sink has come that the log knows.
    pub(in crate::audit::store) async fn sink_states(&self) -> Result<Vec<SinkState>, Boxed> {
        let query = format!("SELECT {STATE}, timeline FROM sinks ORDER BY name LIMIT 1000");
        let rows = self.sinks.ask().await?.rows(&query).await?;
        rows.iter().map(state).collect()
    }

    /// The newest records that a sink refused, the newest first.
    pub(in crate::audit::store) async fn dead_letters(
        &self,
        sink: &str,
    ) -> Result<Vec<DeadLetter>, Boxed> {
        let query = format!(
            "SELECT position, at, reason FROM dead_letters WHERE sink = {} \
             ORDER BY position DESC LIMIT {LETTERS_MAX}",
            text(Some(sink))
        );
        let rows = self.sinks.ask().await?.rows(&query).await?;
        rows.iter().map(letter).collect()
    }

    /// The documents of the log, for a sink.
    pub(in crate::audit::store) async fn sink_documents(&self) -> Result<Documents, Boxed> {
        Ok(Documents::by(self.sinks.ask().await?))
    }

    /// The finished records of a range, in their order.
    pub(in crate::audit::store) async fn finished(
        &self,
        range: Range<u64>,
    ) -> Result<Vec<FinishedRecord>, Boxed> {
        let mut asking = self.sinks.ask().await?;
        let within = format!("position >= {} AND position < {}", range.start, range.end);
        let query = format!("SELECT {PLACE} FROM leaves WHERE {within} ORDER BY 1");
        let leaves = asking.rows(&query).await?;
        let leaves = leaves.iter().map(place).collect::<Result<Vec<_>, _>>()?;
        if leaves.is_empty() {
            return Ok(Vec::new());
        }
        let mut found = Finished::default();
        let named = |kinds: &str| format!("(SELECT ref FROM leaves WHERE {within} AND {kinds})");
        let query = format!("{CHANGE} WHERE c.seq IN {}", named("kind BETWEEN 1 AND 3"));
        for row in &asking.rows(&query).await? {
            let change = rows::change(row)?;
            found.changes.insert(change.seq, change);
        }
        let query = format!("SELECT v.* FROM events v WHERE v.seq IN {}", named("kind = 4"));
        for row in &asking.rows(&query).await? {
            let (seq, event) = rows::event(row)?;
            found.events.insert(seq, event);
        }
        let there = |number: &i64| leaves.iter().any(|leaf| leaf.kind == *number);
        let others: Vec<i64> = OTHERS.map(LeafKind::number).into_iter().filter(there).collect();
        let which = format!("l.position >= {} AND l.position < {}", range.start, range.end);
        found.others = records(&mut asking, &others, "leaves", &which).await?;
        Ok(found.of(&leaves))
    }

    /// Takes a sink, or keeps it taken; tells whether it is.
    pub(in crate::audit) async fn take_sink(
        &self,
        name: &str,
        from_start: bool,
        holder: &str,
        held: Duration,
    ) -> Result<bool, Boxed> {
        let (name, millis) = (text(Some(name)), held.as_millis());
        let call = format!("changegate.take_sink_v1({name}, {from_start}, '{holder}', {millis})");
        self.done(&call).await
    }

    /// Keeps how far a sink has come; tells whether it was kept.
    pub(in crate::audit) async fn keep_sink(
        &self,
        state: &SinkState,
        letters: &[DeadLetter],
        holder: &str,
        held: Duration,
    ) -> Result<bool, Boxed> {
        let kept = KeptRow {
            name: &state.name,
            next: state.next,
            revision: state.revision,
            attempts: state.attempts,
            next_at: state.next_at.map(Timestamp::millis),
            sent: state.sent,
            sent_at: state.sent_at.map(Timestamp::millis),
            error: state.error.as_deref(),
            error_at: state.error_at.map(Timestamp::millis),
            dead: state.dead,
            disabled: state.disabled.as_deref(),
        };
        let row = |letter: &'_ DeadLetter| (letter.position, letter.at.millis());
        let rows = letters.iter().map(|letter| {
            let (position, at) = row(letter);
            LetterRow { position, at, reason: &letter.reason }
        });
        let (kept, letters) = (json(&kept)?, json(&rows.collect::<Vec<_>>())?);
        let millis = held.as_millis();
        let call = format!(
            "changegate.keep_sink_v1('{holder}', {kept}::jsonb, {letters}::jsonb, {LETTERS_MAX}, \
             {millis})"
        );
        self.done(&call).await
    }

    /// Gives an order; tells whether the sink is known.
    pub(in crate::audit) async fn order_sink(
        &self,
        name: &str,
        order: SinkOrder,
    ) -> Result<bool, Boxed> {
        let from = match order {
            SinkOrder::Resume => "NULL".to_owned(),
            SinkOrder::Replay(from) => from.to_string(),
        };
        self.done(&format!("changegate.order_sink_v1({}, {from})", text(Some(name)))).await
    }

    /// Gives back the sinks that a process has.
    pub(in crate::audit) async fn leave_sinks(&self, holder: &str) -> Result<(), Boxed> {
        let call = format!("SELECT changegate.leave_sinks_v1('{holder}')");
        self.sinks.ask().await?.row(&call).await?;
        Ok(())
    }

    /// Calls a function that tells whether something was done.
    async fn done(&self, call: &str) -> Result<bool, Boxed> {
        let row = self.sinks.ask().await?.row(&format!("SELECT {call} AS done")).await?;
        Ok(row.as_ref().map(|row| maybe(row, "done")).transpose()?.flatten().unwrap_or(false))
    }
}
