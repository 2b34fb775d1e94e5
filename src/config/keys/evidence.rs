//! The keys of the evidence.

use crate::settings::key::{KeySpec, ValueKind};

/// The tree over the log and how it is signed, in the reference file's order.
pub(super) const EVIDENCE: [KeySpec; 6] = [
    KeySpec::new(
        "evidence.origin",
        ValueKind::Text,
        "The log's name in checkpoints, which no other log has: without spaces and `+`. Without \
         one it is made of the log's first key: `changegate.local/` and 16 hex digits.",
    )
    .example("\"example.com/changegate\"")
    .restart("yes"),
    KeySpec::new(
        "evidence.key_file",
        ValueKind::Text,
        "A secret of its own by which checkpoints are signed: 64 hex digits, readable by its owner \
         only; made on first start. Without one the keys are made of that in `audit.key_file`. \
         The newest checkpoint is remembered beside the file, with `.checkpoint` behind its name.",
    )
    .example("\"evidence.key\"")
    .restart("yes"),
    KeySpec::new(
        "evidence.interval",
        ValueKind::Duration,
        "From one checkpoint to the next, also when nothing happened; 1 s at least.",
    )
    .default("'60s'")
    .restart("yes"),
    KeySpec::new(
        "evidence.checkpoint_file",
        ValueKind::Text,
        "A file that is rewritten with each checkpoint. Have it copied to where who can alter the \
         log can't alter the copies.",
    )
    .example("\"checkpoint\"")
    .restart("yes"),
    KeySpec::new(
        "evidence.witness_urls",
        ValueKind::Texts(7),
        "Witnesses (C2SP tlog-witness) that are asked to sign each checkpoint too: `https`, or \
         `http` on this machine. `/add-checkpoint` is added.",
    )
    .default("[]")
    .hidden()
    .restart("yes"),
    KeySpec::new(
        "evidence.witness_keys",
        ValueKind::Texts(14),
        "The keys of all these witnesses, NAME+ID+KEY (Ed25519 cosignatures). Only what they sign \
         is kept then; without any, what comes is kept and never told as verified.",
    )
    .default("[]")
    .restart("yes"),
];
