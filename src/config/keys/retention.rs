//! The keys of what is kept.

use crate::settings::key::{KeySpec, ValueKind};

/// A day and a hundred years, in seconds.
const DAY: u64 = 24 * 3_600;
const CENTURY: u64 = 36_525 * DAY;

/// How long records are kept, in the reference file's order.
pub(super) const RETENTION: [KeySpec; 6] = [
    KeySpec::new(
        "retention.max_age",
        ValueKind::Span(DAY, CENTURY),
        "Older changes and events are pruned, such as `\"400d\"`; a day at least. Without it, none \
         is for its age.",
    )
    .example("\"400d\""),
    KeySpec::new(
        "retention.max_changes",
        ValueKind::Count(1, u32::MAX),
        "Changes beyond the newest so many are pruned, and events from before them, but nothing \
         that is younger than a day. Without it, none is for their number.",
    )
    .example("1000000"),
    KeySpec::new(
        "retention.hold",
        ValueKind::Tables,
        "Whose records are never pruned or erased, beside those that `changegate audit hold` \
         names: one of `deployment`, `actor` and `team` each. Any number.",
    ),
    KeySpec::new(
        "retention.hold[].deployment",
        ValueKind::Name(256),
        "A deployment, by its id; 1 to 256 characters.",
    )
    .example("\"dep_0123456789abcdef\""),
    KeySpec::new(
        "retention.hold[].actor",
        ValueKind::Name(128),
        "An actor, by name, which stands for all tokens that had it, or by fingerprint; 1 to 128 \
         characters.",
    ),
    KeySpec::new("retention.hold[].team", ValueKind::Name(128), "A team; 1 to 128 characters."),
];
