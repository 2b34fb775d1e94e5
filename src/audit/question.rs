//! The words of questions to the log and of their answers, which the store knows too.

use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::record::{Change, Event, Outcome, Unkept};
use crate::base::clock::Timestamp;
use crate::base::ids::{ChangeId, Fingerprint};
use crate::deployment::diff::Effect;
use crate::deployment::predict::Omitted;
use crate::policy::{Actor, Decision, Violation};
use crate::provider::Operation;

/// A change, as far as judging it anew needs it.
#[derive(Clone, Debug)]
pub struct RecordedChange {
    /// Its place in the log.
    pub seq: i64,
    /// Its id.
    pub id: ChangeId,
    /// The provider's name.
    pub provider: String,
    /// The operation that was asked for.
    pub operation: Operation,
    /// The call's method.
    pub method: Option<String>,
    /// The id of the deployment; `None` where none was created.
    pub deployment_id: Option<String>,
    /// The actor that asked.
    pub actor: Actor,
    /// When it was received.
    pub received_at: Timestamp,
    /// The moment that its rules took for now; `None` where the policy was not asked.
    pub decided_at: Option<Timestamp>,
    /// The decision.
    pub decision: Decision,
    /// Whether it passed although a rule denies it: somebody had approved it, or by break-glass.
    pub is_excepted: bool,
    /// Rules broken.
    pub violations: Vec<Violation>,
    /// Rules that were broken before and still are.
    pub standing: Vec<Violation>,
    /// The body that the client sent.
    pub patch: Option<Value>,
    /// The deployment before.
    pub before: Option<Arc<Value>>,
    /// JSON Pointers of concealed values, below `/patch` or `/before`.
    pub redacted: Vec<String>,
    /// The parts of these that are not kept.
    pub unkept: Unkept,
    /// Names the policy that decided.
    pub policy_digest: Arc<str>,
}

/// The changes that are asked for; a field that is `None` asks for nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Of this deployment.
    pub deployment_id: Option<String>,
    /// Of one of these deployments.
    pub deployment_ids: Option<Vec<String>>,
    /// Of one of those whose newest name has this text in it, in any case. The reader finds which
    /// they are; no store is asked so.
    pub deployment_name: Option<String>,
    /// By this actor: a fingerprint, or a name from `[[actor]]`.
    pub actor: Option<ActorFilter>,
    /// By this team.
    pub team: Option<String>,
    /// Of this operation.
    pub operation: Option<Operation>,
    /// So decided.
    pub decision: Option<Decision>,
    /// So ended.
    pub outcome: Option<Outcome>,
    /// With this effect.
    pub effect: Option<Effect>,
    /// Breaking this rule.
    pub rule: Option<String>,
    /// Changing this place (a JSON Pointer) or one below it, computed fields aside.
    pub path: Option<String>,
    /// Asked to change this place or one below it, whatever came of it.
    pub asked_path: Option<String>,
    /// Of this request.
    pub request_id: Option<String>,
    /// Received at or after.
    pub since: Option<Timestamp>,
    /// Received before.
    pub until: Option<Timestamp>,
    /// This text, case-insensitive, in ids, names, user agent, violation messages, changed paths
    /// or the newest name of the deployment.
    pub q: Option<String>,
    /// Whether `q` is looked for in ids and the names of actors alone: everything else is, or
    /// repeats, what is inside a deployment.
    pub q_in_ids: bool,
}

/// A policy that changes were judged by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownPolicy {
    /// The digest of its text.
    pub digest: String,
    /// How many characters the text has.
    pub chars: i64,
    /// When the first change came that it decided; `None` where that is not known any more.
    pub first_at: Option<Timestamp>,
    /// When the last one came; `None` where the newest 20,000 changes have none.
    pub last_at: Option<Timestamp>,
    /// How many of the newest 20,000 changes it decided.
    pub changes: i64,
}

/// Changes that were found, and where the search goes on.
#[derive(Debug)]
pub(crate) struct FoundChanges {
    /// The changes, newest first.
    pub(crate) changes: Vec<Change>,
    /// The place before which there may be more; `None` where there is no more.
    pub(crate) next: Option<i64>,
}

/// The events that are asked for; a field that is `None` asks for nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// About this deployment: on its path, naming it, or naming a change of it.
    pub deployment_id: Option<String>,
    /// By this actor.
    pub actor: Option<ActorFilter>,
    /// By this team.
    pub team: Option<String>,
    /// Of this request.
    pub request_id: Option<String>,
    /// At or after.
    pub since: Option<Timestamp>,
    /// Before.
    pub until: Option<Timestamp>,
    /// This text, case-insensitive, in the kind or the detail.
    pub q: Option<String>,
}

/// Events that were found, and where the search goes on.
#[derive(Debug)]
pub(crate) struct FoundEvents {
    /// The events and their places, newest first.
    pub(crate) events: Vec<(i64, Event)>,
    /// The place before which there may be more; `None` where there is no more.
    pub(crate) next: Option<i64>,
}

impl EventFilter {
    /// Whether events may have to be looked through one by one: only their time has an index.
    pub(crate) fn scans(&self) -> bool {
        *self != Self { since: self.since, until: self.until, ..Self::default() }
    }
}

/// How an actor is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ActorFilter {
    /// By token.
    Fingerprint(Fingerprint),
    /// By name.
    Name(String),
    /// By name, or by one of the tokens of who has it.
    Holder {
        /// The name.
        name: String,
        /// The tokens.
        tokens: Vec<Fingerprint>,
    },
}

/// A deployment, as far as the log knows it.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct DeploymentSummary {
    /// Its id.
    pub id: String,
    /// Its name in the newest snapshot, where there is one; null for viewers.
    #[schema(required)]
    pub name: Option<String>,
    /// How many changes are recorded.
    pub changes: i64,
    /// When the newest change was received.
    pub last_changed_at: Timestamp,
    /// The newest change.
    pub last_change: ChangeId,
}

/// JSON text as the log holds it, shared.
pub(crate) type Text = Arc<Vec<u8>>;

/// A deployment as the log last saw it at a moment.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
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
    #[schema(value_type = Object)]
    pub deployment: Value,
}

/// The bodies of a change as JSON text.
#[derive(Debug)]
pub struct BodyTexts {
    /// The body that the client sent.
    pub patch: Option<Text>,
    /// The deployment before.
    pub before: Option<Text>,
    /// The deployment after.
    pub after: Option<Text>,
}

/// A change with an unclear end that nothing has settled yet.
#[derive(Debug)]
pub(super) struct Unclear {
    pub(super) seq: i64,
    pub(super) id: ChangeId,
    pub(super) provider: String,
    pub(super) operation: Operation,
    pub(super) omitted: Omitted,
    pub(super) patch: Option<Value>,
    pub(super) before: Option<Value>,
    /// Whether a later change may have moved what this one asked for.
    pub(super) overtaken: bool,
}

/// A text that the log holds, as the value that it says.
pub(super) fn parse<T: serde::de::DeserializeOwned>(text: &[u8]) -> Result<T, serde_json::Error> {
    let mut reader = serde_json::Deserializer::from_slice(text);
    // How deep a document may be was settled before it was written.
    reader.disable_recursion_limit();
    serde::Deserialize::deserialize(&mut reader)
}
