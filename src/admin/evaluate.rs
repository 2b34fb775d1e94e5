//! `POST /api/v1/evaluate`: the policy's word on a change that nobody makes.

mod judging;

use std::str::FromStr as _;
use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::Api;
use super::access::Asker;
use super::answer::Problem;
use super::api::Answer;
use super::asked::{self, Asked};
use super::filter;
use super::sent;
use crate::audit::redact::{Redacted, Redactor};
use crate::base::clock::{Clock, Timestamp};
use crate::base::ids::Fingerprint;
use crate::deployment::diff::{self, Difference};
use crate::deployment::members::Members;
use crate::deployment::patch::{DEPTH_MAX, Patch, PatchError, parse, parse_value};
use crate::deployment::predict::Omitted;
use crate::policy::gap::Gap;
use crate::policy::load::{LoadError, load};
use crate::policy::recorded::{Recorded, rejudge};
use crate::policy::subject::Subject;
use crate::policy::{Actor, Decision, Policy, Violation};
use crate::provider::{Operation, Provider};

/// The longest policy that may be sent along, in bytes.
pub(super) const POLICY_BYTES_MAX: usize = 256 << 10;

/// The most faults of such a policy that are told.
const FAULTS_MAX: usize = 10;

/// The most characters of a name of an actor.
const NAME_CHARS_MAX: usize = 128;

/// A change that nobody makes.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EvaluationRequest {
    /// The operation; by default update where there is a deployment or a before, else create.
    #[schema(value_type = Option<Operation>)]
    operation: Option<String>,
    /// The call's method: what an update by PUT leaves out may be removed. By default POST.
    method: Option<AskedMethod>,
    /// The deployment, as the log last saw it: concealed values are digests there, and what a rule
    /// reads of them is not judged.
    deployment_id: Option<String>,
    /// The deployment before, in place of what the log has.
    #[schema(value_type = Option<Object>)]
    before: Option<Value>,
    /// The body of the call.
    #[schema(value_type = Option<Object>)]
    patch: Option<Value>,
    /// The actor; by default one without name, team and person.
    #[serde(default)]
    actor: AskedActor,
    /// When the call comes, as an RFC 3339 time; by default now.
    at: Option<String>,
    /// The text of a policy, at most 256 KiB, in place of the one in force.
    policy: Option<String>,
}

/// The method of a call.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
enum AskedMethod {
    Post,
    Put,
    Patch,
}

/// An actor who asks for a change.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AskedActor {
    /// The fingerprint of a token.
    #[schema(value_type = Option<Fingerprint>)]
    fingerprint: Option<String>,
    /// The name.
    name: Option<String>,
    /// The team.
    team: Option<String>,
    /// The human behind it.
    person: Option<String>,
}

/// The longest request, in bytes: a deployment, a body as long, and a policy.
const BYTES_MAX: usize = 9 << 20;

/// The policy's word on a change.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EvaluationAnswer {
    /// The decision; null where a rule that can't be judged might make it a stricter one.
    #[schema(required)]
    decision: Option<Decision>,
    /// Rules broken.
    violations: Vec<Violation>,
    /// Rules that were broken before and still are.
    standing: Vec<Violation>,
    /// Rules that read what the log conceals.
    not_judged: Vec<NotJudged>,
    /// The deployment as it would be, secrets concealed.
    #[schema(value_type = Object)]
    predicted: Value,
    /// The places where it would differ from before.
    diff: Vec<Difference>,
    /// Names the policy.
    policy_digest: String,
}

/// A rule that can't be judged.
#[derive(Debug, Serialize, ToSchema)]
struct NotJudged {
    /// The rule.
    rule: String,
    /// `concealed` or `not_kept`: what it reads is not in the log.
    why: &'static str,
}

/// A change that is judged, owned by the work on it.
struct Work {
    provider: &'static Provider,
    operation: Operation,
    omitted: Omitted,
    before: Option<Value>,
    redacted: Vec<String>,
    patch: Patch,
    actor: Actor,
    now: Timestamp,
    clock: Clock,
    policy: Judge,
}

/// The policy that judges.
enum Judge {
    InForce(Arc<Policy>),
    /// One that is sent along, not read yet.
    Text(String),
}

