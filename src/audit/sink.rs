//! A sink's place in the log, and what it is sent.

use serde::Serialize;

use super::record::{Change, Event};
use crate::base::clock::Timestamp;
use crate::base::ids::{Hex, random};

/// How many dead letters of a sink are kept; the newest ones are.
pub(super) const LETTERS_MAX: u32 = 1_000;

/// How far a sink has come, and how it went last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SinkState {
    /// Its name.
    pub name: String,
    /// The position of the record that it is sent next.
    pub next: u64,
    /// Another one with each order of an operator.
    pub revision: u64,
    /// The timeline of the server that has the log, another one from each failover on; `None` of a
    /// log that has one file.
    pub timeline: Option<String>,
    /// How many attempts failed, one after the other.
    pub attempts: u32,
    /// Until when there is no attempt.
    pub next_at: Option<Timestamp>,
    /// How many records it took.
    pub sent: u64,
    /// When it took one last.
    pub sent_at: Option<Timestamp>,
    /// Why the last attempt failed that did.
    pub error: Option<String>,
    /// When that was.
    pub error_at: Option<Timestamp>,
    /// How many records it refused for themselves.
    pub dead: u64,
    /// The digest of the configuration that was in force when its receiver disabled it.
    pub disabled: Option<String>,
}

/// A record that a sink refused for itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DeadLetter {
    /// Its position.
    pub position: u64,
    /// When it was refused.
    pub at: Timestamp,
    /// Why.
    pub reason: String,
}

/// An order of an operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SinkOrder {
    /// To go on at once.
    Resume,
    /// To send anew from this position on.
    Replay(u64),
}

/// A finished record, with its position.
#[derive(Clone, Debug)]
pub struct FinishedRecord {
    /// The position.
    pub position: u64,
    /// The record.
    pub content: FinishedContent,
}

/// What is read of a finished record.
#[derive(Clone, Debug)]
pub enum FinishedContent {
    /// A change without its bodies, and what was finished of it.
    Change(Box<Change>, FinishedPart),
    /// An event.
    Event(Box<Event>),
    /// Something else, by the name of its kind.
    Other(&'static str, serde_json::Value),
    /// It is not there any more, by a prune that is on record.
    Pruned,
    /// It is not there any more.
    Missing,
}

/// The part of a change that was finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FinishedPart {
    /// The change itself.
    End,
    /// The settlement of one whose end was unclear.
    Settlement,
    /// An end that came late.
    Late,
}

/// The name of a process among those that send.
#[derive(Clone, Debug)]
pub struct SinkHolder(pub(super) String);

/// A word of a sink to the log.
#[derive(Debug)]
pub(super) enum SinkStep {
    /// It is known from now on, and begins at this position.
    Begin(String, u64),
    /// It has come so far, and has refused these. Where there was an order since, it is refused.
    Keep(SinkState, Vec<DeadLetter>),
    /// An operator wants something of it.
    Order(String, SinkOrder),
}

impl SinkHolder {
    /// A name that no other one has.
    #[must_use]
    pub fn new() -> Self {
        Self(Hex(&random::<16>()).to_string())
    }
}

impl Default for SinkHolder {
    fn default() -> Self {
        Self::new()
    }
}
