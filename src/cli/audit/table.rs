//! Tables for people: columns as wide as what stands in them, two spaces between.

use unicode_width::UnicodeWidthStr as _;

/// A table that is printed part by part; columns only grow.
#[derive(Debug)]
pub(in crate::cli) struct Table<const N: usize> {
    headings: Option<[String; N]>,
    widths: [usize; N],
}

impl<const N: usize> Table<N> {
    pub(in crate::cli) fn new(headings: &[&str; N]) -> Self {
        Self { headings: Some(headings.map(str::to_owned)), widths: [0; N] }
    }

    /// The lines of `rows`, the first time under the headings; none where there are no rows.
    pub(in crate::cli) fn rows(&mut self, rows: impl Iterator<Item = [String; N]>) -> Vec<String> {
        let mut rows: Vec<_> = rows.collect();
        if rows.is_empty() {
            return Vec::new();
        }
        if let Some(headings) = self.headings.take() {
            rows.insert(0, headings);
        }
        for row in &rows {
            for (width, cell) in self.widths.iter_mut().zip(row) {
                *width = cell.width().max(*width);
            }
        }
        rows.iter().map(|row| self.line(row)).collect()
    }

    fn line(&self, row: &[String; N]) -> String {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(self.widths) {
            line.push_str(cell);
            let missing = width.saturating_sub(cell.width());
            line.extend(std::iter::repeat_n(' ', missing + 2));
        }
        line.truncate(line.trim_end().len());
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_characters_keep_columns_aligned_and_headings_come_once() {
        let mut table = Table::new(&["WHO", "WHAT"]);
        let row = |who: &str, what: &str| [who.to_owned(), what.to_owned()];
        assert!(table.rows(std::iter::empty()).is_empty());
        let first = table.rows([row("夜间", "run"), row("a", "")].into_iter());
        assert_eq!(first, ["WHO   WHAT", "夜间  run", "a"]);
        assert_eq!(table.rows([row("b", "pause")].into_iter()), ["b     pause"]);
    }
}
