//! Records as leaves, read by every kind of store with the same words. Names of tables are plain: a
//! store's connections find its own.

use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::Boxed;
use super::rows::{Bytes, Row, cell, maybe};
use crate::audit::document::unpack;
use crate::audit::evidence::leaf::{Facts, LeafKind, Salt};
use crate::audit::evidence::tree::Hash;
use crate::base::ids::{ChangeId, Hex};

/// A leaf, and what is found of its record.
#[derive(Debug)]
pub(in crate::audit) struct LeafRow {
    pub(in crate::audit) position: u64,
    /// The number of its kind, and the row of its record.
    pub(in crate::audit) record: (i64, i64),
    /// `None` until it is in the tree.
    pub(in crate::audit) hash: Option<Hash>,
    /// `None` of a record that is not whole any more.
    pub(in crate::audit) salt: Option<Salt>,
    /// The entry, of such a one.
    pub(in crate::audit) entry: Option<Vec<u8>>,
    pub(in crate::audit) found: FoundRecord,
}

/// The tables of records: the number of the kind, the table, and its key.
pub(super) const RECORDS: [(i64, &str, &str); 9] = [
    (1, "ends", "seq"),
    (2, "settlements", "seq"),
    (3, "late", "seq"),
    (4, "events", "seq"),
    (5, "policies", "number"),
    (6, "keys", "number"),
    (7, "approvals", "number"),
    (8, "approval_steps", "number"),
    (9, "log_keys", "number"),
];

/// Places that were given to records of a kind and are in no row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::audit) struct Gap {
    pub(in crate::audit) kind: i64,
    pub(in crate::audit) first: i64,
    pub(in crate::audit) last: i64,
}

/// A change that is not as it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::audit) struct Unfit {
    pub(in crate::audit) seq: i64,
    pub(in crate::audit) id: ChangeId,
}

/// A record that is finished and in no tree yet.
#[derive(Debug)]
pub(in crate::audit) struct Unsealed {
    /// The number of its kind, and its row.
    pub(in crate::audit) record: (i64, i64),
    pub(in crate::audit) found: FoundRecord,
}

/// The record of a leaf.
#[derive(Debug)]
pub(in crate::audit) enum FoundRecord {
    Whole(Box<Facts>),
    /// It holds what no version writes.
    Unreadable(Boxed),
    Missing,
}

/// How a column is shown in entries and digests.
#[derive(Clone, Copy, Debug)]
enum Shown {
    Integer,
    Flag,
    Text,
    /// Hex digits behind these letters.
    Hex(&'static str),
    /// A text as one zstd frame, by its digest as a body.
    Frame,
    /// The digest of a body.
    Digest,
}

/// The columns of a kind of record: the expression, the name, and how it is shown. A column without
/// a value is left out, so that later versions may add some.
struct Shape {
    columns: &'static [(&'static str, &'static str, Shown)],
    /// The tables, beside the leaves as `l`.
    from: &'static str,
    /// The columns that an entry shows in clear.
    clear: &'static [&'static str],
}

use Shown::{Digest, Flag, Frame, Integer, Text};

const CHANGE: Shape = Shape {
    columns: &[
        ("c.seq", "seq", Integer),
        ("c.id", "id", Shown::Hex("chg_")),
        ("u.name", "upstream", Text),
        ("u.provider", "provider", Text),
        ("p.digest", "policy", Text),
        ("n.name", "node", Text),
        ("c.operation", "operation", Text),
        ("c.method", "method", Text),
        (
            "CASE WHEN c.operation <> 'create' OR e.outcome = 'applied' THEN d.id END",
            "deployment_id",
            Text,
        ),
        ("c.actor_fingerprint", "actor", Shown::Hex("pat_")),
        ("c.actor_name", "actor_name", Text),
        ("c.actor_team", "actor_team", Text),
        ("c.actor_person", "actor_person", Text),
        ("c.client_ip", "client_ip", Text),
        ("c.user_agent", "user_agent", Text),
        ("c.client_retry", "client_retry", Integer),
        ("c.request_id", "request_id", Text),
        ("c.received_at", "received_at", Integer),
        ("c.decided_at", "decided_at", Integer),
        ("c.decision", "decision", Text),
        ("c.violations", "violations", Text),
        ("c.standing", "standing", Text),
        ("c.body_bytes", "body_bytes", Integer),
        ("c.body_digest", "body_digest", Text),
        ("c.redacted", "redacted", Text),
        ("c.unkept", "unkept", Text),
        ("c.approval", "approval", Shown::Hex("apr_")),
        ("c.reverts", "reverts", Shown::Hex("chg_")),
        ("e.outcome", "outcome", Text),
        ("e.completed_at", "completed_at", Integer),
        ("e.upstream_call", "upstream_call", Text),
        ("CAST(e.upstream_status AS bigint)", "upstream_status", Integer),
        ("e.upstream_request_id", "upstream_request_id", Text),
        ("e.effect", "effect", Text),
        ("e.reason", "reason", Text),
        ("e.redacted", "after_redacted", Text),
        ("e.unkept", "after_unkept", Text),
        ("e.after_violations", "after_violations", Text),
        ("c.patch", "patch", Frame),
        ("b.digest", "before", Digest),
        ("a.digest", "after", Digest),
    ],
    from: "JOIN changes c ON c.seq = l.ref JOIN ends e ON e.seq = c.seq \
        LEFT JOIN upstreams u ON u.number = c.upstream \
        LEFT JOIN policies p ON p.number = c.policy LEFT JOIN nodes n ON n.number = c.node \
        LEFT JOIN deployments d ON d.number = c.deployment \
        LEFT JOIN snapshots b ON b.number = c.before LEFT JOIN snapshots a ON a.number = e.after",
    clear: &[
        "seq",
        "id",
        "upstream",
        "node",
        "operation",
        "deployment_id",
        "actor",
        "received_at",
        "completed_at",
        "decision",
        "outcome",
        "policy",
    ],
};

