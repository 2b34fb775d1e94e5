//! The keys of what is concealed.

use super::LIST_MAX;
use crate::settings::key::{KeySpec, ValueKind};

/// The places that are concealed beside the secrets that always are.
pub(super) const REDACT: [KeySpec; 1] = [KeySpec::new(
    "redact.pointers",
    ValueKind::Texts(LIST_MAX),
    "JSON Pointers (RFC 6901) of a deployment whose values are kept as keyed digests, beside \
         the secrets that always are. `*` stands for every member or item: \
         `\"/resources/*/url\"`.",
)
.default("[]")];
