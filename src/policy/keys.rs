//! Every key of the policy file.

use crate::settings::key::{KeySpec, KeyTable, ValueKind};

/// The most entries of one list.
pub(super) const ENTRIES_MAX: usize = 256;

/// The most rules in CEL.
pub(super) const RULES_MAX: usize = 2_000;

/// The most places that one of them is about.
pub(super) const ABOUT_MAX: usize = 64;

/// The words for an enforcement.
const ENFORCEMENTS: ValueKind = ValueKind::Choice(&["deny", "approve", "warn", "audit"]);

const ENFORCEMENT: &str = "`\"deny\"` (403, nothing is forwarded), `\"approve\"` (the same until \
    somebody else has approved the change), `\"warn\"` (forwarded, the client gets a `warning` \
    header) or `\"audit\"` (forwarded and recorded).";

/// The keys of the policy file, and the sections that are not known yet.
pub(crate) static KEYS: KeyTable = KeyTable {
    parts: &[&ALL],
    sections: &[
        ("timezones", "A schedule's time zone must be one of a list."),
        ("metadata", "KeyTable of the metadata that changes must not touch, and their form."),
    ],
    planned: &[],
};

const ALL: [KeySpec; 17] = [
    KeySpec::new(
        "contact",
        ValueKind::Name(128),
        "Who helps those whom a rule denies, such as `#platform on chat`: named in every denial; \
         1 to 128 characters.",
    ),
    KeySpec::new(
        "timezones.allowed",
        ValueKind::Texts(ENTRIES_MAX),
        "The time zones that a schedule may have, by their IANA names, letter by letter.",
    )
    .required(),
    KeySpec::new("timezones.enforcement", ENFORCEMENTS, ENFORCEMENT).default("'deny'"),
    KeySpec::new(
        "metadata.forbidden_keys",
        ValueKind::Texts(ENTRIES_MAX),
        "Keys that may be deleted but never set; `*` matches within one key. Look-alikes of a key \
         count as the key.",
    ),
    KeySpec::new(
        "metadata.protected_keys",
        ValueKind::Texts(ENTRIES_MAX),
        "Keys or dotted paths that are never set, changed or deleted.",
    ),
    KeySpec::new(
        "metadata.key_pattern",
        ValueKind::Text,
        "A regular expression that every key that is set must fit as a whole.",
    ),
    KeySpec::new(
        "metadata.compare",
        ValueKind::Choice(&["loose", "strict"]),
        "`\"loose\"`: accents and the joints of words (`owner-override`, `ownerOverride`) don't \
         count; `\"strict\"`: keys are compared by their look alone.",
    )
    .default("'loose'"),
    KeySpec::new("metadata.enforcement", ENFORCEMENTS, ENFORCEMENT).default("'deny'"),
    KeySpec::new("rule", ValueKind::Tables, "A rule in CEL. Any number, up to 2000."),
    KeySpec::new(
        "rule[].name",
        ValueKind::Pattern("^[a-z0-9-]{1,64}$"),
        "The rule's name: small letters, digits and `-`, at most 64; each once.",
    )
    .example("'no-weekend-runs'")
    .required(),
    KeySpec::new("rule[].description", ValueKind::Text, "What the rule is for, in words."),
    KeySpec::new(
        "rule[].operations",
        ValueKind::Texts(6),
        "The operations that it is asked about: `create`, `update`, `archive`, `pause`, \
         `unpause`, `run`; by default create and update.",
    ),
    KeySpec::new(
        "rule[].when",
        ValueKind::Text,
        "An expression; where it does not hold, the rule is not asked.",
    ),
    KeySpec::new("rule[].require", ValueKind::Text, "The expression that must hold.")
        .example("'object.schedule != null'")
        .required(),
    KeySpec::new(
        "rule[].about",
        ValueKind::Texts(ABOUT_MAX),
        "JSON Pointers of what the rule is about: it blocks no update that leaves them as they \
         are. By default the places of `object` that `require` selects.",
    ),
    KeySpec::new(
        "rule[].message",
        ValueKind::Text,
        "What a client is told; `{{ expression }}` stands for its value.",
    ),
    KeySpec::new("rule[].enforcement", ENFORCEMENTS, ENFORCEMENT),
];
