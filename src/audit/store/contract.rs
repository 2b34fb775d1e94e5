//! The contract of a store: what any kind of it must hold, whatever it is made of.

pub(in crate::audit) mod approvals;
mod copies;
mod counts;
mod idempotency;
pub(in crate::audit) mod leaves;
mod questions;
mod reverts;
mod sinks;

use std::collections::BTreeMap;

use serde_json::json;
use tempfile::TempDir;

use super::samples::{KEY, NOW, PREPARATION, event, opening, whole};
use super::test_server::TestDatabase;
use super::*;
use crate::audit::document::{Document, SnapshotRef};
use crate::audit::entry::CompletionRow;
use crate::audit::question::{EventFilter, Filter};
use crate::audit::record::{Outcome, Settlement};
use crate::audit::touched::touched;
use crate::deployment::{diff::ChangedPlace, key::DeploymentKey};

/// Where a log of some kind lies.
pub(in crate::audit) enum Place {
    /// In a file in this folder.
    Sqlite(TempDir),
    /// On a server, if there is one.
    Postgres(TestDatabase),
}

impl Place {
    pub(in crate::audit) async fn of_each_kind() -> Vec<Self> {
        let mut places = vec![Self::file()];
        if let Some(database) = TestDatabase::new() {
            let Ok(Database::Postgres(owner)) = Database::parse(&database.url()) else { panic!() };
            migrate(&owner).await.unwrap();
            places.push(Self::Postgres(database));
        }
        places
    }

    fn file() -> Self {
        Self::Sqlite(tempfile::tempdir().unwrap())
    }

    fn database(&self) -> Database {
        match self {
            Self::Sqlite(folder) => folder.path().join("log.db").into(),
            Self::Postgres(database) => {
                let url = database.url().replacen("postgres@", "changegate@", 1);
                Database::parse(&url).unwrap()
            }
        }
    }

    fn held(&self) -> Hold {
        let hold = Hold::take(&self.database(), NOW).unwrap_or_else(|error| panic!("{error:?}"));
        hold.named(&"main".into())
    }

    pub(in crate::audit) async fn opened(&self) -> Store {
        let (store, fault) = Store::open(self.held(), PREPARATION).await.unwrap();
        assert!(fault.is_none(), "{fault:?}");
        store
    }
}

/// Writes entries of which none is refused.
pub(in crate::audit) async fn written(store: &mut Store, entries: &[Entry]) -> Vec<Written> {
    let entries: Vec<&Entry> = entries.iter().collect();
    let answers = store.write(&entries).await.unwrap();
    answers.into_iter().map(Result::unwrap).collect()
}

/// Holds that each path finds the changes at these places.
async fn finds(reads: &Reads, cases: &[(&str, &[i64])]) {
    for (path, expected) in cases {
        let filter = Filter { path: Some((*path).to_owned()), ..Filter::default() };
        let found = reads.changes(&filter, i64::MAX, 10, false).await.unwrap().changes;
        assert_eq!(found.iter().map(|change| change.seq).collect::<Vec<_>>(), *expected, "{path}");
    }
}

fn dep(id: &str) -> DeploymentKey {
    DeploymentKey::new(&"main".into(), id)
}

#[tokio::test]
async fn a_log_has_one_hold_which_is_given_back() {
    for place in [Place::file()] {
        let store = place.opened().await;
        let again = Hold::take(&place.database(), NOW);
        assert!(matches!(again, Err(HoldError::Held(holder)) if holder.contains("process")));
        let hold = store.close().await.unwrap();
        assert!(Hold::take(&place.database(), NOW).is_err(), "who closed has it still");
        drop(hold);
        drop(place.held());
    }
}

#[tokio::test]
async fn what_is_in_a_log_is_found_out_before_it_is_opened() {
    for place in Place::of_each_kind().await {
        let found = find(&place.database(), Beside::Anyone).await.unwrap();
        assert!(!found.has_rows && found.key.is_none());
        let mut store = place.opened().await;
        let found = find(&place.database(), Beside::Anyone).await.unwrap();
        assert!(!found.has_rows && found.key == Some(KEY));
        written(&mut store, &[event()]).await;
        let other = KeyId::from_bytes([4; 8]);
        assert_eq!(store.change_key(Some(KEY), other, NOW).await.unwrap(), 1);
        let _hold = store.close().await.unwrap();
        let found = find(&place.database(), Beside::Readers).await.unwrap();
        assert!(found.has_rows && found.key == Some(other));
    }
}