const SETTLEMENT: Shape = Shape {
    columns: &[
        ("s.seq", "seq", Integer),
        ("c.id", "change", Shown::Hex("chg_")),
        ("s.settled_by", "by", Text),
        ("s.at", "at", Integer),
        ("s.applied", "applied", Flag),
    ],
    from: "JOIN settlements s ON s.seq = l.ref JOIN changes c ON c.seq = s.seq",
    clear: &["seq", "change", "by", "at", "applied"],
};

const EVENT: Shape = Shape {
    columns: &[
        ("v.seq", "seq", Integer),
        ("v.at", "at", Integer),
        ("v.kind", "event", Text),
        ("v.actor_fingerprint", "actor", Shown::Hex("pat_")),
        ("v.actor_name", "actor_name", Text),
        ("v.actor_team", "actor_team", Text),
        ("v.actor_person", "actor_person", Text),
        ("v.client_ip", "client_ip", Text),
        ("v.request_id", "request_id", Text),
        ("v.detail", "detail", Text),
    ],
    from: "JOIN events v ON v.seq = l.ref",
    clear: &["seq", "at", "event", "actor"],
};

const POLICY: Shape = Shape {
    columns: &[
        ("p.number", "number", Integer),
        ("p.digest", "digest", Text),
        ("p.text", "text", Text),
    ],
    from: "JOIN policies p ON p.number = l.ref",
    clear: &["number", "digest"],
};

const KEY: Shape = Shape {
    columns: &[
        ("k.number", "number", Integer),
        ("k.id", "id", Shown::Hex("key_")),
        ("k.first_seq", "first_seq", Integer),
        ("k.at", "at", Integer),
    ],
    from: "JOIN keys k ON k.number = l.ref",
    clear: &["number", "id", "first_seq", "at"],
};

const APPROVAL: Shape = Shape {
    columns: &[
        ("a.number", "number", Integer),
        ("a.id", "id", Shown::Hex("apr_")),
        ("a.kind", "approval", Text),
        ("a.change_id", "change", Shown::Hex("chg_")),
        ("a.upstream", "upstream", Text),
        ("a.operation", "operation", Text),
        ("a.deployment_id", "deployment_id", Text),
        ("a.actor_fingerprint", "actor", Shown::Hex("pat_")),
        ("a.actor_name", "actor_name", Text),
        ("a.actor_team", "actor_team", Text),
        ("a.person", "person", Text),
        ("a.opened_at", "opened_at", Integer),
        ("a.rules", "rules", Text),
        ("a.expires_at", "expires_at", Integer),
        ("a.asked", "asked", Shown::Hex("")),
        ("a.base", "base", Shown::Hex("")),
        ("a.asks", "asks", Shown::Hex("")),
        ("a.reason", "reason", Text),
    ],
    from: "JOIN approvals a ON a.number = l.ref",
    clear: &["number", "id", "approval", "change", "opened_at"],
};

const STEP: Shape = Shape {
    columns: &[
        ("t.number", "number", Integer),
        ("a.id", "id", Shown::Hex("apr_")),
        ("t.step", "step", Text),
        ("t.at", "at", Integer),
        ("t.person", "person", Text),
        ("t.token", "token", Text),
        ("t.reason", "reason", Text),
        ("t.until_at", "until_at", Integer),
        ("t.change_id", "change", Shown::Hex("chg_")),
    ],
    from: "JOIN approval_steps t ON t.number = l.ref JOIN approvals a ON a.number = t.approval",
    clear: &["number", "id", "step", "at", "change"],
};

