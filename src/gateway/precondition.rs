//! `If-Match` on a governed call (RFC 9110, 13.1.1), against the gateway's own etag.

use serde_json::Value;

use super::call::Call;
use crate::deployment::digest::etag;

/// Whether the deployment is still one that `If-Match` names; true where there is none to name.
pub(super) fn holds(call: &Call, before: Option<&Value>) -> bool {
    if call.if_match.is_empty() {
        return true;
    }
    let Some(before) = before else { return false };
    let current = etag(&call.scene.gateway.key, call.scene.live.config.upstream.provider, before);
    let mut named = call
        .if_match
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim);
    // Strong comparison: a weak tag never matches, and a strong one holds no comma of ours.
    named.any(|tag| tag == "*" || tag == current)
}
