//! Expressions made ready to run: what may cost much is charged for, what the rule's own
//! documents mean differently is asked of them.

use cel::IdedExpr;
use cel::common::ast::{
    CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedEntryExpr, LiteralValue, SelectExpr,
    operators,
};
use cel::common::types::{CelInt, CelString};

use super::functions::{self, Charge};
use super::pattern::Pattern;
use super::tree::nodes;

/// The accumulator of the interpreter's own macros, which no text can name.
const ACCUMULATOR: &str = "@result";

/// Nodes of a loop's body that one step of a visit pays for.
const NODES_PER_STEP: usize = 32;

/// An expression on its way.
#[derive(Debug, Default)]
pub(super) struct Rewrite {
    /// The patterns of `matches`, in the order of their names.
    pub(super) patterns: Vec<Pattern>,
}

impl Rewrite {
    /// The expression that is run in place of `node`, which was checked.
    pub(super) fn expression(&mut self, node: IdedExpr) -> IdedExpr {
        let IdedExpr { id, expr } = node;
        let expr = match expr {
            Expr::Call(call) => self.call(id, call),
            Expr::Select(select) => self.select(id, select),
            Expr::List(mut list) => {
                list.elements = list.elements.into_iter().map(|node| self.kept(node)).collect();
                Expr::List(list)
            }
            Expr::Map(mut map) => {
                map.entries = map.entries.into_iter().map(|entry| self.entry(entry)).collect();
                Expr::Map(map)
            }
            Expr::Comprehension(fold) => self.fold(*fold),
            plain => plain,
        };
        IdedExpr { id, expr }
    }

    fn call(&mut self, id: u64, call: CallExpr) -> Expr {
        let CallExpr { func_name, target, mut args } = call;
        if let Some(name) = functions::about_the_change(&func_name)
            && let [IdedExpr { expr: Expr::Literal(LiteralValue::String(pointer)), .. }] = &args[..]
        {
            return Expr::Ident(format!("{name} {}", pointer.inner()));
        }
        if func_name == "matches" {
            args = target.map(|target| *target).into_iter().chain(args).collect();
            return self.matches(id, args);
        }
        let args: Vec<_> = args.into_iter().map(|arg| self.expression(arg)).collect();
        let target = target.map(|target| Box::new(self.expression(*target)));
        match func_name.as_str() {
            operators::ADD if !is_accumulator(&args) => global("@add", args),
            operators::EQUALS if !has_scalar(&args) => global("@equal", args),
            operators::NOT_EQUALS if !has_scalar(&args) => {
                let equal = IdedExpr { id, expr: global("@equal", args) };
                global(operators::LOGICAL_NOT, vec![equal])
            }
            operators::IN => global("@isIn", args),
            operators::LESS
            | operators::LESS_EQUALS
            | operators::GREATER
            | operators::GREATER_EQUALS
                if !has_scalar(&args) =>
            {
                global(&func_name, charged("@read", args))
            }
            operators::OPT_SELECT => global("@optionalSelect", args),
            operators::OPT_INDEX => global("@optionalIndex", args),
            name => charge(name, target, args),
        }
    }

    /// `matches`, whose pattern is a literal: it was compiled.
    fn matches(&mut self, id: u64, args: Vec<IdedExpr>) -> Expr {
        let mut args = args.into_iter();
        let (text, pattern) = (args.next(), args.next());
        let pattern = match pattern.map(|pattern| pattern.expr) {
            Some(Expr::Literal(LiteralValue::String(pattern))) => {
                Pattern::parse(pattern.inner()).ok()
            }
            _ => None,
        };
        let text = text.map(|text| self.expression(text));
        let name = match pattern {
            Some(pattern) => {
                self.patterns.push(pattern);
                format!("@pattern {}", self.patterns.len() - 1)
            }
            None => "@pattern".to_owned(),
        };
        let pattern = IdedExpr { id, expr: Expr::Ident(name) };
        global("@matches", text.into_iter().chain([pattern]).collect())
    }

    fn select(&mut self, id: u64, mut select: SelectExpr) -> Expr {
        select.operand = Box::new(self.expression(*select.operand));
        if !select.test {
            return Expr::Select(select);
        }
        let field = LiteralValue::String(CelString::from(select.field));
        let field = IdedExpr { id, expr: Expr::Literal(field) };
        global("@has", vec![*select.operand, field])
    }

