//! Types of expressions, found before they run: a name that is not known, a comparison that can't
//! hold, a member of what may be null. What can be told here fails no call later.

#![expect(clippy::match_same_arms, reason = "arms are in the order in which they are tried")]

mod call;
mod fact;
mod member;
mod operator;
mod suggest;

use cel::IdedExpr;
use cel::common::ast::{ComprehensionExpr, Expr, LiteralValue};

use self::fact::Facts;
use super::parse::is_loop;
use super::tree::{Fault, Text};
use super::types::Type;
use crate::provider::shape::{ACTOR, Shape};
use crate::provider::{Operation, Provider};

/// The most faults of one expression that are told.
const FAULTS_MAX: usize = 10;

/// The variables of every rule.
const VARIABLES: [&str; 6] = ["object", "oldObject", "patch", "operation", "actor", "now"];

/// Names of types.
const TYPES: [&str; 11] = [
    "bool",
    "bytes",
    "double",
    "int",
    "list",
    "map",
    "null_type",
    "optional_type",
    "string",
    "type",
    "uint",
];

/// What is asked of an expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// A bool; what it makes sure of holds for the expressions behind it.
    Guard,
    /// A bool; where it does not hold, the message is told.
    Flag,
    /// A value that can be shown.
    Shown,
}

/// The checker of one rule's expressions, in their order.
pub(super) struct Checker {
    shape: &'static Shape,
    creates: bool,
    /// What the expressions before make sure of.
    known: Facts,
}

/// The check of one expression.
struct Check<'c> {
    text: &'c Text<'c>,
    shape: &'static Shape,
    creates: bool,
    facts: Facts,
    /// The variables of loops around, the innermost last.
    scopes: Vec<(&'c str, Type)>,
    faults: Vec<Fault>,
}

impl Checker {
    pub(super) fn new(provider: &'static Provider, operations: &[Operation]) -> Self {
        let creates = operations.contains(&Operation::Create);
        Self { shape: provider.shape, creates, known: Facts::default() }
    }

    /// Every fault of an expression.
    pub(super) fn check(
        &mut self,
        expression: &IdedExpr,
        text: &Text<'_>,
        asked: Asked,
    ) -> Vec<Fault> {
        let mut check = Check {
            text,
            shape: self.shape,
            creates: self.creates,
            facts: self.known.clone(),
            scopes: Vec::new(),
            faults: Vec::new(),
        };
        let found = check.visit(expression);
        check.demand(expression, &found, asked);
        let learnt = |holds| check.learnt(expression, holds);
        match asked {
            Asked::Guard => self.known.extend(learnt(true)),
            Asked::Flag => self.known.extend(learnt(false)),
            Asked::Shown => {}
        }
        let mut faults = check.faults;
        faults.dedup();
        faults.truncate(FAULTS_MAX);
        faults
    }
}

impl<'c> Check<'c> {
    fn fault(&mut self, part: &IdedExpr, message: impl Into<String>) {
        let fault = self.text.fault(part, message);
        self.faults.push(fault);
    }

    /// Complains where the whole is not what is asked for.
    fn demand(&mut self, whole: &IdedExpr, found: &Type, asked: Asked) {
        let is_shown = || {
            !matches!(
                found.not_null(),
                Type::List(_)
                    | Type::Map(..)
                    | Type::Object(_)
                    | Type::Sent(_)
                    | Type::Optional(_)
                    | Type::Bytes
                    | Type::Kind
            )
        };
        match asked {
            Asked::Guard | Asked::Flag if !(found.is_dyn() || matches!(found, Type::Bool)) => {
                let message = format!("this is {found}, no bool: compare it with something");
                self.fault(whole, message);
            }
            Asked::Shown if !is_shown() => {
                let message = format!(
                    "{found} can't be shown in a message: name one of its values, or `join` texts"
                );
                self.fault(whole, message);
            }
            _ => {}
        }
    }

    /// The type of a node; what is wrong below it is noted.
    fn visit(&mut self, node: &'c IdedExpr) -> Type {
        let found = match &node.expr {
            Expr::Literal(literal) => of_literal(literal),
            Expr::Ident(name) => self.variable(node, name),
            Expr::Select(select) if is_type_name(node) && !select.test => Type::Kind,
            Expr::Select(select) => {
                let access = if select.test { member::Access::Test } else { member::Access::Plain };
                self.member(node, &select.operand, &select.field, access)
            }
            Expr::Call(call) => self.call(node, call),
            Expr::List(list) => {
                let elements: Vec<Type> = list.elements.iter().map(|e| self.visit(e)).collect();
                let unwrap = |(at, element): (usize, Type)| match element {
                    Type::Optional(inner) if list.optional_indices.contains(&at) => *inner,
                    other => other,
                };
                let elements = elements.into_iter().enumerate().map(unwrap);
                Type::list(elements.reduce(Type::join).unwrap_or(Type::Parameter('@')))
            }
            Expr::Map(map) => self.map(map),
            Expr::Comprehension(fold) => self.fold(node, fold),
            Expr::Struct(_) | Expr::Unspecified => Type::Dyn,
        };
        match found {
            Type::Nullable(inner) if self.is_known(node) => *inner,
            found => found,
        }
    }