#[tokio::test]
async fn what_was_left_open_is_unknown_after_the_next_opening() {
    for place in [Place::file()] {
        let mut store = place.opened().await;
        let open = opening(&json!({"name": "n"}));
        let id = open.intent.id;
        written(&mut store, &[Entry::Intent(Box::new(open)), whole(Outcome::Failed, &[])]).await;
        assert_eq!(store.swept(), 0);
        let change = store.reads().bare_change(id).await.unwrap().unwrap();
        assert_eq!((change.outcome, change.completed_at), (Outcome::Pending, None));
        drop(store.close().await.unwrap());
        let store = place.opened().await;
        assert_eq!(store.swept(), 1);
        let change = store.reads().change(id).await.unwrap().unwrap();
        assert_eq!((change.outcome, change.completed_at), (Outcome::Unknown, Some(NOW)));
        assert_eq!(change.bodies.unwrap().patch, Some(json!({"name": "n"})));
    }
}

#[tokio::test]
async fn an_unclear_change_is_listed_until_it_is_settled_and_the_first_word_counts() {
    for place in Place::of_each_kind().await {
        let mut store = place.opened().await;
        written(&mut store, &[whole(Outcome::Unknown, &[]), whole(Outcome::Unknown, &[])]).await;
        let reads = store.reads();
        assert_eq!(reads.unsettled(9).await.unwrap(), [(dep("dep_1"), 2)]);
        let unclear = reads.unclear(&dep("dep_1")).await.unwrap();
        let listed: Vec<_> = unclear.iter().map(|change| (change.seq, change.overtaken)).collect();
        assert_eq!(listed, [(1, true), (2, false)]);
        assert!(reads.unclear(&dep("dep_2")).await.unwrap().is_empty());
        let word =
            |applied| Entry::Settling(2, Settlement { by: "answer".to_owned(), at: NOW, applied });
        written(&mut store, &[word(Some(true)), word(Some(false))]).await;
        assert_eq!(reads.unsettled(9).await.unwrap(), [(dep("dep_1"), 1)]);
        let all = reads.changes(&Filter::default(), i64::MAX, 9, false).await.unwrap().changes;
        assert_eq!(all[0].settled.as_ref().unwrap().applied, Some(true));
        assert!(all[1].settled.is_none());
    }
}

#[tokio::test]
async fn lists_stay_as_they_are_while_the_log_grows() {
    for place in Place::of_each_kind().await {
        let mut store = place.opened().await;
        let of = |id: &str| {
            let mut entry = whole(Outcome::Failed, &[]);
            if let Entry::Whole(opening, _) = &mut entry {
                opening.intent.deployment_id = Some(id.to_owned());
            }
            entry
        };
        written(&mut store, &[of("a"), of("b"), of("c"), event(), event()]).await;
        let reads = store.reads();
        let first = reads.deployments(i64::MAX, None, 2, false).await.unwrap();
        let (newest, last) = (first[0].0, first[1].0);
        written(&mut store, &[of("a"), of("d"), event()]).await;
        let second = reads.deployments(last, Some(newest), 9, false).await.unwrap();
        let ids: Vec<_> = first.iter().chain(&second).map(|(_, one)| one.id.as_str()).collect();
        assert_eq!(ids, ["c", "b", "a"]);
        assert_eq!(second[0].1.changes, 1, "as it was then");
        let counts: BTreeMap<_, _> = reads
            .deployments(i64::MAX, None, 9, false)
            .await
            .unwrap()
            .into_iter()
            .map(|(_, one)| (one.id, one.changes))
            .collect();
        assert_eq!(counts.into_values().collect::<Vec<_>>(), [2, 1, 1, 1]);
        let events = reads.events(&EventFilter::default(), 3, 9).await.unwrap().events;
        assert_eq!(events.iter().map(|(seq, _)| *seq).collect::<Vec<_>>(), [2, 1]);
    }
}

