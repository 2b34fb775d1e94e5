//! A change that nobody makes, tried on the policy by a form.

use axum::Extension;
use axum::extract::{Request, State};
use maud::{Markup, html};
use serde_json::{Value, json};

use crate::admin::Api;
use crate::admin::access::Asker;
use crate::admin::answer::Problem;
use crate::admin::api::Answer;
use crate::console::fields::places;
use crate::console::form::{self, TOKEN};
use crate::console::sentence::without_rule;
use crate::console::shown::Shown;
use crate::console::text::{at, cut_ticked, for_readers, items, pointer, shown};
use crate::console::words::{decision, enforcement};
use crate::deployment::patch::{DEPTH_MAX, parse_value};

/// The longest form, in bytes: a policy and a patch, as a form writes them.
const FORM_BYTES_MAX: usize = 1 << 20;

/// The operations that may be tried.
const OPERATIONS: [&str; 6] = ["update", "create", "archive", "pause", "unpause", "run"];

/// The body that stands in the empty form.
const EXAMPLE: &str =
    r#"{"schedule": {"type": "cron", "expression": "0 9 * * 1-5", "timezone": "UTC"}}"#;

/// The fields of the form.
#[derive(Default)]
pub(super) struct Attempt {
    operation: String,
    deployment_id: String,
    patch: String,
    actor: String,
    policy: String,
}

/// Judges what the form holds.
pub(in crate::console) async fn judge(
    State(api): State<Api>,
    Extension(asker): Extension<Asker>,
    request: Request,
) -> Answer {
    asker.may_look_inside()?;
    let own = asker.share.bodies.acquire().await.map_err(|_closed| Problem::no_room())?;
    let pairs = form::sent(request, FORM_BYTES_MAX).await?;
    form::is_own(&api, &asker, &pairs)?;
    let text = |name| form::field(&pairs, name).unwrap_or_default().trim().to_owned();
    let attempt = Attempt {
        operation: text("operation"),
        deployment_id: text("deployment_id"),
        patch: text("patch"),
        actor: text("actor"),
        policy: text("policy"),
    };
    let judged = api.judge(&asker, || attempt.asked()).await;
    drop(own);
    let result = match judged {
        Ok(answer) => {
            let answer = serde_json::to_value(&answer);
            told(&answer.map_err(|error| Problem::store_fails(&error))?)
        }
        // What can't be understood is told beside the form, which keeps what was written.
        Err(problem) if problem.status().is_client_error() => html! {
            p.wrong role="alert" { (cut_ticked(&for_readers(problem.message()), 2_000)) }
        },
        Err(problem) => return Err(problem),
    };
    super::page(&api, &asker, Some((&attempt, &result))).await
}

impl Attempt {
    fn asked(&self) -> Result<crate::admin::evaluate::EvaluationRequest, Problem> {
        let patch = if self.patch.is_empty() { "{}" } else { &self.patch };
        let patch = parse_value(patch.as_bytes(), DEPTH_MAX);
        let patch = patch.map_err(|bad| Problem::invalid("patch", format!("patch: {bad}")))?;
        let mut asked = json!({ "operation": self.operation, "patch": patch });
        let texts = [("deployment_id", &self.deployment_id), ("policy", &self.policy)];
        if let Value::Object(asked) = &mut asked {
            for (name, text) in texts.into_iter().filter(|(_, text)| !text.is_empty()) {
                asked.insert(name.to_owned(), json!(text));
            }
            if !self.actor.is_empty() {
                asked.insert("actor".to_owned(), json!({ "name": self.actor }));
            }
        }
        serde_json::from_value(asked).map_err(|bad| Problem::invalid("", bad.to_string()))
    }
}

/// The form, and what came of what it held.
pub(super) fn section(
    api: &Api,
    asker: &Asker,
    attempt: &Attempt,
    result: Option<&Markup>,
) -> Markup {
    html! {
        section.card aria-labelledby="try" {
            h2 #try { "Try a change" }
            p.dim { "Nothing goes to upstream: the policy says what it would decide." }
            form.attempt method="post" action="/policy#try" {
                input type="hidden" name=(TOKEN) value=(form::token(api, asker));
                div.fields {
                    div.field {
                        label for="operation" { "Operation" }
                        select #operation name="operation" { @for name in OPERATIONS {
                            option value=(name) selected[attempt.operation == name] { (name) }
                        } }
                    }
                    div.field.wide {
                        label for="deployment_id" { "Deployment, by its whole id; none for create" }
                        input #deployment_id name="deployment_id" value=(attempt.deployment_id)
                            autocomplete="off" spellcheck="false" maxlength="400";
                    }
                    div.field {
                        label for="actor" { "Actor's name" }
                        input #actor name="actor" value=(attempt.actor) autocomplete="off"
                            maxlength="128";
                    }
                }
                label for="patch" { "Body of the call, in JSON" }
                textarea #patch name="patch" rows="5" spellcheck="false"
                    placeholder=(EXAMPLE) {
                    (attempt.patch)
                }
                details open[!attempt.policy.is_empty()] {
                    summary { "By another policy than the one in force" }
                    label for="policy" { "Its text, in TOML" }
                    textarea #policy name="policy" rows="8" spellcheck="false" { (attempt.policy) }
                }
                p.buttons { button.primary type="submit" { "Judge" } }
            }
            @if let Some(result) = result { (result) }
        }
    }
}

/// The policy's word on a change that nobody makes.
pub(in crate::console) fn told(answer: &Value) -> Markup {
    let mut bounds = Shown::new(true, String::new());
    let (broken, standing) = (items(answer, "/violations"), items(answer, "/standing"));
    html! {
        div.result role="status" {
            h3 {
                "It would be: "
                @match answer.get("decision").and_then(Value::as_str) {
                    Some(word) => (decision(word)), None => "not to be told",
                }
            }
            (rules("Rules broken", broken))
            (rules("Broken already, and left as it is", standing))
            @for rule in items(answer, "/not_judged") {
                p.dim {
                    code { (shown(at(rule, "/rule"))) } " can't be judged: what it reads is "
                    (at(rule, "/why"))
                }
            }
            (places("What would change", items(answer, "/diff"), &mut bounds))
        }
    }
}

fn rules(title: &str, broken: &[Value]) -> Markup {
    html! {
        @if !broken.is_empty() {
            p { (title) ":" }
            ul.broken { @for rule in broken.iter().take(100) { li {
                code { (shown(at(rule, "/rule"))) } " " (enforcement(at(rule, "/enforcement"))) " "
                (pointer(at(rule, "/path"))) " "
                (cut_ticked(without_rule(at(rule, "/message"), at(rule, "/rule")), 400))
            } } }
        }
    }
}