const LOG_KEY: Shape = Shape {
    columns: &[("k.number", "number", Integer), ("k.vkey", "vkey", Text), ("k.at", "at", Integer)],
    from: "JOIN log_keys k ON k.number = l.ref",
    clear: &["number", "vkey", "at"],
};

const fn shape(kind: LeafKind) -> &'static Shape {
    match kind {
        LeafKind::Change => &CHANGE,
        LeafKind::Settlement => &SETTLEMENT,
        LeafKind::Late => &LATE,
        LeafKind::Event => &EVENT,
        LeafKind::Policy => &POLICY,
        LeafKind::Key => &KEY,
        LeafKind::Approval => &APPROVAL,
        LeafKind::Step => &STEP,
        LeafKind::LogKey => &LOG_KEY,
    }
}

const LATE: Shape = Shape {
    columns: &[
        ("e.seq", "seq", Integer),
        ("c.id", "change", Shown::Hex("chg_")),
        ("n.name", "node", Text),
        ("e.at", "at", Integer),
        ("e.outcome", "outcome", Text),
        ("e.completed_at", "completed_at", Integer),
        ("e.upstream_call", "upstream_call", Text),
        ("CAST(e.upstream_status AS bigint)", "upstream_status", Integer),
        ("e.upstream_request_id", "upstream_request_id", Text),
        ("e.effect", "effect", Text),
        ("e.reason", "reason", Text),
        ("e.redacted", "redacted", Text),
        ("e.unkept", "unkept", Text),
        ("e.after_violations", "after_violations", Text),
        ("a.digest", "after", Digest),
    ],
    from: "JOIN late e ON e.seq = l.ref JOIN changes c ON c.seq = e.seq \
        LEFT JOIN nodes n ON n.number = e.node LEFT JOIN snapshots a ON a.number = e.after",
    clear: &["seq", "change", "node", "at", "outcome", "completed_at"],
};

/// The question for the records of a kind among those that `source` names as `l`.
pub(super) fn select(kind: LeafKind, source: &str) -> String {
    let Shape { columns, from, .. } = shape(kind);
    let columns: Vec<String> =
        columns.iter().map(|(sql, name, _shown)| format!("{sql} AS \"{name}\"")).collect();
    format!("SELECT l.ref, {} FROM {source} l {from}", columns.join(", "))
}

/// A record, from a row of such a question.
pub(super) fn facts(kind: LeafKind, row: &impl Row) -> Result<Facts, Boxed> {
    let Shape { columns, clear, .. } = shape(kind);
    let (mut record, mut bodies) = (Map::new(), Vec::new());
    for (_sql, name, shown) in *columns {
        let (column, shown) = (*name, *shown);
        let value = match shown {
            Integer => row.integer(column)?.map(|number| json!(number)),
            Flag => row.flag(column)?.map(|flag| json!(flag)),
            Text => row.text(column)?.map(|text| json!(text)),
            Shown::Hex(start) => {
                let bytes = row.bytes(column)?;
                bytes.map(|bytes| json!(format!("{start}{}", Hex(&bytes))))
            }
            Frame | Digest => {
                if let Some(bytes) = row.bytes(column)? {
                    bodies.push((*name, body_digest(shown, &bytes)?));
                }
                None
            }
        };
        if let Some(value) = value {
            record.insert((*name).to_owned(), value);
        }
    }
    let shown =
        clear.iter().filter_map(|name| Some(((*name).to_owned(), record.get(*name)?.clone())));
    Ok(Facts { kind, clear: shown.collect(), record: Value::Object(record), bodies })
}

fn body_digest(shown: Shown, bytes: &[u8]) -> Result<Hash, Boxed> {
    match shown {
        Frame => Ok(Sha256::digest(unpack(bytes, None)?).into()),
        _digest => Ok(bytes.try_into()?),
    }
}

/// A leaf without its record, from a row.
pub(super) fn leaf(row: &impl Row) -> Result<LeafRow, Boxed> {
    let bytes = |column| -> Result<Option<Bytes<'_>>, Boxed> { maybe(row, column) };
    let hash = bytes("hash")?.map(|hash| (&*hash).try_into()).transpose()?;
    let salt = bytes("salt")?.map(|salt| (&*salt).try_into()).transpose()?;
    Ok(LeafRow {
        position: u64::try_from(cell::<i64>(row, "position")?)?,
        record: (cell(row, "kind")?, cell(row, "ref")?),
        hash,
        salt,
        entry: bytes("entry")?.map(Bytes::into_owned),
        found: FoundRecord::Missing,
    })
}