    fn variable(&mut self, node: &IdedExpr, name: &str) -> Type {
        if let Some((_, found)) = self.scopes.iter().rev().find(|(known, _)| *known == name) {
            return found.clone();
        }
        match name.strip_prefix('.').unwrap_or(name) {
            "object" => Type::Object(self.shape),
            "oldObject" if self.creates => Type::Object(self.shape).or_null(),
            "oldObject" => Type::Object(self.shape),
            "patch" => Type::Sent(self.shape),
            "operation" => Type::Text,
            "actor" => Type::Object(&ACTOR),
            "now" => Type::Timestamp,
            name if TYPES.contains(&name) => Type::Kind,
            name => {
                let scopes = self.scopes.iter().map(|(known, _)| *known);
                let known = scopes.chain(VARIABLES).filter(|known| !known.starts_with(['@', '#']));
                let fix = suggest::near(name, known.clone()).unwrap_or_else(|| {
                    let known: Vec<&str> = known.collect();
                    format!("rules know {}", known.join(", "))
                });
                self.fault(node, format!("`{name}` is not known: {fix}"));
                Type::Dyn
            }
        }
    }

    fn map(&mut self, map: &'c cel::common::ast::MapExpr) -> Type {
        let (mut keys, mut values) = (Vec::new(), Vec::new());
        for entry in &map.entries {
            if let cel::common::ast::EntryExpr::MapEntry(entry) = &entry.expr {
                keys.push(self.visit(&entry.key));
                let value = self.visit(&entry.value);
                values.push(match value {
                    Type::Optional(inner) if entry.optional => *inner,
                    value => value,
                });
            }
        }
        let one = |types: Vec<Type>| {
            Box::new(types.into_iter().reduce(Type::join).unwrap_or(Type::Parameter('@')))
        };
        Type::Map(one(keys), one(values))
    }

    /// A macro's loop, or a name that is bound.
    fn fold(&mut self, node: &'c IdedExpr, fold: &'c ComprehensionExpr) -> Type {
        if !is_loop(node) {
            let bound = self.visit(&fold.accu_init);
            self.scopes.push((&fold.accu_var, bound));
            let found = self.visit(&fold.result);
            self.scopes.pop();
            return found;
        }
        let range = self.visit(&fold.iter_range);
        let element = match range {
            Type::List(element) => *element,
            Type::Map(key, _) => *key,
            Type::Object(_) | Type::Sent(_) => Type::Text,
            Type::Nullable(_) | Type::Null => {
                self.may_be_null(&fold.iter_range);
                Type::Dyn
            }
            other if other.is_dyn() => Type::Dyn,
            other => {
                let message = format!("{other} has no elements: name a list or a map");
                self.fault(&fold.iter_range, message);
                Type::Dyn
            }
        };
        let start = self.visit(&fold.accu_init);
        self.scopes.extend([(fold.iter_var.as_str(), element), (fold.accu_var.as_str(), start)]);
        let made = self.visit(&fold.loop_step);
        if let Some((_, accumulated)) = self.scopes.last_mut() {
            *accumulated = made;
        }
        let found = self.visit(&fold.result);
        self.scopes.truncate(self.scopes.len().saturating_sub(2));
        found
    }

    /// Complains of a value that is used and may be null.
    fn may_be_null(&mut self, part: &IdedExpr) {
        let words = self.text.words(part);
        let message = if words == "oldObject" {
            "there is none on create: write `oldObject != null && …`, or leave \"create\" out of \
             the rule's operations"
                .to_owned()
        } else {
            format!(
                "it may be null: guard it by `{words} != null && …` or in `when`, or write \
                 `.?` before what follows and `.orValue(…)` behind it"
            )
        };
        self.fault(part, message);
    }
}

/// Whether a node spells the name of a type with dots in it.
fn is_type_name(node: &IdedExpr) -> bool {
    let Expr::Select(outer) = &node.expr else { return false };
    let Expr::Select(inner) = &outer.operand.expr else { return false };
    let is_google = matches!(&inner.operand.expr, Expr::Ident(name) if name == "google");
    is_google && inner.field == "protobuf"
}

fn of_literal(literal: &LiteralValue) -> Type {
    match literal {
        LiteralValue::Boolean(_) => Type::Bool,
        LiteralValue::Bytes(_) => Type::Bytes,
        LiteralValue::Double(_) => Type::Double,
        LiteralValue::Int(_) => Type::Int,
        LiteralValue::Null => Type::Null,
        LiteralValue::String(_) => Type::Text,
        LiteralValue::UInt(_) => Type::Uint,
    }
}
