//! Erasing in every kind of store: what goes, what stays, and that what is left is told.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::*;
use crate::audit::approval::Verdict;
use crate::audit::document::{Document, SnapshotRef, Stored};
use crate::audit::entry::{CompletionRow, Entry};
use crate::audit::erased::{left, named_leaves};
use crate::audit::evidence::tree::{Frontier, leaf_hash};
use crate::audit::record::{Change, Outcome};
use crate::audit::samples::intent;
use crate::audit::store::contract::approvals::{decided, denied};
use crate::audit::store::contract::{Place, leaves::seal, written};
use crate::audit::store::samples::opening;
use crate::audit::store::{FoundRecord, Store};
use crate::base::clock::Timestamp;

const BEGIN: Timestamp = Timestamp::from_millis(1_700_000_000_000);

/// How many changes there are of the one deployment; each third one was denied.
const CHANGES: usize = 12;

fn document(number: usize) -> Value {
    let texts: Vec<String> = (0..30).map(|n| format!("{n}-").repeat(9)).collect();
    json!({"name": format!("n{number}"), "texts": texts})
}

/// Changes of which each begins where the one before has left the deployment.
async fn filled(store: &mut Store) -> Vec<ChangeId> {
    let mut former: Option<(Document, Stored)> = None;
    let mut ids = Vec::new();
    for number in 0..CHANGES {
        let at = BEGIN.plus(Duration::from_secs(number as u64));
        let mut row = opening(&json!({"name": number}));
        row.intent = intent("dep_1", at);
        row.before = former.as_ref().map(|(_text, stored)| SnapshotRef::Already(*stored));
        let id = row.intent.id;
        written(store, &[Entry::Intent(Box::new(row))]).await;
        let is_applied = number % 3 != 2;
        let outcome = if is_applied { Outcome::Applied } else { Outcome::Failed };
        let mut end = CompletionRow::bare(id, outcome, at);
        let new = Document::of(&document(number));
        if is_applied {
            let lies = former.as_ref().map(|(text, stored)| (text, *stored));
            end.after = Some(new.file(lies).unwrap());
        }
        let stored = written(store, &[Entry::Completion(Box::new(end))]).await[0].after;
        former = stored.map(|stored| (new, stored)).or(former);
        ids.push(id);
    }
    seal(store, &Frontier::default()).await.unwrap();
    ids
}

async fn erased(store: &mut Store, target: EraseTarget, holds: &[&str]) -> Result<Erased, String> {
    let holds = holds.iter().map(|id| HoldSubject::Deployment((*id).to_owned())).collect();
    let request = EraseRequest { target, reason: "asked for".to_owned(), by: None, holds };
    let reads = store.reads();
    let mut hand = match &reads {
        Reads::Postgres(_) => Hand::Shared(&reads),
        Reads::Sqlite(_) => Hand::Alone(store),
    };
    let erased = all(&reads, &mut hand, &request, &Clock::System).await;
    erased.map_err(|error| error.to_string())
}

async fn changes(store: &Store, ids: &[ChangeId]) -> Vec<Change> {
    let mut changes = Vec::new();
    for id in ids {
        changes.push(store.reads().change(*id).await.unwrap().unwrap());
    }
    changes
}

/// Holds that each leaf of which a part is gone is told of with what is left, and all others fit.
async fn leaves_tell(store: &Store) -> usize {
    let reads = store.reads();
    let damaged = reads.damaged_documents(i64::MIN, 10_000).await.unwrap();
    assert!(damaged.is_none_or(|(_last, damaged)| damaged.is_empty()));
    let mut told = BTreeMap::new();
    for word in reads.erase_words(0).await.unwrap() {
        told.extend(named_leaves(&word.detail).unwrap());
    }
    for leaf in reads.leaves(0..10_000).await.unwrap() {
        let FoundRecord::Whole(facts) = &leaf.found else { panic!("{leaf:?}") };
        let salt = leaf.salt.unwrap();
        match &leaf.entry {
            None => assert_eq!(leaf.hash, Some(facts.hash(&salt))),
            Some(entry) => {
                assert_eq!(leaf.hash, Some(leaf_hash(entry)));
                assert_eq!(told.get(&leaf.position), Some(&left(facts, &salt)));
                assert!(facts.is_shown_by(entry));
            }
        }
    }
    told.len()
}

