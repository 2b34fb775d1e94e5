//! Every key of a file of cases.

use crate::policy::keys::RULES_MAX;
use crate::settings::key::{KeySpec, KeyTable, ValueKind};

/// The most messages that a case expects.
const MESSAGES_MAX: usize = 256;

/// The most characters of a case's name.
pub(super) const NAME_CHARS_MAX: usize = 200;

/// The keys of a file of cases.
pub(crate) static KEYS: KeyTable =
    KeyTable { parts: &[&ALL], sections: &[], may_lack_sections: true };

const ALL: [KeySpec; 21] = [
    KeySpec::new(
        "policy",
        ValueKind::Text,
        "The policy that the cases are about, relative to this file; by default that of the \
         command line or of the configuration.",
    ),
    KeySpec::new("provider", ValueKind::Text, "The provider whose deployments they are about."),
    KeySpec::new("case", ValueKind::Tables, "A case. Any number, up to 10,000."),
    KeySpec::new("case[].name", ValueKind::Name(NAME_CHARS_MAX), "Its name, each once in a file.")
        .required(),
    KeySpec::new("case[].description", ValueKind::Text, "What it is for, in words."),
    KeySpec::new(
        "case[].operation",
        ValueKind::Choice(&["create", "update", "archive", "pause", "unpause", "run"]),
        "The operation; by default update where there is a before, else create.",
    ),
    KeySpec::new(
        "case[].method",
        ValueKind::Choice(&["POST", "PATCH", "PUT"]),
        "The method of an update; by PUT, what the body leaves out may be removed.",
    )
    .default("'POST'"),
    KeySpec::new("case[].before", ValueKind::Document, "The deployment before."),
    KeySpec::new("case[].before_file", ValueKind::Text, "The same, from a JSON file."),
    KeySpec::new("case[].patch", ValueKind::Document, "The body of the call."),
    KeySpec::new("case[].patch_file", ValueKind::Text, "The same, from a JSON file."),
    KeySpec::new(
        "case[].actor.fingerprint",
        ValueKind::Pattern("^pat_[0-9a-f]{16}$"),
        "The fingerprint of the token.",
    ),
    KeySpec::new("case[].actor.name", ValueKind::Name(128), "The actor's name."),
    KeySpec::new("case[].actor.person", ValueKind::Name(128), "The person who the actor is."),
    KeySpec::new("case[].actor.team", ValueKind::Name(128), "The actor's team."),
    KeySpec::new("case[].at", ValueKind::Text, "When the call comes, as an RFC 3339 time.")
        .default("'2026-01-05T09:00:00Z'"),
    KeySpec::new(
        "case[].expect.decision",
        ValueKind::Choice(&["allow", "warn", "deny"]),
        "The decision.",
    ),
    KeySpec::new(
        "case[].expect.rules",
        ValueKind::Texts(RULES_MAX),
        "The rules that are violated: these, and no others.",
    ),
    KeySpec::new(
        "case[].expect.standing",
        ValueKind::Texts(RULES_MAX),
        "The rules that were violated before and still are: these, and no others.",
    ),
    KeySpec::new(
        "case[].expect.messages",
        ValueKind::Texts(MESSAGES_MAX),
        "Texts, each a part of a violation's message.",
    ),
    KeySpec::new(
        "case[].each",
        ValueKind::FreeTables,
        "A variant of the case: values by JSON Pointers into it.",
    ),
];

#[cfg(test)]
mod tests {
    use super::KEYS;

    #[test]
    fn the_guide_has_a_row_for_every_key() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/guide/policy-tests.md");
        let guide = std::fs::read_to_string(path).unwrap();
        for key in KEYS.all() {
            let row = format!("| `{}` |", key.path.replace("[]", ""));
            assert!(guide.contains(&row), "the guide misses the row of {row}");
        }
    }
}