#[tokio::test]
async fn a_deployments_history_is_whole_whatever_its_upstream_was_called() {
    for place in Place::of_each_kind().await {
        let mut store = place.opened().await;
        let of = |upstream: &str, name: &str, at: i64| {
            let mut entry = whole(Outcome::Failed, &[]);
            if let Entry::Whole(opening, _) = &mut entry {
                opening.intent.upstream = upstream.into();
                opening.intent.received_at = Timestamp::from_millis(NOW.millis() + at);
                let document = Document::of(&json!({ "name": name }));
                opening.before = Some(document.file(None).unwrap());
            }
            entry
        };
        let entries = [of("main", "one", 1), of("cn", "two", 2), of("main", "three", 3)];
        written(&mut store, &entries).await;
        let reads = store.reads();
        let filter = Filter { deployment_id: Some("dep_1".to_owned()), ..Filter::default() };
        let (mut seqs, mut before) = (Vec::new(), i64::MAX);
        loop {
            let page = reads.changes(&filter, before, 2, false).await.unwrap();
            seqs.extend(page.changes.iter().map(|change| change.seq));
            let Some(next) = page.next else { break };
            before = next;
        }
        assert_eq!(seqs, [3, 2, 1]);
        for (at, name) in [(1, "one"), (2, "two"), (9, "three")] {
            let seen =
                reads.deployment_at("dep_1", Timestamp::from_millis(NOW.millis() + at)).await;
            assert_eq!(seen.unwrap().unwrap().deployment, json!({ "name": name }));
        }
        let other = Filter { deployment_id: Some("dep_2".to_owned()), ..Filter::default() };
        assert!(reads.changes(&other, i64::MAX, 9, false).await.unwrap().changes.is_empty());
    }
}

/// A deployment that moves on, one place at a time, and now and then a whole new one.
#[tokio::test]
async fn documents_are_read_back_through_those_they_are_built_on() {
    for place in Place::of_each_kind().await {
        let mut store = place.opened().await;
        let prompts: Vec<_> = (0..50).map(|n| format!("prompt number {n} of them")).collect();
        let document = |n: usize| json!({"name": format!("n{n}"), "initial_events": prompts});
        let mut former: Option<(Document, _)> = None;
        let mut packed = Vec::new();
        for n in 0..80 {
            let mut entry = whole(Outcome::Failed, &[]);
            let Entry::Whole(opening, _) = &mut entry else { panic!() };
            let document = Document::of(&document(n));
            let filed = document.file(former.as_ref().map(|(former, stored)| (former, *stored)));
            let Ok(SnapshotRef::New(snapshot)) = filed else { panic!() };
            packed.push(snapshot.body.len());
            opening.before = Some(SnapshotRef::New(snapshot));
            let answers = store.write(&[&entry]).await.unwrap();
            let written = answers[0].as_ref().unwrap();
            former = Some((document, written.before.unwrap()));
        }
        let whole: Vec<_> = (0..80).filter(|n| packed[*n] > 60).collect();
        assert_eq!(whole, [0, 32, 64]);
        let reads = store.reads();
        let found = reads.changes(&Filter::default(), i64::MAX, 100, true).await.unwrap().changes;
        assert_eq!(found.len(), 80);
        for (n, change) in found.iter().rev().enumerate() {
            assert_eq!(change.bodies.as_ref().unwrap().before, Some(document(n)));
        }
    }
}

#[tokio::test]
async fn a_page_ends_where_its_bodies_are_large() {
    for place in Place::of_each_kind().await {
        let mut store = place.opened().await;
        let large = Document::of(&json!({"name": "n".repeat(6 << 20)}));
        let mut filed = large.file(None).unwrap();
        for _ in 0..8 {
            let mut entry = whole(Outcome::Failed, &[]);
            let Entry::Whole(opening, _) = &mut entry else { panic!() };
            opening.before = Some(filed);
            let written = store.write(&[&entry]).await.unwrap();
            filed = SnapshotRef::Already(written[0].as_ref().unwrap().before.unwrap());
        }
        let reads = store.reads();
        let (mut seqs, mut before) = (Vec::new(), i64::MAX);
        loop {
            let page = reads.changes(&Filter::default(), before, 7, true).await.unwrap();
            seqs.push(page.changes.iter().map(|change| change.seq).collect::<Vec<_>>());
            let Some(next) = page.next else { break };
            before = next;
        }
        assert_eq!(seqs, [vec![8, 7, 6, 5, 4, 3], vec![2, 1]]);
        let without = reads.changes(&Filter::default(), i64::MAX, 9, false).await.unwrap().changes;
        assert_eq!(without.len(), 8);
    }
}

#[tokio::test]
async fn the_path_filter_finds_a_place_and_what_is_below_it() {
    for place in Place::of_each_kind().await {
        let mut store = place.opened().await;
        let entries = [
            whole(Outcome::Failed, &["/name", "/schedule/expression"]),
            whole(Outcome::Failed, &["/schedule"]),
            whole(Outcome::Failed, &["/schedules", "/Schedule/x", "/a_b"]),
        ];
        let entries: Vec<&Entry> = entries.iter().collect();
        store.write(&entries).await.unwrap();
        let reads = store.reads();
        let cases: [(&str, &[i64]); 4] =
            [("/schedule", &[2, 1]), ("/schedule/expression", &[1]), ("/aXb", &[]), ("/a_b", &[3])];
        finds(&reads, &cases).await;
    }
}

