//! Records as leaves, read by every kind of store with the same words. Names of tables are plain: a
//! store's connections find its own.

pub(super) mod owned;

use sha2::{Digest as _, Sha256};

use super::Boxed;
use super::rows::{Bytes, Row, cell, maybe};
use crate::audit::document::unpack;
use crate::audit::evidence::leaf::{Fact, Facts, LeafKind, Salt};
use crate::audit::evidence::tree::Hash;
use crate::base::ids::ChangeId;

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
    /// Likewise, of a column that only a log of several gateways has.
    OfSeveral(&'static Shown),
}

/// The columns of a kind of record: the expression, the name, and how it is shown, in the order of
/// their names. A column without a value is left out, so that later versions may add some.
struct Shape {
    columns: &'static [(&'static str, &'static str, Shown)],
    /// The tables, beside the leaves as `l`.
    from: &'static str,
    /// Those that only a log of several gateways has beside them.
    of_several: &'static str,
    /// The columns that an entry shows in clear.
    clear: &'static [&'static str],
}

use Shown::{Digest, Flag, Frame, Integer, OfSeveral, Text};

const CHANGE: Shape = Shape {
    columns: &[
        ("c.actor_fingerprint", "actor", Shown::Hex("pat_")),
        ("c.actor_name", "actor_name", Text),
        ("c.actor_person", "actor_person", Text),
        ("c.actor_team", "actor_team", Text),
        ("a.digest", "after", Digest),
        ("e.redacted", "after_redacted", Text),
        ("e.unkept", "after_unkept", Text),
        ("e.after_violations", "after_violations", Text),
        ("c.approval", "approval", Shown::Hex("apr_")),
        ("b.digest", "before", Digest),
        ("c.body_bytes", "body_bytes", Integer),
        ("c.body_digest", "body_digest", Text),
        ("c.client_ip", "client_ip", Text),
        ("c.client_retry", "client_retry", Integer),
        ("e.completed_at", "completed_at", Integer),
        ("c.decided_at", "decided_at", Integer),
        ("c.decision", "decision", Text),
        (
            "CASE WHEN c.operation <> 'create' OR e.outcome = 'applied' THEN d.id END",
            "deployment_id",
            Text,
        ),
        ("e.effect", "effect", Text),
        ("c.id", "id", Shown::Hex("chg_")),
        ("c.method", "method", Text),
        ("n.name", "node", Text),
        ("c.operation", "operation", Text),
        ("e.outcome", "outcome", Text),
        ("c.patch", "patch", Frame),
        ("p.digest", "policy", Text),
        ("c.process::text", "process", OfSeveral(&Text)),
        ("u.provider", "provider", Text),
        ("e.reason", "reason", Text),
        ("c.received_at", "received_at", Integer),
        ("c.redacted", "redacted", Text),
        ("c.request_id", "request_id", Text),
        ("c.reverts", "reverts", Shown::Hex("chg_")),
        ("c.seq", "seq", Integer),
        ("c.standing", "standing", Text),
        ("CASE WHEN e.swept THEN true END", "swept", OfSeveral(&Flag)),
        ("c.token", "token", OfSeveral(&Integer)),
        ("c.turn::text", "turn", OfSeveral(&Text)),
        ("c.unkept", "unkept", Text),
        ("u.name", "upstream", Text),
        ("e.upstream_call", "upstream_call", Text),
        ("e.upstream_request_id", "upstream_request_id", Text),
        ("CAST(e.upstream_status AS bigint)", "upstream_status", Integer),
        ("c.user_agent", "user_agent", Text),
        ("c.violations", "violations", Text),
    ],
    from: "JOIN changes c ON c.seq = l.ref JOIN ends e ON e.seq = c.seq \
        LEFT JOIN upstreams u ON u.number = c.upstream \
        LEFT JOIN policies p ON p.number = c.policy LEFT JOIN nodes n ON n.number = c.node \
        LEFT JOIN deployments d ON d.number = c.deployment \
        LEFT JOIN snapshots b ON b.number = c.before LEFT JOIN snapshots a ON a.number = e.after",
    of_several: "",
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
        ("s.applied", "applied", Flag),
        ("s.at", "at", Integer),
        ("s.settled_by", "by", Text),
        ("c.id", "change", Shown::Hex("chg_")),
        ("s.seq", "seq", Integer),
    ],
    from: "JOIN settlements s ON s.seq = l.ref JOIN changes c ON c.seq = s.seq",
    of_several: "",
    clear: &["seq", "change", "by", "at", "applied"],
};

