//! Access to members and elements, as rules mean it: in a deployment, null is absent.

use cel::ExecutionError;
use cel::common::types::{CelMap, CelNull, CelOptional, Kind};
use cel::common::value::{CowVal, Val};

use super::super::given::{Given, exactly, flag, mismatch};
use super::super::{equal as equality, meter, value};

/// `a == b`.
pub(super) fn equal<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Given<'b, 'v> {
    let [one, other] = exactly(&args)?;
    equality::equal(one.as_ref(), other.as_ref()).map(flag)
}

/// `a in b`.
pub(super) fn is_in<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Given<'b, 'v> {
    let [value, container] = exactly(&args)?;
    equality::contains(container.as_ref(), value.as_ref()).map(flag)
}

/// `has(a.b)`. Of a deployment, also what is null is not there.
pub(super) fn has<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Given<'b, 'v> {
    let [operand, field] = exactly(&args)?;
    let operand = match operand.downcast_ref::<CelOptional>() {
        Some(optional) => match optional.inner() {
            Some(inner) => inner,
            None => return Ok(flag(false)),
        },
        None => operand.as_ref(),
    };
    if is_null(operand) {
        return Ok(flag(false));
    }
    let members = operand.as_indexer().filter(|_| operand.get_type().kind() == Kind::Map);
    let members = members.ok_or_else(|| mismatch("has"))?;
    Ok(flag(match members.get(field.as_ref()) {
        Ok(member) => !(value::is_shown(operand) && is_null(member.as_ref())),
        Err(_absent) => false,
    }))
}

/// `a.?b` and `a[?b]`. Of a deployment, also what is null is not there.
pub(super) fn optional<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Given<'b, 'v> {
    let [operand, key] = exactly(&args)?;
    let none = || Ok(CowVal::owned(CelOptional::none()));
    let operand = match operand.downcast_ref::<CelOptional>() {
        Some(optional) => match optional.inner() {
            Some(inner) => inner,
            None => return none(),
        },
        None => operand.as_ref(),
    };
    meter::charge(1)?;
    let Some(members) = operand.as_indexer() else { return none() };
    match members.get(key.as_ref()) {
        Ok(member) if value::is_shown(operand) && is_null(member.as_ref()) => none(),
        Ok(member) => Ok(CowVal::owned(CelOptional::of(member.as_ref().clone_as_boxed()))),
        Err(_absent) => none(),
    }
}

/// `get(map, key, default)`: the default too where the map itself is null, or the value is.
pub(super) fn get<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Given<'b, 'v> {
    let mut args = args.into_iter();
    let (Some(map), Some(key), Some(default)) = (args.next(), args.next(), args.next()) else {
        return Err(ExecutionError::missing_argument_or_target());
    };
    let is_map = map.get_type().kind() == Kind::Map;
    if !is_map && !is_null(map.as_ref()) {
        return Err(mismatch("get"));
    }
    // What a rule has made is copied, and so is dear.
    meter::visit(map.downcast_ref::<CelMap>().map_or(1, |map| 1 + map.inner().len()))?;
    let found = map.as_indexer().and_then(|members| members.get(key.as_ref()).ok());
    let found = found.filter(|found| !is_null(found.as_ref()));
    Ok(found.map_or(default, |found| CowVal::Owned(found.as_ref().clone_as_boxed())))
}

fn is_null(value: &dyn Val) -> bool {
    value.downcast_ref::<CelNull>().is_some()
}
