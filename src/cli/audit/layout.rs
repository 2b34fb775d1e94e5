//! Lines as they fit whoever reads them: folded and in colour on a terminal, whole elsewhere; two
//! texts side by side where there is room, one below the other where there is not.

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use super::text::plain;
use crate::base::count::counted;
use crate::cli::print::{Shade, Span};
use crate::cli::terminal::{Terminal, folded};
use crate::deployment::prose::{Line, Part, Row};

/// The least columns of a terminal on which two texts stand side by side.
const SIDES_WIDTH_MIN: usize = 120;

/// The columns of what stayed that are shown around what changed in a long line.
const AROUND_WIDTH: usize = 32;

/// The most lines of two texts on a terminal.
const LINES_MAX: usize = 200;

/// The most lines of one text there, beside which nothing stands.
const LINES_ALONE_MAX: usize = 6;

/// The sign of what is left out.
const LEFT_OUT: &str = "…";

/// The same, with where it is to be found.
const SHOWN_WHOLE: &str = "… (--json shows it whole)";

/// A line to be printed.
pub(super) type Spans = Vec<Span>;

/// How lines are laid out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    /// The columns; `None` where lines are as long as they are.
    pub(super) width: Option<usize>,
    pub(super) colour: bool,
}

/// A character with those behind it that have no place of their own.
#[derive(Clone, Debug)]
struct Cluster {
    text: String,
    width: usize,
    is_changed: bool,
}

/// The shades of a line: of what stayed in it, and of what changed.
#[derive(Clone, Copy)]
struct Shades {
    kept: Shade,
    changed: Shade,
}

const FORMER: Shades = Shades { kept: Shade::Gone, changed: Shade::GonePart };
const LATTER: Shades = Shades { kept: Shade::New, changed: Shade::NewPart };
const KEPT: Shades = Shades { kept: Shade::Faint, changed: Shade::Faint };

impl Layout {
    /// Lines as long as they are.
    pub(super) const WHOLE: Self = Self { width: None, colour: false };

    /// The layout for who reads standard output.
    pub(super) fn of(terminal: Option<Terminal>) -> Self {
        terminal.map_or(Self::WHOLE, |terminal| Self {
            width: Some(terminal.width),
            colour: terminal.colour,
        })
    }

    /// A text of one line, folded.
    pub(super) fn text(&self, text: &str) -> Vec<Spans> {
        self.shaded(text, Shade::Plain)
    }

    pub(super) fn shaded(&self, text: &str, shade: Shade) -> Vec<Spans> {
        let lines = match self.width {
            Some(width) => folded(text, width),
            None => vec![text.to_owned()],
        };
        lines.into_iter().map(|text| vec![Span { text, shade }]).collect()
    }

    /// Two texts, `indent` columns from the left.
    pub(super) fn texts(&self, rows: &[Row], indent: usize) -> Vec<Spans> {
        let is_former = |row: &Row| matches!(row, Row::Changed { former: Some(_), .. });
        let is_latter = |row: &Row| matches!(row, Row::Changed { latter: Some(_), .. });
        let are_two = rows.iter().any(is_former) && rows.iter().any(is_latter);
        let mut lines = match self.width.filter(|width| are_two && *width >= SIDES_WIDTH_MIN) {
            Some(width) => sides(rows, width.saturating_sub(indent)),
            None => self.below(rows, indent),
        };
        let lines_max = if are_two { LINES_MAX } else { LINES_ALONE_MAX };
        if self.width.is_some() && lines.len() > lines_max {
            lines.truncate(lines_max);
            lines.push(vec![Span { text: SHOWN_WHOLE.to_owned(), shade: Shade::Faint }]);
        }
        for line in &mut lines {
            line.insert(0, Span::plain(" ".repeat(indent)));
        }
        lines
    }

