//! Lists as they fit a terminal: no row is wider than it. Where a change does not fit one line, it
//! has two.

use std::collections::HashMap;

use unicode_width::UnicodeWidthStr as _;

use super::render;
use super::text::plain;
use super::zone::Zone;
use crate::audit::query::DeploymentSummary;
use crate::audit::record::{Change, Event};
use crate::base::clock::Timestamp;
use crate::cli::print::Span;
use crate::cli::terminal::{Terminal, cut, short_id};

/// The columns between two cells.
const GAP: usize = 2;

/// The most columns of an actor where a change has two lines.
const ACTOR_WIDTH_MAX: usize = 16;

/// The most columns of a deployment's name in a list.
const NAME_WIDTH_MAX: usize = 40;

/// The columns of a time.
const TIME_WIDTH: usize = 14;

/// The names of deployments by their ids, as far as they have one.
pub(super) type NamesKnown = HashMap<String, Option<String>>;

/// A list that is printed part by part; columns only grow.
#[derive(Debug)]
pub(super) struct Screen {
    terminal: Terminal,
    now: Timestamp,
    zone: Zone,
    /// Chosen with the first part.
    form: Option<Form>,
    widths: Vec<usize>,
}

/// The lines of a change, from the widest to the narrowest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// One line, the deployment's name in it.
    Named,
    /// One line.
    Line,
    /// Two lines, the change's id on the second.
    Pair,
}

impl Screen {
    pub(super) fn new(terminal: Terminal, now: Timestamp, zone: Zone) -> Self {
        Self { terminal, now, zone, form: None, widths: Vec::new() }
    }

    /// The lines of changes, the first time under headings, which say the time zone.
    pub(super) fn changes(&mut self, changes: &[Change], names: &NamesKnown) -> Vec<Vec<Span>> {
        if changes.is_empty() {
            return Vec::new();
        }
        let rows = |form| changes.iter().map(|change| self.row(change, names, form)).collect();
        let (form, rows, is_first) = if let Some(form) = self.form {
            (form, rows(form), false)
        } else {
            let named = names.values().any(Option::is_some).then_some(Form::Named);
            let forms = named.into_iter().chain([Form::Line]);
            let mut fitting = forms.filter_map(|form| {
                let rows: Vec<Vec<Span>> = rows(form);
                self.fits(form, &rows).then_some((form, rows, true))
            });
            let found = fitting.next();
            drop(fitting);
            found.unwrap_or_else(|| (Form::Pair, rows(Form::Pair), true))
        };
        self.form = Some(form);
        let headings = is_first.then(|| headings(form));
        let lines = self.lines(headings, rows);
        if form != Form::Pair {
            return lines;
        }
        let skipped = lines.len() - changes.len();
        let seconds = changes.iter().map(|change| self.second_line(change));
        let mut paired = Vec::with_capacity(lines.len() + changes.len());
        let mut lines = lines.into_iter();
        paired.extend(lines.by_ref().take(skipped));
        for (line, second) in lines.zip(seconds) {
            paired.push(line);
            paired.push(second);
        }
        paired
    }

    /// The lines of events.
    pub(super) fn events(&mut self, events: &[Event]) -> Vec<Vec<Span>> {
        let row = |event: &Event| {
            let [_at, kind, actor, from, detail] = render::event_row(event);
            let at = self.zone.short(event.at, self.now);
            [at, kind, actor, from, detail]
        };
        let rows = events.iter().map(row).collect();
        self.table(["AT", "KIND", "ACTOR", "FROM", "DETAIL"], rows)
    }

    /// The lines of deployments.
    pub(super) fn deployments(&mut self, found: &[DeploymentSummary]) -> Vec<Vec<Span>> {
        let row = |one: &DeploymentSummary| {
            let [id, name, changes, _at, _change] = render::deployment_row(one);
            let at = self.zone.short(one.last_changed_at, self.now);
            [at, changes, id, name]
        };
        let rows = found.iter().map(row).collect();
        self.table(["CHANGED", "CHANGES", "DEPLOYMENT", "NAME"], rows)
    }

