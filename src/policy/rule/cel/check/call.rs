//! Types of calls: the overload that the arguments fit.

use cel::IdedExpr;
use cel::common::ast::{CallExpr, Expr, LiteralValue};

use super::super::functions::{self, Signature};
use super::super::pattern::Pattern;
use super::super::types::{Letters, Type};
use super::{Check, suggest};
use crate::base::pointer::keys;
use crate::provider::shape::Shape;

impl<'c> Check<'c> {
    pub(super) fn call(&mut self, node: &'c IdedExpr, call: &'c CallExpr) -> Type {
        if let Some(found) = self.operator(node, call) {
            return found;
        }
        let (name, target) = self.called(call);
        match name.as_str() {
            "matches" => self.pattern(call),
            "touches" | "added" | "removed" => self.pointer(node, call),
            "get" => return self.get(call),
            _ => {}
        }
        let receiver = target.map(|target| (target, self.visit(target)));
        let args: Vec<Type> = call.args.iter().map(|arg| self.visit(arg)).collect();
        let all = functions::signatures(&name);
        if all.is_empty() {
            let fix = suggest::near(&name, functions::names());
            let fix = fix.unwrap_or_else(|| "the policy guide lists those that are".to_owned());
            self.fault(node, format!("there is no function `{name}`: {fix}"));
            return Type::Dyn;
        }
        let given = receiver.as_ref().map(|(_, found)| found);
        let results: Vec<Type> =
            all.iter().filter_map(|signature| result(signature, given, &args)).collect();
        if let Some(found) = results.into_iter().reduce(Type::join) {
            return found;
        }
        self.no_overload(node, call, &name, receiver.as_ref(), &args);
        all.first().map_or(Type::Dyn, |signature| signature.result.with(&Letters::default()))
    }

    /// The name of the function with that of its library, and what it is called on.
    fn called(&self, call: &'c CallExpr) -> (String, Option<&'c IdedExpr>) {
        let target = call.target.as_deref();
        match target.map(|target| &target.expr) {
            Some(Expr::Ident(library))
                if functions::is_library(library)
                    && !self.scopes.iter().any(|(known, _)| known == library) =>
            {
                (format!("{library}.{}", call.func_name), None)
            }
            _ => (call.func_name.clone(), target),
        }
    }

