//! How far each sink has come, and the orders that operators give.
//!
//! A sink is a position: of the record that it is sent next, among all that are finished. It is
//! kept now and then, not for each record, so that what was sent since comes once more after a
//! crash.
//! Where several gateways share a log, one at a time has a sink, for a while that it renews.

mod standing;

use std::time::Duration;

pub use self::standing::{SinkCondition, SinkStanding};
use super::entry::Entry;
use super::query::{QueryError, Reader, Texts};
use super::sink::SinkStep;
pub use super::sink::{
    DeadLetter, FinishedContent, FinishedPart, FinishedRecord, SinkHolder, SinkOrder, SinkState,
};
use super::store::Reads;
use super::{Audit, Unavailable};
use crate::base::ids::Hex;

/// How long a gateway that says nothing has a sink still.
const HELD: Duration = Duration::from_secs(15);

impl Audit {
    /// Takes a sink, or keeps it taken; `None` where another gateway has it. One that the log does
    /// not know yet begins at the start of it, or at its end.
    pub async fn take_sink(
        &self,
        name: &str,
        from_start: bool,
        holder: &SinkHolder,
    ) -> Result<Option<SinkState>, QueryError> {
        let reads = self.reader().reads();
        if let Reads::Postgres(reads) = reads {
            let taken = reads.take_sink(name, from_start, &holder.0, HELD).await;
            if !taken.map_err(QueryError::Store)? {
                return Ok(None);
            }
            return self.reader().sink_state(name).await;
        }
        if let Some(state) = self.reader().sink_state(name).await? {
            return Ok(Some(state));
        }
        let end = reads.leaves_end().await.map_err(QueryError::Store)?;
        let next = if from_start { 0 } else { end };
        let begun = self.submit(Entry::Sink(Box::new(SinkStep::Begin(name.to_owned(), next))));
        begun.await.map_err(unwritten)?;
        self.reader().sink_state(name).await
    }

    /// Keeps how far a sink has come, and what it refused; tells whether it was kept. It is not
    /// where an operator gave an order meanwhile, where another gateway has the sink, or where
    /// another server of the log took over.
    pub async fn keep_sink(
        &self,
        state: &SinkState,
        letters: &[DeadLetter],
        holder: &SinkHolder,
    ) -> Result<bool, QueryError> {
        if let Reads::Postgres(reads) = self.reader().reads() {
            let kept = reads.keep_sink(state, letters, &holder.0, HELD).await;
            return kept.map_err(QueryError::Store);
        }
        let step = SinkStep::Keep(state.clone(), letters.to_vec());
        match self.submit(Entry::Sink(Box::new(step))).await {
            Ok(_written) => Ok(true),
            Err(unavailable) if unavailable.is_refused => Ok(false),
            Err(unavailable) => Err(unwritten(unavailable)),
        }
    }

    /// Gives an order; tells whether the log knows the sink.
    pub async fn order_sink(&self, name: &str, order: SinkOrder) -> Result<bool, QueryError> {
        if let Reads::Postgres(reads) = self.reader().reads() {
            return reads.order_sink(name, order).await.map_err(QueryError::Store);
        }
        if self.reader().sink_state(name).await?.is_none() {
            return Ok(false);
        }
        let step = SinkStep::Order(name.to_owned(), order);
        self.submit(Entry::Sink(Box::new(step))).await.map_err(unwritten)?;
        Ok(true)
    }

    /// Gives back the sinks that this process has.
    pub async fn leave_sinks(&self, holder: &SinkHolder) -> Result<(), QueryError> {
        match self.reader().reads() {
            Reads::Postgres(reads) => reads.leave_sinks(&holder.0).await.map_err(QueryError::Store),
            Reads::Sqlite(_) => Ok(()),
        }
    }
}

fn unwritten(unavailable: Unavailable) -> QueryError {
    QueryError::Store(Box::new(unavailable))
}

impl Reader {
    /// How far a sink has come, where the log knows it.
    pub async fn sink_state(&self, name: &str) -> Result<Option<SinkState>, QueryError> {
        let states = self.sink_states().await?;
        Ok(states.into_iter().find(|state| state.name == name))
    }

    /// How far every sink has come that the log knows.
    pub async fn sink_states(&self) -> Result<Vec<SinkState>, QueryError> {
        self.reads().sink_states().await.map_err(QueryError::Store)
    }

    /// The newest records that a sink refused, the newest first.
    pub async fn dead_letters(&self, sink: &str) -> Result<Vec<DeadLetter>, QueryError> {
        self.reads().dead_letters(sink).await.map_err(QueryError::Store)
    }

    /// The position behind the last finished record.
    pub async fn end(&self) -> Result<u64, QueryError> {
        self.reads().leaves_end().await.map_err(QueryError::Store)
    }

    /// The lowest position that any of these sinks is still to be sent; `None` where none of them
    /// is known. What lies below it is needed by none.
    pub async fn needed_by(&self, sinks: &[&str]) -> Result<Option<u64>, QueryError> {
        let states = self.sink_states().await?;
        let named = states.iter().filter(|state| sinks.contains(&state.name.as_str()));
        Ok(named.map(|state| state.next).min())
    }

    /// Finished records from a position on, at most `limit` of them, in their order.
    pub async fn finished(&self, from: u64, limit: u64) -> Result<Vec<FinishedRecord>, QueryError> {
        let range = from..from.saturating_add(limit);
        self.reads().finished(range).await.map_err(QueryError::Store)
    }

    /// The bodies of changes, read for a sink.
    pub async fn texts_for_sinks(&self) -> Result<Texts, QueryError> {
        Ok(Texts(self.reads().sink_documents().await.map_err(QueryError::Store)?))
    }

    /// The name of this log, made of its first key, in hex.
    pub async fn log_name(&self) -> Result<Option<String>, QueryError> {
        let key = self.reads().first_key().await.map_err(QueryError::Store)?;
        Ok(key.map(|key| Hex(key.as_bytes()).to_string()))
    }
}