    /// One below the other: what is gone, then what is new.
    fn below(&self, rows: &[Row], indent: usize) -> Vec<Spans> {
        let width = self.width.map_or(usize::MAX, |width| width.saturating_sub(indent + 2).max(8));
        let signed = |sign: &str, line: &Line, shades: Shades| {
            let shades = shades_of(line, shades);
            let line = if self.colour { line.clone() } else { marked(line, sign) };
            let sign = Span { text: format!("{sign} "), shade: shades.kept };
            let lines = wrapped(&clusters(&line), width).into_iter().enumerate();
            let lines = lines.map(|(number, line)| {
                let first = if number == 0 { sign.clone() } else { Span::plain("  ".to_owned()) };
                std::iter::once(first).chain(spans(&line, shades)).collect()
            });
            lines.collect::<Vec<Spans>>()
        };
        let mut lines = Vec::new();
        let mut new = Vec::new();
        for row in rows {
            match row {
                Row::Changed { former, latter } => {
                    lines.extend(former.iter().flat_map(|line| signed("-", line, FORMER)));
                    new.extend(latter.iter().flat_map(|line| signed("+", line, LATTER)));
                }
                Row::Kept(text) => {
                    lines.append(&mut new);
                    lines.extend(signed(" ", &kept(text), KEPT));
                }
                Row::Skipped(count) => {
                    lines.append(&mut new);
                    lines.push(vec![skipped(*count)]);
                }
            }
        }
        lines.append(&mut new);
        lines
    }
}

/// Side by side, with a sign between: `<` for what is gone, `>` for what is new, `|` for what
/// became another.
fn sides(rows: &[Row], width: usize) -> Vec<Spans> {
    let each = width.saturating_sub(3) / 2;
    let mut lines = Vec::new();
    for row in rows {
        let empty = Line::new();
        let (former, latter, sign, shades) = match row {
            Row::Skipped(count) => {
                lines.push(vec![skipped(*count)]);
                continue;
            }
            Row::Kept(text) => (kept(text), kept(text), "│", (KEPT, KEPT)),
            Row::Changed { former, latter } => {
                let sign = match (former, latter) {
                    (Some(_), None) => "<",
                    (None, Some(_)) => ">",
                    _ => "|",
                };
                let (former, latter) = (former.as_ref(), latter.as_ref());
                let of = |line: Option<&Line>| line.unwrap_or(&empty).clone();
                (of(former), of(latter), sign, (FORMER, LATTER))
            }
        };
        let shades = (shades_of(&former, shades.0), shades_of(&latter, shades.1));
        let left = wrapped(&clusters(&former), each);
        let right = wrapped(&clusters(&latter), each);
        for number in 0..left.len().max(right.len()) {
            let cells = [left.get(number), right.get(number)];
            let [old, new] = cells.map(|cell| cell.map(Vec::as_slice).unwrap_or_default());
            let taken: usize = old.iter().map(|cluster| cluster.width).sum();
            let mut line: Spans = spans(old, shades.0).collect();
            line.push(Span::plain(" ".repeat(each.saturating_sub(taken))));
            line.push(Span { text: format!(" {sign} "), shade: Shade::Faint });
            line.extend(spans(new, shades.1));
            lines.push(line);
        }
    }
    lines
}

fn kept(text: &str) -> Line {
    vec![Part { text: text.to_owned(), is_changed: false }]
}

fn skipped(count: usize) -> Span {
    Span { text: format!("{LEFT_OUT} {} as before", counted(count, "line")), shade: Shade::Faint }
}

/// A line with signs around what changed in it, where not all of it did.
fn marked(line: &Line, sign: &str) -> Line {
    if line.iter().all(|part| part.is_changed) || !line.iter().any(|part| part.is_changed) {
        return line.clone();
    }
    let (begin, end) = if sign == "-" { ("[-", "-]") } else { ("{+", "+}") };
    let mark = |part: &Part| {
        let text = format!("{begin}{}{end}", part.text);
        if part.is_changed { Part { text, is_changed: true } } else { part.clone() }
    };
    line.iter().map(mark).collect()
}

/// The characters of a line as they show.
fn clusters(line: &Line) -> Vec<Cluster> {
    let mut clusters: Vec<Cluster> = Vec::new();
    for part in line {
        let is_changed = part.is_changed;
        for c in plain(&part.text.replace('\t', "    ")).chars() {
            // Skin tones colour what stands before them.
            let joins = c.width() == Some(0) || ('\u{1f3fb}'..='\u{1f3ff}').contains(&c);
            if let Some(last) = clusters.last_mut().filter(|_| joins) {
                last.text.push(c);
                last.width = last.text.width();
                continue;
            }
            let width = c.width().unwrap_or(0);
            clusters.push(Cluster { text: c.to_string(), width, is_changed });
        }
    }
    clusters
}