#[tokio::test]
async fn one_change_goes_with_the_halves_that_others_share_with_it() {
    for place in Place::of_each_kind().await {
        let mut store = place.opened().await;
        let ids = filled(&mut store).await;
        let former = changes(&store, &ids).await;
        // One ends where it begins, and two begin where it ends: one that failed, and the next.
        let done = erased(&mut store, EraseTarget::Change(ids[4]), &[]).await.unwrap();
        assert_eq!((done.changes, done.beside, done.documents), (1, 3, 2), "{done:?}");
        for (number, (before, after)) in former.iter().zip(changes(&store, &ids).await).enumerate()
        {
            let (was, is) = (before.bodies.as_ref().unwrap(), after.bodies.as_ref().unwrap());
            let lost = |body: &Option<Value>| {
                let name = body.as_ref().map(|body| body["name"].clone());
                name == Some(json!("n3")) || name == Some(json!("n4"))
            };
            let kept = |body: &Option<Value>| body.clone().filter(|_| !lost(body));
            assert_eq!(is.before, kept(&was.before), "{number}");
            assert_eq!(is.after, kept(&was.after), "{number}");
            assert_eq!(is.patch.is_none(), number == 4, "{number}");
            let is_told = !after.unkept.erased.is_empty();
            assert_eq!(is_told, number == 4 || lost(&was.before) || lost(&was.after), "{number}");
            assert_eq!(
                (before.actor.clone(), before.outcome),
                (after.actor.clone(), after.outcome)
            );
        }
        assert_eq!(leaves_tell(&store).await, 4);
        let again = erased(&mut store, EraseTarget::Change(ids[4]), &[]).await.unwrap();
        assert_eq!(again.changes, 0);
    }
}

#[tokio::test]
async fn a_deployment_goes_whole_unless_it_is_held() {
    for place in Place::of_each_kind().await {
        let mut store = place.opened().await;
        let ids = filled(&mut store).await;
        let target = EraseTarget::Deployment("dep_1".to_owned());
        let held = erased(&mut store, target.clone(), &["dep_1"]).await.unwrap_err();
        assert!(held.contains("is held, by its deployment"), "{held}");
        assert_eq!(leaves_tell(&store).await, 0);
        let done = erased(&mut store, target, &["dep_2"]).await.unwrap();
        assert_eq!((done.changes, done.beside), (CHANGES as u64, 0));
        for change in changes(&store, &ids).await {
            let bodies = change.bodies.unwrap();
            assert_eq!((bodies.patch, bodies.before, bodies.after), (None, None, None));
            assert!(change.unkept.has_erased(crate::audit::record::ErasedBody::Patch));
        }
        assert_eq!(leaves_tell(&store).await, CHANGES);
        let nobody = erased(&mut store, EraseTarget::Deployment("dep_9".to_owned()), &[]).await;
        assert!(nobody.unwrap_err().contains("has no deployment dep_9"));
    }
}

#[tokio::test]
async fn what_has_not_ended_is_not_erased() {
    for place in Place::of_each_kind().await {
        let mut store = place.opened().await;
        let mut row = opening(&json!({"name": "n"}));
        row.intent = intent("dep_1", BEGIN);
        let id = row.intent.id;
        written(&mut store, &[Entry::Intent(Box::new(row))]).await;
        let refused = erased(&mut store, EraseTarget::Change(id), &[]).await.unwrap_err();
        assert!(refused.contains("has not ended"), "{refused}");
    }
}

#[tokio::test]
async fn what_is_not_in_the_tree_yet_is_waited_for() {
    for place in Place::of_each_kind().await {
        let mut store = place.opened().await;
        let (asking, approval) = denied(1, Vec::new());
        let Entry::Whole(opening, _ending) = &asking else { panic!() };
        let target = EraseTarget::Change(opening.intent.id);
        written(&mut store, &[asking]).await;
        seal(&mut store, &Frontier::default()).await.unwrap();
        written(&mut store, &[decided(approval, Verdict::Rejected, "jun", None)]).await;
        let reason = "asked for".to_owned();
        let request = EraseRequest { target: target.clone(), reason, by: None, holds: Vec::new() };
        let reads = store.reads();
        let mut planner = Planner::begin(&reads, &request).await.unwrap();
        assert!(matches!(planner.next(BEGIN).await.unwrap(), Next::Waits));
        erased(&mut store, target, &[]).await.unwrap();
        assert!(matches!(planner.next(BEGIN).await.unwrap(), Next::Nothing));
        let shown = reads.approval(approval, BEGIN).await.unwrap().unwrap();
        assert!(
            shown.steps.iter().any(|step| step.reason.as_deref() == Some("erased")),
            "{shown:?}"
        );
    }
}
