//! The keys of actors and operators, and of what operators share.

use crate::config::views::VIEW_NAME_CHARS_MAX;
use crate::settings::key::{KeySpec, ValueKind};

/// Actors and operators, and their views, in the reference file's order.
pub(super) const PEOPLE: [KeySpec; 16] = [
    KeySpec::new(
        "actors.unknown",
        ValueKind::Choice(&["allow", "deny"]),
        "What happens to calls of tokens that are not listed: `\"allow\"` or `\"deny\"` (403).",
    )
    .default("'allow'"),
    KeySpec::new(
        "actor",
        ValueKind::Tables,
        "Who is behind a token, or behind all tokens of a service account. Any number.",
    ),
    KeySpec::new(
        "actor[].fingerprint",
        ValueKind::Pattern("^pat_[0-9a-f]{16}$"),
        "`pat_` and 16 hex digits, as `changegate token fingerprint` prints. Each once.",
    )
    .example("\"pat_0123456789abcdef\"")
    .hidden(),
    KeySpec::new(
        "actor[].subject",
        ValueKind::Name(256),
        "In place of `fingerprint`: the `sub` of bearer tokens that are JWTs, which a service \
         account gets anew all the time; 1 to 256 characters. It counts once upstream has taken \
         the token.",
    ),
    KeySpec::new(
        "actor[].issuer",
        ValueKind::Name(256),
        "Beside `subject`: the `iss` that it must come with; without it, any.",
    ),
    KeySpec::new("actor[].name", ValueKind::Name(128), "Whose token it is; 1 to 128 characters.")
        .example("\"nightly-sync\"")
        .required(),
    KeySpec::new("actor[].team", ValueKind::Name(128), "The holder's team; 1 to 128 characters.")
        .example("\"platform\""),
    KeySpec::new(
        "actor[].person",
        ValueKind::Name(128),
        "The human behind it, by one name in the whole file; 1 to 128 characters. Asking for an \
         approval takes one, and so does every exception made for persons.",
    )
    .example("\"wang.li\""),
    KeySpec::new("admin.token", ValueKind::Tables, "Who may use the admin API. Any number."),
    KeySpec::new(
        "admin.token[].name",
        ValueKind::Name(64),
        "Whose it is; 1 to 64 characters, each name once.",
    )
    .example("\"compliance\"")
    .required(),
    KeySpec::new(
        "admin.token[].role",
        ValueKind::Choice(&["viewer", "auditor", "approver", "admin"]),
        "`\"viewer\"` (no bodies), `\"auditor\"` (everything), `\"approver\"` (decides on what \
         asks for approval), `\"admin\"` (changes the gateway).",
    )
    .example("\"auditor\"")
    .required(),
    KeySpec::new(
        "admin.token[].person",
        ValueKind::Name(128),
        "The human who holds it, by the same name as in `[[actor]]`; 1 to 128 characters. \
         Approving takes one: nobody approves their own changes.",
    )
    .example("\"chen.jie\""),
    KeySpec::new(
        "admin.token[].sha256",
        ValueKind::Pattern("^\\s*[0-9a-fA-F]{64}\\s*$"),
        "64 hex digits: `printf %s \"$TOKEN\" | sha256sum`.",
    )
    .example("\"1b988d7c6233e6a7b9beecc77f17be0de3151cb55166760ae5c8f3ad83d7e3f4\"")
    .required()
    .hidden(),
    KeySpec::new(
        "admin.view",
        ValueKind::Tables,
        "A view of the list of changes, which the console links for everybody. At most 32.",
    ),
    KeySpec::new(
        "admin.view[].name",
        ValueKind::Name(VIEW_NAME_CHARS_MAX),
        "What it is called; 1 to 64 characters, each name once.",
    )
    .example("\"Denied in production\"")
    .required(),
    KeySpec::new(
        "admin.view[].query",
        ValueKind::Text,
        "What stands behind the `?` in the address of `/changes`: filters, columns, span; at most \
         2048 bytes. The page itself shows this block for the view that it has.",
    )
    .example("\"decision=deny&team=production\"")
    .required(),
];
