//! Changes that an index names, for a page: how far it was gone through.

use super::page::{NAMED_MAX, SEARCHED_MAX};
use crate::audit::question::Filter;

/// The changes that the indexes of paths and rules name, part by part, the newest first.
pub(super) struct IndexedChanges<'f> {
    pub(super) filter: &'f Filter,
    /// Everything from here on was named.
    pub(super) before: i64,
    /// How many the next part names at most: first as many as a page shows.
    pub(super) part: i64,
    /// How many there were so far.
    count: i64,
}

impl<'f> IndexedChanges<'f> {
    /// `None` where no path and no rule is asked for.
    pub(super) fn by(filter: &'f Filter, before: i64, limit: u16) -> Option<Self> {
        let Filter { path, asked_path, rule, .. } = filter;
        let is_asked = path.is_some() || asked_path.is_some() || rule.is_some();
        let part = i64::from(limit) + 1;
        is_asked.then_some(Self { filter, before, part: part.min(NAMED_MAX), count: 0 })
    }

    /// The place before which the search goes on; `None` where it has come to the end.
    pub(super) fn goes_on_before(&self) -> Option<i64> {
        (self.before > 0).then_some(self.before)
    }

    /// Whether no more may be looked at for this page.
    pub(super) fn is_spent(&self) -> bool {
        self.count >= SEARCHED_MAX
    }

    /// Takes note of the changes that the next part has named; nothing where there are no more.
    pub(super) fn heed(&mut self, named: &[i64]) {
        let count = i64::try_from(named.len()).unwrap_or(i64::MAX);
        self.count += count;
        self.before = if count < self.part { 0 } else { named.last().copied().unwrap_or(0) };
        self.part = NAMED_MAX;
    }
}
