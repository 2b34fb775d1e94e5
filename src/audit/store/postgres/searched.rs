//! Bounds on what one question looks through: a page ends where enough was searched, and tells
//! where to go on.

use super::asking::Asking;
use super::filter::Sought;
use super::literal::text;
use crate::audit::question::Filter;
use crate::audit::store::Boxed;
use crate::audit::store::page::{NAMED_MAX, SEARCHED_MAX};
use crate::audit::store::places::{place_of, places};
use crate::audit::store::rows::cell;

/// Where the search for a page ends: the lowest place, unless all is searched.
pub(super) async fn bottom(
    asking: &mut Asking,
    sought: &Sought,
    before: i64,
) -> Result<Option<i64>, Boxed> {
    let indexed =
        Filter { q: None, path: None, asked_path: None, rule: None, ..sought.filter.clone() };
    let conditions = sought.within(indexed).conditions();
    let lowest = format!(
        "SELECT c.seq FROM changes c LEFT JOIN ends e ON e.seq = c.seq \
         WHERE c.seq < {before}{conditions} ORDER BY c.seq DESC LIMIT 1 OFFSET {}",
        SEARCHED_MAX - 1
    );
    asking.row(&lowest).await?.as_ref().map(|row| cell(row, "seq")).transpose()
}

/// The changes that the indexes of paths and rules name, part by part, the newest first.
pub(super) struct IndexedChanges<'f> {
    filter: &'f Filter,
    /// Everything from here on was named.
    before: i64,
    /// How many the next part names at most: first as many as a page shows.
    part: i64,
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

    /// The next changes; nothing where there are no more.
    pub(super) async fn next(&mut self, asking: &mut Asking) -> Result<Vec<i64>, Boxed> {
        let found = asking.rows(&self.query()).await?;
        let named: Result<Vec<i64>, Boxed> = found.iter().map(|row| cell(row, "seq")).collect();
        let named = named?;
        let count = i64::try_from(named.len()).unwrap_or(i64::MAX);
        self.count += count;
        self.before = if count < self.part { 0 } else { named.last().copied().unwrap_or(0) };
        self.part = NAMED_MAX;
        Ok(named)
    }

    /// Each range of an index is walked back from its newest entry; together they give no more than
    /// one part.
    fn query(&self) -> String {
        let Self { before, part, .. } = self;
        let end = format!("AND seq < {before} ORDER BY seq DESC LIMIT {part}");
        let ranges: Vec<String> = if let Some((path, touches)) = place_of(self.filter) {
            let range = |(path, kind): (&str, i64)| {
                let path = text(Some(path));
                format!(
                    "(SELECT seq FROM touched WHERE place = \
                     (SELECT number FROM places WHERE path = {path}) AND kind = {kind} {end})"
                )
            };
            places(path, touches).map(range).collect()
        } else {
            let rule = text(self.filter.rule.as_deref());
            vec![format!("(SELECT seq FROM broken WHERE rule = {rule} {end})")]
        };
        let ranges = ranges.join(" UNION ALL ");
        format!("SELECT DISTINCT seq FROM ({ranges}) named ORDER BY seq DESC LIMIT {part}")
    }
}
