//! A policy held against the newest changes: what it would have decided, as a matrix, and of which
//! changes it would have thought otherwise.

use std::collections::HashMap;

use axum::Extension;
use axum::extract::{Request, State};
use axum::response::Response;
use maud::{Markup, html};

use crate::admin::Api;
use crate::admin::access::Asker;
use crate::admin::answer::Problem;
use crate::admin::api::Answer;
use crate::admin::asked::{self, Asked};
use crate::admin::backtest::{Backtest, COUNTS};
use crate::console::changes::names_of;
use crate::console::form::{self, TOKEN};
use crate::console::frame::{self, Tab};
use crate::console::sentence::deployment;
use crate::console::text::{
    cut, cut_ticked, date_clock, for_readers, grouped, short_id, shown, split,
};
use crate::console::words::decision;
use crate::policy::gap::Gap;
use crate::policy::replay::{DECISIONS, Moved, Replay, RuleCount};
use crate::policy::{Decision, Policy};

/// The longest form, in bytes: a policy, as a form writes it.
const FORM_BYTES_MAX: usize = 1 << 20;

/// The most characters of the policy in force that stand in the empty form.
const TEXT_CHARS_MAX: usize = 100_000;

/// The most rules that are counted.
const RULES_MAX: usize = 200;

/// The words for a change that can't be judged anew.
const UNTOLD: &str = "not replayable";

/// The form, with the policy in force to begin from.
pub(in crate::console) async fn form(
    State(api): State<Api>,
    Extension(asker): Extension<Asker>,
    _nothing: Asked<asked::Nothing>,
) -> Answer {
    asker.may_look_inside()?;
    let policy = (api.state.policy)();
    page(&api, &asker, split(&policy.text, TEXT_CHARS_MAX).0, COUNTS[1], None)
}

/// Judges the newest changes by the policy in the form.
pub(in crate::console) async fn run(
    State(api): State<Api>,
    Extension(asker): Extension<Asker>,
    request: Request,
) -> Answer {
    asker.may_look_inside()?;
    let pairs = form::sent(request, FORM_BYTES_MAX).await?;
    form::is_own(&api, &asker, &pairs)?;
    let text = form::field(&pairs, "policy").unwrap_or_default();
    let count = form::field(&pairs, "count").and_then(|count| count.parse().ok());
    let count = count.filter(|count| COUNTS.contains(count)).unwrap_or(COUNTS[1]);
    let result = match Box::pin(api.backtest(&asker, text.to_owned(), count)).await {
        Ok(tested) => told(&tested, &names(&api, &asker, &tested.replay).await?),
        // What can't be understood is told beside the form, which keeps what was written.
        Err(problem) if problem.status().is_client_error() => html! {
            p.wrong role="alert" { (cut_ticked(&for_readers(problem.message()), 2_000)) }
        },
        Err(problem) => return Err(problem),
    };
    page(&api, &asker, text, count, Some(&result))
}

fn page(
    api: &Api,
    asker: &Asker,
    text: &str,
    count: u64,
    result: Option<&Markup>,
) -> Result<Response, Problem> {
    let body = html! {
        div.head {
            h1 { "Back-test" }
            p.dim { a href="/policy" { "The policy in force" } }
        }
        p { "What another policy would have decided on the changes that are recorded. Nothing goes \
            to upstream, and nothing is put in force." }
        @if let Some(result) = result { (result) }
        form.attempt method="post" action="/policy/backtest" {
            input type="hidden" name=(TOKEN) value=(form::token(api, asker));
            label for="policy" { "The policy, in TOML" }
            textarea #policy name="policy" rows="16" spellcheck="false" required {
                // Browsers take one line's end after the tag away.
                "\n" (text)
            }
            div.fields {
                div.field {
                    label for="count" { "The newest changes" }
                    select #count name="count" { @for each in COUNTS {
                        option value=(each) selected[each == count] { (number(each)) }
                    } }
                }
                button.primary type="submit" { "Judge them" }
            }
        }
    };
    frame::page(api, asker, (Tab::Policy, "Back-test"), &body)
}

fn number(count: u64) -> String {
    grouped(usize::try_from(count).unwrap_or(usize::MAX))
}

/// The deployments of the changes that are named, by their ids, each with its name.
async fn names(
    api: &Api,
    asker: &Asker,
    replay: &Replay,
) -> Result<HashMap<String, String>, Problem> {
    let cells = DECISIONS.into_iter().flat_map(|old| columns().map(move |new| (old, new)));
    let mut ids = Vec::new();
    for (old, new) in cells {
        ids.extend(replay.cell(old, new).newest().filter_map(|moved| moved.deployment_id.clone()));
    }
    ids.sort_unstable();
    ids.dedup();
    let names = names_of(api, asker, &ids).await?;
    Ok(ids.into_iter().zip(names).filter_map(|(id, name)| Some((id, name?))).collect())
}

