//! The rows of the index of places that answer a question.

use crate::audit::question::Filter;
use crate::audit::touched::{Touch, around, cut};

/// The place that a filter asks for first, and how it must have been touched.
pub(super) fn place_of(filter: &Filter) -> Option<(&str, [Touch; 2])> {
    let changed = filter.path.as_deref().map(|path| (path, Touch::CHANGED));
    changed.or_else(|| Some((filter.asked_path.as_deref()?, Touch::ASKED)))
}

/// The rows that say that something at `path` or below it was touched: paths and kinds.
pub(super) fn places(path: &str, touches: [Touch; 2]) -> impl Iterator<Item = (&str, i64)> {
    let path = cut(path);
    let here = touches.map(|touch| [(path, touch.kind(false)), (path, touch.kind(true))]);
    let whole = touches.map(|touch| touch.kind(true));
    let around = around(path).flat_map(move |around| whole.map(|kind| (around, kind)));
    here.into_iter().flatten().chain(around)
}
