//! The link from a change to the one that it takes back. A client's word is taken for no more than
//! that: the change must be on record, and of the same deployment.

use http::header::{HeaderMap, HeaderName};

use super::call::Call;
use super::refusal::Refusal;
use crate::base::ids::ChangeId;

/// The header that names the change; upstream never sees it.
pub(super) const REVERTS: HeaderName = HeaderName::from_static("changegate-reverts");

/// The change that a call says to take back; `None` where it says nothing.
pub(super) fn sent(headers: &HeaderMap) -> Result<Option<ChangeId>, Refusal> {
    let mut sent = headers.get_all(REVERTS).iter();
    let Some(first) = sent.next() else { return Ok(None) };
    let id = first.to_str().ok().and_then(|text| text.parse().ok());
    id.filter(|_id| sent.next().is_none())
        .map(Some)
        .ok_or_else(|| Refusal::form("changegate-reverts: name one change, chg_ and 32 hex digits"))
}

/// Makes sure that the change which a call says to take back is one of its deployment.
pub(super) async fn find(call: &Call) -> Result<(), Refusal> {
    let Some(id) = call.reverts else { return Ok(()) };
    let found = call.connection.gateway.audit.reader().bare_change(id).await.map_err(|error| {
        tracing::error!(%error, "the change that a call takes back can't be looked up");
        Refusal::unavailable("the audit store does not answer, so nothing was forwarded", Some(1))
    })?;
    let upstream = &call.connection.live.config.upstream.name;
    let is_of_it = found.is_some_and(|change| {
        change.deployment_id.as_deref() == call.deployment_id()
            && call.deployment.is_some()
            && *change.upstream_name == **upstream
    });
    if is_of_it {
        return Ok(());
    }
    let message = format!("changegate-reverts: {id} is no recorded change of this deployment");
    Err(Refusal::form(message))
}
