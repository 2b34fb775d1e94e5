//! The one that prints lists: as fits the terminal, or whole for other programs.

use super::screen::{Names, Screen};
use super::table::Table;
use super::terminal::Terminal;
use super::{Environment, Failure, print, print_lines, render};
use crate::audit::record::{Change, Event};
use crate::base::clock::Timestamp;
use crate::cli::print::Span;

/// Prints a list part by part.
#[derive(Debug)]
pub(super) enum ListPrinter<const N: usize> {
    /// Every id whole, one line each.
    Whole(Table<N>),
    /// For a terminal, with colours where it shows them.
    Fitted { screen: Screen, colour: bool },
}

impl<const N: usize> ListPrinter<N> {
    pub(super) fn new(headings: &[&str; N], environment: &Environment, now: Timestamp) -> Self {
        match Terminal::found(environment) {
            Some(terminal) => {
                Self::Fitted { screen: Screen::new(terminal, now), colour: terminal.colour }
            }
            None => Self::Whole(Table::new(headings)),
        }
    }
}

impl ListPrinter<{ render::CHANGE_HEADINGS.len() }> {
    pub(super) fn changes(&mut self, changes: &[Change]) -> Result<(), Failure> {
        match self {
            Self::Whole(table) => print_lines(table.rows(changes.iter().map(render::change_row))),
            Self::Fitted { screen, colour } => {
                print_spans(&screen.changes(changes, &Names::new()), *colour)
            }
        }
    }
}

impl ListPrinter<{ render::EVENT_HEADINGS.len() }> {
    pub(super) fn events(&mut self, events: &[Event]) -> Result<(), Failure> {
        match self {
            Self::Whole(table) => print_lines(table.rows(events.iter().map(render::event_row))),
            Self::Fitted { screen, colour } => print_spans(&screen.events(events), *colour),
        }
    }
}

fn print_spans(lines: &[Vec<Span>], colour: bool) -> Result<(), Failure> {
    lines.iter().try_for_each(|line| print::spans(line, colour))
}
