//! Equality of any two values, whoever made them, charged by what is looked at.

use cel::ExecutionError;
use cel::common::types::{CelOptional, CelString, Kind};
use cel::common::value::Val;

use super::given::mismatch;
use super::meter;

/// Whether two values are equal, as CEL says: by kind, numbers by value, lists element by element,
/// maps key by key.
pub(super) fn equal(one: &dyn Val, other: &dyn Val) -> Result<bool, ExecutionError> {
    match (one.get_type().kind(), other.get_type().kind()) {
        (Kind::List, Kind::List) => equal_lists(one, other),
        (Kind::Map, Kind::Map) => equal_maps(one, other),
        (Kind::String, Kind::String) => {
            let text = |value: &dyn Val| value.downcast_ref::<CelString>().map_or(0, |t| t.len());
            meter::read(text(one).min(text(other)))?;
            Ok(one.equals(other))
        }
        (Kind::Opaque, Kind::Opaque) => {
            let inner = |value: &dyn Val| value.downcast_ref::<CelOptional>().is_some();
            if !(inner(one) && inner(other)) {
                return Ok(one.equals(other));
            }
            let one = one.downcast_ref::<CelOptional>().and_then(CelOptional::inner);
            let other = other.downcast_ref::<CelOptional>().and_then(CelOptional::inner);
            match (one, other) {
                (Some(one), Some(other)) => equal(one, other),
                (one, other) => Ok(one.is_none() && other.is_none()),
            }
        }
        _ => Ok(one.equals(other)),
    }
}

/// Whether `value` is an element of a list, or a key of a map.
pub(super) fn contains(container: &dyn Val, value: &dyn Val) -> Result<bool, ExecutionError> {
    if container.get_type().kind() != Kind::List {
        let Some(container) = container.as_container() else { return Err(mismatch("in")) };
        meter::charge(1)?;
        return container.contains(value);
    }
    let Some(list) = container.as_iterable() else { return Err(mismatch("in")) };
    let mut elements = list.iter();
    while let Some(element) = elements.next() {
        meter::charge(1)?;
        if equal(element, value)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn equal_lists(one: &dyn Val, other: &dyn Val) -> Result<bool, ExecutionError> {
    if size(one) != size(other) {
        return Ok(false);
    }
    let (Some(one), Some(other)) = (one.as_iterable(), other.as_iterable()) else {
        return Ok(false);
    };
    let (mut one, mut other) = (one.iter(), other.iter());
    while let (Some(one), Some(other)) = (one.next(), other.next()) {
        meter::charge(1)?;
        if !equal(one, other)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn equal_maps(one: &dyn Val, other: &dyn Val) -> Result<bool, ExecutionError> {
    if size(one) != size(other) {
        return Ok(false);
    }
    let (Some(keys), Some(one)) = (one.as_iterable(), one.as_indexer()) else { return Ok(false) };
    let Some(other) = other.as_indexer() else { return Ok(false) };
    let mut keys = keys.iter();
    while let Some(key) = keys.next() {
        meter::charge(1)?;
        let (one, other) = (one.get(key)?, other.get(key));
        if !other.is_ok_and(|other| equal(one.as_ref(), other.as_ref()).unwrap_or(false)) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The number of elements, or of entries.
pub(super) fn size(value: &dyn Val) -> usize {
    value.as_sizer().map_or(0, |sizer| usize::try_from(*sizer.size().inner()).unwrap_or(0))
}