/// Judges a change that nobody makes; nothing goes to upstream, and an event is all that is kept.
#[utoipa::path(
    post,
    path = "/api/v1/evaluate",
    security(("token" = ["auditor"]), ()),
    request_body = EvaluationRequest,
    responses((status = 200, description = "The policy's word.", body = EvaluationAnswer)),
)]
pub(super) async fn evaluate(
    State(api): State<Api>,
    Extension(asker): Extension<Asker>,
    _nothing: Asked<asked::Nothing>,
    request: Request,
) -> Answer {
    asker.may_look_inside()?;
    let _own = asker.share.bodies.acquire().await.map_err(|_closed| Problem::no_room())?;
    let bytes = sent::bytes(request, BYTES_MAX).await?;
    let answer = api.judge(&asker, || read(&bytes)).await?;
    api.budget.json(&answer)
}

/// The request, read as strictly as a governed body.
fn read(bytes: &[u8]) -> Result<EvaluationRequest, Problem> {
    let refused = |error: PatchError| Problem::invalid("", format!("the body: {error}"));
    let value = parse_value(bytes, DEPTH_MAX).map_err(refused)?;
    serde_json::from_value(value)
        .map_err(|error| Problem::invalid("", format!("the body: {error}")))
}

/// The policy that a text says.
pub(super) fn policy_of(text: &str, provider: &'static Provider) -> Result<Policy, Problem> {
    load(text, provider).map_err(|errors| {
        let told = |error: &LoadError| match error.line {
            Some(line) => format!("line {line}: {error}"),
            None => error.to_string(),
        };
        let faults: Vec<String> = errors.iter().take(FAULTS_MAX).map(told).collect();
        Problem::invalid("policy", format!("policy: {}", faults.join("; ")))
    })
}

/// The change that is asked about.
async fn ready(api: &Api, asker: &Asker, request: EvaluationRequest) -> Result<Work, Problem> {
    let EvaluationRequest { operation, method, deployment_id, before, patch, actor, at, policy } =
        request;
    if policy.as_ref().is_some_and(|text| text.len() > POLICY_BYTES_MAX) {
        let message = format!("policy: it is longer than {POLICY_BYTES_MAX} bytes: send less");
        return Err(Problem::invalid("policy", message));
    }
    let provider = (api.state.provider)();
    let in_force = (api.state.policy)();
    let now = api.state.clock.now();
    let now = at.map_or(Ok(now), |at| filter::moment("at", &at, now))?;
    let has_before = deployment_id.is_some() || before.is_some();
    let default = if has_before { Operation::Update } else { Operation::Create };
    let operation = operation.map_or(Ok(default), |name| operation_of(&name))?;
    if has_before == (operation == Operation::Create) {
        let message = "before: a create has none, and every other operation needs deployment_id or \
            before";
        return Err(Problem::invalid("before", message));
    }
    let (before, redacted) = match (before, &deployment_id) {
        (Some(before), _) => (Some(before), Vec::new()),
        (None, Some(id)) => {
            let (before, redacted) = last_seen(api, asker, id).await?;
            (Some(before), redacted)
        }
        (None, None) => (None, Vec::new()),
    };
    if before.as_ref().is_some_and(|before| !before.is_object()) {
        return Err(Problem::invalid("before", "before: write the deployment as an object"));
    }
    let patch = patch_of(provider, patch.as_ref(), deployment_id.as_deref())?;
    let omitted = match method {
        Some(AskedMethod::Put) => Omitted::Open,
        Some(AskedMethod::Post | AskedMethod::Patch) | None => Omitted::Preserved,
    };
    let (actor, clock) = (actor.meant()?, api.state.clock.clone());
    Ok(Work {
        provider,
        operation,
        omitted,
        before,
        redacted,
        patch,
        actor,
        now,
        clock,
        policy: policy.map_or(Judge::InForce(in_force), Judge::Text),
    })
}

/// The operation of that name.
fn operation_of(name: &str) -> Result<Operation, Problem> {
    Operation::named(name).ok_or_else(|| {
        let names = Operation::ALL.map(Operation::name).join(", ");
        Problem::invalid("operation", format!("operation: write one of {names}"))
    })
}

/// The body of the call, read as strictly as that of a call is.
fn patch_of(
    provider: &Provider,
    patch: Option<&Value>,
    deployment_id: Option<&str>,
) -> Result<Patch, Problem> {
    let Some(patch) = patch else { return Ok(Patch::default()) };
    let refused = |error: PatchError| Problem::invalid("patch", format!("patch: {error}"));
    let read = parse(provider, patch.to_string().as_bytes(), DEPTH_MAX).map_err(refused)?;
    read.of(deployment_id).map_err(refused)
}

