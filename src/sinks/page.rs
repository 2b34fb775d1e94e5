//! What a sink is to be sent next, read from the log within bounds.

use std::collections::VecDeque;
use std::io;

use serde_json::{Value, json};

use super::message::{Message, Told, told};
use crate::audit::query::{BodyTexts, QueryError, Reader};
use crate::audit::record::{Change, Outcome};
use crate::audit::sinks::FinishedRecord;
use crate::config::{SinkConfig, SinkFormat};
use crate::export::ocsf;

/// How many records are read at once.
const PAGE: u64 = 128;

/// The bytes of messages after which no more are sent together.
const BATCH_BYTES: usize = 1 << 20;

/// The longest bodies of a change, together, whose difference is told.
const DIFFERING_BYTES_MAX: usize = 4 << 20;

/// No bodies.
const NONE: BodyTexts = BodyTexts { patch: None, before: None, after: None };

/// Messages to be delivered next.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) messages: Vec<Message>,
    /// The position behind the last record that was read for it.
    pub(super) next: u64,
    /// How many records were pruned, and the position of the last of them.
    pub(super) pruned: u64,
    pub(super) pruned_last: Option<u64>,
    /// Records that were not there any more.
    pub(super) missing: Vec<u64>,
}

/// Reads the messages to be delivered from a position on, at most so many; `None` where there is no
/// finished record. Records `ahead` were read before.
pub(super) async fn batch(
    reader: &Reader,
    config: &SinkConfig,
    next: u64,
    messages_max: usize,
    ahead: &mut VecDeque<FinishedRecord>,
) -> Result<Option<Batch>, QueryError> {
    if ahead.front().is_none_or(|record| record.position != next) {
        *ahead = reader.finished(next, PAGE).await?.into();
    }
    if ahead.is_empty() {
        return Ok(None);
    }
    let mut bytes = 0;
    let mut batch = Batch { next, ..Batch::default() };
    while batch.messages.len() < messages_max && bytes < BATCH_BYTES {
        let Some(record) = ahead.pop_front() else { break };
        let position = record.position;
        match message(reader, config, record).await? {
            Told::Sent(message, _change) => {
                bytes += message.weight();
                batch.messages.push(*message);
            }
            Told::Passed => {}
            Told::Pruned => {
                batch.pruned += 1;
                batch.pruned_last = Some(position);
            }
            Told::Missing => batch.missing.push(position),
        }
        batch.next = position + 1;
    }
    Ok(Some(batch))
}

/// The message of a record, whole.
async fn message(
    reader: &Reader,
    config: &SinkConfig,
    record: FinishedRecord,
) -> Result<Told, QueryError> {
    let told = told(record, &config.filter).map_err(unreadable)?;
    let Told::Sent(mut message, Some(change)) = told else { return Ok(told) };
    let is_ocsf = config.format == SinkFormat::Ocsf;
    if is_ocsf || matches!(change.outcome, Outcome::Applied | Outcome::Unknown) {
        let mut texts = reader.texts_for_sinks().await?;
        let bodies = short(texts.of(&change).await?);
        if is_ocsf {
            let has_diff = bodies.is_some();
            let bodies = bodies.unwrap_or(NONE);
            let event = ocsf::event_without_bodies(&change, &bodies).map_err(unreadable)?;
            message.become_event(event, has_diff);
        } else {
            message.add_diff(bodies.and_then(|bodies| differences(&bodies, &change)));
        }
    } else {
        message.add_diff(Some(json!([])));
    }
    Ok(Told::Sent(message, None))
}

fn unreadable(error: io::Error) -> QueryError {
    QueryError::Store(error.into())
}

/// Bodies that are not too long to be compared.
fn short(bodies: BodyTexts) -> Option<BodyTexts> {
    let texts = [&bodies.patch, &bodies.before, &bodies.after];
    let bytes: usize = texts.into_iter().flatten().map(|text| text.len()).sum();
    (bytes <= DIFFERING_BYTES_MAX).then_some(bodies)
}

/// Where the deployments before and after a change differ.
fn differences(bodies: &BodyTexts, change: &Change) -> Option<Value> {
    serde_json::to_value(bodies.diff(change).ok()?).ok()
}
