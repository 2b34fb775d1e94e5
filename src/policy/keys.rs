//! Every key of the policy file.

use crate::settings::key::{Key, Keys, Kind};

/// The most entries of one list.
pub(super) const ENTRIES_MAX: usize = 256;

/// The words for an enforcement.
const ENFORCEMENTS: Kind = Kind::Choice(&["deny", "warn", "audit"]);

const ENFORCEMENT: &str = "`\"deny\"` (403, nothing is forwarded), `\"warn\"` (forwarded, the \
    client gets a `warning` header) or `\"audit\"` (forwarded and recorded).";

/// The keys of the policy file, and the sections that are not known yet.
pub(crate) static KEYS: Keys = Keys {
    all: &ALL,
    sections: &[
        ("timezones", "A schedule's time zone must be one of a list."),
        ("metadata", "Keys of the metadata that changes must not touch, and their form."),
    ],
    planned: &[("rule", "rules in CEL are not supported by this version yet: remove the rule")],
};

const ALL: [Key; 7] = [
    Key::new(
        "timezones.allowed",
        Kind::Texts(ENTRIES_MAX),
        "The time zones that a schedule may have, by their IANA names, letter by letter.",
    )
    .required(),
    Key::new("timezones.enforcement", ENFORCEMENTS, ENFORCEMENT).default("'deny'"),
    Key::new(
        "metadata.forbidden_keys",
        Kind::Texts(ENTRIES_MAX),
        "Keys that may be deleted but never set; `*` matches within one key. Look-alikes of a key \
         count as the key.",
    ),
    Key::new(
        "metadata.protected_keys",
        Kind::Texts(ENTRIES_MAX),
        "Keys or dotted paths that are never set, changed or deleted.",
    ),
    Key::new(
        "metadata.key_pattern",
        Kind::Text,
        "A regular expression that every key that is set must fit as a whole.",
    ),
    Key::new(
        "metadata.compare",
        Kind::Choice(&["loose", "strict"]),
        "`\"loose\"`: accents and the joints of words (`owner-override`, `ownerOverride`) don't \
         count; `\"strict\"`: keys are compared by their look alone.",
    )
    .default("'loose'"),
    Key::new("metadata.enforcement", ENFORCEMENTS, ENFORCEMENT).default("'deny'"),
];
