//! The kinds of events, and the facts that each tells.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The kinds of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// A write to another resource: `method, path, status, request_bytes, response_bytes,
    /// duration_ms`.
    OtherWrite,
    /// A write below `/deployments` that is not a governed call and was refused: `method, path,
    /// status, message`.
    RefusedWrite,
    /// How many calls were answered 401 or 429 in a minute: `since, until, count`, and in
    /// `refusals` for each caller `status, who, count`; of known callers' 429s also `held_up`:
    /// `operation, deployment_id, count` of the changes that they would have been.
    Summary,
    /// Events that could not be kept: `count, since, until`.
    Dropped,
    /// Configuration or policy was read again: `policy_digest`, or `error`.
    Reload,
    /// The log serves another policy to the gateways that share it: `policy_digest,
    /// former_policy_digest, by` (who was logged in there).
    PolicyPush,
    /// The log was copied to another place, where it goes on: `from, to, rows, digest` (of all rows
    /// before this one). The last event of the one in SQLite.
    Move,
    /// Another server has taken the place of the log's: `from, timeline` (of PostgreSQL, before and
    /// now), `lost` (how many batches of records that were durable are not there).
    Failover,
    /// An unclear change was settled: `change, applied, by`.
    Settlement,
    /// The gateway started: `version, unknown` (intents a crash left open; null where the log could
    /// not be written yet), `key`.
    Start,
    /// Another key is in force from a change on: `from, to, first_seq`.
    KeyRotation,
    /// Originals of a change were taken out of their seal: `change, by, person, reason`.
    Unsealing,
    /// The key that originals are sealed under was changed, and the former one destroyed: `from,
    /// to, originals` (how many are under the new one), `left` (how many are under others).
    SealRotation,
    /// A governed call whose `Idempotency-Key` was used before, answered as the first one was, or
    /// with 409: `status`, and `change` of the first one, null while that is not on record.
    Repeat,
    /// A decision was asked for without a call: `operation, decision, policy_digest, by`.
    Evaluation,
    /// Upstream shows a deployment that breaks a rule after a change that was not predicted to
    /// break it: `change, rules`.
    AfterViolation,
    /// An approval was asked for, or something became of it: `approval, step` (`opened`,
    /// `approved`, `rejected`, `used`, `returned`, `void`, `expired`), `change, deployment_id,
    /// rules, by, token, reason`, as far as each is.
    Approval,
    /// A deployment was not as the last change left it, so that it was changed around the gateway:
    /// `deployment_id, change` (that found it)`, after, after_at, before_at, places, diff`.
    Drift,
    /// Somebody has read the bodies of changes by the admin API: `by, person, changes`.
    Look,
    /// Changes were exported by the admin API: `format, by, filter`.
    Export,
    /// A change passed by break-glass (`step` is `opened`), or somebody has reviewed that
    /// (`approved`, `rejected`): as of an approval.
    BreakGlass,
    /// An operator gave a sink an order, or its receiver wants no more: `sink, what` (`test`,
    /// `resume`, `replay`, `disabled`)`, from, by`.
    Sink,
    /// Old records were pruned: `reason` (`age`, `count`, `command`), `changes, events, first_seq,
    /// last_seq, since, until`, and `leaves`, the positions of all that have no record any more.
    Prune,
    /// The log was held against its evidence, as it is once a day: `leaves, found` (how many
    /// findings), `pruned, signed` (the size of the newest signed tree), `findings` (the first 10).
    Verification,
    /// Bodies and texts of changes were erased: one of `change, deployment_id` (whose), `changes`
    /// (of which all went), `beside` (that shared a document with them), `reason, by, login,
    /// documents, originals, sealed_under` (the keys of these), and `leaves`, the positions of all
    /// of which a part is gone, with what is `left` of each (a digest).
    Erase,
    /// Somebody's records are held back from pruning, or no longer: `step` (`added`, `removed`),
    /// one of `deployment, actor, team`, and `reason`.
    Hold,
    /// A witness of checkpoints has seen another history of the log: `witness` (its URL without the
    /// scheme), `what` (`ahead` of the log, `fork` of it), `seen` (how many leaves it says it has
    /// seen), `signed` (how many the tree has that it was asked to sign).
    Witness,
}
