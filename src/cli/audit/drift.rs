//! `changegate audit drift`: what was changed around the gateway.

use serde_json::Value;

use super::arguments::DriftArgs;
use super::layout::{Layout, Spans};
use super::printer::{ListPrinter, print_spans};
use super::text::{json, plain};
use super::{Environment, Failure, Zone, bad_option, open, say_more, say_nothing_found};
use crate::admin::filter;
use crate::audit::query::EventFilter;
use crate::base::clock::Timestamp;
use crate::base::count::counted;
use crate::cli::print::{Shade, Span};
use crate::cli::terminal::Terminal;

/// Lists the changes, the newest first, each with the window in which it was made.
pub(super) async fn run(
    arguments: &DriftArgs,
    environment: &Environment,
    now: Timestamp,
) -> Result<(), Failure> {
    let (since, until) =
        filter::span(|name| arguments.part.given(name), now).map_err(bad_option)?;
    let id = arguments.deployment_id.as_deref();
    let id = id.map(|text| filter::value("deployment_id", text)).transpose().map_err(bad_option)?;
    let deployment_id = id.map(str::to_owned);
    let filter = EventFilter { deployment_id, since, until, ..EventFilter::default() };
    let reader = open(&arguments.file, environment).await?;
    let form = &arguments.part.shown;
    let zone = Zone::found(environment, now, form.zone.utc);
    let layout = Layout::of(Terminal::found(environment));
    let mut printer = ListPrinter::of_events(form, environment, now)?;
    let mut wanted = form.wanted();
    let mut shown = 0;
    while let Some(page) = wanted.next_drifts(&reader, &filter).await? {
        shown += page.len();
        if form.is_for_programs() {
            printer.events(&page)?;
            continue;
        }
        for event in &page {
            print_spans(&lines(&event.detail, &zone, &layout), layout.colour)?;
        }
    }
    say_more(shown, wanted.goes_on());
    let nothing = "No change made around the gateway is recorded.";
    say_nothing_found(shown == 0, form.is_for_programs(), nothing)
}

/// One such change: of which deployment, between which changes, and what.
pub(super) fn lines(detail: &Value, zone: &Zone, layout: &Layout) -> Vec<Spans> {
    let text = |name: &str| detail.get(name).and_then(Value::as_str).map_or("-".into(), plain);
    let time = |name: &str| {
        let at = detail.get(name).and_then(Value::as_str);
        let at = at.and_then(|text| Timestamp::parse(text).ok());
        at.map_or("-".to_owned(), |at| zone.second(at))
    };
    let mut lines = layout.shaded(&text("deployment_id"), Shade::Unclear);
    lines.extend(layout.text(&format!("  after   {}  {}", text("after"), time("after_at"))));
    let found = match detail.get("change") {
        Some(_) => format!("  before  {}  {}", text("change"), time("before_at")),
        None => format!("  seen    {}", time("seen_at")),
    };
    lines.extend(layout.text(&found));
    let places = detail.get("diff").and_then(Value::as_array).map(Vec::as_slice);
    let places = places.unwrap_or_default();
    for place in places {
        lines.extend(place_lines(place, layout));
    }
    let all = detail.get("places").and_then(Value::as_u64).unwrap_or_default();
    let more = all.saturating_sub(places.len() as u64);
    if more > 0 {
        lines
            .extend(layout.shaded(&format!("  and {}", counted(more, "more place")), Shade::Faint));
    }
    lines
}

fn place_lines(place: &Value, layout: &Layout) -> Vec<Spans> {
    let path = place.get("path").and_then(Value::as_str).map(plain).unwrap_or_default();
    if place.get("is_long").is_some() {
        let told = format!("  {path}: (too long to be told: see audit history)");
        return vec![vec![Span::plain(told)]];
    }
    let value = |name: &str| place.get(name).map_or("(none)".to_owned(), json);
    layout.text(&format!("  {path}: {} → {}", value("from"), value("to")))
}
