//! The texts of policies that the log keeps: when each decided, what it says, and where it differs
//! from another one.

use axum::Extension;
use axum::extract::State;
use maud::{Markup, html};
use tokio::task::spawn_blocking;

use super::TEXT_CHARS_MAX;
use crate::admin::Api;
use crate::admin::access::Asker;
use crate::admin::answer::Problem;
use crate::admin::api::{Answer, Id, in_time, named};
use crate::admin::asked::{self, Asked, Key, Kind, key, text};
use crate::audit::query::KnownPolicy;
use crate::base::clock::Timestamp;
use crate::console::form::{segment, with_query};
use crate::console::frame::{self, Tab};
use crate::console::prose::{compared, side_by_side};
use crate::console::shown::Shown;
use crate::console::text::{date_clock, grouped, runs, shown, split};
use crate::console::words::chip;

/// The most bytes of two texts that are shown side by side.
const COMPARED_BYTES_MAX: usize = 100 << 10;

/// The query of one text.
pub(in crate::console) enum TextPage {}

impl Kind for TextPage {
    const KEYS: &'static [&'static [Key]] = &[&[
        key("against", text, "The digest of a former text that it is held against."),
        key("diff", text, "How they are compared: inline, or side by side."),
    ]];
}

/// The list.
pub(in crate::console) async fn list(
    State(api): State<Api>,
    Extension(asker): Extension<Asker>,
    _nothing: Asked<asked::Nothing>,
) -> Answer {
    asker.may_look_inside()?;
    let known = known(&api, &asker).await?;
    let in_force = (api.state.policy)().digest.clone();
    let body = html! {
        div.head {
            h1 { "Policies that decided" }
            p.dim { "By the log, which keeps each text; the newest first" }
        }
        @if known.is_empty() {
            div.empty {
                h2 { "No policy has decided yet" }
                p { "The log keeps a policy's text with the first change that it decides." }
            }
        } @else { (table(&known, &in_force)) }
    };
    frame::page(&api, &asker, (Tab::Policy, "Policies that decided"), &body)
}

async fn known(api: &Api, asker: &Asker) -> Result<Vec<KnownPolicy>, Problem> {
    in_time(&asker.share.scanning, api.reader().known_policies()).await
}

fn table(known: &[KnownPolicy], in_force: &str) -> Markup {
    let former = known.iter().skip(1).map(Some).chain([None]);
    html! {
        div.scroll tabindex="0" role="group" aria-label="Policies that decided" {
            table.list.stack {
                caption.unseen { "Policies, the newest first; times are UTC" }
                thead { tr {
                    th scope="col" { "Policy" } th scope="col" { "First change (UTC)" }
                    th scope="col" { "Last change (UTC)" }
                    th.number scope="col" { "Of the newest 20,000" }
                    th scope="col" { "Against the one before" }
                } }
                tbody { @for (policy, former) in known.iter().zip(former) {
                    tr.item {
                        td {
                            a href=(path(&policy.digest)) { code { (short(&policy.digest)) } }
                            @if policy.digest == in_force { " " (chip("good", "in force")) }
                            div.why { (characters(policy.chars)) }
                        }
                        td.time data-label="First change (UTC)" {
                            (moment(policy.first_at, "not known any more"))
                        }
                        td.time data-label="Last change (UTC)" {
                            (moment(policy.last_at, "none of the newest"))
                        }
                        td.number data-label="Of the newest 20,000" {
                            (grouped(usize::try_from(policy.changes).unwrap_or(0)))
                        }
                        td { @match former {
                            Some(former) => a href=(against(&policy.digest, &former.digest)) {
                                "What differs"
                            },
                            None => span.none { "the first" },
                        } }
                    }
                } }
            }
        }
    }
}

fn characters(count: i64) -> String {
    format!("{} characters", grouped(usize::try_from(count).unwrap_or(0)))
}

fn moment(at: Option<Timestamp>, none: &str) -> Markup {
    html! { @match at { Some(at) => (date_clock(&at.to_string())), None => span.none { (none) } } }
}

/// The digest as it is told in a list; that of no policy at all is empty.
fn short(digest: &str) -> Markup {
    html! { @if digest.is_empty() { "no policy" } @else {
        (shown(digest.get(..12).unwrap_or(digest)))
    } }
}

/// The path of a text; `none` stands for that of no policy at all.
fn path(digest: &str) -> String {
    format!("/policy/texts/{}", if digest.is_empty() { "none".to_owned() } else { segment(digest) })
}