    fn fold(&mut self, fold: ComprehensionExpr) -> Expr {
        let weight = 1 + nodes(&fold.loop_step) / NODES_PER_STEP;
        let weight = CelInt::from(i64::try_from(weight).unwrap_or(i64::MAX));
        let id = fold.iter_range.id;
        let weight = IdedExpr { id, expr: Expr::Literal(LiteralValue::Int(weight)) };
        let range = self.expression(fold.iter_range);
        let iter_range = match &range.expr {
            Expr::List(list) if list.elements.is_empty() => range,
            _ => IdedExpr { id, expr: global("@range", vec![range, weight]) },
        };
        let accu_init = match &fold.accu_init.expr {
            Expr::List(list) if list.elements.is_empty() => fold.accu_init,
            _ => self.kept(fold.accu_init),
        };
        Expr::Comprehension(Box::new(ComprehensionExpr {
            iter_range,
            accu_init,
            loop_cond: self.expression(fold.loop_cond),
            loop_step: self.expression(fold.loop_step),
            result: self.expression(fold.result),
            ..fold
        }))
    }

    fn entry(&mut self, entry: IdedEntryExpr) -> IdedEntryExpr {
        let IdedEntryExpr { id, expr } = entry;
        let expr = match expr {
            EntryExpr::MapEntry(mut entry) => {
                entry.key = self.kept(entry.key);
                entry.value = self.kept(entry.value);
                EntryExpr::MapEntry(entry)
            }
            EntryExpr::StructField(field) => EntryExpr::StructField(field),
        };
        IdedEntryExpr { id, expr }
    }

    /// A value that is kept in another one, and so is copied.
    fn kept(&mut self, node: IdedExpr) -> IdedExpr {
        let node = self.expression(node);
        if is_scalar(&node) {
            return node;
        }
        IdedExpr { id: node.id, expr: global("@copy", vec![node]) }
    }
}

/// A call of a function of the table, and what it is charged.
fn charge(name: &str, target: Option<Box<IdedExpr>>, args: Vec<IdedExpr>) -> Expr {
    let func_name = name.to_owned();
    let (wrapper, own) = match functions::charge_of(name) {
        Charge::Nothing => return Expr::Call(CallExpr { func_name, target, args }),
        Charge::Keep => {
            return Expr::Call(CallExpr { func_name, target, args: charged("@copy", args) });
        }
        Charge::Read => ("@read", None),
        Charge::Make => ("@make", None),
        Charge::Own(own) => ("", Some(own)),
        Charge::OwnByTime(own) => ("@now", Some(own)),
    };
    if let Some(own) = own {
        let now =
            (wrapper == "@now").then(|| IdedExpr { id: 0, expr: Expr::Ident(wrapper.into()) });
        let target = target.map(|target| *target).into_iter();
        return global(own, target.chain(args).chain(now).collect());
    }
    match target {
        None => global(name, charged(wrapper, args)),
        Some(library) if is_library(&library) => {
            let args = charged(wrapper, args);
            Expr::Call(CallExpr { func_name, target: Some(library), args })
        }
        Some(target) => {
            let id = target.id;
            let target = IdedExpr { id, expr: global(wrapper, vec![*target]) };
            Expr::Call(CallExpr { func_name, target: Some(Box::new(target)), args })
        }
    }
}

/// Arguments, the first of which is charged.
fn charged(wrapper: &str, args: Vec<IdedExpr>) -> Vec<IdedExpr> {
    let mut args = args.into_iter();
    let first =
        args.next().map(|first| IdedExpr { id: first.id, expr: global(wrapper, vec![first]) });
    first.into_iter().chain(args).collect()
}

fn global(name: &str, args: Vec<IdedExpr>) -> Expr {
    Expr::Call(CallExpr { func_name: name.to_owned(), target: None, args })
}

fn is_library(node: &IdedExpr) -> bool {
    matches!(&node.expr, Expr::Ident(name) if functions::is_library(name))
}

fn is_accumulator(args: &[IdedExpr]) -> bool {
    matches!(args.first().map(|arg| &arg.expr), Some(Expr::Ident(name)) if name == ACCUMULATOR)
}

/// Whether comparing these costs no more than one of them is long: one is a literal.
fn has_scalar(args: &[IdedExpr]) -> bool {
    args.iter().any(|arg| matches!(arg.expr, Expr::Literal(_)))
}

fn is_scalar(node: &IdedExpr) -> bool {
    match &node.expr {
        Expr::Literal(_) => true,
        Expr::Call(call) => functions::is_flag(&call.func_name),
        _ => false,
    }
}
