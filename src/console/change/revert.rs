//! The change that would take another one back: its call, what it would change, and what the policy
//! says of it. Nothing is sent: it is found of the deployment as the log last saw it.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use maud::{Markup, html};
use serde_json::{Value, json};
use tokio::task::spawn_blocking;

use crate::admin::Api;
use crate::admin::access::Asker;
use crate::admin::answer::Problem;
use crate::admin::api::{Answer, Id, QUESTION_MAX, within};
use crate::admin::asked::{self, Asked};
use crate::audit::query::DeploymentAt;
use crate::audit::record::{Bodies, Change, Outcome};
use crate::config::Role;
use crate::console::frame::{self, Tab};
use crate::console::policy::told;
use crate::console::text::{cut, date_clock, pointer, runs, split};
use crate::deployment::Object;
use crate::deployment::diff::Difference;
use crate::deployment::revert::{Former, Irrevocable, Left, Reverting, revert};
use crate::provider::{Operation, Provider};

/// The most characters of the body that are shown.
const BODY_CHARS_MAX: usize = 20_000;

/// The most places that are named.
const PLACES_MAX: usize = 50;

/// The page.
pub(in crate::console) async fn dry_run(
    State(api): State<Api>,
    Extension(asker): Extension<Asker>,
    id: Id,
    _nothing: Asked<asked::Nothing>,
) -> Answer {
    if asker.role < Role::Approver {
        return Err(Problem::forbidden(
            "a dry run takes the role approver or admin: have yours raised, or run \
             `changegate audit revert --dry-run`",
        ));
    }
    let change = api.bare_change(&asker, id).await?;
    let id = change.id;
    let (deployment, provider) = revertible(&change)?;
    let (change, bodies) = bodies(&api, &asker, change).await?;
    let now = api.deployment_at(&asker, &deployment, api.state.clock.now()).await?;
    let now = now.ok_or_else(|| Problem::not_found("the log has not seen this deployment"))?;
    let body = match planned(&change, &bodies, provider, &now)? {
        Ok(reverting) if reverting.is_done => html! {
            p { "There is nothing left to restore: the deployment stands as before the change." }
            (left(&reverting.left))
        },
        Ok(reverting) => {
            let answer = judged(&api, &asker, &deployment, &reverting).await?;
            page(&id.to_string(), &deployment, &reverting, &answer)
        }
        Err(why) => refused(&why),
    };
    let title = format!("Take {id} back");
    let body = html! {
        div.head {
            h1 { "Take it back: a dry run" }
            p.links { a href={ "/changes/" (id) } { "The change" } }
        }
        p { "Nothing is sent. This is found of the deployment as the log last saw it, at "
            (date_clock(&now.seen_at.to_string()))
            ": upstream may show it otherwise by now, and the command reads it anew." }
        (body)
    };
    frame::page(&api, &asker, (Tab::Changes, &title), &body)
}

/// The deployment and the provider of a change that can be taken back.
fn revertible(change: &Change) -> Result<(String, &'static Provider), Problem> {
    let settled = change.settled.as_ref().and_then(|settled| settled.applied);
    let was_applied = change.outcome == Outcome::Applied
        || (change.outcome == Outcome::Unknown && settled == Some(true));
    if !was_applied {
        let outcome = change.outcome.name();
        let message = format!("the change is {outcome}: nothing is known that could be taken back");
        return Err(Problem::conflict(message));
    }
    let provider = Provider::named(&change.provider);
    let provider =
        provider.ok_or_else(|| Problem::conflict("this version has no such provider"))?;
    let deployment = change.deployment_id.clone();
    let deployment = deployment.ok_or_else(|| Problem::conflict("the change has no deployment"))?;
    Ok((deployment, provider))
}

/// The bodies of the change, read in turn with everybody else's.
async fn bodies(api: &Api, asker: &Asker, change: Change) -> Result<(Change, Bodies), Problem> {
    within(QUESTION_MAX, async {
        let mut source = api.bodies(asker, &[change.id]).await?;
        let texts = source.texts.of(&change).await?;
        let turn = Arc::clone(&source.turn);
        let reading = spawn_blocking(move || {
            let _until_read = turn;
            let bodies = texts.values(&change)?;
            Ok::<_, serde_json::Error>((change, bodies))
        });
        let read = reading.await.map_err(|broken| Problem::broke_off(&broken))?;
        read.map_err(|error| Problem::store_fails(&error))
    })
    .await
}

