//! The columns of each kind of record, as entries and digests show them.

use crate::audit::evidence::leaf::LeafKind;

/// How a column is shown in entries and digests.
#[derive(Clone, Copy, Debug)]
pub(super) enum Shown {
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

impl Shown {
    /// The way in which it is shown, in whichever log it is.
    pub(super) const fn plain(self) -> Self {
        match self {
            Self::OfSeveral(shown) => *shown,
            plain => plain,
        }
    }
}

/// The columns of a kind of record: the expression, the name, and how it is shown, in the order of
/// their names. A column without a value is left out, so that later versions may add some.
pub(super) struct Shape {
    pub(super) columns: &'static [(&'static str, &'static str, Shown)],
    /// The tables, beside the leaves as `l`.
    pub(super) from: &'static str,
    /// Those that only a log of several gateways has beside them.
    pub(super) of_several: &'static str,
    /// The columns that an entry shows in clear.
    pub(super) clear: &'static [&'static str],
}

use Shown::{Digest, Flag, Frame, Integer, OfSeveral, Text};

const CHANGE: Shape = Shape {
    columns: &[
        ("c.actor_fingerprint", "actor", Shown::Hex("pat_")),
        ("c.actor_name", "actor_name", Text),
        ("c.actor_person", "actor_person", Text),
        ("c.actor_team", "actor_team", Text),
        ("a.digest", "after", Digest),
        // That it names a document which is not there is never so.
        ("CASE WHEN e.after IS NOT NULL AND a.number IS NULL THEN true END", "after_gone", Flag),
        ("e.redacted", "after_redacted", Text),
        ("e.sealed", "after_sealed", Shown::Hex("")),
        ("e.unkept", "after_unkept", Text),
        ("e.after_violations", "after_violations", Text),
        ("c.approval", "approval", Shown::Hex("apr_")),
        ("b.digest", "before", Digest),
        ("CASE WHEN c.before IS NOT NULL AND b.number IS NULL THEN true END", "before_gone", Flag),
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
        ("c.sealed", "sealed", Shown::Hex("")),
        ("c.seq", "seq", Integer),
        ("c.standing", "standing", Text),
        ("CASE WHEN e.swept THEN true END", "swept", OfSeveral(&Flag)),
        ("c.token", "token", OfSeveral(&Integer)),
        ("e.touched", "touched", Shown::Hex("")),
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

pub(super) const fn shape(kind: LeafKind) -> &'static Shape {
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
        // That it names a document which is not there is never so.
        ("CASE WHEN e.after IS NOT NULL AND a.number IS NULL THEN true END", "after_gone", Flag),
        ("e.after_violations", "after_violations", Text),
        ("e.at", "at", Integer),
        ("c.id", "change", Shown::Hex("chg_")),
        ("e.completed_at", "completed_at", Integer),
        ("e.effect", "effect", Text),
        ("n.name", "node", Text),
        ("e.outcome", "outcome", Text),
        ("e.reason", "reason", Text),
        ("e.redacted", "redacted", Text),
        ("e.sealed", "sealed", Shown::Hex("")),
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
