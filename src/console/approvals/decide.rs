//! The decision on an approval: a form that does what the API's call does, by the same code.

use axum::Extension;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse as _, Redirect};
use maud::{Markup, html};

use super::contents::{Contents, whole};
use crate::admin::Api;
use crate::admin::access::Asker;
use crate::admin::answer::Problem;
use crate::admin::api::{Answer, Id, named};
use crate::admin::approvals::{Decider, decide};
use crate::audit::approval::Verdict;
use crate::console::form::{self, TOKEN};
use crate::console::text::at;

/// The longest form, in bytes.
const FORM_BYTES_MAX: usize = 16 << 10;

/// The name of the field by which somebody says that they have read what the page does not show.
const READ: &str = "read";

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
    let id = named(id)?;
    if verdict == Verdict::Approved && form::field(&pairs, READ).is_none() {
        all_is_shown(api, asker, &id).await?;
    }
    let id = Ok(Path(id));
    let reason = form::field(&pairs, "reason").unwrap_or_default();
    let approval = decide(api, asker, id, decider, (verdict, reason)).await?;
    Ok(Redirect::to(&format!("/approvals/{}", approval.id)).into_response())
}

/// Holds that an approval's page shows everything that it would change: who approves without having
/// said that they have read the rest approves that alone.
async fn all_is_shown(api: &Api, asker: &Asker, id: &str) -> Result<(), Problem> {
    let contents = Contents::of(api, asker, Ok(Path(id.to_owned()))).await?;
    if contents.left_out.is_nothing() {
        return Ok(());
    }
    let message = format!(
        "the approval's page leaves out {} of what would change: read all of it at {}, say on the \
         page that you have, and approve then",
        contents.left_out.told(),
        whole(id)
    );
    Err(Problem::invalid(READ, message))
}

/// The form of who may decide.
pub(super) fn form(
    api: &Api,
    asker: &Asker,
    contents: &Contents,
    (may_be_approved, may_be_rejected): (bool, bool),
) -> Markup {
    let id = at(&contents.approval, "/id");
    let left_out = Some(contents.left_out).filter(|left_out| !left_out.is_nothing());
    let left_out = left_out.filter(|_| may_be_approved);
    let least = (api.state.policy)().approvals.reason_chars_min;
    html! {
        form method="post" action=(format!("/approvals/{id}/approve")) {
            input type="hidden" name=(TOKEN) value=(form::token(api, asker));
            label for="reason" { "Why, in at least " (least) " characters" }
            textarea #reason name="reason" rows="2" required minlength=(least) maxlength="1000" {}
            @if let Some(left_out) = left_out {
                p.alarm {
                    strong { (left_out.told()) } " of what would change: not shown here. "
                    a href=(whole(id)) { "Read all of it" }
                }
                p { label.check {
                    input type="checkbox" name=(READ) value="all" required;
                    " I have read all of it"
                } }
            }
            p.buttons {
                @if may_be_approved { button.primary type="submit" { "Approve" } " " }
                @if may_be_rejected {
                    @let target = format!("/approvals/{id}/reject");
                    button.danger type="submit" formaction=(target)
                        formnovalidate[left_out.is_some()] { "Reject" }
                }
            }
        }
    }
}
