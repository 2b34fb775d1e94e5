//! Printed results: tables, for people or as Markdown, and goals with their verdicts.

#![expect(clippy::print_stdout, reason = "the harness's answer is what it prints")]
#![expect(clippy::print_stderr, reason = "how far it is does not belong into the answer")]

use super::machine;

/// A table with a title.
#[derive(Debug)]
pub(crate) struct Table {
    title: String,
    rows: Vec<Vec<String>>,
}

/// Goals, each with its bound, the measured figure and the verdict.
#[derive(Debug)]
pub(crate) struct Goals(Table);

/// One line of the answer.
pub(crate) fn say(line: &str) {
    println!("{line}");
}

/// One line on how far it is.
pub(crate) fn note(line: &str) {
    eprintln!("{line}");
}

impl Table {
    pub(crate) fn new(title: &str, head: &[&str]) -> Self {
        Self { title: title.to_owned(), rows: vec![head.iter().map(|s| (*s).to_owned()).collect()] }
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.len() < 2
    }

    /// Prints it; nothing where it has no rows.
    pub(crate) fn print(&self, markdown: bool) {
        if !self.is_empty() {
            say(&self.text(markdown));
        }
    }

    fn text(&self, markdown: bool) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let cell = |row: &Vec<String>, n: usize| row.get(n).cloned().unwrap_or_default();
        let wide = |n| self.rows.iter().map(|row| cell(row, n).chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns).map(wide).collect();
        let (open, between, close) = if markdown { ("| ", " | ", " |") } else { ("  ", "  ", "") };
        let mut text = format!("{}\n{}", self.title, if markdown { "\n" } else { "" });
        for (number, row) in self.rows.iter().enumerate() {
            let cells = widths.iter().enumerate().map(|(n, width)| {
                let cell = cell(row, n);
                // Figures stand to the right, names to the left.
                if n == 0 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
            });
            let line = cells.collect::<Vec<_>>().join(between);
            text.push_str(format!("{open}{line}{close}").trim_end());
            text.push('\n');
            if markdown && number == 0 {
                text.push('|');
                text.push_str(&" --- |".repeat(columns));
                text.push('\n');
            }
        }
        text
    }
}

impl Goals {
    pub(crate) fn new() -> Self {
        Self(Table::new("Goals", &["goal", "bound", "measured", "verdict"]))
    }

    /// Less is better.
    pub(crate) fn at_most(&mut self, goal: &str, bound: f64, measured: Option<f64>, unit: &str) {
        self.add(goal, &format!("<= {bound}"), measured, unit, |measured| measured <= bound);
    }

    /// More is better.
    pub(crate) fn at_least(&mut self, goal: &str, bound: f64, measured: Option<f64>, unit: &str) {
        self.add(goal, &format!(">= {bound}"), measured, unit, |measured| measured >= bound);
    }

    fn add(
        &mut self,
        goal: &str,
        bound: &str,
        measured: Option<f64>,
        unit: &str,
        holds: impl Fn(f64) -> bool,
    ) {
        let (shown, verdict) = match measured {
            None => ("not measured".to_owned(), ""),
            Some(measured) => {
                let verdict = if holds(measured) { "ok" } else { "MISSED" };
                (format!("{measured:.*} {unit}", digits(measured)), verdict)
            }
        };
        let row = [goal.to_owned(), format!("{bound} {unit}"), shown, verdict.to_owned()];
        self.0.row(row.map(|cell| cell.trim_end().to_owned()));
    }

    /// Prints the goals, and the machine that they were measured on.
    pub(crate) fn print(&self, markdown: bool) {
        self.0.print(markdown);
        say(&format!("Measured on {}.", machine::described()));
    }
}

/// As many digits as say something.
fn digits(figure: f64) -> usize {
    if figure < 10.0 { 2 } else { 0 }
}
