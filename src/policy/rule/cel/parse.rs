//! Text → expression, within bounds.
//!
//! The parser has none of its own that hold: a chain of terms overflows the stack before it can be
//! counted. So texts are short, and parsed where the stack is large enough for any of that length.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, LazyLock};
use std::thread::Builder;

use cel::common::ast::Expr;
use cel::{Env, IdedExpr, ParseError};

use super::bind::UNUSED;
use super::functions;
use super::tree::{Fault, Text, children};

/// The longest expression, in bytes.
pub(super) const TEXT_BYTES_MAX: usize = 4 << 10;

/// The most nodes of an expression, its macros expanded.
const NODES_MAX: usize = 2_000;

/// The deepest that the nodes of an expression lie below each other.
const DEPTH_MAX: usize = 64;

/// The deepest that loops lie inside each other.
const LOOPS_MAX: usize = 3;

/// The stack on which any text within its bound is parsed and dropped: debug builds take some ten
/// kilobytes for each term of a chain.
const STACK_BYTES: usize = 64 << 20;

/// The functions that rules may call, those of the interpreter included.
pub(super) static ENV: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(functions::environment()));

/// Does `work` on a stack that is large enough for any expression; `None` where there is no thread
/// to be had, or where the work panicked.
pub(crate) fn on_a_large_stack<T: Send>(work: impl FnOnce() -> T + Send) -> Option<T> {
    std::thread::scope(|scope| {
        let thread = Builder::new().name("rules".to_owned()).stack_size(STACK_BYTES);
        thread.spawn_scoped(scope, work).ok()?.join().ok()
    })
}

/// Parses a text, on a stack as above. What is returned is shallow enough for any stack.
pub(super) fn parse(text: &str) -> Result<(IdedExpr, Text<'_>), Vec<Fault>> {
    let whole =
        |message: &str| vec![Fault { at: 0..text.chars().count(), message: message.into() }];
    if text.len() > TEXT_BYTES_MAX {
        let message =
            format!("it is longer than {TEXT_BYTES_MAX} bytes: split the rule into several");
        return Err(vec![Fault { at: 0..0, message }]);
    }
    if text.trim().is_empty() {
        return Err(whole("it is empty: write an expression, such as `object.schedule != null`"));
    }
    let parser = || ENV.parser().enable_ident_escape_syntax(true).parse_with_source_info(text);
    let parsed = catch_unwind(AssertUnwindSafe(parser))
        .map_err(|_panic| whole("it can't be parsed: write it in another way"))?;
    let (expression, info) = parsed.map_err(|errors| {
        errors.errors.iter().take(3).map(|error| syntax(text, error)).collect::<Vec<_>>()
    })?;
    let place = Text::new(text, info);
    let mut measure = Measure::default();
    measure.walk(&expression, 1, 0);
    match measure.fault() {
        Some(message) => Err(whole(&message)),
        None => Ok((expression, place)),
    }
}

fn syntax(text: &str, error: &ParseError) -> Fault {
    let (line, column) = error.pos;
    let line = usize::try_from(line).unwrap_or(1).saturating_sub(1);
    let before: usize = text.split('\n').take(line).map(|line| line.chars().count() + 1).sum();
    let column = usize::try_from(column).unwrap_or(1).saturating_sub(1);
    let at = before.saturating_add(column).min(text.chars().count());
    let message: String = error.msg.chars().filter(|c| !c.is_control()).take(200).collect();
    if message.contains("Recursion limit") {
        let message = "its parts lie too deep in each other: split the rule".to_owned();
        return Fault { at: at..at, message };
    }
    Fault { at: at..at, message: format!("this is not CEL ({message}): fix the syntax here") }
}

/// The size of an expression.
#[derive(Debug, Default)]
struct Measure {
    nodes: usize,
    depth: usize,
    loops: usize,
    has_struct: bool,
}

impl Measure {
    fn walk(&mut self, node: &IdedExpr, depth: usize, loops: usize) {
        self.nodes += 1;
        self.depth = self.depth.max(depth);
        self.has_struct |= matches!(node.expr, Expr::Struct(_) | Expr::Unspecified);
        let inside = loops + usize::from(is_loop(node));
        self.loops = self.loops.max(inside);
        for child in children(node) {
            // What is walked over is made before, beside the loop.
            let is_range = matches!(&node.expr, Expr::Comprehension(fold)
                if std::ptr::eq(child, &raw const fold.iter_range));
            self.walk(child, depth + 1, if is_range { loops } else { inside });
        }
    }

    fn fault(&self) -> Option<String> {
        if self.depth > DEPTH_MAX {
            return Some(format!(
                "its parts lie {} deep, at most {DEPTH_MAX}: write lists in place of chains, or \
                 split the rule",
                self.depth
            ));
        }
        if self.nodes > NODES_MAX {
            return Some(format!(
                "it has {} parts, at most {NODES_MAX}: split the rule into several",
                self.nodes
            ));
        }
        if self.loops > LOOPS_MAX {
            return Some(format!(
                "its loops lie {} deep, at most {LOOPS_MAX}: split the rule into several",
                self.loops
            ));
        }
        self.has_struct.then(|| "it makes a message type: use a map such as {'a': 1}".to_owned())
    }
}

/// Whether a node walks over elements; what only binds a name does not.
pub(super) fn is_loop(node: &IdedExpr) -> bool {
    matches!(&node.expr, Expr::Comprehension(fold) if fold.iter_var != UNUSED)
}
