//! Changes that an index names, for a page: which index, and how far it was gone through.

use super::Boxed;
use super::page::{NAMED_MAX, SEARCHED_MAX};
use super::places::places;
use super::rows::{Row, cell, maybe};
use crate::audit::question::{ActorFilter, Filter};
use crate::audit::record::Outcome;
use crate::audit::touched::Touch;
use crate::base::clock::Timestamp;
use crate::base::ids::Fingerprint;
use crate::deployment::diff::Effect;
use crate::policy::Decision;
use crate::provider::Operation;

/// The most stretches of an index that are gone through side by side.
const RANGES_MAX: usize = 64;

/// The number of changes of each way that are looked at to find the one with the fewest.
pub(super) const PROBED: i64 = 1_000;

/// A stretch of an index, whose changes lie there in their order. What nearly all changes have in
/// common is in no index.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum IndexRange<'f> {
    All,
    /// A path, and a kind of touching it.
    Place(&'f str, i64),
    Rule(&'f str),
    /// A deployment's number.
    Deployment(i64),
    Token(Fingerprint),
    ActorName(&'f str),
    Team(&'f str),
    Request(&'f str),
    Pending,
    /// Any but `applied`.
    Outcome(Outcome),
    /// Any but `allow`.
    Decision(Decision),
    /// Any but `update`.
    Operation(Operation),
    /// Any but `exact`.
    Effect(Effect),
}

/// A way to the changes that a filter finds: among those of these ranges are all of them.
#[derive(Clone, Debug)]
pub(super) struct Way<'f> {
    pub(super) ranges: Vec<IndexRange<'f>>,
    /// The filter that is still to be asked of each.
    pub(super) rest: Filter,
}

/// Every way to the changes of a filter that asks for deployments by these numbers.
pub(super) fn ways<'f>(filter: &'f Filter, deployments: Option<&[i64]>) -> Vec<Way<'f>> {
    let mut found = Vec::new();
    let mut add = |ranges: Vec<IndexRange<'f>>, rest: &Filter| {
        if ranges.len() <= RANGES_MAX {
            found.push(Way { ranges, rest: rest.clone() });
        }
    };
    if let Some(id) = &filter.request_id {
        add(vec![IndexRange::Request(id)], filter);
    }
    if let Some(numbers) = deployments {
        add(numbers.iter().copied().map(IndexRange::Deployment).collect(), filter);
    }
    let places = |path, touches| {
        let found = places(path, touches);
        found.map(|(path, kind)| IndexRange::Place(path, kind)).collect()
    };
    if let Some(path) = &filter.path {
        add(places(path, Touch::CHANGED), &Filter { path: None, ..filter.clone() });
    }
    if let Some(path) = &filter.asked_path {
        add(places(path, Touch::ASKED), &Filter { asked_path: None, ..filter.clone() });
    }
    if let Some(rule) = &filter.rule {
        add(vec![IndexRange::Rule(rule)], &Filter { rule: None, ..filter.clone() });
    }
    if let Some(actor) = &filter.actor {
        add(acted(actor), filter);
    }
    if let Some(team) = &filter.team {
        add(vec![IndexRange::Team(team)], filter);
    }
    for rare in rare(filter) {
        add(vec![rare], filter);
    }
    if found.is_empty() {
        found.push(Way { ranges: vec![IndexRange::All], rest: filter.clone() });
    }
    found
}

fn acted(actor: &ActorFilter) -> Vec<IndexRange<'_>> {
    match actor {
        ActorFilter::Fingerprint(token) => vec![IndexRange::Token(*token)],
        ActorFilter::Name(name) => vec![IndexRange::ActorName(name)],
        ActorFilter::Holder { name, tokens } => {
            let tokens = tokens.iter().copied().map(IndexRange::Token);
            tokens.chain([IndexRange::ActorName(name)]).collect()
        }
    }
}

