//! Charts, drawn here as SVG, each with its numbers as a table.

use std::fmt::Write as _;

use maud::{Markup, PreEscaped, html};

use super::form::with_query;
use super::text::{cut, date_clock, grouped};
use crate::audit::query::{Counts, Step};
use crate::base::clock::Timestamp;

/// The size of the drawing, in its own units.
const WIDTH: i64 = 720;
const HEIGHT: i64 = 120;

/// The decisions in the order in which their bars stand upon one another, with their classes.
const DECISIONS: [(&str, &str); 4] =
    [("allow", "good"), ("warn", "warn"), ("deny", "bad"), ("refuse", "poor")];

/// Changes over time by their decision, as bars.
pub(super) fn by_decision(id: &str, title: &str, counts: &Counts) -> Markup {
    let total: i64 = counts.values.iter().map(|count| count.changes).sum();
    html! {
        figure.chart {
            figcaption {
                h2 id=(id) { (title) }
                span.dim { (grouped(number(total))) " changes" }
                ul.legend { @for (name, tone) in DECISIONS {
                    @if total_of(counts, name) > 0 {
                        li { span class=(format!("swatch {tone}")) {} (name) " "
                            span.dim { (grouped(number(total_of(counts, name)))) } }
                    }
                } }
            }
            (drawing(id, counts))
            (numbers(title, counts))
        }
    }
}

fn number(count: i64) -> usize {
    usize::try_from(count).unwrap_or_default()
}

fn total_of(counts: &Counts, name: &str) -> i64 {
    counts.values.iter().filter(|count| count.value == name).map(|count| count.changes).sum()
}

/// The bars. Nothing of what was recorded stands in them but numbers and times.
fn drawing(id: &str, counts: &Counts) -> Markup {
    let length = counts.step.millis();
    let steps = (counts.until.millis() - counts.since.millis()).div_euclid(length).max(1);
    let highest = counts.data.iter().map(|step| step.counts.values().sum::<i64>()).max();
    let highest = highest.unwrap_or(0).max(1);
    let mut bars = String::new();
    for step in &counts.data {
        let place = (step.at.millis() - counts.since.millis()).div_euclid(length);
        let (left, right) = (place * WIDTH / steps, (place + 1) * WIDTH / steps);
        let width = (right - left - 1).max(1);
        let mut below = HEIGHT;
        let mut told = short(step.at, counts.step);
        for (name, tone) in DECISIONS {
            let count = step.counts.get(name).copied().unwrap_or_default();
            if count == 0 {
                continue;
            }
            // What is there is seen, however little of the highest bar it is.
            let height = (count * HEIGHT / highest).max(2);
            below = (below - height).max(0);
            let _never = write!(told, ", {count} {name}");
            let _never = write!(
                bars,
                "<rect class=\"{tone}\" x=\"{left}\" y=\"{below}\" width=\"{width}\" \
                 height=\"{height}\"/>"
            );
        }
        let _never = write!(
            bars,
            "<rect class=\"over\" x=\"{left}\" y=\"0\" width=\"{width}\" height=\"{HEIGHT}\">\
             <title>{told}</title></rect>"
        );
    }
    html! {
        svg role="img" aria-labelledby=(id) viewBox=(format!("0 0 {WIDTH} {}", HEIGHT + 1))
            preserveAspectRatio="none" {
            (PreEscaped(bars))
            line.axis x1="0" y1=(HEIGHT) x2=(WIDTH) y2=(HEIGHT) {}
        }
        p.axis {
            span { (short(counts.since, counts.step)) }
            span { "highest: " (grouped(number(highest))) }
            span { "now" }
        }
    }
}

/// A begin of an hour or a day, as short as it is clear.
fn short(at: Timestamp, step: Step) -> String {
    let whole = at.to_string();
    let (date, clock) =
        (whole.get(5..10).unwrap_or_default(), whole.get(11..16).unwrap_or_default());
    match step {
        Step::Day => date.to_owned(),
        Step::Hour => format!("{date} {clock}"),
    }
}

/// The numbers of a chart, for who reads rather than looks.
fn numbers(title: &str, counts: &Counts) -> Markup {
    html! {
        details {
            summary { "As a table" }
            table.plain {
                caption.unseen { (title) "; times are UTC" }
                thead { tr {
                    th scope="col" { "From (UTC)" }
                    @for (name, _) in DECISIONS { th.number scope="col" { (name) } }
                } }
                tbody { @for step in counts.data.iter().rev() { tr {
                    th scope="row" { (date_clock(&step.at.to_string())) }
                    @for (name, _) in DECISIONS {
                        td.number { (step.counts.get(name).copied().unwrap_or_default()) }
                    }
                } } }
            }
        }
    }
}

/// The name of a value by its place, where it has one.
fn called(place: usize, names: &[Option<String>]) -> Option<&str> {
    names.get(place)?.as_deref()
}

/// The values with the most changes of seven days, each as a bar that leads to them; `names` are
/// told in place of them.
pub(super) fn ranking(
    (id, title): (&str, &str),
    counts: &Counts,
    (key, names): (&str, &[Option<String>]),
    nothing: &str,
) -> Markup {
    let highest = counts.values.iter().map(|count| count.changes).max().unwrap_or(0).max(1);
    html! {
        section.card aria-labelledby=(id) {
            h2 id=(id) { (title) }
            @if counts.values.is_empty() { p.dim { (nothing) } } @else {
                ol.ranking { @for (place, count) in counts.values.iter().enumerate() {
                    @let pairs = [(key, &*count.value), ("since", "7d")].into_iter();
                    @let target = with_query("/changes", pairs);
                    li {
                        a href=(target) { (cut(called(place, names).unwrap_or(&count.value), 60)) }
                        span.number { (grouped(number(count.changes))) }
                        svg aria-hidden="true" viewBox="0 0 100 4" preserveAspectRatio="none" {
                            rect.track x="0" y="0" width="100" height="4" {}
                            @let share = (count.changes * 100 / highest).max(1);
                            rect.bar-fill x="0" y="0" width=(share) height="4" {}
                        }
                    }
                } }
                @if counts.others > 0 { p.more { (grouped(number(counts.others))) " with others" } }
            }
        }
    }
}
