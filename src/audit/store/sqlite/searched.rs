//! Bounds on what one question looks through: a page ends where enough was searched, and tells
//! where to go on.

use sqlx::{QueryBuilder, Sqlite, SqliteConnection};

use super::filter::{Sought, push_filter};
use crate::audit::question::Filter;
use crate::audit::store::page::{NAMED_MAX, SEARCHED_MAX};
use crate::audit::store::places::{place_of, places};

/// Where the search for a page ends: the lowest place, unless all is searched.
pub(super) async fn bottom(
    connection: &mut SqliteConnection,
    sought: &Sought,
    before: i64,
) -> Result<Option<i64>, sqlx::Error> {
    let indexed =
        Filter { q: None, path: None, asked_path: None, rule: None, ..sought.filter.clone() };
    let indexed = sought.within(indexed);
    let mut query = QueryBuilder::new(
        "SELECT c.seq FROM changes c LEFT JOIN ends e ON e.seq = c.seq WHERE c.seq < ",
    );
    query.push_bind(before);
    push_filter(&mut query, &indexed);
    query.push(" ORDER BY c.seq DESC LIMIT 1 OFFSET ").push_bind(SEARCHED_MAX - 1);
    query.build_query_scalar().fetch_optional(connection).await
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
    pub(super) async fn next(
        &mut self,
        connection: &mut SqliteConnection,
    ) -> Result<Vec<i64>, sqlx::Error> {
        let mut query = self.query();
        let named: Vec<i64> = query.build_query_scalar().fetch_all(connection).await?;
        let count = i64::try_from(named.len()).unwrap_or(i64::MAX);
        self.count += count;
        self.before = if count < self.part { 0 } else { named.last().copied().unwrap_or(0) };
        self.part = NAMED_MAX;
        Ok(named)
    }

    /// Each range of an index is walked back from its newest entry; together they give no more than
    /// one part.
    fn query(&self) -> QueryBuilder<Sqlite> {
        let mut query = QueryBuilder::new("SELECT DISTINCT seq FROM (");
        if let Some((path, touches)) = place_of(self.filter) {
            let mut union = "";
            for (path, kind) in places(path, touches) {
                query.push(union);
                union = " UNION ALL ";
                self.push_touched(&mut query, path, kind);
            }
        } else {
            query.push("SELECT seq FROM broken WHERE rule = ");
            query.push_bind(self.filter.rule.clone().unwrap_or_default());
            self.push_part(&mut query);
        }
        query.push(") ORDER BY seq DESC LIMIT ").push_bind(self.part);
        query
    }

    fn push_touched(&self, query: &mut QueryBuilder<Sqlite>, path: &str, kind: i64) {
        query.push("SELECT * FROM (SELECT seq FROM touched WHERE place = ");
        query.push("(SELECT number FROM places WHERE path = ").push_bind(path.to_owned());
        query.push(") AND kind = ").push_bind(kind);
        self.push_part(query);
        query.push(")");
    }

    fn push_part(&self, query: &mut QueryBuilder<Sqlite>) {
        query.push(" AND seq < ").push_bind(self.before);
        query.push(" ORDER BY seq DESC LIMIT ").push_bind(self.part);
    }
}
