//! Claude Managed Agents.

use super::{Credential, Provider};

/// The public API.
pub(super) static CLAUDE: Provider = Provider {
    name: "claude",
    base_path: "/v1",
    credentials: &[Credential::Bearer, Credential::ApiKey],
    repeated_query_keys: &["beta"],
    request_id_header: Some("request-id"),
    body_bytes_max: 32 << 20,
    fields: &super::FIELDS,
    computed: &super::COMPUTED,
    always_shown: &super::ALWAYS_SHOWN,
    secret_members: &super::SECRET_MEMBERS,
    archive_renames: false,
};
