//! The rows of the index of places that answer a question.

use crate::audit::touched::{Touch, around, cut};

/// The rows that say that something at `path` or below it was touched: paths and kinds.
pub(super) fn places(path: &str, touches: [Touch; 2]) -> impl Iterator<Item = (&str, i64)> {
    let path = cut(path);
    let here = touches.map(|touch| [(path, touch.kind(false)), (path, touch.kind(true))]);
    let whole = touches.map(|touch| touch.kind(true));
    let around = around(path).flat_map(move |around| whole.map(|kind| (around, kind)));
    here.into_iter().flatten().chain(around)
}
