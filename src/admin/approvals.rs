//! Approvals: who asks for what, and the decisions of others.

use axum::Extension;
use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use serde::Deserialize;
use utoipa::ToSchema;

use super::Api;
use super::access::Asker;
use super::answer::Problem;
use super::api::{Answer, Id, QUESTION_MAX, in_time, named, within};
use super::asked::{self, Asked};
use super::sent::{Body, Sent};
use super::view::{self, Seen};
use crate::audit::UndecidedError;
use crate::audit::approval::{
    Approval, ApprovalFilter, ApprovalKind, ApprovalState, Decision, Verdict,
};
use crate::audit::query::{Page, PageRequest, QueryError};
use crate::base::ids::ApprovalId;
use crate::config::Role;
use crate::policy::approvers::{Approvers, ApproversByRule};

/// Why something is approved or rejected.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DecisionReason {
    /// In words, as many as `approvals.reason_min_chars` of the policy asks for.
    reason: String,
}

impl Body for DecisionReason {
    const BYTES_MAX: usize = 16 << 10;
    const MEMBER: Option<&str> = Some("reason");
    const EXAMPLE: &str = "{\"reason\": \"why it is so decided\"}";
}

/// Approvals, newest first, and the reviews of what passed by break-glass.
#[utoipa::path(
    get,
    path = "/api/v1/approvals",
    params(Asked<asked::Approvals>),
    responses((status = 200, description = "A page.", body = Page<Approval>)),
)]
pub(super) async fn list(
    State(api): State<Api>,
    Extension(asker): Extension<Asker>,
    asked: Asked<asked::Approvals>,
) -> Answer {
    let text = |param: &'static str| match asked.text(param) {
        Some("") => {
            Err(Problem::invalid(param, format!("{param}: write a value, or leave it out")))
        }
        text => Ok(text),
    };
    let owned = |param| Ok::<_, Problem>(text(param)?.map(str::to_owned));
    let filter = ApprovalFilter {
        state: one_of("state", text("state")?, &ApprovalState::ALL, ApprovalState::name)?,
        kind: one_of("kind", text("kind")?, &ApprovalKind::ALL, ApprovalKind::name)?,
        person: owned("person")?,
        deployment_id: owned("deployment_id")?,
    };
    api.budget.json(&api.seen_approvals(&asker, &filter, asked.page()?).await?)
}

/// One approval, with what is asked for.
#[utoipa::path(
    get,
    path = "/api/v1/approvals/{id}",
    params(
        ("id" = ApprovalId, Path, description = "The approval's id."),
        Asked<asked::Nothing>,
    ),
    responses(
        (
            status = 200,
            description = "The approval; for a viewer without what is asked for.",
            body = Approval,
        ),
    ),
)]
pub(super) async fn show(
    State(api): State<Api>,
    Extension(asker): Extension<Asker>,
    id: Id,
    _nothing: Asked<asked::Nothing>,
) -> Answer {
    api.budget.json(&api.seen_approval(&asker, id).await?)
}

impl Api {
    /// Approvals, as far as the asker sees them.
    pub(crate) async fn seen_approvals(
        &self,
        asker: &Asker,
        filter: &ApprovalFilter,
        part: PageRequest,
    ) -> Result<Page<Seen<Approval>>, Problem> {
        let (reader, now) = (self.reader(), self.state.clock.now());
        let question = reader.approvals(filter, now, part);
        let mut page = in_time(&asker.share.scanning, question).await?;
        let policy = (self.state.policy)();
        let named = policy.approvers();
        page.data.iter_mut().for_each(|approval| name_approvers(&named, approval));
        Ok(view::page(page, asker.role))
    }

    /// The approval that a path names, with what is asked for where the asker may see that.
    pub(crate) async fn seen_approval(
        &self,
        asker: &Asker,
        id: Id,
    ) -> Result<Seen<Approval>, Problem> {
        let mut approval = find(self, asker, id).await?;
        name_approvers(&(self.state.policy)().approvers(), &mut approval);
        if asker.role < Role::Auditor {
            return Ok(view::seen(approval, asker.role));
        }
        within(QUESTION_MAX, async {
            let _own = asker.share.bodies.acquire().await.map_err(|_closed| Problem::no_room())?;
            let _turn = self.bodies.acquire().await.map_err(|_closed| Problem::no_room())?;
            self.note_look(asker, &[approval.change]);
            approval.asked = Some(self.reader().asked_change(&approval).await?);
            Ok(view::seen(approval, asker.role))
        })
        .await
    }
}

