//! Qoder Cloud Agents, in China and elsewhere.

use std::time::Duration;

use super::{Credential, Provider};

/// The request body that the China service still reads whole is 4 MiB.
pub(super) static CN: Provider = Provider { name: "qoder-cn", body_bytes_max: 4 << 20, ..QODER };

/// The service outside China.
pub(super) static GLOBAL: Provider = QODER;

const QODER: Provider = Provider {
    name: "qoder",
    base_path: "/api/v1/cloud",
    credentials: &[Credential::Bearer],
    repeated_query_keys: &["beta"],
    request_id_header: None,
    body_bytes_max: 32 << 20,
    response_timeout: Duration::from_mins(1),
    fields: &super::FIELDS,
    shape: &super::shape::QODER,
    computed: &super::COMPUTED,
    shown_as: &super::SHOWN_AS,
    reserved_keys: &super::RESERVED_KEYS,
    always_shown: &super::ALWAYS_SHOWN,
    secret_members: &super::SECRET_MEMBERS,
    archive_renames: true,
};
