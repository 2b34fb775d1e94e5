//! Charges: functions that give back what they are given, and take its price.

use cel::ExecutionError;
use cel::common::types::{CelBytes, CelInt, CelList, CelMap, CelOptional, CelString};
use cel::common::value::{CowVal, Val};

use super::super::given::{Given, exactly, first, mismatch};
use super::super::{equal, meter};

/// Takes the price of walking over `args[0]`, `args[1]` steps for each element, and of the copies
/// that are made of them.
pub(super) fn range<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Given<'b, 'v> {
    let [range, weight] = exactly(&args)?;
    let weight = weight.downcast_ref::<CelInt>().map_or(1, |weight| *weight.inner());
    let weight = usize::try_from(weight).unwrap_or(usize::MAX);
    meter::visit(1 + equal::size(range.as_ref()).saturating_mul(weight))?;
    price(range.as_ref())?;
    first(args)
}

/// Takes the price of a copy.
pub(super) fn copy<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Given<'b, 'v> {
    let value = first(args)?;
    meter::charge(1)?;
    price(value.as_ref())?;
    Ok(value)
}

/// Takes the price of reading a text; other values are looked at in no time.
pub(super) fn read<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Given<'b, 'v> {
    let value = first(args)?;
    meter::read(bytes(value.as_ref()))?;
    Ok(value)
}

/// Takes the price of making a text as long as this one.
pub(super) fn make<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Given<'b, 'v> {
    let value = first(args)?;
    meter::make(bytes(value.as_ref()))?;
    Ok(value)
}

/// `a + b`, whose price is the length of the sum.
pub(super) fn add<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Given<'b, 'v> {
    let [one, other] = exactly(&args)?;
    let elements = equal::size(one.as_ref()).saturating_add(equal::size(other.as_ref()));
    let length = bytes(one.as_ref()).saturating_add(bytes(other.as_ref()));
    if one.as_iterable().is_some() {
        meter::make(elements.saturating_add(64))?;
        price(one.as_ref())?;
        price(other.as_ref())?;
    } else if length > 0 {
        meter::make(length)?;
    }
    let adder = one.as_adder().ok_or_else(|| mismatch("_+_"))?;
    adder.add(other.as_ref()).map(|sum| CowVal::Owned(sum.into_owned()))
}

/// Takes the price of copying what a rule has made: documents are shared, not copied.
fn price(value: &dyn Val) -> Result<(), ExecutionError> {
    if let Some(list) = value.downcast_ref::<CelList>() {
        meter::visit(list.inner().len())?;
        return list.inner().iter().try_for_each(|element| price(element.as_ref()));
    }
    if let Some(map) = value.downcast_ref::<CelMap>() {
        meter::visit(map.inner().len())?;
        return map.inner().iter().try_for_each(|(key, value)| {
            price(key.inner())?;
            price(value.as_ref())
        });
    }
    if let Some(optional) = value.downcast_ref::<CelOptional>() {
        return optional.inner().map_or(Ok(()), price);
    }
    let is_borrowed =
        value.downcast_ref::<CelString>().is_none_or(|text| text.as_borrowed().is_some());
    match bytes(value) {
        0..=64 => Ok(()),
        _ if is_borrowed => Ok(()),
        bytes => meter::make(bytes),
    }
}

/// The bytes of a text; of everything else, none.
pub(super) fn bytes(value: &dyn Val) -> usize {
    if let Some(text) = value.downcast_ref::<CelString>() {
        return text.inner().len();
    }
    value.downcast_ref::<CelBytes>().map_or(0, |bytes| bytes.inner().len())
}