/// Lets the change pass once; of break-glass: says that it was right.
#[utoipa::path(
    post,
    path = "/api/v1/approvals/{id}/approve",
    security(("token" = ["approver"])),
    params(("id" = ApprovalId, Path, description = "The approval's id.")),
    request_body = DecisionReason,
    responses((status = 200, description = "The approval, as it stands now.", body = Approval)),
)]
pub(super) async fn approve(
    State(api): State<Api>,
    Extension(asker): Extension<Asker>,
    id: Id,
    _nothing: Asked<asked::Nothing>,
    decider: Decider,
    Sent(DecisionReason { reason }): Sent<DecisionReason>,
) -> Answer {
    let decided = decide(&api, &asker, id, decider, (Verdict::Approved, &reason)).await?;
    api.budget.json(&decided)
}

/// Keeps the change from passing; of break-glass: says that it was not right.
#[utoipa::path(
    post,
    path = "/api/v1/approvals/{id}/reject",
    security(("token" = ["approver"])),
    params(("id" = ApprovalId, Path, description = "The approval's id.")),
    request_body = DecisionReason,
    responses((status = 200, description = "The approval, as it stands now.", body = Approval)),
)]
pub(super) async fn reject(
    State(api): State<Api>,
    Extension(asker): Extension<Asker>,
    id: Id,
    _nothing: Asked<asked::Nothing>,
    decider: Decider,
    Sent(DecisionReason { reason }): Sent<DecisionReason>,
) -> Answer {
    let decided = decide(&api, &asker, id, decider, (Verdict::Rejected, &reason)).await?;
    api.budget.json(&decided)
}

/// The holder of an admin token who may decide, made sure of before anything that is sent is read.
pub(crate) struct Decider {
    token: String,
    person: String,
}

impl<S: Sync> FromRequestParts<S> for Decider {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let nobody = || Problem::forbidden("deciding takes a login");
        Self::of(parts.extensions.get::<Asker>().ok_or_else(nobody)?)
    }
}

impl Decider {
    /// The person who decides.
    pub(crate) fn person(&self) -> &str {
        &self.person
    }

    /// The asker, where they may decide.
    pub(crate) fn of(asker: &Asker) -> Result<Self, Problem> {
        let holder = asker.holder.as_ref();
        let holder = holder.filter(|holder| holder.role >= Role::Approver).ok_or_else(|| {
            Problem::forbidden(
                "deciding takes the role approver or admin: use a login that has one",
            )
        })?;
        let person = holder.person.clone().ok_or_else(|| {
            Problem::forbidden(
                "deciding takes a person: have `person` added to this [[admin.token]]",
            )
        })?;
        Ok(Self { token: holder.name.clone(), person })
    }
}

/// Decides on an approval, and returns it as it stands then.
pub(crate) async fn decide(
    api: &Api,
    asker: &Asker,
    id: Id,
    Decider { token, person }: Decider,
    (verdict, reason): (Verdict, &str),
) -> Result<Approval, Problem> {
    let approval = find(api, asker, id).await?;
    if approval.actor.person.as_deref() == Some(&*person) {
        return Err(Problem::forbidden(
            "nobody decides on what they asked for themselves: have somebody else do it",
        ));
    }
    let policy = (api.state.policy)();
    let passes = verdict == Verdict::Approved && approval.kind == ApprovalKind::Request;
    // The policy that is in force now says who approves, whatever was in force when it was asked.
    let requester = approval.actor.person.as_deref();
    let refusal = policy.approvers().of(&approval.rules, requester).filter(|_| passes);
    if let Some(refusal) = refusal.and_then(|named| named.refusal(&person)) {
        return Err(Problem::forbidden(&refusal));
    }
    let terms = &policy.approvals;
    let reason = terms.reason(reason).map_err(|fix| Problem::invalid("reason", fix))?;
    let now = api.state.clock.now();
    may_be(verdict, &approval)?;
    let decision = Decision {
        id: approval.id,
        verdict,
        person,
        token: token.clone(),
        reason,
        at: now,
        until: passes.then(|| now.plus(terms.run_within)),
    };
    match api.state.audit.decide(decision).await {
        Ok(()) => {}
        Err(UndecidedError::Unavailable(error)) => return Err(Problem::unavailable(&error)),
        Err(UndecidedError::Overtaken) => {
            let now = reread(api, approval.id).await?;
            may_be(verdict, &now)?;
            return Err(Problem::conflict("it stands otherwise by now: look, and try again"));
        }
    }
    (api.state.decided)(approval.kind, verdict);
    let (id, verdict) = (approval.id, verdict.name());
    tracing::info!(approval = %id, verdict, token, "an approval is decided on");
    reread(api, approval.id).await
}

