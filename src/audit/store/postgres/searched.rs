//! Changes that indexes name: which way to them is the shortest, and the next part of it.

use super::asking::Asking;
use super::filter::Sought;
use super::literal::{bytes, text};
use crate::audit::question::Filter;
use crate::audit::store::Boxed;
use crate::audit::store::indexed::{
    IndexRange, IndexedChanges, PROBED, Span, Way, across, fewest, stretches, ways,
};
use crate::audit::store::rows::{cell, word_of};

/// The changes that fit what is sought are among those, and what is still to be asked of each.
pub(super) async fn indexed<'s>(
    asking: &mut Asking,
    sought: &'s Sought,
    before: i64,
    limit: u16,
) -> Result<(IndexedChanges<'s>, Sought), Boxed> {
    let span = span(asking, &sought.filter).await?;
    let ways = ways(&sought.filter, sought.deployments.as_deref());
    let Way { ranges, rest } = shortest(asking, ways, across(&stretches(span, before))).await?;
    Ok((IndexedChanges::of(ranges, span, before, limit), sought.with(rest)))
}

/// Where changes lie of the time that is asked for; `None` where none is.
async fn span(asking: &mut Asking, filter: &Filter) -> Result<Option<Span>, Boxed> {
    let Some(question) = Span::question(filter) else { return Ok(None) };
    let row = asking.row(&question).await?.ok_or("an aggregate has no row")?;
    Span::of(&row).map(Some)
}

/// The way that names the fewest.
async fn shortest<'f>(
    asking: &mut Asking,
    ways: Vec<Way<'f>>,
    stretch: (i64, i64),
) -> Result<Way<'f>, Boxed> {
    let (is_alone, mut probed) = (ways.len() == 1, Vec::with_capacity(ways.len()));
    for way in ways {
        let lowest = if is_alone { 0 } else { probe(asking, &way.ranges, stretch).await? };
        probed.push((lowest, way));
    }
    fewest(probed)
}

/// The lowest of the newest places that ranges name; below all where they name fewer.
async fn probe(
    asking: &mut Asking,
    ranges: &[IndexRange<'_>],
    stretch: (i64, i64),
) -> Result<i64, Boxed> {
    let probe = format!(
        "SELECT seq FROM ({}) named ORDER BY seq DESC LIMIT 1 OFFSET {}",
        named(ranges, stretch, PROBED),
        PROBED - 1
    );
    let row = asking.row(&probe).await?;
    Ok(row.as_ref().map(|row| cell(row, "seq")).transpose()?.unwrap_or(-1))
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
