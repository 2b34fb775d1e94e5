//! Types of operators.

use cel::IdedExpr;
use cel::common::ast::{CallExpr, Expr, LiteralValue, operators};

use super::super::types::Type;
use super::{Check, suggest};
use crate::provider::Operation;

impl<'c> Check<'c> {
    /// The type of an operator; `None` where the call is none.
    pub(super) fn operator(&mut self, node: &'c IdedExpr, call: &'c CallExpr) -> Option<Type> {
        let name = call.func_name.as_str();
        Some(match (name, call.args.as_slice()) {
            (operators::CONDITIONAL, [condition, yes, no]) => {
                self.flag(condition);
                let yes = self.given(condition, true, |check| check.visit(yes));
                let no = self.given(condition, false, |check| check.visit(no));
                yes.join(no)
            }
            (operators::LOGICAL_AND | operators::LOGICAL_OR, [one, other]) => {
                self.flag(one);
                self.given(one, name == operators::LOGICAL_AND, |check| check.flag(other));
                Type::Bool
            }
            (operators::LOGICAL_NOT, [inner]) => {
                self.flag(inner);
                Type::Bool
            }
            (operators::NOT_STRICTLY_FALSE, [inner]) => {
                self.visit(inner);
                Type::Bool
            }
            (operators::INDEX | operators::OPT_INDEX | operators::OPT_SELECT, [_, _]) => {
                self.index(node, call)
            }
            (operators::EQUALS | operators::NOT_EQUALS, [one, other]) => {
                self.equality(node, one, other)
            }
            (
                operators::LESS
                | operators::LESS_EQUALS
                | operators::GREATER
                | operators::GREATER_EQUALS,
                [one, other],
            ) => self.order(node, one, other),
            (operators::IN, [value, container]) => self.containment(node, value, container),
            (operators::NEGATE, [inner]) => {
                let found = self.present(inner);
                let takes = matches!(found, Type::Int | Type::Double | Type::Duration);
                self.takes(node, takes || found.is_dyn(), "-", &[&found]);
                found
            }
            (
                operators::ADD
                | operators::SUBSTRACT
                | operators::MULTIPLY
                | operators::DIVIDE
                | operators::MODULO,
                [one, other],
            ) => self.arithmetic(node, name, one, other),
            _ => return None,
        })
    }

    /// Visits a part that must be a bool.
    fn flag(&mut self, part: &'c IdedExpr) {
        let found = self.visit(part);
        match found {
            Type::Bool => {}
            Type::Nullable(inner) if matches!(*inner, Type::Bool) => self.may_be_null(part),
            found if found.is_dyn() => {}
            found => {
                self.fault(part, format!("this is {found}, no bool: compare it with something"));
            }
        }
    }

    /// Visits a part that must not be null.
    pub(super) fn present(&mut self, part: &'c IdedExpr) -> Type {
        match self.visit(part) {
            Type::Nullable(inner) => {
                self.may_be_null(part);
                *inner
            }
            found => found,
        }
    }

    fn takes(&mut self, node: &IdedExpr, takes: bool, operator: &str, types: &[&Type]) {
        if !takes {
            let types: Vec<String> = types.iter().map(ToString::to_string).collect();
            let message = format!(
                "`{operator}` does not take {}: convert one, as by int(…) or string(…)",
                types.join(" and ")
            );
            self.fault(node, message);
        }
    }

    fn equality(&mut self, node: &IdedExpr, one: &'c IdedExpr, other: &'c IdedExpr) -> Type {
        let (left, right) = (self.visit(one), self.visit(other));
        let is_null = matches!(left, Type::Null) || matches!(right, Type::Null);
        if !is_null && !left.may_equal(&right) {
            let message = format!("{left} is never equal to {right}: compare values of one type");
            self.fault(node, message);
        }
        for (named, literal) in [(one, other), (other, one)] {
            self.operation_is_known(named, literal);
        }
        Type::Bool
    }

