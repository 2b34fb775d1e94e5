//! Counts of changes over time: as many as there are, whether they were counted before or not.

use super::questions::change;
use super::*;
use crate::audit::count::{CountedBy, Counting, Counts, Step};
use crate::audit::record::Change;

const SPAN: (Timestamp, Timestamp) =
    (Timestamp::from_millis(0), Timestamp::from_millis(30 * 86_400_000));

const ALL: [CountedBy; 7] = [
    CountedBy::Decision,
    CountedBy::Outcome,
    CountedBy::Operation,
    CountedBy::Rule,
    CountedBy::Actor,
    CountedBy::Team,
    CountedBy::Deployment,
];

/// Change number `n`, received on another day than its neighbours.
fn on_its_day(n: usize) -> Entry {
    let mut entry = change(n);
    let Entry::Whole(opening, _) = &mut entry else { panic!() };
    let day = i64::try_from(n % 3).unwrap() * 86_400_000;
    let hour = i64::try_from(n % 2).unwrap() * 3_600_000;
    opening.intent.received_at = Timestamp::from_millis(NOW.millis() + day + hour);
    entry
}

/// The word of a value, as JSON has it.
fn told(value: impl serde::Serialize) -> Vec<String> {
    vec![serde_json::to_value(value).unwrap().as_str().unwrap().to_owned()]
}

fn values(change: &Change, by: CountedBy) -> Vec<String> {
    match by {
        CountedBy::Decision => told(change.decision),
        CountedBy::Outcome => told(change.outcome),
        CountedBy::Operation => told(change.operation),
        CountedBy::Rule => {
            let mut rules: Vec<String> =
                change.violations.iter().map(|found| found.rule.clone()).collect();
            rules.dedup();
            rules
        }
        CountedBy::Actor => {
            vec![change.actor.name.clone().unwrap_or(change.actor.fingerprint.to_string())]
        }
        CountedBy::Team => change.actor.team.clone().into_iter().collect(),
        CountedBy::Deployment => change.deployment_id.clone().into_iter().collect(),
    }
}

/// The counts, made one change after the other.
async fn expected(reads: &Reads, by: CountedBy, step: Step) -> BTreeMap<(i64, String), i64> {
    let found = reads.changes(&Filter::default(), i64::MAX, 1_000, false).await.unwrap();
    let mut expected = BTreeMap::new();
    for change in &found.changes {
        let at = change.received_at.millis();
        let at = at - at % step.millis();
        for value in values(change, by) {
            *expected.entry((at, value)).or_default() += 1;
        }
    }
    expected
}

async fn counts(reads: &Reads, by: CountedBy, step: Step, most: u16) -> Counts {
    let counting = Counting::new(by, step, SPAN, most).unwrap();
    counting.counts(reads.counts(&counting).await.unwrap())
}

/// Holds every count against the changes themselves.
async fn counts_are_right(reads: &Reads) {
    for by in ALL {
        for step in [Step::Day, Step::Hour] {
            if Counting::new(by, step, SPAN, 50).is_err() {
                continue;
            }
            let counts = counts(reads, by, step, 50).await;
            let mut found = BTreeMap::new();
            for step in &counts.data {
                for (value, changes) in &step.counts {
                    found.insert((step.at.millis(), value.clone()), *changes);
                }
            }
            assert_eq!(found, expected(reads, by, step).await, "{by:?} {step:?}");
            assert_eq!(counts.others, 0);
        }
    }
}

#[tokio::test]
async fn changes_are_counted_before_and_after_they_are_summed_up() {
    for place in Place::of_each_kind().await {
        let mut store = place.opened().await;
        let reads = store.reads();
        counts_are_right(&reads).await;
        let first: Vec<Entry> = (0..60).map(on_its_day).collect();
        written(&mut store, &first).await;
        counts_are_right(&reads).await;
        assert!(!store.count().await.unwrap(), "all is summed up at once");
        counts_are_right(&reads).await;
        // One on its way, and those behind it.
        let on_its_way = opening(&json!({"name": "n"}));
        let id = on_its_way.intent.id;
        written(&mut store, &[Entry::Intent(Box::new(on_its_way))]).await;
        let behind: Vec<Entry> = (60..90).map(on_its_day).collect();
        written(&mut store, &behind).await;
        assert!(!store.count().await.unwrap(), "nothing is summed up behind one on its way");
        counts_are_right(&reads).await;
        let end = CompletionRow::bare(id, Outcome::Applied, NOW);
        written(&mut store, &[Entry::Completion(Box::new(end))]).await;
        counts_are_right(&reads).await;
        store.count().await.unwrap();
        counts_are_right(&reads).await;
    }
}