    fn no_overload(
        &mut self,
        node: &'c IdedExpr,
        call: &'c CallExpr,
        name: &str,
        receiver: Option<&(&'c IdedExpr, Type)>,
        args: &[Type],
    ) {
        let all = functions::signatures(name);
        let given = receiver.map(|(_, found)| found.not_null());
        let present: Vec<Type> = args.iter().map(|arg| arg.not_null().clone()).collect();
        if all.iter().any(|signature| result(signature, given, &present).is_some()) {
            let nullable = |found: &Type| matches!(found, Type::Nullable(_));
            let parts = receiver.into_iter().map(|(part, found)| (*part, found));
            let parts = parts.chain(call.args.iter().zip(args));
            let parts: Vec<&IdedExpr> =
                parts.filter(|(_, found)| nullable(found)).map(|(part, _)| part).collect();
            for part in parts {
                self.may_be_null(part);
            }
            return;
        }
        let forms: Vec<String> = all.iter().take(4).map(form).collect();
        let mut types: Vec<String> = args.iter().map(ToString::to_string).collect();
        if let Some((_, found)) = receiver {
            types.insert(0, format!("{found} before the dot"));
        }
        let types = if types.is_empty() { "nothing".to_owned() } else { types.join(" and ") };
        let (name, forms) = (functions::typed_name(name), forms.join(" or "));
        let message = format!("`{name}` does not take {types}: it is called as {forms}");
        self.fault(node, message);
    }

    /// Complains of a pattern that can't be compiled now.
    fn pattern(&mut self, call: &CallExpr) {
        let Some(pattern) = call.args.last() else { return };
        let Expr::Literal(LiteralValue::String(text)) = &pattern.expr else {
            self.fault(pattern, "the pattern is computed: write it as a text in quotes");
            return;
        };
        if let Err(message) = Pattern::parse(text.inner()) {
            self.fault(pattern, message);
        }
    }

    /// Complains of a pointer that names no place.
    fn pointer(&mut self, node: &IdedExpr, call: &CallExpr) {
        let [pointer] = call.args.as_slice() else { return };
        let Expr::Literal(LiteralValue::String(text)) = &pointer.expr else {
            self.fault(pointer, "the pointer is computed: write it as a text in quotes");
            return;
        };
        let text = text.inner();
        if !(text.is_empty() || text.starts_with('/')) {
            let message = format!("a JSON Pointer begins with a slash: write '/{text}'");
            self.fault(pointer, message);
            return;
        }
        let mut shape = self.shape;
        for key in keys(text) {
            if let Shape::Members(members) = shape
                && !members.iter().any(|member| member.name == key)
            {
                let fix = suggest::near(&key, members.iter().map(|member| member.name));
                let fix = fix.unwrap_or_else(|| "name one that the provider shows".to_owned());
                self.fault(node, format!("`{key}` is no member there: {fix}"));
                return;
            }
            shape = match shape {
                Shape::List(element) => element,
                shape => shape.member(&key),
            };
        }
    }

    /// `get(map, key, default)`: of the member's type or the default's.
    fn get(&mut self, call: &'c CallExpr) -> Type {
        let [map, key, default] = call.args.as_slice() else {
            for part in &call.args {
                self.visit(part);
            }
            if let Some(first) = call.args.first() {
                let message =
                    "`get` takes a map, a key and a default: get(object.metadata, 'team', '')";
                self.fault(first, message);
            }
            return Type::Dyn;
        };
        let (inside, key_type, default) = (self.visit(map), self.visit(key), self.visit(default));
        if !key_type.is_dyn() && !matches!(key_type, Type::Text) {
            self.fault(key, format!("{key_type} is no key: write a text"));
        }
        let name = match &key.expr {
            Expr::Literal(LiteralValue::String(name)) => Some(name.inner()),
            _ => None,
        };
        let member = match (inside.not_null(), name) {
            (Type::Object(shape) | Type::Sent(shape), Some(name)) => Type::of(shape.member(name)),
            (Type::Object(_) | Type::Sent(_) | Type::Null, _) => Type::Dyn,
            (Type::Map(_, value), _) => value.as_ref().clone(),
            (found, _) if found.is_dyn() => Type::Dyn,
            (found, _) => {
                let message = format!("{found} has no members: name an object or a map");
                self.fault(map, message);
                Type::Dyn
            }
        };
        if member.is_dyn() { Type::Dyn } else { member.join(default) }
    }
}

/// What an overload gives for these arguments; `None` where they don't fit.
fn result(signature: &Signature, receiver: Option<&Type>, args: &[Type]) -> Option<Type> {
    let mut letters = Letters::default();
    let fits = match (&signature.receiver, receiver) {
        (Some(asked), Some(given)) => given.fits(asked, &mut letters),
        (None, None) => true,
        _ => false,
    };
    let fits = fits
        && signature.parameters.len() == args.len()
        && args.iter().zip(&signature.parameters).all(|(arg, asked)| arg.fits(asked, &mut letters));
    fits.then(|| signature.result.with(&letters))
}

/// How an overload is called, in words.
fn form(signature: &Signature) -> String {
    let parameters: Vec<String> = signature.parameters.iter().map(ToString::to_string).collect();
    let (name, parameters) = (functions::typed_name(&signature.name), parameters.join(", "));
    match &signature.receiver {
        Some(receiver) => format!("({receiver}).{name}({parameters})"),
        None => format!("{name}({parameters})"),
    }
}