    /// Complains of an operation that no call is.
    fn operation_is_known(&mut self, named: &IdedExpr, literal: &IdedExpr) {
        let is_operation = matches!(&named.expr, Expr::Ident(name) if name == "operation");
        let Expr::Literal(LiteralValue::String(name)) = &literal.expr else { return };
        if is_operation && Operation::named(name.inner()).is_none() {
            let names = Operation::ALL.map(Operation::name);
            let fix = suggest::near(name.inner(), names.into_iter());
            let fix = fix.unwrap_or_else(|| format!("write one of {}", names.join(", ")));
            self.fault(literal, format!("no operation has this name: {fix}"));
        }
    }

    fn order(&mut self, node: &IdedExpr, one: &'c IdedExpr, other: &'c IdedExpr) -> Type {
        let (left, right) = (self.present(one), self.present(other));
        let ordered = |found: &Type| {
            found.is_dyn()
                || found.is_number()
                || matches!(
                    found,
                    Type::Bool | Type::Text | Type::Bytes | Type::Timestamp | Type::Duration
                )
        };
        let takes = ordered(&left) && ordered(&right) && left.may_equal(&right);
        if !takes {
            let message = format!("{left} and {right} have no order: compare values of one type");
            self.fault(node, message);
        }
        Type::Bool
    }

    fn containment(&mut self, node: &IdedExpr, value: &'c IdedExpr, of: &'c IdedExpr) -> Type {
        let (value_type, container) = (self.visit(value), self.present(of));
        let element = match &container {
            Type::List(element) => element.as_ref().clone(),
            Type::Map(key, _) => key.as_ref().clone(),
            Type::Object(_) | Type::Sent(_) => Type::Text,
            found if found.is_dyn() => Type::Dyn,
            found => {
                let fix = if matches!(found, Type::Text) {
                    "write `.contains(…)`"
                } else {
                    "name a list"
                };
                self.fault(of, format!("{found} has no elements: {fix}"));
                return Type::Bool;
            }
        };
        if !value_type.may_equal(&element) {
            let message =
                format!("{value_type} is never in {container} of {element}: fix one of the two");
            self.fault(node, message);
        }
        if let Expr::List(list) = &of.expr {
            list.elements.iter().for_each(|literal| self.operation_is_known(value, literal));
        }
        Type::Bool
    }

    fn arithmetic(
        &mut self,
        node: &IdedExpr,
        operator: &str,
        one: &'c IdedExpr,
        other: &'c IdedExpr,
    ) -> Type {
        let (left, right) = (self.present(one), self.present(other));
        if left.is_dyn() || right.is_dyn() {
            return if left.is_dyn() { right.clone().and_unknown() } else { left.and_unknown() };
        }
        let sign = operator.trim_matches('_');
        let found = match (sign, &left, &right) {
            ("+", Type::List(_), Type::List(_)) => return left.join(right),
            ("+", Type::Text, Type::Text) => Some(Type::Text),
            ("+", Type::Bytes, Type::Bytes) => Some(Type::Bytes),
            ("+", Type::Timestamp, Type::Duration) | ("+", Type::Duration, Type::Timestamp) => {
                Some(Type::Timestamp)
            }
            ("-", Type::Timestamp, Type::Timestamp) => Some(Type::Duration),
            ("-", Type::Timestamp, Type::Duration) => Some(Type::Timestamp),
            ("+" | "-", Type::Duration, Type::Duration) => Some(Type::Duration),
            (_, Type::Int, Type::Int) => Some(Type::Int),
            (_, Type::Uint, Type::Uint) => Some(Type::Uint),
            ("+" | "-" | "*" | "/", Type::Double, Type::Double) => Some(Type::Double),
            _ => None,
        };
        self.takes(node, found.is_some(), sign, &[&left, &right]);
        found.unwrap_or(Type::Dyn)
    }
}