fn told(tested: &Backtest, names: &HashMap<String, String>) -> Markup {
    let replay = &tested.replay;
    html! {
        section.card.result aria-labelledby="result" {
            h2 #result {
                @match (replay.count, replay.moved()) {
                    (0, _) => "No recorded change could be judged",
                    (_, 0) => "Every change would be decided as it was",
                    (_, 1) => "One change would be decided otherwise",
                    (_, moved) => { (number(moved)) " changes would be decided otherwise" }
                }
            }
            p.dim role="status" {
                (number(replay.count)) " judged"
                @if replay.newly_denied() > 0 {
                    ", " (number(replay.newly_denied())) " that passed would be denied"
                }
                @if replay.untold() > 0 {
                    ", " (number(replay.untold())) " " (UNTOLD)
                    ": a rule reads what the log conceals or did not keep"
                }
                @if replay.not_asked > 0 {
                    ", " (number(replay.not_asked)) " left out: no policy was asked about them"
                }
                "."
                @if tested.is_cut {
                    " The time was over before all were judged: the newest were. "
                    code { "changegate policy replay" } " takes as long as it needs."
                }
            }
            @if replay.count > 0 { (matrix(replay)) (rules(&tested.policy, &replay.rules)) }
            @for old in DECISIONS { @for new in columns() {
                @if new != Some(old) { (cell(replay, old, new, names)) }
            } }
        }
    }
}

/// The decisions that may come of it; `None` where that can't be told.
fn columns() -> impl Iterator<Item = Option<Decision>> {
    DECISIONS.into_iter().map(Some).chain([None])
}

fn name(new: Option<Decision>) -> &'static str {
    new.map_or(UNTOLD, Decision::name)
}

/// The place of a cell's changes on the page.
fn anchor(old: Decision, new: Option<Decision>) -> String {
    format!("{}-{}", old.name(), new.map_or("untold", Decision::name))
}

fn matrix(replay: &Replay) -> Markup {
    html! {
        div.scroll tabindex="0" role="group" aria-label="Decisions then and now" {
            table.matrix {
                caption { "Down: as it was decided. Across: as this policy would." }
                thead { tr {
                    th scope="col" { "Recorded" }
                    @for new in columns() { th.number scope="col" { (name(new)) } }
                } }
                tbody { @for old in DECISIONS { tr {
                    th scope="row" { (decision(old.name())) }
                    @for new in columns() {
                        @let count = replay.cell(old, new).count;
                        td.number {
                            @if count == 0 { span.none { "0" } }
                            @else if new == Some(old) { (number(count)) }
                            @else {
                                a href={ "#" (anchor(old, new)) } { strong { (number(count)) } }
                            }
                        }
                    }
                } } }
            }
        }
    }
}

fn rules(policy: &Policy, counts: &[RuleCount]) -> Markup {
    let rows = policy.rules.iter().zip(counts).take(RULES_MAX);
    html! {
        details {
            summary { "Rule by rule" }
            div.scroll tabindex="0" role="group" aria-label="Rule by rule" {
                table.matrix {
                    caption.unseen { "How many changes break each rule" }
                    thead { tr {
                        th scope="col" { "Rule" } th.number scope="col" { "Violated" }
                        th.number scope="col" { "Standing" } th.number scope="col" { (UNTOLD) }
                        th scope="col" { "Why not" }
                    } }
                    tbody { @for (rule, count) in rows { tr {
                        th scope="row" { (cut(&rule.name, 100)) }
                        td.number { (number(count.violated)) }
                        td.number { (number(count.standing)) }
                        td.number { (number(count.gaps.iter().sum())) }
                        td { @for (gap, count) in Gap::ALL.iter().zip(count.gaps) {
                            @if count > 0 { (gap.words()) " " }
                        } }
                    } } }
                }
            }
        }
    }
}

/// The newest changes of one kind of change of mind.
fn cell(
    replay: &Replay,
    old: Decision,
    new: Option<Decision>,
    names: &HashMap<String, String>,
) -> Markup {
    let cell = replay.cell(old, new);
    let named = cell.newest().count();
    html! {
        @if cell.count > 0 {
            section aria-labelledby=(anchor(old, new)) {
                h3 id=(anchor(old, new)) tabindex="-1" {
                    (old.name()) " → " (name(new)) ": " (number(cell.count))
                    @if u64::try_from(named).is_ok_and(|named| named < cell.count) {
                        span.dim { ", the newest " (named) }
                    }
                }
                ul.broken { @for moved in cell.newest() { li { (line(moved, names)) } } }
            }
        }
    }
}

fn line(moved: &Moved, names: &HashMap<String, String>) -> Markup {
    let id = moved.id.to_string();
    html! {
        (date_clock(&moved.received_at.to_string())) " "
        a href={ "/changes/" (id) } { code { (short_id(&id)) } } " by " (cut(&moved.actor, 60))
        @if let Some(id) = &moved.deployment_id {
            " at " (deployment(Some(id), names.get(id).map(String::as_str)))
        }
        @for rule in moved.rules.iter().take(10) { " " code { (shown(rule)) } }
    }
}