#[tokio::test]
async fn values_beyond_those_named_are_counted_together() {
    for place in Place::of_each_kind().await {
        let mut store = place.opened().await;
        let entries: Vec<Entry> = (0..60).map(on_its_day).collect();
        written(&mut store, &entries).await;
        for _ in 0..2 {
            let all = counts(&store.reads(), CountedBy::Actor, Step::Day, 50).await;
            let few = counts(&store.reads(), CountedBy::Actor, Step::Day, 2).await;
            assert_eq!(few.values, all.values[..2]);
            let rest: i64 = all.values[2..].iter().map(|count| count.changes).sum();
            assert_eq!((few.others, rest > 0), (rest, true));
            assert!(few.data.iter().all(|step| step.counts.len() <= 2));
            store.count().await.unwrap();
        }
    }
}

/// The places of the changes that a filter finds, page by page.
async fn places(reads: &Reads, filter: &Filter) -> Vec<i64> {
    let (mut places, mut before) = (Vec::new(), i64::MAX);
    loop {
        let page = reads.changes(filter, before, 500, false).await.unwrap();
        places.extend(page.changes.iter().map(|change| change.seq));
        let Some(next) = page.next else { return places };
        before = next;
    }
}

/// Changes a second apart; for a while, the clock is an hour behind.
fn a_second_later(n: usize) -> Entry {
    let mut entry = change(n);
    let Entry::Whole(opening, _) = &mut entry else { panic!() };
    (opening.before, opening.patch) = (None, None);
    let second = i64::try_from(n).unwrap() - if (1_100..1_200).contains(&n) { 3_600 } else { 0 };
    opening.intent.received_at = Timestamp::from_millis(NOW.millis() + 1_000 * second);
    entry
}

#[tokio::test]
async fn a_time_finds_what_was_received_in_it_however_clocks_were_set() {
    for place in Place::of_each_kind().await {
        let mut store = place.opened().await;
        for first in (0..2_400).step_by(300) {
            let entries: Vec<Entry> = (first..first + 300).map(a_second_later).collect();
            written(&mut store, &entries).await;
        }
        let reads = store.reads();
        let all = reads.changes(&Filter::default(), i64::MAX, 2_400, false).await.unwrap();
        assert_eq!(all.changes.len(), 2_400);
        // Nothing is summed up, then a part, then all.
        for counted in 0..3 {
            for (since, until) in [
                (Some(-4_000), Some(-100)),
                (None, Some(10)),
                (Some(1_000), Some(1_300)),
                (Some(2_000), None),
                (Some(2_399), Some(2_400)),
                (Some(9_000), None),
                (Some(500), Some(400)),
            ] {
                let second = |second: i64| Timestamp::from_millis(NOW.millis() + 1_000 * second);
                let (since, until) = (since.map(second), until.map(second));
                for outcome in [None, Some(Outcome::Denied), Some(Outcome::Applied)] {
                    let filter = Filter { outcome, since, until, ..Filter::default() };
                    let expected = all.changes.iter().filter(|change| {
                        since.is_none_or(|since| change.received_at >= since)
                            && until.is_none_or(|until| change.received_at < until)
                            && outcome.is_none_or(|outcome| change.outcome == outcome)
                    });
                    let expected: Vec<i64> = expected.map(|change| change.seq).collect();
                    assert_eq!(places(&reads, &filter).await, expected, "{counted}: {filter:?}");
                }
            }
            store.count().await.unwrap();
        }
    }
}
