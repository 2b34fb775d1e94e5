//! `changegate audit history`: what became of one deployment, newest first.

use super::arguments::HistoryArgs;
use super::at::{deployment_id, never};
use super::layout::{Layout, Spans};
use super::printer::{ListPrinter, print_spans};
use super::text::plain;
use super::{
    Environment, Failure, Zone, bad_option, differences, open, render, say_more, say_nothing_found,
};
use crate::admin::filter;
use crate::audit::query::Filter;
use crate::audit::record::Change;
use crate::base::clock::Timestamp;
use crate::cli::print::Shade;
use crate::cli::terminal::Terminal;
use crate::deployment::Object;
use crate::deployment::diff::diff;
use crate::provider::{Operation, Provider};

/// Prints it.
pub(super) async fn run(
    arguments: &HistoryArgs,
    environment: &Environment,
    now: Timestamp,
) -> Result<(), Failure> {
    let id = deployment_id(&arguments.deployment_id)?;
    let (since, until) =
        filter::span(|name| arguments.part.given(name), now).map_err(bad_option)?;
    let filter = Filter { deployment_id: Some(id.to_owned()), since, until, ..Filter::default() };
    let reader = open(&arguments.file, environment).await?;
    let form = &arguments.part.shown;
    let zone = Zone::found(environment, now, form.zone.utc);
    let layout = Layout::of(Terminal::found(environment));
    let mut printer = ListPrinter::of_changes(form, environment, now)?;
    let mut wanted = form.wanted();
    let (mut shown, mut later) = (0, None);
    let bodies = arguments.full || !form.is_for_programs();
    while let Some(page) = wanted.next_changes(&reader, &filter, bodies).await? {
        shown += page.len();
        if form.is_for_programs() {
            printer.changes(&reader, &page).await?;
            continue;
        }
        for change in page {
            let gap = later.as_ref().map(|later| around(&change, later, &layout));
            print_spans(&gap.unwrap_or_default(), layout.colour)?;
            print_spans(&render::step(&change, &zone, &layout), layout.colour)?;
            // One that did not come as far as a look at the deployment tells nothing of it.
            if change.may_be_applied() || change.left().is_some() {
                later = Some(change);
            }
        }
    }
    say_more(shown, wanted.more_changes(&reader, &filter).await?);
    if shown == 0 && since.is_none() && until.is_none() {
        return Err(Failure::NotHeld(never(&plain(id))));
    }
    let nothing = "No change of this deployment is recorded in this time.";
    say_nothing_found(shown == 0, form.is_for_programs(), nothing)
}

/// The lines for what became of the deployment between two changes, around the gateway; none where
/// nothing did.
fn around(change: &Change, later: &Change, layout: &Layout) -> Vec<Spans> {
    let before = later.bodies.as_ref().and_then(|bodies| bodies.before.as_ref());
    let (Some(left), Some(before), Some(provider)) =
        (change.left(), before, Provider::named(&change.provider))
    else {
        return Vec::new();
    };
    let found = diff(provider, Operation::Update, &Object::new(), Some(left), Some(before));
    let mut places = found.iter().filter(|place| !place.computed).peekable();
    if places.peek().is_none() {
        return Vec::new();
    }
    let head = format!("changed around the gateway, between {} and {}", change.id, later.id);
    let mut lines = layout.shaded(&head, Shade::Unclear);
    lines.extend(places.flat_map(|place| differences::lines(place, layout, 2)));
    lines
}