/// What a filter asks for that few changes have.
fn rare(filter: &Filter) -> impl Iterator<Item = IndexRange<'_>> {
    let outcome = filter.outcome.and_then(|outcome| match outcome {
        Outcome::Applied => None,
        Outcome::Pending => Some(IndexRange::Pending),
        rare => Some(IndexRange::Outcome(rare)),
    });
    let decision = filter.decision.filter(|decision| *decision != Decision::Allow);
    let operation = filter.operation.filter(|operation| *operation != Operation::Update);
    let effect = filter.effect.filter(|effect| *effect != Effect::Exact);
    [
        outcome,
        decision.map(IndexRange::Decision),
        operation.map(IndexRange::Operation),
        effect.map(IndexRange::Effect),
    ]
    .into_iter()
    .flatten()
}

/// Where changes lie that were received in some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    /// The place up to which that is known; any change behind it may be one.
    pub(super) known: i64,
    /// The first and the last block of those up to there that may have one.
    pub(super) blocks: Option<(i64, i64)>,
}

impl Span {
    /// The question for the time that a filter asks for; `None` where it asks for none.
    pub(super) fn question(filter: &Filter) -> Option<String> {
        filter.since.or(filter.until)?;
        let since = filter.since.map_or(i64::MIN, Timestamp::millis);
        let until = filter.until.map_or(i64::MAX, Timestamp::millis);
        Some(format!(
            "SELECT (SELECT coalesce(max(seq), 0) FROM counted) AS known, \
             min(block) AS first, max(block) AS last FROM spans \
             WHERE last_at >= {since} AND first_at < {until}"
        ))
    }

    /// The answer, from its row.
    pub(super) fn of(row: &impl Row) -> Result<Self, Boxed> {
        let (first, last): (Option<i64>, Option<i64>) = (maybe(row, "first")?, maybe(row, "last")?);
        Ok(Self { known: cell(row, "known")?, blocks: first.zip(last) })
    }
}

/// How many places make a block, as a power of two.
pub(in crate::audit) const BLOCK_BITS: i64 = 10;

/// The changes that a way names, part by part, the newest first.
#[derive(Debug)]
pub(super) struct IndexedChanges<'f> {
    pub(super) ranges: Vec<IndexRange<'f>>,
    /// The stretches of places that were not gone through yet, the newest last: each from one place
    /// up to before another.
    left: Vec<(i64, i64)>,
    /// How many the next part names at most: first as many as a page shows.
    pub(super) part: i64,
    /// How many there were so far.
    count: i64,
}

impl<'f> IndexedChanges<'f> {
    /// Those before a place, of some time where one is asked for.
    pub(super) fn of(
        ranges: Vec<IndexRange<'f>>,
        span: Option<Span>,
        before: i64,
        limit: u16,
    ) -> Self {
        let part = (i64::from(limit) + 1).min(NAMED_MAX);
        Self { ranges, left: stretches(span, before), part, count: 0 }
    }

    /// The stretch that the next part is of; `None` at the end.
    pub(super) fn stretch(&self) -> Option<(i64, i64)> {
        self.left.last().copied()
    }

    /// Whether no more may be looked at for this page.
    pub(super) fn is_spent(&self) -> bool {
        self.count >= SEARCHED_MAX
    }

    /// Takes note of the changes that the next part has named; fewer than asked for where its
    /// stretch has no more.
    pub(super) fn heed(&mut self, named: &[i64]) {
        let count = i64::try_from(named.len()).unwrap_or(i64::MAX);
        self.count += count;
        let last = self.left.pop();
        if let (Some((from, _before)), Some(last)) = (last, named.last())
            && count == self.part
            && from < *last
        {
            self.left.push((from, *last));
        }
        self.part = NAMED_MAX;
    }
}

/// The stretches of places before one that may have changes of a time, the newest last.
pub(super) fn stretches(span: Option<Span>, before: i64) -> Vec<(i64, i64)> {
    let Some(Span { known, blocks }) = span else { return vec![(0, before)] };
    let (first, last) = blocks.unwrap_or((0, -1));
    let behind_blocks = (last + 1) << BLOCK_BITS;
    let stretches = [(first << BLOCK_BITS, behind_blocks.min(known + 1)), (known + 1, i64::MAX)];
    let cut = stretches.map(|(from, until)| (from, until.min(before)));
    cut.into_iter().filter(|(from, until)| from < until).collect()
}

