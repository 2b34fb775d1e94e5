//! Every key of the policy file.

use super::approvers::APPROVERS_MAX;
use crate::settings::key::{KeySpec, KeyTable, ValueKind};

/// The most entries of one list.
pub(super) const ENTRIES_MAX: usize = 256;

/// The most rules in CEL.
pub(super) const RULES_MAX: usize = 2_000;

/// The most places that one of them is about.
pub(super) const ABOUT_MAX: usize = 64;

/// The most freezes.
pub(super) const FREEZES_MAX: usize = 64;

/// A minute, and 31 days, in seconds: what lengths of time lie between.
const MINUTE: u64 = 60;
const MONTH: u64 = 31 * 24 * 60 * 60;

/// The words for an enforcement.
const ENFORCEMENTS: ValueKind = ValueKind::Choice(&["deny", "approve", "warn", "audit"]);

const ENFORCEMENT: &str = "`\"deny\"` (403, nothing is forwarded), `\"approve\"` (the same until \
    somebody else has approved the change), `\"warn\"` (forwarded, the client gets a `warning` \
    header) or `\"audit\"` (forwarded and recorded).";

/// The keys that say whom a section or a rule is about, and who approves.
macro_rules! scope_keys {
    ($section:literal) => {
        [
            KeySpec::new(concat!($section, ".actors"), ValueKind::Texts(ENTRIES_MAX), ACTORS),
            KeySpec::new(concat!($section, ".teams"), ValueKind::Texts(ENTRIES_MAX), TEAMS),
            KeySpec::new(
                concat!($section, ".except_actors"),
                ValueKind::Texts(ENTRIES_MAX),
                EXCEPT_ACTORS,
            ),
            KeySpec::new(
                concat!($section, ".except_teams"),
                ValueKind::Texts(ENTRIES_MAX),
                EXCEPT_TEAMS,
            ),
            KeySpec::new(
                concat!($section, ".approvers"),
                ValueKind::Texts(APPROVERS_MAX),
                APPROVERS,
            ),
        ]
    };
}

const ACTORS: &str = "Asked about these actors only (and these teams): names, persons or \
    fingerprints.";

const TEAMS: &str = "Asked about the actors of these teams only (and these actors). A token that \
    is not listed has none.";

const EXCEPT_ACTORS: &str = "Not asked about these actors.";

const EXCEPT_TEAMS: &str = "Not asked about the actors of these teams.";

const APPROVERS: &str = "With `enforcement = \"approve\"`: the persons who may approve, by \
    `person` of `[[admin.token]]` or of a login; 1 to 64. Without it, anybody with the role may.";

/// The keys of the policy file, and the sections that are not known yet.
pub(crate) static KEYS: KeyTable = KeyTable {
    parts: &[
        &GENERAL,
        &TIMEZONES,
        &scope_keys!("timezones"),
        &METADATA,
        &scope_keys!("metadata"),
        &SCHEDULE,
        &scope_keys!("schedule"),
        &FREEZE,
        &scope_keys!("schedule.freeze[]"),
        &REFERENCES,
        &scope_keys!("references"),
        &NAME,
        &scope_keys!("name"),
        &RULE,
        &scope_keys!("rule[]"),
        &APPROVALS,
    ],
    sections: &[
        ("timezones", "A schedule's time zone must be one of a list."),
        ("schedule", "What a schedule that is set must keep, and when nothing begins."),
        ("references", "What deployments may refer to. A list that is absent allows anything."),
        ("name", "The shape of deployments' names."),
        ("metadata", "KeyTable of the metadata that changes must not touch, and their form."),
        ("approvals", "How changes are approved that a rule with `approve` holds up."),
        ("break_glass", "Who may make a change pass in an emergency that the policy denies."),
    ],
    may_lack_sections: true,
};

/// The most persons who may break the glass.
const PERSONS_MAX: usize = 256;

/// The longest that an approval may take, or be used, in seconds: 90 days.
const SECONDS_MAX: u64 = 90 * 24 * 3_600;

const APPROVALS: [KeySpec; 5] = [
    KeySpec::new(
        "approvals.expires_after",
        ValueKind::Span(1, SECONDS_MAX),
        "How long an approval stays open that nobody has decided on.",
    )
    .default("'72h'"),
    KeySpec::new(
        "approvals.run_within",
        ValueKind::Span(1, SECONDS_MAX),
        "How long an approval may be used, once it is given.",
    )
    .default("'24h'"),
    KeySpec::new(
        "approvals.reason_min_chars",
        ValueKind::Count(1, 200),
        "The fewest characters of a reason, of a decision as of break-glass.",
    )
    .default("10"),
    KeySpec::new(
        "break_glass.persons",
        ValueKind::Texts(PERSONS_MAX),
        "Who may: the `person` of an `[[actor]]`; at least one.",
    ),
    KeySpec::new(
        "break_glass.per_day",
        ValueKind::Count(1, 100),
        "How often each of them may within 24 hours.",
    )
    .default("2"),
];