fn against(digest: &str, former: &str) -> String {
    let former = if former.is_empty() { "none" } else { former };
    with_query(&path(digest), std::iter::once(("against", former)))
}

/// One text, whole or held against another.
pub(in crate::console) async fn show(
    State(api): State<Api>,
    Extension(asker): Extension<Asker>,
    id: Id,
    asked: Asked<TextPage>,
) -> Answer {
    let digest = named(id)?;
    let may_compare = asker.may_look_inside();
    // The text in force is on the page of the policy, for everybody.
    if digest != (api.state.policy)().digest || asked.text("against").is_some() {
        may_compare.clone()?;
    }
    let latter = found(&api, &asker, &digest).await?;
    let former = match asked.text("against") {
        Some(former) => Some((former.to_owned(), found(&api, &asker, former).await?)),
        None => None,
    };
    let known = if may_compare.is_ok() { known(&api, &asker).await? } else { Vec::new() };
    let side_by_side = side_by_side(asked.text("diff"))?;
    let told = match former {
        Some((name, former)) => {
            let difference = spawn_blocking(move || difference(&former, &latter, side_by_side));
            let difference = difference.await.map_err(|broken| Problem::store_fails(&broken))?;
            differs(&digest, &name, side_by_side, &difference)
        }
        None => whole(&latter),
    };
    let body = html! {
        div.head {
            h1 { "Policy " (short(if digest == "none" { "" } else { &digest })) }
            p.dim { "Digest " code data-copy { (shown(&digest)) } }
        }
        @if may_compare.is_ok() { (choice(&digest, asked.text("against"), &known)) }
        (told)
        @if may_compare.is_ok() { p { a href="/policy/texts" { "All policies that decided" } } }
    };
    frame::page(&api, &asker, (Tab::Policy, "Policy text"), &body)
}

/// The text of a digest.
async fn found(api: &Api, asker: &Asker, digest: &str) -> Result<String, Problem> {
    let wanted = if digest == "none" { "" } else { digest };
    let found = in_time(&asker.share.reading, api.reader().policy(wanted)).await?;
    found.ok_or_else(|| {
        Problem::not_found("no change was judged by a policy of this digest: the list has those")
    })
}

/// The form that chooses the other text.
fn choice(digest: &str, against: Option<&str>, known: &[KnownPolicy]) -> Markup {
    html! {
        form.filters method="get" action=(path(if digest == "none" { "" } else { digest })) {
            div.fields {
                div.field {
                    label for="against" { "Held against" }
                    select #against name="against" {
                        option value="" { "nothing: the whole text" }
                        @for policy in known.iter().filter(|policy| policy.digest != digest) {
                            @let is_none = policy.digest.is_empty();
                            @let name = if is_none { "none" } else { policy.digest.as_str() };
                            option value=(name) selected[against == Some(name)] {
                                (short(&policy.digest)) ", "
                                @match policy.first_at {
                                    Some(at) => (at.to_string().get(..10).unwrap_or_default()),
                                    None => "long ago",
                                }
                            }
                        }
                    }
                }
                button type="submit" { "Show" }
            }
        }
    }
}

fn difference(former: &str, latter: &str, side_by_side: bool) -> Markup {
    let mut shown = Shown::new(side_by_side, String::new());
    shown.bytes = COMPARED_BYTES_MAX;
    compared(former, latter, &mut shown)
}

fn differs(digest: &str, former: &str, side_by_side: bool, difference: &Markup) -> Markup {
    let (word, told) = if side_by_side { ("inline", "Inline") } else { ("", "Side by side") };
    let pairs =
        [("against", former), ("diff", word)].into_iter().filter(|(_, text)| !text.is_empty());
    html! {
        section aria-labelledby="differs" {
            div.head {
                h2 #differs { "What differs" }
                a href=(with_query(&path(digest), pairs)) data-key="d" { (told) }
            }
            (difference)
        }
    }
}

fn whole(text: &str) -> Markup {
    let (head, rest) = split(text, TEXT_CHARS_MAX);
    html! {
        section aria-labelledby="text" {
            h2 #text { "Text" }
            @if head.is_empty() { p.dim { "It is empty." } } @else {
                pre.raw data-copy tabindex="0" { (runs(head)) }
            }
            @if rest > 0 { p.more { (grouped(rest)) " more characters stand in the log" } }
        }
    }
}
