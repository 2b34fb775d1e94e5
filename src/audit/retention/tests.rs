//! Pruning in every kind of store: what goes, what stays, and that nothing is left that names what
//! is gone.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::boundary::Boundary;
use super::figures::RetentionFigures;
use super::run::{Ended, Hand, through};
use super::*;
use crate::audit::document::{Document, SnapshotRef, Stored};
use crate::audit::entry::{CompletionRow, Entry};
use crate::audit::evidence::tree::Frontier;
use crate::audit::pruned::named_leaves;
use crate::audit::record::{Outcome, Settlement};
use crate::audit::samples::intent;
use crate::audit::store::contract::{Place, leaves::seal, written};
use crate::audit::store::samples::{event, opening};
use crate::audit::store::{Reads, Store};
use crate::audit::touched::touched;
use crate::base::clock::Timestamp;
use crate::base::ids::ChangeId;
use crate::deployment::diff::ChangedPlace;
use crate::policy::{Enforcement, Violation};

const HOUR: Duration = Duration::from_hours(1);

/// When the first change of these logs came.
const BEGIN: Timestamp = Timestamp::from_millis(1_700_000_000_000);

/// A small generator of numbers, so that a failure repeats itself.
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888);
        (self.0 >> 33) % most
    }
}

/// What a change of a log should show.
#[derive(Clone, Debug)]
struct Told {
    id: ChangeId,
    deployment: u64,
    team: &'static str,
    outcome: Option<Outcome>,
    before: Option<Value>,
    after: Option<Value>,
}

/// A log with changes of several deployments, an hour apart, and what each shows.
struct Filled {
    store: Store,
    frontier: Frontier,
    dice: Dice,
    latest: BTreeMap<u64, (Document, Stored)>,
    told: Vec<Told>,
}

fn document(deployment: u64, number: usize) -> Value {
    let texts: Vec<String> = (0..30).map(|n| format!("{deployment}-{n}-").repeat(6)).collect();
    json!({"name": format!("n{number}"), "texts": texts})
}

impl Filled {
    async fn add(&mut self, count: usize) {
        for _ in 0..count {
            self.add_one().await;
        }
        self.frontier = seal(&mut self.store, &self.frontier).await.unwrap();
        while self.store.count().await.unwrap() {}
    }

    async fn add_one(&mut self) {
        let number = self.told.len();
        let at = BEGIN.plus(HOUR * u32::try_from(number).unwrap());
        let deployment = self.dice.below(5);
        let mut row = opening(&json!({"name": number}));
        row.intent = intent(&format!("dep_{deployment}"), at);
        let team = ["red", "blue"][usize::try_from(self.dice.below(2)).unwrap()];
        row.intent.actor.team = Some(team.into());
        let outcome = match self.dice.below(12) {
            // What is counted ends before the first that is open.
            0 if number > 110 => None,
            1 => Some(Outcome::Failed),
            2 | 3 => Some(Outcome::Unknown),
            _most => Some(Outcome::Applied),
        };
        if outcome == Some(Outcome::Failed) {
            row.intent.violations = vec![Violation {
                rule: format!("rule-{}", self.dice.below(3)),
                enforcement: Enforcement::Warn,
                path: "/name".to_owned(),
                message: "no".to_owned(),
                actual: None,
            }];
        }
        let former = self.latest.get(&deployment).cloned();
        let (mut before, mut after) = (None, None);
        let shown = self.dice.below(8) > 0;
        if let Some((text, stored)) = former.as_ref().filter(|_| shown) {
            row.before = Some(SnapshotRef::Already(*stored));
            before = Some(serde_json::from_slice(&text.text).unwrap());
        }
        let id = row.intent.id;
        written(&mut self.store, &[Entry::Intent(Box::new(row))]).await;
        if let Some(outcome) = outcome {
            let mut end = CompletionRow::bare(id, outcome, at);
            if outcome == Outcome::Applied {
                let value = document(deployment, number);
                let new = Document::of(&value);
                let lies = former.as_ref().filter(|_| shown && self.dice.below(6) > 0);
                let filed = new.file(lies.map(|(text, stored)| (text, *stored))).unwrap();
                end.after = Some(filed);
                let places = ["/name".to_owned(), format!("/texts/{}", self.dice.below(4))];
                let place = |path| ChangedPlace { path, is_whole: false };
                end.touched = touched(&places.map(place), None);
                after = Some(value);
                let end = [Entry::Completion(Box::new(end))];
                let stored = written(&mut self.store, &end).await[0].after.unwrap();
                self.latest.insert(deployment, (new, stored));
            } else {
                written(&mut self.store, &[Entry::Completion(Box::new(end))]).await;
            }
        }
        let seq = i64::try_from(number + 1).unwrap();
        if outcome == Some(Outcome::Unknown) && self.dice.below(2) > 0 {
            let settled = Settlement { by: "answer".to_owned(), at, applied: Some(true) };
            written(&mut self.store, &[Entry::Settling(seq, settled)]).await;
        }
        written(&mut self.store, &[event()]).await;
        self.told.push(Told { id, deployment, team, outcome, before, after });
    }