const GENERAL: [KeySpec; 1] = [KeySpec::new(
    "contact",
    ValueKind::Name(128),
    "Who helps those whom a rule denies, such as `#platform on chat`: named in every denial; \
     1 to 128 characters.",
)];

const TIMEZONES: [KeySpec; 2] = [
    KeySpec::new(
        "timezones.allowed",
        ValueKind::Texts(ENTRIES_MAX),
        "The time zones that a schedule may have, by their IANA names, letter by letter.",
    )
    .required(),
    KeySpec::new("timezones.enforcement", ENFORCEMENTS, ENFORCEMENT).default("'deny'"),
];

const METADATA: [KeySpec; 6] = [
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
        "metadata.required",
        ValueKind::TextMap(ENTRIES_MAX),
        "Keys that must be there, letter by letter, each with the regular expression that its \
         whole value must fit.",
    )
    .example("{ team = '[a-z]+' }"),
    KeySpec::new(
        "metadata.compare",
        ValueKind::Choice(&["loose", "strict"]),
        "`\"loose\"`: accents and the joints of words (`owner-override`, `ownerOverride`) don't \
         count; `\"strict\"`: keys are compared by their look alone.",
    )
    .default("'loose'"),
    KeySpec::new("metadata.enforcement", ENFORCEMENTS, ENFORCEMENT).default("'deny'"),
];

const SCHEDULE: [KeySpec; 4] = [
    KeySpec::new(
        "schedule.minimum_interval",
        ValueKind::Span(MINUTE, MONTH),
        "The least time between two runs, over the next 400 of them and where clocks change.",
    )
    .example("'15m'"),
    KeySpec::new(
        "schedule.runs_per_day",
        ValueKind::Count(1, 1_440),
        "The most runs within any 24 hours.",
    )
    .example("48"),
    KeySpec::new(
        "schedule.must_fire",
        ValueKind::Flag,
        "Whether a schedule that never fires, such as `0 9 31 2 *`, breaks the rule.",
    )
    .default("true"),
    KeySpec::new("schedule.enforcement", ENFORCEMENTS, ENFORCEMENT).default("'deny'"),
];

const FREEZE: [KeySpec; 6] = [
    KeySpec::new(
        "schedule.freeze",
        ValueKind::Tables,
        "A time in which no create, update, archive, pause, unpause or run begins. Any number, up \
         to 64; what one leaves out of `enforcement` and whom it is about is as in `[schedule]`.",
    ),
    KeySpec::new(
        "schedule.freeze[].starts",
        ValueKind::Text,
        "When it begins: five POSIX cron fields.",
    )
    .example("'0 18 * * 5'")
    .required(),
    KeySpec::new(
        "schedule.freeze[].lasts",
        ValueKind::Span(MINUTE, MONTH),
        "How long it lasts: hours that go by, whatever clocks do meanwhile.",
    )
    .example("'60h'")
    .required(),
    KeySpec::new(
        "schedule.freeze[].timezone",
        ValueKind::Text,
        "The zone of its clock: an IANA name.",
    )
    .example("'Asia/Shanghai'")
    .required(),
    KeySpec::new(
        "schedule.freeze[].operations",
        ValueKind::Texts(6),
        "The operations that don't begin; by default all.",
    ),
    KeySpec::new("schedule.freeze[].enforcement", ENFORCEMENTS, ENFORCEMENT),
];

const REFERENCES: [KeySpec; 7] = [
    KeySpec::new(
        "references.agents",
        ValueKind::Texts(ENTRIES_MAX),
        "Agents that a deployment may have, by id; `*` stands for any text. `[]` is none.",
    )
    .example("['agent_*']"),
    KeySpec::new(
        "references.environments",
        ValueKind::Texts(ENTRIES_MAX),
        "Environments that it may run in.",
    ),
    KeySpec::new("references.vaults", ValueKind::Texts(ENTRIES_MAX), "Vaults that it may open."),
    KeySpec::new(
        "references.resource_types",
        ValueKind::Texts(ENTRIES_MAX),
        "Types that its resources may have.",
    ),
    KeySpec::new(
        "references.resource_urls",
        ValueKind::Texts(ENTRIES_MAX),
        "URLs that its resources may have, with scheme, host and path; `*` in the path stands for \
         any text, at the beginning of the host for labels.",
    )
    .example("['https://git.example.com/*']"),
    KeySpec::new(
        "references.pinned_agent_version",
        ValueKind::Flag,
        "Whether an agent must be named with its version: by its id alone it is pinned anew.",
    )
    .default("false"),
    KeySpec::new("references.enforcement", ENFORCEMENTS, ENFORCEMENT).default("'deny'"),
];

const NAME: [KeySpec; 2] = [
    KeySpec::new(
        "name.pattern",
        ValueKind::Text,
        "A regular expression that the whole name must fit.",
    )
    .example("'[a-z][a-z0-9-]*'")
    .required(),
    KeySpec::new("name.enforcement", ENFORCEMENTS, ENFORCEMENT).default("'deny'"),
];

const RULE: [KeySpec; 9] = [
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
