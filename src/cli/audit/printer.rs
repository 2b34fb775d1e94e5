//! The one that prints lists, in each of their forms.

use std::collections::BTreeSet;

use super::arguments::ShownArgs;
use super::screen::{NamesKnown, Screen};
use super::table::Table;
use super::zone::Zone;
use super::{Environment, Failure, csv, print, print_json, print_lines, render, unanswered};
use crate::audit::query::{DeploymentSummary, Reader};
use crate::audit::record::{Change, Event};
use crate::base::clock::Timestamp;
use crate::cli::print::Span;
use crate::cli::terminal::Terminal;

/// Prints a list part by part, in one form.
#[derive(Debug)]
pub(super) enum ListPrinter<const N: usize> {
    /// One JSON object a line.
    Json,
    /// CSV, under the names of its columns.
    Csv,
    /// Every id whole, one line each.
    Whole(Table<N>),
    /// For a terminal, with colours where it shows them.
    Fitted { screen: Screen, names: NamesKnown, colour: bool },
}

impl<const N: usize> ListPrinter<N> {
    /// A printer in the form that is asked for; `columns` are those of CSV.
    fn new(
        (headings, columns): (&[&str; N], &[&str]),
        form: &ShownArgs,
        environment: &Environment,
        now: Timestamp,
    ) -> Result<Self, Failure> {
        if form.json {
            return Ok(Self::Json);
        }
        if form.csv {
            csv::head(columns)?;
            return Ok(Self::Csv);
        }
        let terminal = Terminal::found(environment);
        let whole = || Self::Whole(Table::new(headings));
        Ok(terminal.map_or_else(whole, |terminal| {
            Self::fitted(terminal, now, Zone::found(environment, now, form.zone.utc))
        }))
    }

    /// A printer for people, whatever standard output is.
    pub(super) fn fitted(terminal: Terminal, now: Timestamp, zone: Zone) -> Self {
        let screen = Screen::new(terminal, now, zone);
        Self::Fitted { screen, names: NamesKnown::new(), colour: terminal.colour }
    }
}

impl ListPrinter<{ render::CHANGE_HEADINGS.len() }> {
    pub(super) fn of_changes(
        form: &ShownArgs,
        environment: &Environment,
        now: Timestamp,
    ) -> Result<Self, Failure> {
        Self::new((&render::CHANGE_HEADINGS, &csv::CHANGE), form, environment, now)
    }

    /// Prints changes; on a terminal with the names of their deployments.
    pub(super) async fn changes(
        &mut self,
        reader: &Reader,
        changes: &[Change],
    ) -> Result<(), Failure> {
        match self {
            Self::Json => print_json(changes),
            Self::Csv => changes.iter().try_for_each(csv::change),
            Self::Whole(table) => print_lines(table.rows(changes.iter().map(render::change_row))),
            Self::Fitted { screen, names, colour } => {
                learn(names, reader, changes).await?;
                print_spans(&screen.changes(changes, names), *colour)
            }
        }
    }
}

impl ListPrinter<{ render::EVENT_HEADINGS.len() }> {
    pub(super) fn of_events(
        form: &ShownArgs,
        environment: &Environment,
        now: Timestamp,
    ) -> Result<Self, Failure> {
        Self::new((&render::EVENT_HEADINGS, &csv::EVENT), form, environment, now)
    }

    pub(super) fn events(&mut self, events: &[Event]) -> Result<(), Failure> {
        match self {
            Self::Json => print_json(events),
            Self::Csv => events.iter().try_for_each(csv::event),
            Self::Whole(table) => print_lines(table.rows(events.iter().map(render::event_row))),
            Self::Fitted { screen, colour, .. } => print_spans(&screen.events(events), *colour),
        }
    }
}

impl ListPrinter<{ render::DEPLOYMENT_HEADINGS.len() }> {
    pub(super) fn of_deployments(
        form: &ShownArgs,
        environment: &Environment,
        now: Timestamp,
    ) -> Result<Self, Failure> {
        Self::new((&render::DEPLOYMENT_HEADINGS, &csv::DEPLOYMENT), form, environment, now)
    }

    pub(super) fn deployments(&mut self, found: &[DeploymentSummary]) -> Result<(), Failure> {
        match self {
            Self::Json => print_json(found),
            Self::Csv => found.iter().try_for_each(csv::deployment),
            Self::Whole(table) => print_lines(table.rows(found.iter().map(render::deployment_row))),
            Self::Fitted { screen, colour, .. } => print_spans(&screen.deployments(found), *colour),
        }
    }
}

/// Looks up the names that are not known yet.
async fn learn(names: &mut NamesKnown, reader: &Reader, changes: &[Change]) -> Result<(), Failure> {
    let ids = changes.iter().filter_map(|change| change.deployment_id.as_ref());
    let unknown: BTreeSet<String> = ids.filter(|id| !names.contains_key(*id)).cloned().collect();
    let unknown: Vec<String> = unknown.into_iter().collect();
    let found = reader.deployment_names(&unknown).await.map_err(unanswered)?;
    names.extend(unknown.into_iter().zip(found));
    Ok(())
}

/// Prints lines of parts.
pub(super) fn print_spans(lines: &[Vec<Span>], colour: bool) -> Result<(), Failure> {
    lines.iter().try_for_each(|line| print::spans(line, colour))
}
