//! Sinks: how far each has come, and the two orders that a page gives.

use axum::Extension;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Redirect};
use maud::{Markup, html};

use crate::admin::Api;
use crate::admin::access::Asker;
use crate::admin::answer::Problem;
use crate::admin::api::{Answer, Id, in_time};
use crate::admin::sinks::{Operator, Sink, all, resumed, tested};
use crate::audit::sinks::SinkCondition;
use crate::console::form::{self, TOKEN, segment};
use crate::console::frame::{self, Tab};
use crate::console::text::{cut, date_clock, grouped, shown};
use crate::console::words::chip;

/// The longest form, in bytes.
const FORM_BYTES_MAX: usize = 4 << 10;

/// The most characters of an error.
const ERROR_CHARS_MAX: usize = 200;

/// Has a sink that waits, or that its receiver disabled, go on at once.
pub(in crate::console) async fn resume(
    State(api): State<Api>,
    Extension(asker): Extension<Asker>,
    id: Id,
    request: Request,
) -> Answer {
    let operator = operator(&api, &asker, request).await?;
    let _sink = resumed(&api, id, operator).await?;
    Ok(Redirect::to("/log#sinks").into_response())
}

/// Sends a message of kind `sink.test`, and says what came of it.
pub(in crate::console) async fn test(
    State(api): State<Api>,
    Extension(asker): Extension<Asker>,
    id: Id,
    request: Request,
) -> Answer {
    let operator = operator(&api, &asker, request).await?;
    let tested = tested(&api, id, operator).await?;
    let body = html! {
        div.head { h1 { "Test of the sink " (shown(&tested.sink)) } }
        @match &tested.error {
            None => p { (chip("good", "taken")) " the receiver took the message" },
            Some(error) => p { (chip("bad", "not taken")) " " (cut(error, ERROR_CHARS_MAX)) },
        }
        p { a href="/log#sinks" { "Back to the sinks" } }
    };
    frame::page(&api, &asker, (Tab::Log, "Test of a sink"), &body)
}

/// The asker, where they may give orders, and sent the form of a page of their own.
async fn operator(api: &Api, asker: &Asker, request: Request) -> Result<Operator, Problem> {
    let operator = Operator::of(asker)?;
    let pairs = form::sent(request, FORM_BYTES_MAX).await?;
    form::is_own(api, asker, &pairs)?;
    Ok(operator)
}

/// The sinks that the log knows.
pub(super) async fn section(api: &Api, asker: &Asker) -> Result<Markup, Problem> {
    let sinks = in_time(&asker.share.reading, all(api)).await?.data;
    let form = Operator::of(asker).is_ok().then(|| form::token(api, asker));
    Ok(html! {
        section aria-labelledby="sinks" {
            h2 #sinks { "Sinks" }
            @if sinks.is_empty() {
                p.dim {
                    "None: a " code { "[[sink]]" } " of the configuration sends each finished \
                    record on, to a webhook, Splunk, syslog, OTLP or a file."
                }
            } @else { (table(&sinks, form.as_deref())) }
        }
    })
}

fn table(sinks: &[Sink], form: Option<&str>) -> Markup {
    html! {
        table.list {
            caption.unseen { "Sinks; times are UTC" }
            thead { tr {
                th scope="col" { "Sink" } th scope="col" { "State" }
                th.number scope="col" { "Behind" } th.number scope="col" { "Sent" }
                th.number scope="col" { "Refused" } th scope="col" { "Last sent (UTC)" }
                @if form.is_some() { th scope="col" { "Orders" } }
            } }
            tbody { @for sink in sinks { (line(sink, form)) } }
        }
    }
}

fn line(sink: &Sink, form: Option<&str>) -> Markup {
    let standing = &sink.standing;
    html! {
        tr.item {
            td {
                (shown(&standing.name))
                div.why {
                    @match (sink.kind, &sink.to) {
                        (Some(kind), Some(to)) => { (kind) " " code { (cut(to, 80)) } }
                        _ => "not configured any more",
                    }
                    @if sink.format == Some("ocsf") { " as OCSF" }
                }
            }
            td { (condition(sink)) }
            td.number {
                (count(standing.lag_positions))
                @if let Some(seconds) = standing.lag_seconds { div.why { (seconds) " s" } }
            }
            td.number { (count(standing.sent)) }
            td.number { (count(standing.dead_letters)) }
            td.time { @match &standing.sent_at {
                Some(at) => (date_clock(&at.to_string())),
                None => span.none { "none" },
            } }
            @if let Some(token) = form { td { @if sink.kind.is_some() {
                form.buttons method="post" action=(target(&standing.name, "resume")) {
                    input type="hidden" name=(TOKEN) value=(token);
                    @if standing.state != SinkCondition::Current {
                        button type="submit" { "Resume" }
                    }
                    button type="submit" formaction=(target(&standing.name, "test")) {
                        "Send a test"
                    }
                }
            } } }
        }
    }
}

/// The state in a word, and why it is so.
fn condition(sink: &Sink) -> Markup {
    let standing = &sink.standing;
    let tone = match standing.state {
        SinkCondition::Current | SinkCondition::Sending => "good",
        SinkCondition::Waiting => "warn",
        SinkCondition::Disabled => "bad",
    };
    let error = standing.error.as_ref().filter(|_error| standing.attempts > 0);
    html! {
        (chip(tone, standing.state.name()))
        @if let Some(error) = error { div.why { (cut(error, ERROR_CHARS_MAX)) } }
        @if let Some(at) = &standing.next_at {
            div.why { "next try " (date_clock(&at.to_string())) }
        }
    }
}

fn target(name: &str, order: &str) -> String {
    format!("/log/sinks/{}/{order}", segment(name))
}

fn count(number: u64) -> String {
    grouped(usize::try_from(number).unwrap_or(usize::MAX))
}