/// Whether a line may end between two characters: behind a blank, and beside one of a script
/// without blanks, whose characters are wide.
fn may_end(last: &Cluster, next: &Cluster) -> bool {
    last.text == " " || last.width > 1 || next.width > 1
}

/// Lines of at most `width` columns, broken between words where there are any. Of a line that is
/// longer, what lies far from every change is left out.
fn wrapped(line: &[Cluster], width: usize) -> Vec<Vec<Cluster>> {
    let columns = |line: &[Cluster]| line.iter().map(|cluster| cluster.width).sum::<usize>();
    if columns(line) <= width {
        return vec![line.to_vec()];
    }
    let mut lines = Vec::new();
    let mut current: Vec<Cluster> = Vec::new();
    for cluster in shortened(line) {
        if columns(&current) + cluster.width > width {
            let end = (1..=current.len()).rev().find(|at| {
                let next = current.get(*at).unwrap_or(&cluster);
                current.get(at - 1).is_some_and(|last| may_end(last, next))
            });
            let end = end.filter(|at| columns(current.get(..*at).unwrap_or_default()) * 2 > width);
            let rest = end.map(|at| current.split_off(at)).unwrap_or_default();
            while current.pop_if(|last| last.text == " ").is_some() {}
            lines.push(std::mem::replace(&mut current, rest));
        }
        current.push(cluster);
    }
    lines.push(current);
    // Of a line that stayed in part, all that matters is left by now.
    if lines.len() > LINES_ALONE_MAX && line.iter().all(|cluster| cluster.is_changed) {
        lines.truncate(LINES_ALONE_MAX);
        let told = Part { text: SHOWN_WHOLE.to_owned(), is_changed: true };
        lines.push(clusters(&vec![told]));
    }
    lines
}

/// A line without what lies far from every change.
fn shortened(line: &[Cluster]) -> Vec<Cluster> {
    let mut short = Vec::new();
    let runs: Vec<&[Cluster]> =
        line.chunk_by(|one, next| one.is_changed == next.is_changed).collect();
    let is_changed = |run: &[Cluster]| run.first().is_some_and(|first| first.is_changed);
    for (number, run) in runs.iter().copied().enumerate() {
        let head = if number == 0 { 0 } else { AROUND_WIDTH };
        let tail = if number + 1 == runs.len() { 0 } else { AROUND_WIDTH };
        if is_changed(run) || runs.len() == 1 || run.len() <= head + tail + 8 {
            short.extend_from_slice(run);
            continue;
        }
        short.extend_from_slice(run.get(..head).unwrap_or_default());
        short.push(Cluster { text: LEFT_OUT.to_owned(), width: 1, is_changed: false });
        short.extend_from_slice(run.get(run.len() - tail..).unwrap_or_default());
    }
    short
}

/// The shades of a line's parts. Where all of it changed, nothing in it stands out.
fn shades_of(line: &Line, shades: Shades) -> Shades {
    let is_all = line.iter().all(|part| part.is_changed);
    if is_all { Shades { changed: shades.kept, ..shades } } else { shades }
}

fn spans(line: &[Cluster], shades: Shades) -> impl Iterator<Item = Span> {
    line.chunk_by(|one, next| one.is_changed == next.is_changed).map(move |run| {
        let is_changed = run.first().is_some_and(|first| first.is_changed);
        let text = run.iter().map(|cluster| cluster.text.as_str()).collect();
        Span { text, shade: if is_changed { shades.changed } else { shades.kept } }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str, width: usize) -> Vec<String> {
        let line = vec![Part { text: text.to_owned(), is_changed: true }];
        let told = |line: &Vec<Cluster>| line.iter().map(|cluster| cluster.text.as_str()).collect();
        wrapped(&clusters(&line), width).iter().map(told).collect()
    }

    #[test]
    fn words_stay_whole_beside_scripts_without_blanks() {
        let text = "第20版2：The quick brown";
        assert_eq!(lines(text, 11), ["第20版2：", "The quick", "brown"]);
        assert_eq!(lines("每天早上九点发送", 6), ["每天早", "上九点", "发送"]);
        assert_eq!(lines("one two three", 8), ["one two", "three"]);
        assert_eq!(lines("unbreakable", 6), ["unbrea", "kable"]);
    }
}
