//! Claude Managed Agents.

use std::time::Duration;

use super::{Credential, Provider};

/// The public API.
pub(super) static CLAUDE: Provider = Provider {
    name: "claude",
    base_path: "/v1",
    credentials: &[Credential::Bearer, Credential::ApiKey],
    repeated_query_keys: &["beta"],
    request_id_header: Some("request-id"),
    body_bytes_max: 32 << 20,
    // A message that is not streamed is whole before its head comes; the SDKs wait as long.
    response_timeout: Duration::from_mins(10),
    fields: &super::FIELDS,
    shape: &super::shape::CLAUDE,
    computed: &super::COMPUTED,
    shown_as: &super::SHOWN_AS,
    reserved_keys: &super::RESERVED_KEYS,
    always_shown: &super::ALWAYS_SHOWN,
    secret_members: &super::SECRET_MEMBERS,
    archive_renames: false,
};