fn planned(
    change: &Change,
    bodies: &Bodies,
    provider: &'static Provider,
    now: &DeploymentAt,
) -> Result<Result<Reverting, Irrevocable>, Problem> {
    let nothing = Object::new();
    let patch = bodies.patch.as_ref().and_then(Value::as_object).unwrap_or(&nothing);
    let (Some(before), Some(after)) = (&bodies.before, &bodies.after) else {
        let message = match change.operation {
            Operation::Create => "a create is not taken back: archive the deployment instead",
            _other => "the log has no deployment before and after the change",
        };
        return Err(Problem::conflict(message));
    };
    let (operation, redacted) = (change.operation, &change.redacted);
    let former = Former { provider, operation, patch, before, after, redacted };
    Ok(revert(&former, &now.deployment))
}

/// The policy's word on the call.
async fn judged(
    api: &Api,
    asker: &Asker,
    deployment: &str,
    reverting: &Reverting,
) -> Result<Value, Problem> {
    let _own = asker.share.bodies.acquire().await.map_err(|_closed| Problem::no_room())?;
    let asked = json!({
        "operation": reverting.operation,
        "deployment_id": deployment,
        "patch": Value::Object(reverting.patch.clone()),
    });
    let asked = serde_json::from_value(asked);
    let judged = api.judge(asker, || asked.map_err(|bad| Problem::broke_off(&bad))).await?;
    serde_json::to_value(&judged).map_err(|error| Problem::broke_off(&error))
}

fn page(id: &str, deployment: &str, reverting: &Reverting, answer: &Value) -> Markup {
    let body = serde_json::to_string_pretty(&reverting.patch).unwrap_or_default();
    let (head, rest) = split(&body, BODY_CHARS_MAX);
    let merge = if reverting.later.is_empty() { "" } else { " --merge" };
    html! {
        section.card aria-labelledby="decision" {
            h2 #decision { "The decision" }
            p.dim { "By the policy in force, for an actor without a name." }
            (told(answer))
        }
        section aria-labelledby="call" {
            h2 #call { "The call" }
            p { code { (reverting.operation.name()) } " of " code { (cut(deployment, 200)) } }
            @if !reverting.patch.is_empty() {
                pre.raw data-copy tabindex="0" { (runs(head)) }
                @if rest > 0 { p.more { (rest) " more characters: the command shows them" } }
            }
        }
        (left(&reverting.left))
        (later(&reverting.later))
        section aria-labelledby="do" {
            h2 #do { "Do it" }
            p.dim { "With your own token for the API, through the gateway, under the policy." }
            pre.command data-copy tabindex="0" {
                "changegate audit revert " (id) (merge)
                " --config changegate.toml --token-env API_TOKEN"
            }
        }
    }
}

/// What can't be restored.
fn left(left: &[Left]) -> Markup {
    html! {
        @if !left.is_empty() {
            section aria-labelledby="left" {
                h2 #left { "Not restored" }
                ul.broken { @for place in left.iter().take(PLACES_MAX) {
                    li { (pointer(&place.path)) ": " (place.why) }
                } }
                (more(left.len()))
            }
        }
    }
}

/// What was changed since elsewhere.
fn later(later: &[Difference]) -> Markup {
    html! {
        @if !later.is_empty() {
            section aria-labelledby="later" {
                h2 #later { "Changed since, and left as it is" }
                ul.broken { @for place in later.iter().take(PLACES_MAX) {
                    li { (pointer(&place.path)) }
                } }
                (more(later.len()))
            }
        }
    }
}

fn refused(why: &Irrevocable) -> Markup {
    html! {
        div.empty {
            h2 { "It can't be taken back like this" }
            @match why {
                Irrevocable::ChangedAgain(places) => {
                    p { "What it changed has been changed again since; take those back first:" }
                    ul.broken { @for place in places.iter().take(PLACES_MAX) {
                        li { (pointer(place)) }
                    } }
                    (more(places.len()))
                },
                Irrevocable::Operation(operation) => {
                    p { "No call takes " (operation.name()) " back." }
                }
            }
        }
    }
}

fn more(count: usize) -> Markup {
    html! { @if count > PLACES_MAX { p.more { (count - PLACES_MAX) " more" } } }
}
