//! The tables of a log that are copied from SQLite to PostgreSQL: one line each.

/// A table that both kinds of a log have, under one name.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) name: &'static str,
    /// The columns, as PostgreSQL names them.
    pub(super) columns: &'static str,
    /// The order of its rows, alike on both sides: each knows what BINARY and QUOTED are there.
    pub(super) order: &'static str,
    /// The columns as SQLite is asked for them, where they differ.
    pub(super) asked: Option<&'static str>,
    /// Which rows SQLite is asked for, where not for all.
    pub(super) which: Option<&'static str>,
    /// Whether the last column is told by what the name of a turn is made of.
    pub(super) ends_in_turn: bool,
}

impl Table {
    const fn of(name: &'static str, order: &'static str, columns: &'static str) -> Self {
        Self { name, columns, order, asked: None, which: None, ends_in_turn: false }
    }

    const fn asked(mut self, asked: &'static str) -> Self {
        self.asked = Some(asked);
        self
    }
}

/// The text of an event of a log that is sealed.
pub(super) const MOVE: &str = "move";

/// All of them, in the order in which they are copied. `pending` is empty by then, and leases,
/// turns and writers are the gateways' own.
pub(super) const TABLES: [Table; 28] = [
    Table::of("upstreams", "number", "number, name, provider"),
    Table::of("nodes", "number", "number, name"),
    Table::of("policies", "number", "number, digest, text"),
    Table::of("deployments", "number", "number, upstream, id"),
    Table::of("keys", "number", "number, id, first_seq, at"),
    Table::of("places", "number", "number, path"),
    Table::of("snapshots", "number", "number, digest, base, depth, body"),
    Table::of(
        "changes",
        "seq",
        "seq, id, upstream, policy, node, operation, method, deployment, actor_fingerprint, \
         actor_name, actor_team, actor_person, client_ip, user_agent, client_retry, request_id, \
         received_at, decided_at, decision, violations, standing, patch, before, body_bytes, \
         body_digest, redacted, unkept, approval, reverts, sealed",
    ),
    Table::of(
        "ends",
        "seq",
        "seq, outcome, completed_at, upstream_call, upstream_status, upstream_request_id, after, \
         effect, reason, redacted, unkept, after_violations, touched, sealed",
    ),
    Table::of("touched", "place, kind, seq", "place, kind, seq"),
    Table::of("broken", "rule COLLATE BINARY, seq", "rule, seq"),
    Table::of("originals", "seq, half", "seq, half, key, wrapped, body"),
    Table::of("settlements", "seq", "seq, settled_by, at, applied")
        .asked("seq, settled_by, at, CASE applied WHEN 1 THEN 't' WHEN 0 THEN 'f' END"),
    Table::of(
        "events",
        "seq",
        "seq, at, kind, actor_fingerprint, actor_name, actor_team, actor_person, client_ip, \
         request_id, detail",
    ),
    Table::of("idempotency_keys", "digest", "digest, seq, request, until_at"),
    Table::of(
        "approvals",
        "number",
        "number, id, kind, change_id, upstream, operation, deployment_id, actor_fingerprint, \
         actor_name, actor_team, person, opened_at, rules, expires_at, asked, base, asks, reason",
    ),
    Table::of(
        "approval_steps",
        "number",
        "number, approval, step, at, person, token, reason, until_at, change_id",
    ),
    Table::of(
        "live_approvals",
        "actor_fingerprint, approval",
        "actor_fingerprint, approval, until_at",
    ),
    Table {
        ends_in_turn: true,
        ..Table::of("unsettled", "deployment, seq", "deployment, seq, turn").asked(
            "deployment, seq, \
             (SELECT upstream || char(0) || id FROM deployments WHERE number = deployment)",
        )
    },
    Table::of(
        "counts",
        "about COLLATE BINARY, step, at, QUOTED(value) COLLATE BINARY",
        "about, step, at, value, changes",
    ),
    Table::of("counted", "one", "one, seq"),
    Table::of("spans", "block", "block, first_at, last_at"),
    Table::of("log_keys", "number", "number, vkey, at"),
    Table {
        // Those that are in no tree yet come into that of the copy.
        which: Some("hash IS NOT NULL"),
        ..Table::of("leaves", "position", "position, kind, ref, hash, salt, entry")
    },
    Table::of("subtrees", "level, number", "level, number, hash"),
    Table::of("checkpoint", "one", "one, size, at, note"),
    Table::of(
        "sinks",
        "name COLLATE BINARY",
        "name, next, revision, attempts, next_at, sent, sent_at, error, error_at, dead, disabled",
    ),
    Table::of("dead_letters", "sink COLLATE BINARY, position", "sink, position, at, reason"),
];
