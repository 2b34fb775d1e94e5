//! The decision on an approval: a form that does what the API's call does, by the same code.

use axum::Extension;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Redirect};
use maud::{Markup, html};

use crate::admin::Api;
use crate::admin::access::Asker;
use crate::admin::api::{Answer, Id};
use crate::admin::approvals::{Decider, decide};
use crate::audit::approval::Verdict;
use crate::console::form::{self, TOKEN};

/// The longest form, in bytes.
const FORM_BYTES_MAX: usize = 16 << 10;

/// Approves.
pub(in crate::console) async fn approve(
    State(api): State<Api>,
    Extension(asker): Extension<Asker>,
    id: Id,
    request: Request,
) -> Answer {
    take(&api, &asker, (id, Verdict::Approved), request).await
}

/// Rejects.
pub(in crate::console) async fn reject(
    State(api): State<Api>,
    Extension(asker): Extension<Asker>,
    id: Id,
    request: Request,
) -> Answer {
    take(&api, &asker, (id, Verdict::Rejected), request).await
}

async fn take(api: &Api, asker: &Asker, (id, verdict): (Id, Verdict), request: Request) -> Answer {
    let decider = Decider::of(asker)?;
    let pairs = form::sent(request, FORM_BYTES_MAX).await?;
    form::is_own(api, asker, &pairs)?;
    let reason = form::field(&pairs, "reason").unwrap_or_default();
    let approval = decide(api, asker, id, decider, (verdict, reason)).await?;
    Ok(Redirect::to(&format!("/approvals/{}", approval.id)).into_response())
}

/// The form of who may decide.
pub(super) fn form(
    api: &Api,
    asker: &Asker,
    id: &str,
    (may_be_approved, may_be_rejected): (bool, bool),
) -> Markup {
    let least = (api.state.policy)().approvals.reason_chars_min;
    html! {
        form method="post" action=(format!("/approvals/{id}/approve")) {
            input type="hidden" name=(TOKEN) value=(form::token(api, asker));
            label for="reason" { "Why, in at least " (least) " characters" }
            textarea #reason name="reason" rows="2" required minlength=(least) maxlength="1000" {}
            p.buttons {
                @if may_be_approved { button.primary type="submit" { "Approve" } " " }
                @if may_be_rejected {
                    @let target = format!("/approvals/{id}/reject");
                    button.danger type="submit" formaction=(target) { "Reject" }
                }
            }
        }
    }
}
