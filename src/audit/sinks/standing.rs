//! How sinks stand, for people.

use serde::Serialize;
use utoipa::ToSchema;

use crate::audit::query::{QueryError, Reader};
use crate::audit::sink::{FinishedContent, FinishedPart, FinishedRecord};
use crate::base::clock::Timestamp;

/// How many records are looked at for when the first of them was finished: a policy's text does not
/// say, and the change that it came with does.
const FIRST: u64 = 8;

/// How a sink stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct SinkStanding {
    /// Its name.
    pub name: String,
    /// What it is at.
    pub state: SinkCondition,
    /// The position of the record that it is sent next.
    pub next: u64,
    /// How many finished records it has not come to yet.
    pub lag_positions: u64,
    /// How long ago the first of them was finished that says when; null where there is none.
    #[schema(required)]
    pub lag_seconds: Option<u64>,
    /// How many records it took.
    pub sent: u64,
    /// When it took one last.
    #[schema(required)]
    pub sent_at: Option<Timestamp>,
    /// How many attempts failed, one after the other.
    pub attempts: u32,
    /// When the next attempt is, where it waits for it.
    #[schema(required)]
    pub next_at: Option<Timestamp>,
    /// Why the last attempt failed that did.
    #[schema(required)]
    pub error: Option<String>,
    /// When that was.
    #[schema(required)]
    pub error_at: Option<Timestamp>,
    /// How many records it refused for themselves, the newest 1,000 of which are listed.
    pub dead_letters: u64,
}

/// What a sink is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum SinkCondition {
    /// It has everything.
    Current,
    /// There are records before it.
    Sending,
    /// An attempt failed, and the next one has its time.
    Waiting,
    /// Its receiver wants no more.
    Disabled,
}

impl SinkCondition {
    /// The name that the API uses.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::Sending => "sending",
            Self::Waiting => "waiting",
            Self::Disabled => "disabled",
        }
    }
}

impl Reader {
    /// How every sink stands that the log knows.
    pub async fn sinks(&self, now: Timestamp) -> Result<Vec<SinkStanding>, QueryError> {
        let end = self.end().await?;
        let mut standings = Vec::new();
        for state in self.sink_states().await? {
            let first = self.finished(state.next, FIRST).await?;
            let finished_at = first.iter().find_map(finished_at);
            let ago =
                |at: Timestamp| u64::try_from(now.millis() - at.millis()).unwrap_or(0) / 1_000;
            let lag_positions = end.saturating_sub(state.next);
            let condition = match &state {
                state if state.disabled.is_some() => SinkCondition::Disabled,
                state if state.next_at.is_some_and(|at| at > now) => SinkCondition::Waiting,
                _ if lag_positions == 0 => SinkCondition::Current,
                _ => SinkCondition::Sending,
            };
            standings.push(SinkStanding {
                name: state.name,
                state: condition,
                next: state.next,
                lag_positions,
                lag_seconds: finished_at.map(ago),
                sent: state.sent,
                sent_at: state.sent_at,
                attempts: state.attempts,
                next_at: state.next_at,
                error: state.error,
                error_at: state.error_at,
                dead_letters: state.dead,
            });
        }
        Ok(standings)
    }
}

/// When a record was finished, where it says so.
fn finished_at(record: &FinishedRecord) -> Option<Timestamp> {
    match &record.content {
        FinishedContent::Change(change, FinishedPart::End) => change.completed_at,
        FinishedContent::Change(change, _later) => {
            change.settled.as_ref().map(|settled| settled.at).or(change.completed_at)
        }
        FinishedContent::Event(event) => Some(event.at),
        FinishedContent::Other(_kind, record) => {
            let text = ["at", "opened_at"].iter().find_map(|name| record.get(*name)?.as_str());
            text.and_then(|text| Timestamp::parse(text).ok())
        }
        FinishedContent::Pruned | FinishedContent::Missing => None,
    }
}
