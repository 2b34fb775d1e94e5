//! Deployments of 3 KB, each its own and always the same: prose that compresses like prose, ids
//! that compress like ids.

use serde_json::{Map, Value, json};

/// How long a deployment's prompt is: so long that the whole has 3 KB.
const PROMPT_BYTES: usize = 1_350;

const WORDS: [&str; 64] = [
    "agent",
    "alert",
    "archive",
    "before",
    "branch",
    "build",
    "change",
    "check",
    "collect",
    "compare",
    "customer",
    "daily",
    "dashboard",
    "deploy",
    "draft",
    "during",
    "error",
    "every",
    "failed",
    "figures",
    "finance",
    "for",
    "from",
    "invoice",
    "issue",
    "latency",
    "list",
    "mail",
    "missing",
    "month",
    "morning",
    "of",
    "open",
    "orders",
    "owner",
    "payment",
    "pipeline",
    "post",
    "read",
    "release",
    "repeat",
    "report",
    "request",
    "review",
    "rows",
    "send",
    "service",
    "sort",
    "status",
    "stock",
    "summary",
    "table",
    "team",
    "test",
    "the",
    "their",
    "then",
    "ticket",
    "update",
    "warehouse",
    "weekly",
    "when",
    "with",
    "write",
];

/// Numbers that look random and are the same every time (`SplitMix64`).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn id(&mut self, prefix: &str) -> String {
        format!("{prefix}_{:016x}{:016x}", self.next(), self.next())
    }

    fn prose(&mut self, bytes: usize) -> String {
        let mut text = String::with_capacity(bytes + 16);
        while text.len() < bytes {
            let word = WORDS.iter().cycle().nth(usize::from(self.next().to_le_bytes()[0]));
            text.push_str(word.unwrap_or(&""));
            text.push(' ');
        }
        text
    }
}

/// The id of the n-th deployment.
pub(crate) fn id(n: usize) -> String {
    format!("dep_{:032x}", n + 1)
}

/// Which deployment has this id.
pub(crate) fn number(id: &str) -> Option<usize> {
    let digits = id.strip_prefix("dep_")?;
    usize::from_str_radix(digits, 16).ok()?.checked_sub(1)
}

/// The n-th deployment, as the API shows it.
pub(crate) fn deployment(n: usize) -> Map<String, Value> {
    let mut numbers = Numbers(u64::try_from(n).unwrap_or(0));
    let vaults = [numbers.id("vlt"), numbers.id("vlt")];
    let shown = json!({
        "agent": {"id": numbers.id("agent"), "type": "agent", "version": 3},
        "archived_at": null,
        "created_at": "2026-06-14T08:58:01Z",
        "description": numbers.prose(200),
        "environment_id": numbers.id("env"),
        "environment_variables": format!("STAGE=production API_TOKEN={}", numbers.id("tok")),
        "id": id(n),
        "initial_events": [
            {"type": "system.message", "content": numbers.prose(150)},
            {"type": "user.message", "content": numbers.prose(PROMPT_BYTES)},
        ],
        "metadata": {
            "cas_config": {
                "config": {"max_concurrent": 1, "max_retries": 0, "timeout_ms": 300_000},
                "session_strategy": "new_session",
                "stats": {
                    "consecutive_failures": 0,
                    "next_trigger_at": "2026-07-01T01:00:00Z",
                    "total_failures": 0,
                    "total_runs": 12,
                },
            },
            "cost_centre": format!("cc-{}", numbers.next() % 1_000),
            "owner": numbers.prose(12),
            "revision": "0",
            "team": numbers.prose(8),
        },
        "name": format!("{}{n}", numbers.prose(20)),
        "paused_reason": null,
        "resources": [
            {"type": "github_repository", "url": format!("https://github.com/{}", numbers.id("r"))},
            {"type": "file", "file_id": numbers.id("file")},
        ],
        "schedule": {
            "expression": "0 9 * * 1-5",
            "timezone": "Asia/Shanghai",
            "type": "cron",
            "upcoming_runs_at": [
                "2026-07-01T01:00:00Z", "2026-07-02T01:00:00Z", "2026-07-03T01:00:00Z",
                "2026-07-06T01:00:00Z", "2026-07-07T01:00:00Z",
            ],
        },
        "status": "active",
        "type": "deployment",
        "updated_at": "2026-06-14T08:58:01.000Z",
        "vault_ids": vaults,
    });
    match shown {
        Value::Object(shown) => shown,
        _ => Map::new(),
    }
}
