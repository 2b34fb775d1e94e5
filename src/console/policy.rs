//! The policy: its rules in words, its text, what became of it, and what it says of a change that
//! nobody makes.

mod attempt;
mod backtest;
mod texts;

pub(super) use self::attempt::{judge, told};
pub(super) use self::backtest::{form as backtest_form, run as backtest};
pub(super) use self::texts::{list as texts, show as one_text};

use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};
use serde_json::Value;

use super::deployments::values;
use super::form::with_query;
use super::frame::{self, Tab};
use super::text::{at, cut, cut_ticked, date_clock, found, grouped, items, runs, shown, split};
use crate::admin::Api;
use crate::admin::access::Asker;
use crate::admin::answer::Problem;
use crate::admin::api::Answer;
use crate::admin::asked::{self, Asked};
use crate::audit::query::{Count, CountedBy, Counting, EventFilter, PageRequest, Step};
use crate::base::count::counted;
use crate::policy::Policy;

/// How far back violations are counted.
const DAYS: u64 = 30;

/// The most events that are looked at for a policy's history.
const EVENTS: u16 = 200;

/// The most characters of the text that are shown.
const TEXT_CHARS_MAX: usize = 50_000;

/// The most rules, and sentences, that are told.
const RULES_MAX: usize = 200;

/// The page.
pub(super) async fn show(
    State(api): State<Api>,
    Extension(asker): Extension<Asker>,
    _nothing: Asked<asked::Nothing>,
) -> Answer {
    page(&api, &asker, None).await
}

/// The page, with what was tried on it and what came of that.
async fn page(
    api: &Api,
    asker: &Asker,
    tried: Option<(&attempt::Attempt, &Markup)>,
) -> Result<Response, Problem> {
    let policy = (api.state.policy)();
    let counts = counts(api, asker).await?;
    let history = history(api, asker).await?;
    let nothing = attempt::Attempt::default();
    let (attempt, result) = tried.map_or((&nothing, None), |(one, result)| (one, Some(result)));
    let body = html! {
        div.head {
            h1 { "Policy" }
            @if policy.digest.is_empty() { p.dim { "No policy is configured." } } @else {
                p.dim { "Digest " code data-copy { (policy.digest) } }
            }
        }
        @if let Some(contact) = &policy.contact { p { "Questions go to " (shown(contact)) "." } }
        (rules(api, &policy, &counts))
        @if asker.may_look_inside().is_ok() {
            p.links {
                a href="/policy/backtest" { "Hold another policy against recorded changes" }
                " · "
                a href="/policy/texts" { "Former texts, and what differs" }
            }
            (attempt::section(api, asker, attempt, result))
        }
        (changes_of(&history))
        (text(&policy))
    };
    frame::page(api, asker, (Tab::Policy, "Policy"), &body)
}

/// How often each rule was broken of late.
async fn counts(api: &Api, asker: &Asker) -> Result<Vec<Count>, Problem> {
    let now = api.state.clock.now();
    let since = now.minus(std::time::Duration::from_hours(24 * DAYS));
    let counting = Counting::new(CountedBy::Rule, Step::Day, (since, now), 50);
    let counting = counting.map_err(|bad| Problem::invalid("since", bad.to_string()))?;
    Ok(api.counts(asker, &counting).await?.values)
}

/// Events that tell of another policy.
async fn history(api: &Api, asker: &Asker) -> Result<Vec<Value>, Problem> {
    let part = PageRequest { limit: EVENTS, cursor: None };
    let mut all = values(&api.seen_events(asker, EventFilter::default(), part).await?)?;
    all.retain(|event| matches!(at(event, "/kind"), "reload" | "policy_push" | "start"));
    Ok(all)
}

fn rules(api: &Api, policy: &Policy, counts: &[Count]) -> Markup {
    let words = policy.words(api.state.clock.now());
    let broken = |rule: &str| {
        let is_of = |count: &&Count| {
            count.value == rule
                || count.value.strip_prefix(rule).is_some_and(|rest| rest.starts_with('.'))
        };
        counts.iter().filter(is_of).map(|count| count.changes).sum::<i64>()
    };
    html! {
        section aria-labelledby="rules" {
            h2 #rules { "Rules" }
            @if words.is_empty() {
                div.empty {
                    h3 { "No rule is in force" }
                    p { "Every change passes and is recorded. Begin with a rule that warns: it \
                        tells what it would deny." }
                }
            } @else {
                table.rules {
                    caption { "What must be, and how often it was not, in " (DAYS) " days" }
                    thead { tr {
                        th scope="col" { "Rule" } th scope="col" { "Says" }
                        th scope="col" { "Broken" }
                    } }
                    tbody { @for (told, sentences) in words.iter().take(RULES_MAX) {
                        @let name = told.rsplit_once(" (").map_or(told.as_str(), |(name, _)| name);
                        @let count = broken(name);
                        @let pairs = [("rule", name), ("since", "30d")].into_iter();
                        tr {
                            th scope="row" { (cut(told, 100)) }
                            td { ul.sentences { @for sentence in sentences.iter().take(20) {
                                li { (cut_ticked(sentence, 400)) }
                            } } }
                            td {
                                @if count == 0 { span.none { "never" } } @else {
                                    a href=(with_query("/changes", pairs)) {
                                        (counted(count, "time"))
                                    }
                                }
                            }
                        }
                    } }
                }
            }
        }
    }
}

fn changes_of(history: &[Value]) -> Markup {
    html! {
        section aria-labelledby="history" {
            h2 #history { "What became of it" }
            @if history.is_empty() {
                p.dim { "Nothing among the newest " (EVENTS) " events." }
            } @else {
                ol.steps { @for event in history { li {
                    (date_clock(at(event, "/at"))) " " code { (at(event, "/kind")) } " "
                    @match found(event, "/detail/policy_digest") {
                        Some("") => "without a policy",
                        Some(digest) => {
                            "policy " code { (shown(digest.get(..12).unwrap_or(digest))) }
                        }
                        None => {}
                    }
                    @if let Some(by) = found(event, "/detail/by") { " by " (shown(by)) }
                    @if let Some(error) = found(event, "/detail/error") { " " (cut(error, 300)) }
                    @for name in items(event, "/detail/changed") {
                        " " code { (shown(name.as_str().unwrap_or_default())) }
                    }
                } } }
            }
        }
    }
}

fn text(policy: &Policy) -> Markup {
    let (head, rest) = split(&policy.text, TEXT_CHARS_MAX);
    html! {
        section aria-labelledby="text" {
            h2 #text { "Text" }
            @if head.is_empty() { p.dim { "It is empty." } } @else {
                details { summary { "Show the text" } pre.raw tabindex="0" { (runs(head)) } }
                @if rest > 0 { p.more { (grouped(rest)) " more characters stand in the file" } }
            }
        }
    }
}
