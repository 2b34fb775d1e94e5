//! The one that prints lists: as fits the terminal, or whole for other programs.

use std::collections::BTreeSet;

use super::screen::{NamesKnown, Screen};
use super::table::Table;
use super::terminal::Terminal;
use super::{Environment, Failure, print, print_lines, render, unanswered};
use crate::audit::query::{DeploymentSummary, Reader};
use crate::audit::record::{Change, Event};
use crate::base::clock::Timestamp;
use crate::cli::print::Span;

/// Prints a list part by part.
#[derive(Debug)]
pub(super) enum ListPrinter<const N: usize> {
    /// Every id whole, one line each.
    Whole(Table<N>),
    /// For a terminal, with colours where it shows them.
    Fitted { screen: Screen, names: NamesKnown, colour: bool },
}

impl<const N: usize> ListPrinter<N> {
    pub(super) fn new(headings: &[&str; N], environment: &Environment, now: Timestamp) -> Self {
        match Terminal::found(environment) {
            Some(terminal) => {
                let screen = Screen::new(terminal, now);
                Self::Fitted { screen, names: NamesKnown::new(), colour: terminal.colour }
            }
            None => Self::Whole(Table::new(headings)),
        }
    }
}

impl ListPrinter<{ render::CHANGE_HEADINGS.len() }> {
    /// Prints changes; on a terminal with the names of their deployments.
    pub(super) async fn changes(
        &mut self,
        reader: &Reader,
        changes: &[Change],
    ) -> Result<(), Failure> {
        match self {
            Self::Whole(table) => print_lines(table.rows(changes.iter().map(render::change_row))),
            Self::Fitted { screen, names, colour } => {
                learn(names, reader, changes).await?;
                print_spans(&screen.changes(changes, names), *colour)
            }
        }
    }
}

impl ListPrinter<{ render::EVENT_HEADINGS.len() }> {
    pub(super) fn events(&mut self, events: &[Event]) -> Result<(), Failure> {
        match self {
            Self::Whole(table) => print_lines(table.rows(events.iter().map(render::event_row))),
            Self::Fitted { screen, colour, .. } => print_spans(&screen.events(events), *colour),
        }
    }
}

impl ListPrinter<{ render::DEPLOYMENT_HEADINGS.len() }> {
    pub(super) fn deployments(&mut self, found: &[DeploymentSummary]) -> Result<(), Failure> {
        match self {
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

fn print_spans(lines: &[Vec<Span>], colour: bool) -> Result<(), Failure> {
    lines.iter().try_for_each(|line| print::spans(line, colour))
}