#[tokio::test]
async fn a_change_of_a_whole_is_one_of_every_place_below_it() {
    for place in Place::of_each_kind().await {
        let mut store = place.opened().await;
        let mut entry = whole(Outcome::Failed, &[]);
        let Entry::Whole(_, ending) = &mut entry else { panic!() };
        let whole_list = ChangedPlace { path: "/resources".to_owned(), is_whole: true };
        ending.touched = touched(&[whole_list], None);
        store.write(&[&entry, &whole(Outcome::Failed, &["/resources/0/url"])]).await.unwrap();
        let reads = store.reads();
        let cases: [(&str, &[i64]); 6] = [
            ("/resources", &[2, 1]),
            ("/resources/0", &[2, 1]),
            ("/resources/0/url", &[2, 1]),
            ("/resources/1", &[1]),
            ("/resource", &[]),
            ("/resources/0/url/1/2/3/4/5/6/7", &[1]),
        ];
        finds(&reads, &cases).await;
    }
}

#[tokio::test]
async fn a_place_that_was_asked_for_is_told_from_one_that_changed() {
    let place_of = |path: &str| ChangedPlace { path: path.to_owned(), is_whole: false };
    for place in Place::of_each_kind().await {
        let mut store = place.opened().await;
        let mut denied = whole(Outcome::Failed, &[]);
        let mut partial = whole(Outcome::Failed, &[]);
        let sets: [(&mut Entry, &[&str], &[&str]); 2] = [
            (&mut denied, &[], &["/schedule/timezone", "/name"]),
            (&mut partial, &["/name", "/description"], &["/name", "/vault_ids"]),
        ];
        for (entry, changed, asked) in sets {
            let Entry::Whole(_, ending) = entry else { panic!() };
            let [changed, asked] = [changed, asked]
                .map(|all| all.iter().map(|path| place_of(path)).collect::<Vec<_>>());
            ending.touched = touched(&changed, Some(&asked));
        }
        let exact = whole(Outcome::Failed, &["/schedule/expression"]);
        store.write(&[&denied, &partial, &exact]).await.unwrap();
        let reads = store.reads();
        let cases: [(&str, &[i64], &[i64]); 5] = [
            ("/schedule", &[3], &[3, 1]),
            ("/schedule/timezone", &[], &[1]),
            ("/name", &[2], &[2, 1]),
            ("/description", &[2], &[]),
            ("/vault_ids", &[], &[2]),
        ];
        for (path, changed, asked) in cases {
            let path = Some(path.to_owned());
            let both = Filter { path: path.clone(), asked_path: path.clone(), ..Filter::default() };
            let each: Vec<i64> = changed.iter().copied().filter(|n| asked.contains(n)).collect();
            for (filter, expected) in [
                (Filter { path: path.clone(), ..Filter::default() }, changed),
                (Filter { asked_path: path, ..Filter::default() }, asked),
                (both, &each),
            ] {
                let found = reads.changes(&filter, i64::MAX, 9, false).await.unwrap().changes;
                let found: Vec<i64> = found.iter().map(|change| change.seq).collect();
                assert_eq!(found, expected, "{filter:?}");
            }
        }
    }
}

#[tokio::test]
async fn ending_a_change_twice_keeps_the_first_end() {
    for place in Place::of_each_kind().await {
        let mut store = place.opened().await;
        let open = Box::new(opening(&json!({})));
        let id = open.intent.id;
        let end = |outcome| Entry::Completion(Box::new(CompletionRow::bare(id, outcome, NOW)));
        let entries = [Entry::Intent(open), end(Outcome::Failed), end(Outcome::Unknown)];
        let entries: Vec<&Entry> = entries.iter().collect();
        assert!(store.write(&entries).await.unwrap().iter().all(Result::is_ok));
        let change = store.reads().change(id).await.unwrap().unwrap();
        assert_eq!(change.outcome, Outcome::Failed);
    }
}

#[tokio::test]
async fn the_rows_beside_a_refused_one_are_written() {
    for place in Place::of_each_kind().await {
        let mut store = place.opened().await;
        written(&mut store, &[whole(Outcome::Failed, &[]), whole(Outcome::Failed, &[])]).await;
        let bad = Settlement { by: "answer".to_owned(), at: NOW, applied: None };
        let entries = [event(), Entry::Settling(2, bad), event()];
        let entries: Vec<&Entry> = entries.iter().collect();
        let answers = store.write(&entries).await.unwrap();
        assert!(matches!(answers[..], [Ok(_), Err(StoreError::Refused(_)), Ok(_)]), "{answers:?}");
    }
}