const EVENT: Shape = Shape {
    columns: &[
        ("v.actor_fingerprint", "actor", Shown::Hex("pat_")),
        ("v.actor_name", "actor_name", Text),
        ("v.actor_person", "actor_person", Text),
        ("v.actor_team", "actor_team", Text),
        ("v.at", "at", Integer),
        ("v.client_ip", "client_ip", Text),
        ("v.detail", "detail", Text),
        ("v.kind", "event", Text),
        ("n.name", "node", OfSeveral(&Text)),
        ("v.request_id", "request_id", Text),
        ("v.seq", "seq", Integer),
    ],
    from: "JOIN events v ON v.seq = l.ref",
    of_several: " LEFT JOIN nodes n ON n.number = v.node",
    clear: &["seq", "at", "event", "actor"],
};

const POLICY: Shape = Shape {
    columns: &[
        ("p.digest", "digest", Text),
        ("p.number", "number", Integer),
        ("p.text", "text", Text),
    ],
    from: "JOIN policies p ON p.number = l.ref",
    of_several: "",
    clear: &["number", "digest"],
};

const KEY: Shape = Shape {
    columns: &[
        ("k.at", "at", Integer),
        ("k.first_seq", "first_seq", Integer),
        ("k.id", "id", Shown::Hex("key_")),
        ("k.number", "number", Integer),
    ],
    from: "JOIN keys k ON k.number = l.ref",
    of_several: "",
    clear: &["number", "id", "first_seq", "at"],
};

const APPROVAL: Shape = Shape {
    columns: &[
        ("a.actor_fingerprint", "actor", Shown::Hex("pat_")),
        ("a.actor_name", "actor_name", Text),
        ("a.actor_team", "actor_team", Text),
        ("a.kind", "approval", Text),
        ("a.asked", "asked", Shown::Hex("")),
        ("a.asks", "asks", Shown::Hex("")),
        ("a.base", "base", Shown::Hex("")),
        ("a.change_id", "change", Shown::Hex("chg_")),
        ("a.deployment_id", "deployment_id", Text),
        ("a.expires_at", "expires_at", Integer),
        ("a.id", "id", Shown::Hex("apr_")),
        ("a.number", "number", Integer),
        ("a.opened_at", "opened_at", Integer),
        ("a.operation", "operation", Text),
        ("a.person", "person", Text),
        ("a.reason", "reason", Text),
        ("a.rules", "rules", Text),
        ("a.upstream", "upstream", Text),
    ],
    from: "JOIN approvals a ON a.number = l.ref",
    of_several: "",
    clear: &["number", "id", "approval", "change", "opened_at"],
};

const STEP: Shape = Shape {
    columns: &[
        ("t.at", "at", Integer),
        ("t.change_id", "change", Shown::Hex("chg_")),
        ("a.id", "id", Shown::Hex("apr_")),
        ("t.number", "number", Integer),
        ("t.person", "person", Text),
        ("t.reason", "reason", Text),
        ("t.step", "step", Text),
        ("t.token", "token", Text),
        ("t.until_at", "until_at", Integer),
    ],
    from: "JOIN approval_steps t ON t.number = l.ref JOIN approvals a ON a.number = t.approval",
    of_several: "",
    clear: &["number", "id", "step", "at", "change"],
};

