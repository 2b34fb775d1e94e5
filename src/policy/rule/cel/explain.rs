//! The values of a rule's expressions, part by part: why it holds, or does not.

use cel::IdedExpr;
use cel::common::ast::{CallExpr, Expr, operators};
use cel::common::types::{CelBytes, CelOptional, CelString, Kind};
use cel::common::value::Val;

use super::bindings::Bindings;
use super::meter::Budget;
use super::parse::{is_loop, parse};
use super::program::{Answer, Program, shown};
use super::tree::{Text, children};
use super::value::is_shown;
use crate::base::clock::Clock;
use crate::base::excerpt::excerpt;

/// The most parts of one expression that are told.
const PARTS_MAX: usize = 24;

/// The most characters of a part's words, and of its value.
const TOLD_CHARS_MAX: usize = 400;

/// A part of an expression, and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExplainedPart {
    /// The key whose expression it is part of.
    pub key: &'static str,
    /// How deep it lies within the expression, which itself is at 0.
    pub depth: usize,
    /// The words of the part.
    pub text: String,
    /// Its value, as CEL would write it, or the error in words.
    pub value: String,
}

/// Tells the parts of the expression `text` of a key. It needs a large stack.
pub(super) fn explain(
    key: &'static str,
    text: &str,
    bindings: &Bindings<'_>,
    clock: &Clock,
) -> Vec<ExplainedPart> {
    let Ok((expression, place)) = parse(text) else { return Vec::new() };
    let mut parts = Parts { key, place: &place, bindings, clock, found: Vec::new() };
    parts.tell(&expression, 0);
    if let Some(whole) = parts.found.first_mut() {
        whole.text = one_line(text);
    }
    parts.found
}

/// The parts that are told so far.
struct Parts<'p, 'v> {
    key: &'static str,
    place: &'p Text<'p>,
    bindings: &'p Bindings<'v>,
    clock: &'p Clock,
    found: Vec<ExplainedPart>,
}

impl Parts<'_, '_> {
    fn tell(&mut self, node: &IdedExpr, depth: usize) {
        let text = one_line(&self.place.words(node));
        let is_told = |told: &ExplainedPart| told.text == text;
        if !has_value_of_its_own(node) || self.found.iter().any(is_told) {
            return self.below(node, depth);
        }
        if self.found.len() >= PARTS_MAX {
            return;
        }
        let (value, is_error) = self.value(node);
        self.found.push(ExplainedPart { key: self.key, depth, text, value });
        // Of a member that is there, what is around it is told by its name already.
        match chain(node) {
            Some(operand) if !is_error => self.below(root(operand), depth),
            _ => self.below(node, depth + 1),
        }
    }

    fn below(&mut self, node: &IdedExpr, depth: usize) {
        match &node.expr {
            // What a loop does with its elements has a value for each of them.
            Expr::Comprehension(fold) if is_loop(node) => self.tell(&fold.iter_range, depth),
            Expr::Comprehension(fold) => self.tell(&fold.accu_init, depth),
            _ => {
                for child in children(node) {
                    self.tell(child, depth);
                }
            }
        }
    }

    fn value(&self, node: &IdedExpr) -> (String, bool) {
        let program = Program::new(node.clone());
        let mut budget = Budget::new(self.clock.clone());
        match program.run(self.bindings, &mut budget, |value| Some(told(value))) {
            Answer::Is(value) => (excerpt(&value, TOLD_CHARS_MAX), false),
            Answer::Failed(error) => (format!("error: {error}"), true),
            Answer::Over(overrun) => (format!("error: {}", overrun.what()), true),
        }
    }
}

fn one_line(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    excerpt(&words.join(" "), TOLD_CHARS_MAX)
}

/// Whether the value of a node says more than its words do.
fn has_value_of_its_own(node: &IdedExpr) -> bool {
    match &node.expr {
        Expr::Literal(_) | Expr::Unspecified | Expr::List(_) | Expr::Map(_) => false,
        // Of whole documents, the members are told in place of them.
        Expr::Ident(name) => matches!(name.as_str(), "operation" | "now"),
        _ => true,
    }
}

/// The operand of a member or an element.
fn chain(node: &IdedExpr) -> Option<&IdedExpr> {
    match &node.expr {
        Expr::Select(select) => Some(&select.operand),
        Expr::Call(CallExpr { func_name, args, .. })
            if [operators::OPT_SELECT, operators::INDEX, operators::OPT_INDEX]
                .contains(&func_name.as_str()) =>
        {
            args.first()
        }
        _ => None,
    }
}

/// The node at which a chain of members begins.
fn root(node: &IdedExpr) -> &IdedExpr {
    chain(node).map_or(node, root)
}

/// A value as CEL would write it.
fn told(value: &dyn Val) -> String {
    let mut text = String::new();
    write(value, &mut text);
    text
}

fn write(value: &dyn Val, text: &mut String) {
    if text.len() > TOLD_CHARS_MAX * 4 {
        return;
    }
    if let Some(letters) = value.downcast_ref::<CelString>() {
        text.push_str(&serde_json::Value::from(letters.inner()).to_string());
        return;
    }
    match value.get_type().kind() {
        Kind::List => {
            text.push('[');
            let mut elements = value.as_iterable().map(|list| list.iter());
            let mut joint = "";
            while let Some(element) = elements.as_mut().and_then(|elements| elements.next()) {
                text.push_str(joint);
                write(element, text);
                joint = ", ";
            }
            text.push(']');
        }
        Kind::Map => {
            text.push('{');
            let mut keys = value.as_iterable().map(|map| map.iter());
            let mut joint = "";
            while let Some(key) = keys.as_mut().and_then(|keys| keys.next()) {
                let Some(Ok(member)) = value.as_indexer().map(|map| map.get(key)) else { continue };
                // In a deployment null and absent are one.
                if is_shown(value) && member.get_type().kind() == Kind::NullType {
                    continue;
                }
                text.push_str(joint);
                write(key, text);
                text.push_str(": ");
                write(member.as_ref(), text);
                joint = ", ";
            }
            text.push('}');
        }
        _ => text.push_str(&plain(value)),
    }
}

fn plain(value: &dyn Val) -> String {
    if let Some(optional) = value.downcast_ref::<CelOptional>() {
        return match optional.inner() {
            Some(inner) => format!("optional.of({})", told(inner)),
            None => "optional.none()".to_owned(),
        };
    }
    if let Some(bytes) = value.downcast_ref::<CelBytes>() {
        return format!("b\"{}\"", bytes.inner().escape_ascii());
    }
    shown(value).unwrap_or_else(|| value.get_type().name().to_owned())
}
