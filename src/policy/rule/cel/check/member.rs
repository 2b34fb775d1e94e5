//! Members of objects, elements of lists, and what may not be there.

use cel::IdedExpr;
use cel::common::ast::{CallExpr, Expr, LiteralValue, operators};

use super::super::types::Type;
use super::{Check, suggest};
use crate::provider::shape::{Member, Shape};

/// How a member is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// `a.b`: it must be there.
    Plain,
    /// `a.?b`: it may be.
    Optional,
    /// `has(a.b)`: whether it is.
    Test,
}

impl Access {
    /// The type of what is asked for, by that of the member.
    fn of(self, member: Type) -> Type {
        match self {
            Self::Plain => member,
            Self::Optional => Type::optional(member.not_null().clone()),
            Self::Test => Type::Bool,
        }
    }
}

impl<'c> Check<'c> {
    /// The type of a member.
    pub(super) fn member(
        &mut self,
        node: &'c IdedExpr,
        operand: &'c IdedExpr,
        name: &str,
        access: Access,
    ) -> Type {
        let (inside, access) = self.inside(operand, access);
        match inside {
            Type::Object(Shape::Members(members)) => {
                self.known_member(node, operand, members, name, access)
            }
            Type::Object(shape) => {
                self.must_be_there(node, operand, name, access);
                access.of(Type::of(shape.member(name)))
            }
            Type::Sent(shape) => {
                if let Shape::Members(members) = shape {
                    self.known_member(node, operand, members, name, Access::Test);
                }
                self.must_be_there(node, operand, name, access);
                access.of(sent(shape.member(name)))
            }
            Type::Map(_, value) => access.of(*value),
            other if other.is_dyn() => access.of(Type::Dyn),
            other => {
                self.fault(node, format!("{other} has no members: leave `{name}` out"));
                access.of(Type::Dyn)
            }
        }
    }

    /// The type of what members are asked of, and how they are: those of what may not be there
    /// may not be, either.
    fn inside(&mut self, operand: &'c IdedExpr, access: Access) -> (Type, Access) {
        match self.visit(operand) {
            Type::Optional(inner) if access == Access::Plain => (*inner, Access::Optional),
            Type::Nullable(inner) if access == Access::Plain => {
                self.may_be_null(operand);
                (*inner, access)
            }
            Type::Optional(inner) | Type::Nullable(inner) => (*inner, access),
            other => (other, access),
        }
    }

    fn known_member(
        &mut self,
        node: &IdedExpr,
        operand: &IdedExpr,
        members: &'static [Member],
        name: &str,
        access: Access,
    ) -> Type {
        let Some(member) = members.iter().find(|member| member.name == name) else {
            let fix = suggest::near(name, members.iter().map(|member| member.name));
            let fix = fix.unwrap_or_else(|| {
                let object = self.text.words(operand);
                format!("write `get({object}, '{name}', null)` for one that the table lacks")
            });
            self.fault(node, format!("`{name}` is no member of this object: {fix}"));
            return access.of(Type::Dyn);
        };
        let found = Type::of(&member.shape);
        access.of(if member.is_nullable { found.or_null() } else { found })
    }

    /// Complains of a key that may be missing.
    fn must_be_there(&mut self, node: &IdedExpr, operand: &IdedExpr, name: &str, access: Access) {
        if access != Access::Plain || self.is_there(operand, name) {
            return;
        }
        let map = self.text.words(operand);
        let message = format!(
            "it may be missing: guard it by `has({map}.{name}) && …`, or write \
             `get({map}, '{name}', '')` or `{map}.?{name}.orValue('')`"
        );
        self.fault(node, message);
    }

    /// The type of `a[b]`, `a[?b]` and `a.?b`.
    pub(super) fn index(&mut self, node: &'c IdedExpr, call: &'c CallExpr) -> Type {
        let [operand, key] = call.args.as_slice() else { return Type::Dyn };
        let access =
            if call.func_name == operators::INDEX { Access::Plain } else { Access::Optional };
        if let Expr::Literal(LiteralValue::String(name)) = &key.expr {
            return self.member(node, operand, name.inner(), access);
        }
        let (inside, access) = self.inside(operand, access);
        let index = self.visit(key);
        let (takes, element) = match inside {
            Type::List(element) => (matches!(index, Type::Int), *element),
            Type::Map(known, value) => (index.may_equal(&known), *value),
            // The key is not known, so that the value may be any of them.
            Type::Object(Shape::Keyed { value, but: [] }) => {
                (matches!(index, Type::Text), Type::of(value))
            }
            Type::Object(_) | Type::Sent(_) => (matches!(index, Type::Text), Type::Dyn),
            other if other.is_dyn() => (true, Type::Dyn),
            other => {
                self.fault(node, format!("{other} has no elements: leave the index out"));
                return access.of(Type::Dyn);
            }
        };
        if !(takes || index.is_dyn()) {
            let message = format!("{index} is no index here: write a position or a key that fits");
            self.fault(key, message);
        }
        access.of(element)
    }
}

/// The type of a member of a patch: null clears it.
fn sent(shape: &'static Shape) -> Type {
    match shape {
        Shape::Members(_) | Shape::Keyed { .. } => Type::Sent(shape),
        other => Type::of(other),
    }
    .or_null()
}
