//! The columns that a list of changes has beside the usual ones, as its reader chooses.

use maud::{Markup, html};
use serde_json::Value;

use super::filters::kept;
use super::form::with_query;
use super::text::{at, cut, found, short_id};
use crate::admin::answer::Problem;
use crate::admin::asked::Asked;

/// The most characters of a cell.
const CELL_CHARS_MAX: usize = 40;

/// A column.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Column {
    /// The name in the URL.
    name: &'static str,
    heading: &'static str,
    /// Where a change has it.
    place: &'static str,
}

const ALL: [Column; 8] = [
    Column { name: "team", heading: "Team", place: "/actor/team" },
    Column { name: "person", heading: "Person", place: "/actor/person" },
    Column { name: "from", heading: "From", place: "/client/ip" },
    Column { name: "program", heading: "Program", place: "/client/user_agent" },
    Column { name: "decision", heading: "Decision", place: "/decision" },
    Column { name: "request", heading: "Request", place: "/request_id" },
    Column { name: "policy", heading: "Policy", place: "/policy_digest" },
    Column { name: "gateway", heading: "Gateway", place: "/node" },
];

/// The columns that a query asks for, each once.
pub(super) fn asked(text: Option<&str>) -> Result<Vec<Column>, Problem> {
    let names = text.into_iter().flat_map(|text| text.split(','));
    let mut columns: Vec<Column> = Vec::new();
    for name in names {
        let column = ALL.into_iter().find(|column| column.name == name).ok_or_else(|| {
            let names = ALL.map(|column| column.name).join(", ");
            Problem::invalid("columns", format!("columns: write some of {names}, with commas"))
        })?;
        if !columns.contains(&column) {
            columns.push(column);
        }
    }
    Ok(columns)
}

/// Links that add and take away a column each.
pub(super) fn choice<K>(path: &str, query: &Asked<K>, columns: &[Column]) -> Markup {
    let target = |column: Column| {
        let others = columns.iter().filter(|other| **other != column).map(|other| other.name);
        let added = (!columns.contains(&column)).then_some(column.name);
        let names = others.chain(added).collect::<Vec<_>>().join(",");
        let pairs = kept(query).filter(|(key, _)| *key != "columns");
        let pair =
            std::iter::once(("columns", names.as_str())).filter(|(_, names)| !names.is_empty());
        with_query(path, pairs.chain(pair))
    };
    html! {
        details.columns open[!columns.is_empty()] {
            summary { "Columns" }
            ul {
                @for column in ALL {
                    @let is_there = columns.contains(&column);
                    li { a href=(target(column)) aria-current=[is_there.then_some("true")] {
                        @if is_there { "− " } @else { "+ " } (column.heading)
                    } }
                }
            }
        }
    }
}

impl Column {
    pub(super) fn heading(self) -> Markup {
        html! { th scope="col" { (self.heading) } }
    }

    pub(super) fn cell(self, change: &Value) -> Markup {
        html! {
            td.chosen data-label=(self.heading) {
                @match found(change, self.place) {
                    None => span.none { "none" },
                    Some(_) if matches!(self.name, "policy" | "request") => {
                        code { (short_id(at(change, self.place))) }
                    }
                    Some(text) => (cut(text, CELL_CHARS_MAX)),
                }
            }
        }
    }
}