    fn now(&self) -> Timestamp {
        BEGIN.plus(HOUR * u32::try_from(self.told.len()).unwrap())
    }

    /// How many changes there ever were.
    fn count(&self) -> i64 {
        i64::try_from(self.told.len()).unwrap()
    }

    async fn prune(&mut self, retention: &Retention) -> Survey {
        let (reads, now) = (self.store.reads(), self.now());
        let looked =
            pass::begin(reads.clone(), retention, now, (0, None), &mut Boundary::default())
                .await
                .unwrap();
        let looked = looked.look().await.unwrap();
        let mut pruner =
            pass::begin(reads.clone(), retention, now, (0, None), &mut Boundary::default())
                .await
                .unwrap();
        let mut hand = match &reads {
            Reads::Postgres(_) => Hand::Shared(&reads),
            Reads::Sqlite(_) => Hand::Alone(&mut self.store),
        };
        let figures = RetentionFigures::default();
        let ended = through(&mut pruner, &mut hand, &figures, || true).await.unwrap();
        assert_eq!(ended, Ended::Done);
        assert_eq!(figures.standing().changes, looked.changes);
        assert_eq!(pruner.survey(), &looked, "what is told before is what is done");
        self.frontier = seal(&mut self.store, &self.frontier).await.unwrap();
        looked
    }

    /// The places of the changes that are there.
    async fn places(&self) -> BTreeSet<i64> {
        let mut places = BTreeSet::new();
        for (told, seq) in self.told.iter().zip(1..) {
            let Some(change) = self.store.reads().change(told.id).await.unwrap() else { continue };
            assert_eq!(change.seq, seq);
            let bodies = change.bodies.unwrap();
            assert_eq!(bodies.patch, Some(json!({"name": seq - 1})));
            assert_eq!((&bodies.before, &bodies.after), (&told.before, &told.after), "{seq}");
            places.insert(seq);
        }
        places
    }

    /// Holds that nothing names what is gone, and nothing is there that nobody names.
    async fn is_whole(&self, places: &BTreeSet<i64>) {
        let reads = self.store.reads();
        assert_eq!(reads.damaged_documents(i64::MIN, 10_000).await.unwrap().unwrap().1, [0; 0]);
        let mut documents = reads.documents().await.unwrap();
        let mut numbers = Vec::new();
        for number in (1..400).chain(1_024..1_500) {
            if documents.text(number).await.is_ok_and(|text| text.is_some()) {
                numbers.push(number);
            }
        }
        drop(documents);
        let mut used = reads.used(&numbers, &[]).await.unwrap();
        used.sort_unstable();
        assert_eq!(used, numbers);
        let all = (0, i64::MAX);
        let touched = reads.touched_within(all).await.unwrap();
        assert!(touched.iter().all(|(_place, _kind, seq)| places.contains(seq)));
        let broken = reads.broken_within(all).await.unwrap();
        assert!(broken.iter().all(|(_rule, seq)| places.contains(seq)));
        assert!(reads.neither_open_nor_ended(-i64::MAX..=i64::MAX).await.unwrap().is_empty());
        assert!(reads.gaps(1, 1..=i64::MAX).await.unwrap().is_empty());
    }

    /// Holds that the leaves without a record are those that prunes name, and no others.
    async fn leaves_tell(&self) {
        let reads = self.store.reads();
        let mut named = crate::audit::pruned::Positions::default();
        for word in reads.prune_words(0).await.unwrap() {
            named.extend(named_leaves(&word.detail).unwrap());
        }
        named.settle();
        for leaf in reads.leaves(0..10_000).await.unwrap() {
            use crate::audit::store::FoundRecord::{Missing, Whole};
            match (&leaf.found, leaf.salt) {
                (Whole(facts), Some(salt)) => {
                    assert_eq!(leaf.hash, Some(facts.hash(&salt)));
                    assert!(!named.has(leaf.position), "{leaf:?}");
                }
                (Missing, None) => assert!(named.has(leaf.position), "{leaf:?}"),
                _torn => panic!("{leaf:?}"),
            }
        }
    }
}

async fn filled(place: &Place, seed: u64, count: usize) -> Filled {
    let store = place.opened().await;
    let (latest, told) = Default::default();
    let frontier = Frontier::default();
    let mut filled = Filled { store, frontier, dice: Dice(seed), latest, told };
    filled.add(count).await;
    filled
}

