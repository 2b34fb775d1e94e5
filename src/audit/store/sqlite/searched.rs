//! Changes that indexes name: which way to them is the shortest, and the next part of it.

use sqlx::{AssertSqlSafe, QueryBuilder, Sqlite, SqliteConnection};

use super::filter::Sought;
use crate::audit::question::Filter;
use crate::audit::store::Boxed;
use crate::audit::store::indexed::{
    IndexRange, IndexedChanges, PROBED, Span, Way, across, fewest, stretches, ways,
};
use crate::audit::store::rows::word_of;

/// The changes that fit what is sought are among those, and what is still to be asked of each.
pub(super) async fn indexed<'s>(
    connection: &mut SqliteConnection,
    sought: &'s Sought,
    before: i64,
    limit: u16,
) -> Result<(IndexedChanges<'s>, Sought), Boxed> {
    let span = span(connection, &sought.filter).await?;
    let ways = ways(&sought.filter, sought.deployments.as_deref());
    let Way { ranges, rest } = shortest(connection, ways, across(&stretches(span, before))).await?;
    Ok((IndexedChanges::of(ranges, span, before, limit), sought.with(rest)))
}

/// Where changes lie of the time that is asked for; `None` where none is.
async fn span(connection: &mut SqliteConnection, filter: &Filter) -> Result<Option<Span>, Boxed> {
    let Some(question) = Span::question(filter) else { return Ok(None) };
    let row = sqlx::query(AssertSqlSafe(question)).fetch_one(connection).await?;
    Span::of(&row).map(Some)
}

/// The way that names the fewest.
async fn shortest<'f>(
    connection: &mut SqliteConnection,
    ways: Vec<Way<'f>>,
    stretch: (i64, i64),
) -> Result<Way<'f>, Boxed> {
    let (is_alone, mut probed) = (ways.len() == 1, Vec::with_capacity(ways.len()));
    for way in ways {
        let lowest =
            if is_alone { 0 } else { probe(&mut *connection, &way.ranges, stretch).await? };
        probed.push((lowest, way));
    }
    fewest(probed)
}

/// The lowest of the newest places that ranges name; below all where they name fewer.
async fn probe(
    connection: &mut SqliteConnection,
    ranges: &[IndexRange<'_>],
    stretch: (i64, i64),
) -> Result<i64, sqlx::Error> {
    let mut query = QueryBuilder::new("SELECT coalesce((SELECT seq FROM (");
    push_ranges(&mut query, ranges, stretch, PROBED);
    query.push(") ORDER BY seq DESC LIMIT 1 OFFSET ").push_bind(PROBED - 1).push("), -1)");
    query.build_query_scalar().fetch_one(connection).await
}

/// The next changes that an index names; nothing where its stretch has no more.
pub(super) async fn next_of(
    indexed: &mut IndexedChanges<'_>,
    connection: &mut SqliteConnection,
) -> Result<Vec<i64>, sqlx::Error> {
    let Some(stretch) = indexed.stretch() else { return Ok(Vec::new()) };
    let mut query = QueryBuilder::new("SELECT DISTINCT seq FROM (");
    push_ranges(&mut query, &indexed.ranges, stretch, indexed.part);
    query.push(") ORDER BY seq DESC LIMIT ").push_bind(indexed.part);
    let named: Vec<i64> = query.build_query_scalar().fetch_all(connection).await?;
    indexed.heed(&named);
    Ok(named)
}

/// Adds what ranges of an index name. Each is walked back from its newest entry; none gives more
/// than a part.
pub(super) fn push_ranges(
    query: &mut QueryBuilder<Sqlite>,
    ranges: &[IndexRange<'_>],
    (from, before): (i64, i64),
    part: i64,
) {
    if ranges.is_empty() {
        query.push("SELECT 0 AS seq WHERE 0");
    }
    let mut union = "";
    for range in ranges {
        query.push(union).push("SELECT * FROM (SELECT seq FROM ");
        union = " UNION ALL ";
        push_range(query, *range);
        query.push(" AND seq >= ").push_bind(from).push(" AND seq < ").push_bind(before);
        query.push(" ORDER BY seq DESC LIMIT ").push_bind(part).push(")");
    }
}

/// Adds the table of a range, and what its entries have in common. Partial indexes are found by
/// their own words.
fn push_range(query: &mut QueryBuilder<Sqlite>, range: IndexRange<'_>) {
    let (common, value) = match range {
        IndexRange::All => {
            query.push("changes WHERE 1");
            return;
        }
        IndexRange::Pending => {
            query.push("pending WHERE 1");
            return;
        }
        IndexRange::Place(path, kind) => {
            query.push("touched WHERE place = (SELECT number FROM places WHERE path = ");
            query.push_bind(path.to_owned()).push(") AND kind = ").push_bind(kind);
            return;
        }
        IndexRange::Deployment(number) => {
            query.push("changes WHERE deployment = ").push_bind(number);
            return;
        }
        IndexRange::Token(token) => {
            query.push("changes WHERE actor_fingerprint = ").push_bind(token.as_bytes().to_vec());
            return;
        }
        IndexRange::Rule(rule) => ("broken WHERE rule = ", rule.to_owned()),
        IndexRange::ActorName(name) => ("changes WHERE actor_name = ", name.to_owned()),
        IndexRange::Team(team) => ("changes WHERE actor_team = ", team.to_owned()),
        IndexRange::Request(id) => ("changes WHERE request_id = ", id.to_owned()),
        IndexRange::Outcome(outcome) => {
            ("ends WHERE outcome <> 'applied' AND outcome = ", outcome.name().to_owned())
        }
        IndexRange::Decision(decision) => {
            ("changes WHERE decision <> 'allow' AND decision = ", decision.name().to_owned())
        }
        IndexRange::Operation(operation) => {
            ("changes WHERE operation <> 'update' AND operation = ", operation.name().to_owned())
        }
        IndexRange::Effect(effect) => {
            ("ends WHERE effect <> 'exact' AND effect = ", word_of(&effect))
        }
    };
    query.push(common).push_bind(value);
}
