//! Places of the deployment, and of a patch, that an expression looks at, as far as they are
//! written there.

use std::collections::BTreeSet;

use cel::IdedExpr;
use cel::common::ast::{CallExpr, Expr, LiteralValue, operators};

use super::tree::children;
use crate::base::pointer::{child, covers};

/// The variable that stands for the deployment to be.
pub(super) const OBJECT: &str = "object";

/// The variable that stands for what was sent.
pub(super) const PATCH: &str = "patch";

/// The places of the variable `root` that an expression selects, none of them inside another one:
/// JSON Pointers. Where a key is computed, the place around it counts.
pub(super) fn selected(expression: &IdedExpr, root: &str) -> Vec<String> {
    let mut found = BTreeSet::new();
    walk(expression, root, &mut Vec::new(), &mut found);
    let outermost =
        |path: &&String| !found.iter().any(|other| other != *path && covers(other, path));
    found.iter().filter(outermost).cloned().collect()
}

/// The place around all of some places.
pub(super) fn around(places: &[String]) -> String {
    let mut places = places.iter();
    let Some(first) = places.next() else { return String::new() };
    places.fold(first.clone(), |mut around, place| {
        while !covers(&around, place) {
            let parent = around.rfind('/').unwrap_or(0);
            around.truncate(parent);
        }
        around
    })
}

fn walk<'e>(
    node: &'e IdedExpr,
    root: &str,
    bound: &mut Vec<&'e str>,
    found: &mut BTreeSet<String>,
) {
    if let Some((path, inside)) = place(node, root, bound) {
        found.insert(path);
        // What computes a key may select other places.
        for node in inside {
            walk(node, root, bound, found);
        }
        return;
    }
    if root == OBJECT
        && let Expr::Call(call) = &node.expr
        && let Some(pointer) = pointer_of(call)
    {
        found.insert(pointer.to_owned());
    }
    let Expr::Comprehension(fold) = &node.expr else {
        for child in children(node) {
            walk(child, root, bound, found);
        }
        return;
    };
    walk(&fold.iter_range, root, bound, found);
    walk(&fold.accu_init, root, bound, found);
    let names = bound.len();
    bound.extend([fold.iter_var.as_str(), fold.accu_var.as_str()]);
    for inner in [&fold.loop_cond, &fold.loop_step, &fold.result] {
        walk(inner, root, bound, found);
    }
    bound.truncate(names);
}

/// The place that a chain of members and elements names, and the expressions that compute its
/// keys; `None` where the chain does not begin at the variable.
fn place<'e>(
    node: &'e IdedExpr,
    root: &str,
    bound: &[&str],
) -> Option<(String, Vec<&'e IdedExpr>)> {
    let (operand, key): (&IdedExpr, Result<String, &IdedExpr>) = match &node.expr {
        Expr::Ident(name) => {
            return (name == root && !bound.contains(&root)).then(|| (String::new(), vec![]));
        }
        Expr::Select(select) => (&select.operand, Ok(select.field.clone())),
        Expr::Call(call) => access(call)?,
        _ => return None,
    };
    let (path, mut computed) = place(operand, root, bound)?;
    // Behind a computed key, nothing is known of what follows.
    match key {
        Ok(key) if computed.is_empty() => Some((child(&path, &key), computed)),
        Ok(_) => Some((path, computed)),
        Err(key) => {
            computed.push(key);
            Some((path, computed))
        }
    }
}

/// The operand and the key of an access: the key as it is written, or what computes it.
fn access(call: &CallExpr) -> Option<(&IdedExpr, Result<String, &IdedExpr>)> {
    let optional = [operators::INDEX, operators::OPT_INDEX, operators::OPT_SELECT];
    let (operand, key) = match call.args.as_slice() {
        [operand, key] if optional.contains(&call.func_name.as_str()) => (operand, key),
        [operand, key, _default] if call.func_name == "get" => (operand, key),
        _ => return None,
    };
    let key = match &key.expr {
        Expr::Literal(LiteralValue::String(key)) => Ok(key.inner().to_owned()),
        Expr::Literal(LiteralValue::Int(index)) => Ok(index.inner().to_string()),
        _ => Err(key),
    };
    Some((operand, key))
}

/// The pointer of a function that asks what is changed there.
fn pointer_of(call: &CallExpr) -> Option<&str> {
    let [IdedExpr { expr: Expr::Literal(LiteralValue::String(pointer)), .. }] =
        call.args.as_slice()
    else {
        return None;
    };
    let is_asked = matches!(call.func_name.as_str(), "touches" | "added" | "removed");
    is_asked.then(|| pointer.inner())
}