/// Tells of an approval that waits who may approve it, where its rules name them.
fn name_approvers(named: &ApproversByRule<'_>, approval: &mut Approval) {
    if (approval.kind, approval.state) == (ApprovalKind::Request, ApprovalState::Open) {
        let approvers = named.of(&approval.rules, approval.actor.person.as_deref());
        let persons =
            |approvers: Approvers<'_>| approvers.persons().into_iter().map(str::to_owned).collect();
        approval.approvers = approvers.map(persons);
    }
}

/// Holds that an approval stands so that it can be decided on.
fn may_be(verdict: Verdict, approval: &Approval) -> Result<(), Problem> {
    let (kind, state) = (approval.kind, approval.state);
    let may_be_too = match (kind, verdict) {
        // It may be taken back as long as it is not used.
        (ApprovalKind::Request, Verdict::Rejected) => Some(ApprovalState::Approved),
        // Who objected may be persuaded: the glass stays closed until somebody approves.
        (ApprovalKind::BreakGlass, Verdict::Approved) => Some(ApprovalState::Rejected),
        (ApprovalKind::Request, Verdict::Approved)
        | (ApprovalKind::BreakGlass, Verdict::Rejected) => None,
    };
    if state == ApprovalState::Open || Some(state) == may_be_too {
        return Ok(());
    }
    let last = approval.steps.last();
    let why = last.and_then(|step| step.reason.as_ref()).map(|why| format!(" ({why})"));
    let next = match state {
        ApprovalState::Approved => "",
        _over => ": the same call, sent again, asks anew",
    };
    Err(Problem::conflict(format!(
        "{} is {} already{}{next}",
        approval.id,
        state.name(),
        why.unwrap_or_default()
    )))
}

async fn find(api: &Api, asker: &Asker, id: Id) -> Result<Approval, Problem> {
    let unknown = || Problem::not_found("no approval has this id: /api/v1/approvals lists them");
    let id: ApprovalId = named(id)?.parse().map_err(|_no_id| unknown())?;
    let now = api.state.clock.now();
    let question = api.state.audit.reader().approval(id, now);
    in_time(&asker.share.reading, question).await?.ok_or_else(unknown)
}

async fn reread(api: &Api, id: ApprovalId) -> Result<Approval, Problem> {
    let now = api.state.clock.now();
    let found = within(QUESTION_MAX, async {
        Ok(api.state.audit.reader().approval(id, now).await.map_err(|error: QueryError| error)?)
    });
    found.await?.ok_or_else(|| Problem::not_found("the approval is not there any more"))
}

/// The one among `all` whose name is given.
fn one_of<T: Copy>(
    param: &'static str,
    given: Option<&str>,
    all: &[T],
    name: fn(T) -> &'static str,
) -> Result<Option<T>, Problem> {
    let Some(given) = given else { return Ok(None) };
    let found = all.iter().copied().find(|one| name(*one) == given);
    let words = || all.iter().map(|one| name(*one)).collect::<Vec<_>>().join(", ");
    let fix = || Problem::invalid(param, format!("{param}: write one of: {}", words()));
    found.map(Some).ok_or_else(fix)
}
