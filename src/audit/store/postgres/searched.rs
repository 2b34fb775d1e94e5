//! Changes that indexes name: which way to them is the shortest, and the next part of it.

use super::asking::Asking;
use super::filter::Sought;
use super::literal::{bytes, text};
use crate::audit::question::Filter;
use crate::audit::store::Boxed;
use crate::audit::store::indexed::{
    IndexRange, IndexedChanges, PROBED, Span, Way, stretches, ways,
};
use crate::audit::store::rows::{cell, maybe, word_of};
use crate::base::clock::Timestamp;

/// The changes that fit what is sought are among those, and what is still to be asked of each.
pub(super) async fn indexed<'s>(
    asking: &mut Asking,
    sought: &'s Sought,
    before: i64,
    limit: u16,
) -> Result<(IndexedChanges<'s>, Sought), Boxed> {
    let span = span(asking, &sought.filter).await?;
    let ways = ways(&sought.filter, sought.deployments.as_deref());
    let Way { ranges, rest } = shortest(asking, ways, stretches(span, before)).await?;
    Ok((IndexedChanges::of(ranges, span, before, limit), sought.with(rest)))
}

/// Where changes lie of the time that is asked for; `None` where none is.
async fn span(asking: &mut Asking, filter: &Filter) -> Result<Option<Span>, Boxed> {
    if filter.since.is_none() && filter.until.is_none() {
        return Ok(None);
    }
    let since = filter.since.map_or(i64::MIN, Timestamp::millis);
    let until = filter.until.map_or(i64::MAX, Timestamp::millis);
    let blocks = format!(
        "SELECT (SELECT coalesce(max(seq), 0) FROM counted) AS known, \
         min(block) AS first, max(block) AS last FROM spans \
         WHERE last_at >= {since} AND first_at < {until}"
    );
    let found = asking.row(&blocks).await?.ok_or("an aggregate has no row")?;
    let (first, last): (Option<i64>, Option<i64>) =
        (maybe(&found, "first")?, maybe(&found, "last")?);
    Ok(Some(Span { known: cell(&found, "known")?, blocks: first.zip(last) }))
}

/// The way on which the newest part begins at the lowest place: it names the fewest.
async fn shortest<'f>(
    asking: &mut Asking,
    ways: Vec<Way<'f>>,
    stretches: Vec<(i64, i64)>,
) -> Result<Way<'f>, Boxed> {
    let all = (
        stretches.first().map_or(0, |(from, _before)| *from),
        stretches.last().map_or(0, |(_from, before)| *before),
    );
    let mut found: Option<(i64, Way<'f>)> = None;
    let is_alone = ways.len() == 1;
    for way in ways {
        let place = if is_alone {
            0
        } else {
            let named = named(&way.ranges, all, PROBED);
            let probe = format!(
                "SELECT seq FROM ({named}) named ORDER BY seq DESC LIMIT 1 OFFSET {}",
                PROBED - 1
            );
            let row = asking.row(&probe).await?;
            row.as_ref().map(|row| cell(row, "seq")).transpose()?.unwrap_or(-1)
        };
        if found.as_ref().is_none_or(|(lowest, _way)| place < *lowest) {
            found = Some((place, way));
        }
    }
    Ok(found.map(|(_place, way)| way).ok_or("there is always a way")?)
}

/// The next changes that an index names; nothing where its stretch has no more.
pub(super) async fn next_of(
    indexed: &mut IndexedChanges<'_>,
    asking: &mut Asking,
) -> Result<Vec<i64>, Boxed> {
    let Some(stretch) = indexed.stretch() else { return Ok(Vec::new()) };
    let query = format!(
        "SELECT DISTINCT seq FROM ({}) named ORDER BY seq DESC LIMIT {}",
        named(&indexed.ranges, stretch, indexed.part),
        indexed.part
    );
    let found = asking.rows(&query).await?;
    let named: Vec<i64> = found.iter().map(|row| cell(row, "seq")).collect::<Result<_, Boxed>>()?;
    indexed.heed(&named);
    Ok(named)
}

/// What ranges of an index name. Each is walked back from its newest entry; none gives more than a
/// part.
pub(super) fn named(ranges: &[IndexRange<'_>], stretch: (i64, i64), part: i64) -> String {
    let named = ranges.iter().map(|range| {
        let range = of_range(*range, stretch);
        format!("(SELECT seq FROM {range} seq DESC LIMIT {part})")
    });
    let named: Vec<String> = named.collect();
    if named.is_empty() {
        return "SELECT 0 AS seq WHERE false".to_owned();
    }
    named.join(" UNION ALL ")
}

/// The table of a range, its conditions, and the begin of its order.
///
/// What its entries have in common is a part of the order: the server would else take the index of
/// all places for as good, where it thinks that many have it, and look through those that have not.
fn of_range(range: IndexRange<'_>, (from, before): (i64, i64)) -> String {
    let apart =
        |condition: &str| format!("{condition} AND seq >= {from} AND seq < {before} ORDER BY");
    let (table, column, value, index) = match range {
        IndexRange::All => return apart("changes WHERE true"),
        IndexRange::Pending => return apart("pending WHERE true"),
        IndexRange::Rule(rule) => {
            return apart(&format!("broken WHERE rule = {}", text(Some(rule))));
        }
        IndexRange::Place(path, kind) => {
            let path = text(Some(path));
            let number = format!("(SELECT number FROM places WHERE path = {path})");
            return apart(&format!("touched WHERE place = {number} AND kind = {kind}"));
        }
        IndexRange::Deployment(number) => ("changes", "deployment", number.to_string(), ""),
        IndexRange::Token(token) => ("changes", "actor_fingerprint", bytes(token.as_bytes()), ""),
        IndexRange::ActorName(name) => {
            ("changes", "actor_name", text(Some(name)), "actor_name IS NOT NULL AND ")
        }
        IndexRange::Team(team) => {
            ("changes", "actor_team", text(Some(team)), "actor_team IS NOT NULL AND ")
        }
        IndexRange::Request(id) => ("changes", "request_id", text(Some(id)), ""),
        IndexRange::Outcome(outcome) => {
            ("ends", "outcome", text(Some(outcome.name())), "outcome <> 'applied' AND ")
        }
        IndexRange::Decision(decision) => {
            ("changes", "decision", text(Some(decision.name())), "decision <> 'allow' AND ")
        }
        IndexRange::Operation(operation) => {
            ("changes", "operation", text(Some(operation.name())), "operation <> 'update' AND ")
        }
        IndexRange::Effect(effect) => {
            ("ends", "effect", text(Some(&word_of(&effect))), "effect <> 'exact' AND ")
        }
    };
    format!(
        "{table} WHERE {index}({column}, seq) >= ({value}, {from}) \
         AND ({column}, seq) < ({value}, {before}) ORDER BY {column} DESC,"
    )
}