    /// The lines of plain rows, the first time under headings.
    fn table<const N: usize>(
        &mut self,
        headings: [&'static str; N],
        rows: Vec<[String; N]>,
    ) -> Vec<Vec<Span>> {
        if rows.is_empty() {
            return Vec::new();
        }
        let is_first = self.form.replace(Form::Line).is_none();
        let rows = rows.into_iter().map(|row| row.map(Span::plain).into()).collect();
        self.lines(is_first.then(|| headings.into()), rows)
    }

    fn row(&self, change: &Change, names: &NamesKnown, form: Form) -> Vec<Span> {
        let [_at, id, deployment, actor, operation, decision, outcome, rules] =
            render::change_row(change);
        let name = change.deployment_id.as_ref().and_then(|id| names.get(id)?.as_deref());
        let name = name.map(|name| cut(&plain(name), NAME_WIDTH_MAX)).unwrap_or_default();
        let at = Span::plain(self.zone.short(change.received_at, self.now));
        let decision = Span { shade: render::decision_shade(change), text: decision };
        let outcome = Span { shade: render::outcome_shade(change), text: outcome };
        if form == Form::Pair {
            let actor = if change.actor.name.is_some() { actor } else { short_id(&actor) };
            let actor = cut(&actor, ACTOR_WIDTH_MAX);
            let subject = format!("{}  {name}", short_id(&deployment)).trim_end().to_owned();
            let [actor, operation, subject] = [actor, operation, subject].map(Span::plain);
            return vec![at, actor, operation, decision, outcome, subject];
        }
        let [id, deployment, actor, operation, rules, name] =
            [id, deployment, actor, operation, rules, name].map(Span::plain);
        let mut row = vec![at, id, deployment, actor, operation, decision, outcome, rules];
        if form == Form::Named {
            row.insert(3, name);
        }
        row
    }

    fn second_line(&self, change: &Change) -> Vec<Span> {
        let [_at, id, _deployment, _actor, _operation, _decision, _outcome, rules] =
            render::change_row(change);
        let line = format!("  {id}  {rules}");
        vec![Span::plain(cut(line.trim_end(), self.terminal.width))]
    }

    fn fits(&self, form: Form, rows: &[Vec<Span>]) -> bool {
        let (headings, rest) = self.headed(headings(form), rows);
        rest.is_none() && self.has_room(&headings, rows)
    }

    fn has_room(&self, headings: &[String], rows: &[Vec<Span>]) -> bool {
        let mut widths: Vec<usize> = headings.iter().map(|text| text.width()).collect();
        widen(&mut widths, rows);
        widths.iter().sum::<usize>() + GAP * (widths.len() - 1) <= self.terminal.width
    }

    /// The headings, the first of which says the time zone; where it would take the room of the
    /// columns behind it, the zone is for a line of its own.
    fn headed(
        &self,
        headings: Vec<&'static str>,
        rows: &[Vec<Span>],
    ) -> (Vec<String>, Option<String>) {
        let plain: Vec<String> = headings.into_iter().map(str::to_owned).collect();
        let mut zoned = plain.clone();
        if let Some(at) = zoned.first_mut() {
            *at = format!("{at} ({})", self.zone.name());
            if at.width() > TIME_WIDTH && !self.has_room(&zoned, rows) {
                return (plain, Some(cut(&format!("  {}", self.zone.name()), self.terminal.width)));
            }
        }
        (zoned, None)
    }

    /// Aligned lines, cut where they are too wide.
    fn lines(
        &mut self,
        headings: Option<Vec<&'static str>>,
        mut rows: Vec<Vec<Span>>,
    ) -> Vec<Vec<Span>> {
        let mut zone = None;
        if let Some(headings) = headings {
            self.widths = vec![0; headings.len()];
            let (headings, below) = self.headed(headings, &rows);
            zone = below;
            rows.insert(0, headings.into_iter().map(Span::plain).collect());
        }
        widen(&mut self.widths, &rows);
        let mut lines: Vec<Vec<Span>> = rows.into_iter().map(|row| self.line(row)).collect();
        if let Some(zone) = zone {
            lines.insert(1, vec![Span::plain(zone)]);
        }
        lines
    }

    fn line(&self, mut row: Vec<Span>) -> Vec<Span> {
        // What is empty at the end takes no room.
        while row.last().is_some_and(|cell| cell.text.is_empty()) {
            row.pop();
        }
        let last = row.len().saturating_sub(1);
        let mut left = self.terminal.width;
        let mut line = Vec::with_capacity(2 * row.len());
        for (number, (cell, width)) in row.into_iter().zip(&self.widths).enumerate() {
            let text = cut(&cell.text, left);
            left = left.saturating_sub(text.width());
            let missing = width.saturating_sub(text.width()) + GAP;
            line.push(Span { text, shade: cell.shade });
            if number == last || left <= missing {
                break;
            }
            left -= missing;
            line.push(Span::plain(" ".repeat(missing)));
        }
        line
    }
}

fn headings(form: Form) -> Vec<&'static str> {
    if form == Form::Pair {
        return vec!["RECEIVED", "ACTOR", "OPERATION", "DECISION", "OUTCOME", "DEPLOYMENT"];
    }
    let mut headings = render::CHANGE_HEADINGS.to_vec();
    if form == Form::Named {
        headings.insert(3, "NAME");
    }
    headings
}

fn widen(widths: &mut [usize], rows: &[Vec<Span>]) {
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.text.width().max(*width);
        }
    }
}
