//! CSV (RFC 4180) such that a spreadsheet takes no cell for a formula, by OWASP's list.

use std::io::{self, Write};

use super::columns::{COLUMNS, Cell, row};
use crate::audit::query::BodyTexts;
use crate::audit::record::Change;

/// The characters that a formula begins with, and those behind which one does (OWASP, "CSV
/// Injection"); the wide ones are taken for the narrow ones.
const FORMULA: [char; 11] = ['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠'];

/// The characters that end a cell in some reader or other, and those that quote one.
const ENDING: [char; 6] = [',', ';', '\t', '"', '\n', '\r'];

/// The record of a row's cells, which ends as RFC 4180 says.
#[must_use]
pub fn record<C: AsRef<str>>(cells: &[C]) -> String {
    let cells: Vec<String> = cells.iter().map(|cell| quoted(cell.as_ref())).collect();
    format!("{}\r\n", cells.join(","))
}

/// A cell as it stands in a record. What a spreadsheet would take for a formula begins with an
/// apostrophe; numbers stay as they are.
fn quoted(cell: &str) -> String {
    let is_number = || cell.parse::<f64>().is_ok_and(f64::is_finite);
    let is_formula = cell.starts_with(FORMULA) && !is_number();
    let mark = if is_formula { "'" } else { "" };
    if is_formula || cell.contains(ENDING) {
        return format!("\"{mark}{}\"", cell.replace('"', "\"\""));
    }
    cell.to_owned()
}

pub(super) fn head(out: &mut impl Write) -> io::Result<()> {
    out.write_all(record(&COLUMNS.map(|(name, _kind)| name)).as_bytes())
}

/// Writes a change as a row.
pub(super) fn change(change: &Change, bodies: &BodyTexts, out: &mut impl Write) -> io::Result<()> {
    let cells = row(change, bodies)?.map(|cell| match cell {
        Cell::Nothing => String::new(),
        Cell::Number(number) => number.to_string(),
        Cell::Time(at) => at.to_string(),
        Cell::Flag(flag) => flag.to_string(),
        Cell::Text(text) => text,
    });
    out.write_all(record(&cells).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_and_never_formulas() {
        for (cell, expected) in [
            ("夜间", "夜间"),
            ("a,b", "\"a,b\""),
            ("a;=1+2", "\"a;=1+2\""),
            ("say \"x\"\n", "\"say \"\"x\"\"\n\""),
            ("=1+2", "\"'=1+2\""),
            ("@a,b", "\"'@a,b\""),
            ("\tx", "\"'\tx\""),
            ("\n=1", "\"'\n=1\""),
            ("＝1", "\"'＝1\""),
            ("-x", "\"'-x\""),
            ("-7.5", "-7.5"),
            ("+49", "+49"),
            ("-inf", "\"'-inf\""),
            ("", ""),
        ] {
            assert_eq!(quoted(cell), expected);
        }
        assert_eq!(record(&["a", "=b"]), "a,\"'=b\"\r\n");
    }
}