/// The places from the first to the last of some stretches.
pub(super) fn across(stretches: &[(i64, i64)]) -> (i64, i64) {
    let from = stretches.first().map_or(0, |(from, _before)| *from);
    (from, stretches.last().map_or(0, |(_from, before)| *before))
}

/// Of ways with the lowest of the newest places that each names, so many on each, the one that
/// reaches furthest back: it names the fewest.
pub(super) fn fewest(probed: Vec<(i64, Way<'_>)>) -> Result<Way<'_>, Boxed> {
    let found = probed.into_iter().min_by_key(|(lowest, _way)| *lowest);
    Ok(found.map(|(_lowest, way)| way).ok_or("there is always a way")?)
}

#[cfg(test)]
impl IndexRange<'static> {
    /// One of each kind, with the index that has its changes, as SQLite and PostgreSQL name it.
    pub(super) fn of_each_kind() -> [(Self, &'static str); 12] {
        [
            (Self::Place("/name", 0), "place"),
            (Self::Rule("r"), "rule"),
            (Self::Deployment(1), "changes_deployment"),
            (Self::Token(Fingerprint::from_bytes([1; 8])), "changes_fingerprint"),
            (Self::ActorName("n"), "changes_actor"),
            (Self::Team("t"), "changes_team"),
            (Self::Request("r"), "changes_request_id"),
            (Self::Outcome(Outcome::Denied), "ends_not_applied"),
            (Self::Decision(Decision::Deny), "changes_not_allowed"),
            (Self::Operation(Operation::Run), "changes_not_update"),
            (Self::Effect(Effect::None), "ends_not_exact"),
            (Self::All, ""),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_looked_for_where_it_may_be_alone() {
        assert_eq!(stretches(None, 9), [(0, 9)]);
        let span = |known, blocks| Some(Span { known, blocks });
        // Behind what is known, and in the blocks that may have some.
        let both = [(1_024, 3_072), (9_001, 10_000)];
        assert_eq!(stretches(span(9_000, Some((1, 2))), 10_000), both);
        assert_eq!(stretches(span(9_000, Some((1, 2))), 2_000), [(1_024, 2_000)]);
        assert_eq!(stretches(span(9_000, Some((1, 2))), 500), []);
        // The last block is not full.
        assert_eq!(stretches(span(9_000, Some((8, 8))), 9_001), [(8_192, 9_001)]);
        assert_eq!(stretches(span(9_000, None), 9_005), [(9_001, 9_005)]);
        assert_eq!(stretches(span(0, None), i64::MAX), [(1, i64::MAX)]);
    }

    #[test]
    fn a_part_that_is_not_full_ends_its_stretch() {
        let span = Some(Span { known: 2_000, blocks: Some((0, 0)) });
        let mut named = IndexedChanges::of(vec![IndexRange::All], span, 3_000, 2);
        assert_eq!(named.stretch(), Some((2_001, 3_000)));
        named.heed(&[2_500, 2_400, 2_300]);
        assert_eq!(named.stretch(), Some((2_001, 2_300)));
        named.heed(&[2_250]);
        assert_eq!(named.stretch(), Some((0, 1_024)));
        named.heed(&[]);
        assert_eq!(named.stretch(), None);
    }

    #[test]
    fn what_nearly_all_have_in_common_is_no_way() {
        let common = Filter {
            outcome: Some(Outcome::Applied),
            decision: Some(Decision::Allow),
            operation: Some(Operation::Update),
            effect: Some(Effect::Exact),
            ..Filter::default()
        };
        let found = ways(&common, None);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].ranges, [IndexRange::All]);
        let rare = Filter { rule: Some("r".to_owned()), effect: Some(Effect::None), ..common };
        let found = ways(&rare, Some(&[3, 4]));
        let ranges: Vec<_> = found.iter().map(|way| way.ranges.clone()).collect();
        assert_eq!(
            ranges,
            [
                vec![IndexRange::Deployment(3), IndexRange::Deployment(4)],
                vec![IndexRange::Rule("r")],
                vec![IndexRange::Effect(Effect::None)],
            ]
        );
        assert_eq!(found[1].rest.rule, None);
    }
}
