//! Expressions as trees: what lies below a node, and where it stands in the text.

use std::ops::Range;

use cel::IdedExpr;
use cel::common::ast::{ComprehensionExpr, EntryExpr, Expr, IdedEntryExpr, SourceInfo};

/// The text of an expression, and where its nodes stand in it.
#[derive(Debug)]
pub(super) struct Text<'t> {
    text: &'t str,
    info: SourceInfo,
}

/// A fault of an expression: where, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// Characters of the text, from the first to the one behind the last.
    pub(super) at: Range<usize>,
    /// What is wrong, and its fix.
    pub(super) message: String,
}

impl<'t> Text<'t> {
    pub(super) fn new(text: &'t str, info: SourceInfo) -> Self {
        Self { text, info }
    }

    /// A fault of a part of the expression.
    pub(super) fn fault(&self, part: &IdedExpr, message: impl Into<String>) -> Fault {
        Fault { at: self.span(part), message: message.into() }
    }

    /// The words of a part of the expression.
    pub(super) fn words(&self, part: &IdedExpr) -> String {
        cut(self.text, &self.span(part))
    }

    /// The characters that a part of the expression spans: its own token and those below it.
    pub(super) fn span(&self, part: &IdedExpr) -> Range<usize> {
        let mut span: Option<Range<usize>> = None;
        self.widen(part, &mut span);
        let span = span.map(|span| self.letters(span.start)..self.letters(span.end));
        let span = span.unwrap_or(0..self.text.chars().count());
        self.with_brackets(self.with_name(span))
    }

    /// How many characters stand in the first bytes: the parser counts those.
    fn letters(&self, bytes: usize) -> usize {
        self.text.char_indices().take_while(|(at, _)| *at < bytes).count()
    }

    /// A span with the name of the function whose bracket it begins with.
    fn with_name(&self, span: Range<usize>) -> Range<usize> {
        let letters: Vec<char> = self.text.chars().collect();
        if letters.get(span.start) != Some(&'(') {
            return span;
        }
        let before = letters.get(..span.start).unwrap_or_default();
        let is_name = |c: &&char| c.is_ascii_alphanumeric() || **c == '_' || **c == '.';
        let name = before.iter().rev().take_while(is_name).count();
        span.start - name..span.end
    }

    fn widen(&self, part: &IdedExpr, span: &mut Option<Range<usize>>) {
        if let Some((start, stop)) = self.info.offset_for(part.id) {
            let (start, end) = (start as usize, (stop as usize).saturating_add(1));
            let wider =
                span.take().map_or(start..end, |span| span.start.min(start)..span.end.max(end));
            *span = Some(wider);
        }
        for child in children(part) {
            self.widen(child, span);
        }
    }

    /// A span with the closing brackets of what it opens, and the member name behind a final dot.
    fn with_brackets(&self, span: Range<usize>) -> Range<usize> {
        let mut open = 0_i32;
        let mut end = span.end;
        let mut quote = None;
        for (at, letter) in self.text.chars().enumerate().skip(span.start) {
            if at >= span.end && open <= 0 && !self.continues(at, letter) {
                break;
            }
            match (quote, letter) {
                (None, '\'' | '"') => quote = Some(letter),
                (Some(opened), _) if opened == letter => quote = None,
                (None, '(' | '[' | '{') => open += 1,
                (None, ')' | ']' | '}') if open > 0 || at < span.end => open -= 1,
                (None, ')' | ']' | '}') => break,
                _ => {}
            }
            end = end.max(at + 1);
        }
        span.start..end
    }

    /// Whether a letter belongs to the name that the letters before it begin.
    fn continues(&self, at: usize, letter: char) -> bool {
        let is_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
        let before = at.checked_sub(1).and_then(|at| self.text.chars().nth(at));
        let follows = |c: char| is_name(c) || c == '.' || c == '?';
        is_name(letter) && before.is_some_and(follows) || letter == '?' && before == Some('.')
    }
}

/// The characters of a span.
pub(super) fn cut(text: &str, span: &Range<usize>) -> String {
    text.chars().skip(span.start).take(span.len()).collect()
}

/// The line and the column, from 1, at which a character stands.
pub(super) fn line_and_column(text: &str, at: usize) -> (usize, usize) {
    let before: String = text.chars().take(at).collect();
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (line, column)
}

/// The nodes directly below a node, in the order of the text where that can be told.
pub(super) fn children(node: &IdedExpr) -> Vec<&IdedExpr> {
    match &node.expr {
        Expr::Unspecified | Expr::Ident(_) | Expr::Literal(_) => Vec::new(),
        Expr::Call(call) => call.target.as_deref().into_iter().chain(&call.args).collect(),
        Expr::Select(select) => vec![&select.operand],
        Expr::List(list) => list.elements.iter().collect(),
        Expr::Map(map) => map.entries.iter().flat_map(of_entry).collect(),
        Expr::Struct(made) => made.entries.iter().flat_map(of_entry).collect(),
        Expr::Comprehension(fold) => {
            vec![&fold.iter_range, &fold.accu_init, &fold.loop_cond, &fold.loop_step, &fold.result]
        }
    }
}

/// The same, to be altered.
pub(super) fn children_mut(node: &mut IdedExpr) -> Vec<&mut IdedExpr> {
    match &mut node.expr {
        Expr::Unspecified | Expr::Ident(_) | Expr::Literal(_) => Vec::new(),
        Expr::Call(call) => call.target.as_deref_mut().into_iter().chain(&mut call.args).collect(),
        Expr::Select(select) => vec![&mut select.operand],
        Expr::List(list) => list.elements.iter_mut().collect(),
        Expr::Map(map) => map.entries.iter_mut().flat_map(of_entry_mut).collect(),
        Expr::Struct(made) => made.entries.iter_mut().flat_map(of_entry_mut).collect(),
        Expr::Comprehension(fold) => {
            let ComprehensionExpr { iter_range, accu_init, loop_cond, loop_step, result, .. } =
                &mut **fold;
            vec![iter_range, accu_init, loop_cond, loop_step, result]
        }
    }
}

fn of_entry_mut(entry: &mut IdedEntryExpr) -> Vec<&mut IdedExpr> {
    match &mut entry.expr {
        EntryExpr::MapEntry(entry) => vec![&mut entry.key, &mut entry.value],
        EntryExpr::StructField(field) => vec![&mut field.value],
    }
}

fn of_entry(entry: &IdedEntryExpr) -> Vec<&IdedExpr> {
    match &entry.expr {
        EntryExpr::MapEntry(entry) => vec![&entry.key, &entry.value],
        EntryExpr::StructField(field) => vec![&field.value],
    }
}

/// How many nodes a tree has.
pub(super) fn nodes(node: &IdedExpr) -> usize {
    1 + children(node).into_iter().map(nodes).sum::<usize>()
}

/// How deep the nodes of a tree lie below each other.
pub(super) fn depth(node: &IdedExpr) -> usize {
    1 + children(node).into_iter().map(depth).max().unwrap_or(0)
}
