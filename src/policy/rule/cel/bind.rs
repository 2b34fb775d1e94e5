//! `cel.bind(name, value, expression)`: a name for a value that an expression needs more than once.

use cel::common::ast::{ComprehensionExpr, Expr, ListExpr, LiteralValue};
use cel::parser::{Macro, MacroExprHelper};
use cel::{IdedExpr, ParseError};

/// The element's name where nothing is walked over: a value is bound to a name.
pub(super) const UNUSED: &str = "#unused";

/// The library that the macro is called on.
const LIBRARY: &str = "cel";

/// The macro.
pub(super) fn bind() -> Macro {
    Macro::receiver("bind", 3, expand)
}

/// A loop over nothing, whose accumulator has the name.
fn expand(
    helper: &mut MacroExprHelper<'_>,
    target: &mut Option<IdedExpr>,
    args: &mut Vec<IdedExpr>,
) -> Result<Option<IdedExpr>, ParseError> {
    let is_library =
        |target: &IdedExpr| matches!(&target.expr, Expr::Ident(name) if name == LIBRARY);
    if !target.as_ref().is_some_and(is_library) {
        return Ok(None);
    }
    let name = match args.first().map(|name| (&name.expr, name.id)) {
        Some((Expr::Ident(name), _)) if !name.starts_with('.') => name.clone(),
        Some((_, id)) => {
            return Err(helper.new_error(id, "the first argument must be a simple name"));
        }
        None => return Ok(None),
    };
    let (Some(result), Some(value)) = (args.pop(), args.pop()) else { return Ok(None) };
    let iter_range = helper.next_expr(Expr::List(ListExpr::new(Vec::new())));
    let loop_cond = helper.next_expr(Expr::Literal(LiteralValue::Boolean(false.into())));
    let loop_step = helper.next_expr(Expr::Ident(name.clone()));
    Ok(Some(helper.next_expr(Expr::Comprehension(Box::new(ComprehensionExpr {
        iter_range,
        iter_var: UNUSED.to_owned(),
        iter_var2: None,
        accu_var: name,
        accu_init: value,
        loop_cond,
        loop_step,
        result,
    })))))
}
