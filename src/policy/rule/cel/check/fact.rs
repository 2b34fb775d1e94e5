//! What is known to be there once a condition holds, or does not.

use cel::IdedExpr;
use cel::common::ast::{CallExpr, Expr, LiteralValue, operators};

use super::Check;

/// Paths that are known to be there: `+` before those that are not null either.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts(Vec<String>);

impl Facts {
    pub(super) fn extend(&mut self, facts: Vec<String>) {
        self.0.extend(facts);
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn truncate(&mut self, len: usize) {
        self.0.truncate(len);
    }

    fn has(&self, sign: char, path: &str) -> bool {
        self.0.iter().any(|fact| fact.strip_prefix(sign) == Some(path))
    }
}

impl Check<'_> {
    /// Whether a node is known not to be null.
    pub(super) fn is_known(&self, node: &IdedExpr) -> bool {
        self.path(node).is_some_and(|path| self.facts.has('+', &path))
    }

    /// Whether a member is known to be there.
    pub(super) fn is_there(&self, operand: &IdedExpr, member: &str) -> bool {
        let path = self.path(operand).map(|path| format!("{path}/{member}"));
        path.is_some_and(|path| self.facts.has('+', &path) || self.facts.has('?', &path))
    }

    /// Does `work` where a condition holds, or does not.
    pub(super) fn given<T>(
        &mut self,
        condition: &IdedExpr,
        holds: bool,
        work: impl FnOnce(&mut Self) -> T,
    ) -> T {
        let before = self.facts.len();
        let learnt = self.learnt(condition, holds);
        self.facts.extend(learnt);
        let done = work(self);
        self.facts.truncate(before);
        done
    }

    /// What a condition makes sure of where it holds, or where it does not.
    pub(super) fn learnt(&self, condition: &IdedExpr, holds: bool) -> Vec<String> {
        match &condition.expr {
            Expr::Select(select) if select.test && holds => {
                let Some(path) = self.path(&select.operand) else { return Vec::new() };
                let member = format!("{path}/{}", select.field);
                prefixes(&member).map(|path| format!("+{path}")).collect()
            }
            Expr::Call(call) => self.learnt_of_call(call, holds),
            _ => Vec::new(),
        }
    }

    fn learnt_of_call(&self, call: &CallExpr, holds: bool) -> Vec<String> {
        let both = |one: &IdedExpr, other: &IdedExpr| {
            let mut facts = self.learnt(one, holds);
            facts.extend(self.learnt(other, holds));
            facts
        };
        match (call.func_name.as_str(), call.args.as_slice(), holds) {
            (operators::LOGICAL_AND, [one, other], true)
            | (operators::LOGICAL_OR, [one, other], false) => both(one, other),
            (operators::LOGICAL_NOT, [inner], _) => self.learnt(inner, !holds),
            (operators::NOT_EQUALS, [one, other], true)
            | (operators::EQUALS, [one, other], false) => {
                let other = match (is_null(one), is_null(other)) {
                    (false, true) => one,
                    (true, false) => other,
                    _ => return Vec::new(),
                };
                self.path(other).into_iter().map(|path| format!("+{path}")).collect()
            }
            (operators::EQUALS, [one, other], true) => {
                let named = match (is_value(one), is_value(other)) {
                    (false, true) => one,
                    (true, false) => other,
                    _ => return Vec::new(),
                };
                self.path(named).into_iter().map(|path| format!("+{path}")).collect()
            }
            (operators::IN, [key, map], true) => {
                let Expr::Literal(LiteralValue::String(key)) = &key.expr else { return Vec::new() };
                let path = self.path(map).map(|path| format!("?{path}/{}", key.inner()));
                path.into_iter().collect()
            }
            ("hasValue", [], true) => {
                let path = call.target.as_deref().and_then(|target| self.optional_path(target));
                let all = |path: String| prefixes(&path).map(|p| format!("+{p}")).collect();
                path.map(all).unwrap_or_default()
            }
            _ => Vec::new(),
        }
    }

    /// The path that a chain of members spells.
    pub(super) fn path(&self, node: &IdedExpr) -> Option<String> {
        match &node.expr {
            Expr::Ident(name) => {
                // A loop's variable is another one in each loop.
                let at = self.scopes.iter().rposition(|(known, _)| known == name);
                Some(at.map_or_else(|| name.clone(), |at| format!("{name}#{at}")))
            }
            Expr::Select(select) if !select.test => {
                Some(format!("{}/{}", self.path(&select.operand)?, select.field))
            }
            Expr::Call(call) if call.func_name == operators::INDEX => {
                let [operand, key] = call.args.as_slice() else { return None };
                let key = match &key.expr {
                    Expr::Literal(LiteralValue::String(key)) => key.inner().to_owned(),
                    Expr::Literal(LiteralValue::Int(index)) => format!("[{}]", index.inner()),
                    _ => return None,
                };
                Some(format!("{}/{key}", self.path(operand)?))
            }
            _ => None,
        }
    }

    /// The same, of a chain with `?.` in it.
    fn optional_path(&self, node: &IdedExpr) -> Option<String> {
        let Expr::Call(call) = &node.expr else { return self.path(node) };
        match (call.func_name.as_str(), call.args.as_slice()) {
            (operators::OPT_SELECT, [operand, key]) => {
                let Expr::Literal(LiteralValue::String(key)) = &key.expr else { return None };
                Some(format!("{}/{}", self.optional_path(operand)?, key.inner()))
            }
            _ => self.path(node),
        }
    }
}

/// A path and those around it, but its variable.
fn prefixes(path: &str) -> impl Iterator<Item = &str> {
    let ends = path.match_indices('/').skip(1).map(|(at, _)| at).chain([path.len()]);
    ends.chain(path.find('/')).filter_map(|end| path.get(..end))
}

fn is_null(node: &IdedExpr) -> bool {
    matches!(node.expr, Expr::Literal(LiteralValue::Null))
}

/// Whether a node is a literal that is not null.
fn is_value(node: &IdedExpr) -> bool {
    matches!(node.expr, Expr::Literal(_)) && !is_null(node)
}