const LOG_KEY: Shape = Shape {
    columns: &[("k.at", "at", Integer), ("k.number", "number", Integer), ("k.vkey", "vkey", Text)],
    from: "JOIN log_keys k ON k.number = l.ref",
    of_several: "",
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
        ("a.digest", "after", Digest),
        ("e.after_violations", "after_violations", Text),
        ("e.at", "at", Integer),
        ("c.id", "change", Shown::Hex("chg_")),
        ("e.completed_at", "completed_at", Integer),
        ("e.effect", "effect", Text),
        ("n.name", "node", Text),
        ("e.outcome", "outcome", Text),
        ("e.reason", "reason", Text),
        ("e.redacted", "redacted", Text),
        ("e.seq", "seq", Integer),
        ("e.unkept", "unkept", Text),
        ("e.upstream_call", "upstream_call", Text),
        ("e.upstream_request_id", "upstream_request_id", Text),
        ("CAST(e.upstream_status AS bigint)", "upstream_status", Integer),
    ],
    from: "JOIN late e ON e.seq = l.ref JOIN changes c ON c.seq = e.seq \
        LEFT JOIN nodes n ON n.number = e.node LEFT JOIN snapshots a ON a.number = e.after",
    of_several: "",
    clear: &["seq", "change", "node", "at", "outcome", "completed_at"],
};

/// The question for the records of a kind among those that `source` names as `l`, in a log that
/// several gateways share or in one of a gateway's own.
pub(super) fn select(kind: LeafKind, source: &str, is_shared: bool) -> String {
    let Shape { columns, from, of_several, .. } = shape(kind);
    let is_there = |shown: &Shown| is_shared || !matches!(shown, OfSeveral(_));
    let columns = columns.iter().filter(|(_sql, _name, shown)| is_there(shown));
    let columns: Vec<String> =
        columns.map(|(sql, name, _shown)| format!("{sql} AS \"{name}\"")).collect();
    let beside = if is_shared { of_several } else { "" };
    format!("SELECT l.ref, {} FROM {source} l {from}{beside}", columns.join(", "))
}

/// A record, from a row of such a question.
pub(super) fn facts(kind: LeafKind, row: &impl Row, is_shared: bool) -> Result<Facts, Boxed> {
    let Shape { columns, clear, .. } = shape(kind);
    let mut facts = Facts::of(kind);
    for (_sql, name, shown) in *columns {
        let name = *name;
        let is_clear = clear.contains(&name);
        let shown = match shown {
            OfSeveral(_) if !is_shared => continue,
            OfSeveral(shown) => shown,
            shown => shown,
        };
        match *shown {
            Integer => {
                if let Some(number) = row.integer(name)? {
                    facts.add(name, Fact::Integer(number), is_clear);
                }
            }
            Flag => {
                if let Some(flag) = row.flag(name)? {
                    facts.add(name, Fact::Flag(flag), is_clear);
                }
            }
            Text => {
                if let Some(text) = row.text(name)? {
                    facts.add(name, Fact::Text(text), is_clear);
                }
            }
            Shown::Hex(letters) => {
                if let Some(bytes) = row.bytes(name)? {
                    facts.add(name, Fact::Hex(letters, &bytes), is_clear);
                }
            }
            Frame | Digest | OfSeveral(_) => {
                if let Some(bytes) = row.bytes(name)? {
                    facts.add_body(name, body_digest(*shown, &bytes)?);
                }
            }
        }
    }
    Ok(facts.whole())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_in_the_order_of_their_names_and_need_no_escaping() {
        for kind in LeafKind::ALL {
            let Shape { columns, clear, .. } = shape(kind);
            let names: Vec<&str> = columns.iter().map(|(_sql, name, _shown)| *name).collect();
            assert!(names.is_sorted_by(|one, next| one < next), "{names:?}");
            let is_plain = |c: char| c.is_ascii_lowercase() || c == '_';
            assert!(names.iter().all(|name| name.chars().all(is_plain)), "{names:?}");
            assert!(clear.iter().all(|name| names.contains(name)), "{clear:?}");
        }
    }
}
