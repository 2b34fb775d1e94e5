//! The keys of sealed originals.

use crate::settings::key::{KeySpec, ValueKind};

/// Originals of what is concealed, in the reference file's order.
pub(super) const SEAL: [KeySpec; 2] = [
    KeySpec::new(
        "seal.key_file",
        ValueKind::Text,
        "The secret that originals are sealed under: 64 hex digits, readable by its owner only; \
         made on first start. With it, bodies are also kept as they were before their secrets \
         were concealed, encrypted, each under a key of its own; without it, they are not. Keep \
         it apart from the database and from its backups.",
    )
    .example("\"seal/seal.key\"")
    .restart("yes"),
    KeySpec::new(
        "seal.beside_database",
        ValueKind::Flag,
        "Whether that file may lie in the folder of the database.",
    )
    .default("false")
    .restart("yes"),
];