#[tokio::test]
async fn whatever_is_pruned_nothing_names_it_and_the_rest_is_as_it_was() {
    for place in Place::of_each_kind().await {
        let mut filled = filled(&place, 7, 120).await;
        let mut former = filled.places().await;
        assert_eq!(former.len(), 120);
        let mut went = 0;
        for age in [110, 80, 60, 25] {
            let kept = filled.dice.below(5);
            let holds = vec![
                HoldSubject::Deployment(format!("dep_{kept}")),
                HoldSubject::Team("red".to_owned()),
            ];
            let holds = if age == 80 { holds } else { Vec::new() };
            let retention = Retention {
                max_age: Some(HOUR * age),
                max_changes: None,
                holds,
                sinks: Vec::new(),
            };
            let survey = filled.prune(&retention).await;
            went += survey.changes;
            let places = filled.places().await;
            filled.is_whole(&places).await;
            filled.leaves_tell().await;
            assert_eq!((former.len() - places.len()) as u64, survey.changes);
            let before = filled.count() - i64::from(age);
            for seq in former.difference(&places) {
                let told = &filled.told[usize::try_from(*seq).unwrap() - 1];
                assert!(*seq <= before, "{seq} is younger than {age} hours");
                assert!(told.outcome.is_some(), "{seq} is open");
                if age == 80 {
                    assert!(told.deployment != kept && told.team != "red", "{seq} is held");
                }
            }
            former = places;
            filled.add(5).await;
            former.extend(filled.count() - 4..=filled.count());
        }
        assert!(went > 60, "{went}");
        assert!(filled.store.reads().prune_words(0).await.unwrap().len() > 3);
        for deployment in 0..5 {
            let id = format!("dep_{deployment}");
            let at = filled.store.reads().deployment_at(&id, filled.now()).await.unwrap();
            assert!(at.is_some(), "{id} is still known");
        }
    }
}

#[tokio::test]
async fn a_pass_ends_once_what_is_kept_is_another() {
    for place in Place::of_each_kind().await {
        let mut filled = filled(&place, 11, 120).await;
        let retention = Retention { max_age: Some(HOUR * 30), ..Retention::default() };
        let reads = filled.store.reads().clone();
        let begun =
            pass::begin(reads, &retention, filled.now(), (0, None), &mut Boundary::default()).await;
        let mut pruner = begun.unwrap();
        let (figures, looks) = (RetentionFigures::default(), std::cell::Cell::new(0));
        let reads = filled.store.reads();
        let mut hand = match &reads {
            Reads::Postgres(_) => Hand::Shared(&reads),
            Reads::Sqlite(_) => Hand::Alone(&mut filled.store),
        };
        // A hold comes while the second step is found.
        let holds = || looks.replace(looks.get() + 1) < 1;
        let ended = through(&mut pruner, &mut hand, &figures, holds).await.unwrap();
        assert_eq!((ended, looks.get()), (Ended::Changed, 2));
        let went = figures.standing();
        assert!(went.changes > 0, "the first step is done");
        let words = filled.store.reads().prune_words(0).await.unwrap();
        assert_eq!(words.len(), 1, "and no other");
    }
}

#[tokio::test]
async fn the_place_beyond_which_there_are_so_many_is_followed_and_not_counted_anew() {
    for place in Place::of_each_kind().await {
        let mut filled = filled(&place, 13, 60).await;
        let (mut boundary, mut is_pruned) = (Boundary::default(), false);
        let hours = |hours: u32| Retention { max_age: Some(HOUR * hours), ..Retention::default() };
        for (added, age, newest) in [
            (0, None, 30),
            (10, None, 30),
            (4, Some(50), 30),
            (0, Some(25), 30),
            (3, None, 30),
            (25, None, 30),
            (0, None, 5),
            (0, None, 500),
        ] {
            filled.add(added).await;
            if let Some(age) = age {
                filled.prune(&hours(age)).await;
                is_pruned = true;
            }
            let reads = filled.store.reads();
            let found = boundary.find(&reads, newest, filled.now()).await.unwrap();
            let until = reads.counted_until().await.unwrap();
            let (beyond, _last) = reads.changes_up_from(found, until, 1_000).await.unwrap();
            let most = u64::from(newest);
            let what = format!("{added}, {age:?}, {newest}: {found}, {beyond} beyond");
            if let Reads::Sqlite(_) = reads {
                assert!(found == 0 || beyond <= most, "{what}");
                continue;
            }
            let mut anew = Boundary::default();
            let counted = anew.find(&reads, newest, filled.now()).await.unwrap();
            // Nothing that is to be kept goes; a step that went across makes it keep more.
            assert!(found == 0 || beyond >= most, "{what}");
            assert!(found <= counted && (is_pruned || found == counted), "{what}, {counted}");
            assert!(newest == 30 || found == counted, "another number is counted anew: {what}");
            assert_eq!(reads.change_up_to(found).await.unwrap(), found);
        }
    }
}