/// The deployment as the log last saw it, and where it conceals something.
async fn last_seen(api: &Api, asker: &Asker, id: &str) -> Result<(Value, Vec<String>), Problem> {
    let missing = || {
        let message = "deployment_id: the log has not seen this deployment: send its before";
        Problem::invalid("deployment_id", message)
    };
    let _turn = asker.share.reading.acquire().await.map_err(|_closed| Problem::no_room())?;
    let (reader, now) = (api.state.audit.reader(), api.state.clock.now());
    let at = reader.deployment_at(id, now).await?.ok_or_else(missing)?;
    let change = reader.bare_change(at.change).await?.ok_or_else(missing)?;
    api.note_look(asker, &[at.change]);
    let places = change.redacted.iter().filter_map(|place| {
        let place = place.strip_prefix("/before").or_else(|| place.strip_prefix("/after"))?;
        Some(format!("/before{place}"))
    });
    Ok((at.deployment, places.collect()))
}

impl AskedActor {
    fn meant(self) -> Result<Actor, Problem> {
        let Self { fingerprint, name, team, person } = self;
        let refused = |_error| {
            let message = "actor.fingerprint: write pat_ and 16 hex digits";
            Problem::invalid("actor.fingerprint", message)
        };
        let fingerprint = fingerprint.map(|text| Fingerprint::from_str(&text)).transpose();
        let fingerprint = fingerprint.map_err(refused)?;
        for (param, text) in
            [("actor.name", &name), ("actor.team", &team), ("actor.person", &person)]
        {
            if text.as_ref().is_some_and(|text| text.chars().count() > NAME_CHARS_MAX) {
                let message = format!("{param}: write at most {NAME_CHARS_MAX} characters");
                return Err(Problem::invalid(param, message));
            }
        }
        let fingerprint = fingerprint.unwrap_or(Fingerprint::from_bytes([0; 8]));
        Ok(Actor { fingerprint, name, team, person })
    }
}

impl Work {
    /// The answer, of which nothing shows a secret.
    fn answer(self, redactor: &Redactor) -> Result<EvaluationAnswer, Problem> {
        let policy = match &self.policy {
            Judge::InForce(policy) => Arc::clone(policy),
            Judge::Text(text) => Arc::new(policy_of(text, self.provider)?),
        };
        let subject = Subject {
            provider: self.provider,
            operation: self.operation,
            omitted: self.omitted,
            before: self.before.as_ref(),
            patch: &self.patch,
            actor: &self.actor,
            now: self.now,
            clock: &self.clock,
        };
        let recorded =
            Recorded { subject, redacted: &self.redacted, lacks_body: false, is_plain: true };
        let rejudged = rejudge(&policy, &recorded);
        let prediction = subject.predict();
        let mut predicted = prediction.readings.first().map_or(Value::Null, Members::to_value);
        drop(prediction);
        let mut violations = rejudged.findings.violations;
        let mut standing = rejudged.findings.standing;
        let listed = &mut Redacted::default();
        let mut patch = Value::Object(self.patch.object.clone());
        for document in [&mut patch, &mut predicted] {
            let broken = violations.iter().chain(&standing);
            redactor.conceal_patch(document, broken, "", listed);
        }
        let mut before = self.before.clone();
        if let Some(before) = &mut before {
            let broken = violations.iter().chain(&standing);
            redactor.conceal_patch(before, broken, "", listed);
        }
        let empty = serde_json::Map::new();
        let asked = patch.as_object().unwrap_or(&empty);
        let diff =
            diff::diff(self.provider, self.operation, asked, before.as_ref(), Some(&predicted));
        for found in violations.iter_mut().chain(&mut standing) {
            redactor.conceal_violation(found);
        }
        let named = |at: usize| policy.rules.get(at).map(|rule| rule.name.to_string());
        let not_judged = rejudged.gaps.iter().filter_map(|(at, gap): &(usize, Gap)| {
            Some(NotJudged { rule: named(*at)?, why: gap.name() })
        });
        Ok(EvaluationAnswer {
            decision: rejudged.decision,
            not_judged: not_judged.collect(),
            violations,
            standing,
            predicted,
            diff,
            policy_digest: policy.digest.clone(),
        })
    }
}
