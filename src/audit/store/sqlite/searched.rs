//! Bounds on what one question looks through: a page ends where enough was searched, and tells
//! where to go on.

use sqlx::{QueryBuilder, Sqlite, SqliteConnection};

use super::filter::{Sought, push_filter};
use crate::audit::question::Filter;
use crate::audit::store::indexed::IndexedChanges;
use crate::audit::store::page::SEARCHED_MAX;
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

/// The next changes that an index names; nothing where there are no more.
pub(super) async fn next_of(
    indexed: &mut IndexedChanges<'_>,
    connection: &mut SqliteConnection,
) -> Result<Vec<i64>, sqlx::Error> {
    let mut query = query(indexed);
    let named: Vec<i64> = query.build_query_scalar().fetch_all(connection).await?;
    indexed.heed(&named);
    Ok(named)
}

/// Each range of an index is walked back from its newest entry; together they give no more than
/// one part.
fn query(indexed: &IndexedChanges<'_>) -> QueryBuilder<Sqlite> {
    let mut query = QueryBuilder::new("SELECT DISTINCT seq FROM (");
    if let Some((path, touches)) = place_of(indexed.filter) {
        let mut union = "";
        for (path, kind) in places(path, touches) {
            query.push(union);
            union = " UNION ALL ";
            push_touched(indexed, &mut query, path, kind);
        }
    } else {
        query.push("SELECT seq FROM broken WHERE rule = ");
        query.push_bind(indexed.filter.rule.clone().unwrap_or_default());
        push_part(indexed, &mut query);
    }
    query.push(") ORDER BY seq DESC LIMIT ").push_bind(indexed.part);
    query
}

fn push_touched(
    indexed: &IndexedChanges<'_>,
    query: &mut QueryBuilder<Sqlite>,
    path: &str,
    kind: i64,
) {
    query.push("SELECT * FROM (SELECT seq FROM touched WHERE place = ");
    query.push("(SELECT number FROM places WHERE path = ").push_bind(path.to_owned());
    query.push(") AND kind = ").push_bind(kind);
    push_part(indexed, query);
    query.push(")");
}

fn push_part(indexed: &IndexedChanges<'_>, query: &mut QueryBuilder<Sqlite>) {
    query.push(" AND seq < ").push_bind(indexed.before);
    query.push(" ORDER BY seq DESC LIMIT ").push_bind(indexed.part);
}
