//! Arguments of functions, and what they give.

use cel::ExecutionError;
use cel::common::types::{CelBool, CelInt, CelString};
use cel::common::value::{CowVal, Val};

/// What a function gives.
pub(super) type Given<'b, 'v> = Result<CowVal<'b, 'v>, ExecutionError>;

/// The first of the arguments.
pub(super) fn first<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Given<'b, 'v> {
    args.into_iter().next().ok_or_else(ExecutionError::missing_argument_or_target)
}

/// Exactly so many arguments.
pub(super) fn exactly<'a, 'b, 'v, const N: usize>(
    args: &'a [CowVal<'b, 'v>],
) -> Result<&'a [CowVal<'b, 'v>; N], ExecutionError> {
    args.try_into().map_err(|_other| ExecutionError::missing_argument_or_target())
}

/// A flag.
pub(super) fn flag<'b, 'v>(flag: bool) -> CowVal<'b, 'v> {
    CowVal::owned(CelBool::from(flag))
}

/// A whole number.
pub(super) fn whole<'b, 'v>(number: impl TryInto<i64>) -> CowVal<'b, 'v> {
    CowVal::owned(CelInt::from(number.try_into().unwrap_or(i64::MAX)))
}

/// The text of an argument.
pub(super) fn text<'a>(value: &'a dyn Val, function: &str) -> Result<&'a str, ExecutionError> {
    let text = value.downcast_ref::<CelString>();
    text.map(CelString::inner).ok_or_else(|| mismatch(function))
}

/// The whole number of an argument.
pub(super) fn int(value: &dyn Val, function: &str) -> Result<i64, ExecutionError> {
    let int = value.downcast_ref::<CelInt>();
    int.map(|int| *int.inner()).ok_or_else(|| mismatch(function))
}

/// The error of values that an operator or a function does not take.
pub(super) fn mismatch(function: &str) -> ExecutionError {
    ExecutionError::function_error(function, "the values are not of a kind that it takes")
}
