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
