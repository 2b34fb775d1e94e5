//! `If-Match` on a governed call (RFC 9110, 13.1.1), against the gateway's own etag.

use super::call::Call;
use super::shown_deployment::ShownDeployment;
use crate::deployment::digest::etag;
use crate::offload;

/// Whether the deployment is still one that `If-Match` names; true where there is none to name.
pub(super) async fn holds(call: &Call, before: Option<&ShownDeployment>) -> bool {
    if call.if_match.is_empty() {
        return true;
    }
    let Some(before) = before else { return false };
    let (key, provider) = (call.connection.gateway.key.clone(), call.provider());
    let shown = before.shown.clone();
    let current = offload::run(before.bytes, move || etag(&key, provider, shown.value())).await;
    let mut named = call
        .if_match
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim);
    // Strong comparison: a weak tag never matches, and a strong one holds no comma of ours.
    named.any(|tag| tag == "*" || tag == current)
}
