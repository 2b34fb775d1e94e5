//! The values of a rule's expressions, part by part: why it holds, or does not.

use cel::IdedExpr;
use cel::common::ast::{CallExpr, ComprehensionExpr, Expr, LiteralValue, operators};
use cel::common::types::{CelBytes, CelInt, CelOptional, CelString, Kind};
use cel::common::value::Val;

use super::bindings::Bindings;
use super::meter::Budget;
use super::parse::{is_loop, parse};
use super::program::{Answer, Program, shown};
use super::tree::{Text, children, children_mut};
use super::value::is_shown;
use crate::base::clock::Clock;
use crate::base::excerpt::excerpt;

/// The most parts of one expression that are told.
const PARTS_MAX: usize = 24;

/// The most elements of a list that are tried for the one that decides a loop.
const ELEMENTS_MAX: i64 = 100;

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
    let budget = Budget::new(clock.clone());
    let mut parts = Parts { key, place: &place, bindings, budget, found: Vec::new() };
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
    /// The steps that are left, of all parts together.
    budget: Budget,
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
            Expr::Comprehension(fold) if is_loop(node) => {
                self.tell(&fold.iter_range, depth);
                self.element(fold, depth);
            }
            Expr::Comprehension(fold) => self.tell(&fold.accu_init, depth),
            _ => {
                for child in children(node) {
                    self.tell(child, depth);
                }
            }
        }
    }

    /// Tells what a loop asks of its elements: of the first one that decides it.
    fn element(&mut self, fold: &ComprehensionExpr, depth: usize) {
        let Some((asked, goes_on)) = asked_of_elements(fold) else { return };
        for at in 0..ELEMENTS_MAX {
            let element = element_at(&fold.iter_range, at);
            let (value, is_error) = self.value(&element);
            if is_error {
                return;
            }
            let asked = with(asked, &fold.iter_var, &element);
            if self.value(&asked).0 != goes_on.to_string() {
                let text = fold.iter_var.clone();
                self.found.push(ExplainedPart { key: self.key, depth, text, value });
                return self.tell(&asked, depth + 1);
            }
        }
    }

    fn value(&mut self, node: &IdedExpr) -> (String, bool) {
        let program = Program::new(node.clone());
        match program.run(self.bindings, &mut self.budget, |value| Some(told(value))) {
            Answer::Is(value) => (excerpt(&value, TOLD_CHARS_MAX), false),
            Answer::Failed(error) => (format!("error: {error}"), true),
            Answer::Over(overrun) => (format!("error: {}", overrun.what()), true),
        }
    }
}

/// What a loop asks of each element, and the answer with which it goes on: true of `all`, false
/// of `exists`; `None` for other loops.
fn asked_of_elements(fold: &ComprehensionExpr) -> Option<(&IdedExpr, bool)> {
    let Expr::Call(CallExpr { func_name, args, .. }) = &fold.loop_step.expr else { return None };
    let goes_on = match func_name.as_str() {
        operators::LOGICAL_AND => true,
        operators::LOGICAL_OR => false,
        _ => return None,
    };
    match &args[..] {
        [IdedExpr { expr: Expr::Ident(name), .. }, asked] if *name == fold.accu_var => {
            Some((asked, goes_on))
        }
        _ => None,
    }
}

/// The element of a list at an index. It has no place in the text.
fn element_at(list: &IdedExpr, at: i64) -> IdedExpr {
    let mut list = list.clone();
    displace(&mut list);
    let at = IdedExpr { id: 0, expr: Expr::Literal(LiteralValue::Int(CelInt::from(at))) };
    let (func_name, args) = (operators::INDEX.to_owned(), vec![list, at]);
    IdedExpr { id: 0, expr: Expr::Call(CallExpr { func_name, target: None, args }) }
}

fn displace(node: &mut IdedExpr) {
    node.id = 0;
    children_mut(node).into_iter().for_each(displace);
}

/// An expression with another one in place of a variable.
fn with(node: &IdedExpr, variable: &str, value: &IdedExpr) -> IdedExpr {
    let mut node = node.clone();
    put(&mut node, variable, value);
    node
}

fn put(node: &mut IdedExpr, variable: &str, value: &IdedExpr) {
    match &mut node.expr {
        // It keeps its place in the text.
        Expr::Ident(name) if name == variable => node.expr = value.expr.clone(),
        Expr::Comprehension(fold) if fold.iter_var == variable => {
            put(&mut fold.iter_range, variable, value);
        }
        _ => children_mut(node).into_iter().for_each(|child| put(child, variable, value)),
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
