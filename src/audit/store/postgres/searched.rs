//! Bounds on what one question looks through: a page ends where enough was searched, and tells
//! where to go on.

use super::asking::Asking;
use super::filter::Sought;
use super::literal::text;
use crate::audit::question::Filter;
use crate::audit::store::Boxed;
use crate::audit::store::indexed::IndexedChanges;
use crate::audit::store::page::SEARCHED_MAX;
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

/// The next changes that an index names; nothing where there are no more.
pub(super) async fn next_of(
    indexed: &mut IndexedChanges<'_>,
    asking: &mut Asking,
) -> Result<Vec<i64>, Boxed> {
    let found = asking.rows(&query(indexed)).await?;
    let named: Result<Vec<i64>, Boxed> = found.iter().map(|row| cell(row, "seq")).collect();
    let named = named?;
    indexed.heed(&named);
    Ok(named)
}

/// Each range of an index is walked back from its newest entry; together they give no more than
/// one part.
fn query(indexed: &IndexedChanges<'_>) -> String {
    let IndexedChanges { before, part, filter, .. } = indexed;
    let end = format!("AND seq < {before} ORDER BY seq DESC LIMIT {part}");
    let ranges: Vec<String> = if let Some((path, touches)) = place_of(filter) {
        let range = |(path, kind): (&str, i64)| {
            let path = text(Some(path));
            format!(
                "(SELECT seq FROM touched WHERE place = \
                 (SELECT number FROM places WHERE path = {path}) AND kind = {kind} {end})"
            )
        };
        places(path, touches).map(range).collect()
    } else {
        let rule = text(filter.rule.as_deref());
        vec![format!("(SELECT seq FROM broken WHERE rule = {rule} {end})")]
    };
    let ranges = ranges.join(" UNION ALL ");
    format!("SELECT DISTINCT seq FROM ({ranges}) named ORDER BY seq DESC LIMIT {part}")
}
