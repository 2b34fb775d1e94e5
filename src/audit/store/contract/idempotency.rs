//! Idempotency keys, of which each has one change a day.

use std::time::Duration;

use super::*;
use crate::audit::entry::IntentRow;
use crate::audit::idempotency::{IN_FORCE, IdempotencyKey, stays_in_force};
use crate::audit::record::{UpstreamAnswer, UpstreamCall};
use crate::base::ids::ChangeId;

fn key(digest: u8, request: u8) -> IdempotencyKey {
    IdempotencyKey { digest: [digest; 16], request: [request; 16] }
}

/// An intent under a key, so long after the first ones.
fn keyed(key: IdempotencyKey, after: Duration) -> Entry {
    Entry::Intent(Box::new(IntentRow {
        intent: crate::audit::intent::Intent {
            idempotency_key: Some(key),
            ..crate::audit::samples::intent("dep_1", NOW.plus(after))
        },
        ..opening(&json!({}))
    }))
}

fn id(entry: &Entry) -> ChangeId {
    entry.id().unwrap()
}

fn ended(change: ChangeId, outcome: Outcome, status: Option<u16>) -> Entry {
    let mut row = CompletionRow::bare(change, outcome, NOW);
    let call = UpstreamCall::Change;
    row.completion.upstream =
        status.map(|status| UpstreamAnswer { call, status: Some(status), request_id: None });
    Entry::Completion(Box::new(row))
}

async fn is_refused(store: &mut Store, entry: &Entry) -> bool {
    match &store.write(&[entry]).await.unwrap()[..] {
        [Ok(_)] => false,
        [Err(StoreError::Refused(_))] => true,
        answers => panic!("{answers:?}"),
    }
}

#[tokio::test]
async fn a_key_is_taken_by_one_intent_and_tells_of_it_for_a_day() {
    for place in Place::of_each_kind().await {
        let mut store = place.opened().await;
        let reads = store.reads();
        let (first, next) = (keyed(key(1, 1), Duration::ZERO), keyed(key(1, 2), IN_FORCE));
        let (first_id, next_id) = (id(&first), id(&next));
        assert!(reads.earlier_call([1; 16], NOW).await.unwrap().is_none());
        written(&mut store, &[first]).await;
        let found = reads.earlier_call([1; 16], NOW).await.unwrap().unwrap();
        assert_eq!((found.request, found.change.id), ([1; 16], first_id));
        assert_eq!(found.change.outcome, Outcome::Pending);
        let nearly = IN_FORCE.saturating_sub(Duration::from_millis(1));
        for after in [Duration::ZERO, nearly] {
            assert!(is_refused(&mut store, &keyed(key(1, 2), after)).await);
            assert!(reads.earlier_call([1; 16], NOW.plus(after)).await.unwrap().is_some());
        }
        assert!(!is_refused(&mut store, &keyed(key(2, 1), Duration::ZERO)).await);
        assert!(reads.earlier_call([1; 16], NOW.plus(IN_FORCE)).await.unwrap().is_none());
        assert!(!is_refused(&mut store, &next).await);
        let found = reads.earlier_call([1; 16], NOW.plus(IN_FORCE)).await.unwrap().unwrap();
        assert_eq!((found.request, found.change.id), ([2; 16], next_id));
    }
}

#[tokio::test]
async fn of_many_intents_in_one_batch_one_has_the_key() {
    for place in Place::of_each_kind().await {
        let mut store = place.opened().await;
        let entries: Vec<_> = (0..20).map(|_| keyed(key(1, 1), Duration::ZERO)).collect();
        let entries: Vec<&Entry> = entries.iter().collect();
        let answers = store.write(&entries).await.unwrap();
        assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
        let all = store.reads().changes(&Filter::default(), i64::MAX, 50, false).await.unwrap();
        assert_eq!(all.changes.len(), 1, "a refused intent leaves nothing");
    }
}

#[tokio::test]
async fn an_end_that_says_that_nothing_was_done_leaves_the_key_unused() {
    for place in Place::of_each_kind().await {
        let mut store = place.opened().await;
        let ends = [
            (Outcome::Failed, None),
            (Outcome::Rejected, Some(401)),
            (Outcome::Rejected, Some(408)),
            (Outcome::Rejected, Some(409)),
            (Outcome::Rejected, Some(425)),
            (Outcome::Rejected, Some(429)),
            (Outcome::Rejected, Some(400)),
            (Outcome::Rejected, Some(404)),
            (Outcome::Rejected, Some(302)),
            (Outcome::Applied, Some(200)),
            (Outcome::Unknown, Some(503)),
            (Outcome::Unknown, None),
        ];
        for (n, (outcome, status)) in (1..).zip(ends) {
            let first = keyed(key(n, 1), Duration::ZERO);
            let end = ended(id(&first), outcome, status);
            written(&mut store, &[first]).await;
            written(&mut store, &[end]).await;
            let stays = stays_in_force(outcome, status);
            let found = store.reads().earlier_call([n; 16], NOW).await.unwrap();
            assert_eq!(found.map(|found| found.change.outcome), stays.then_some(outcome));
            assert_eq!(is_refused(&mut store, &keyed(key(n, 2), Duration::ZERO)).await, stays);
        }
    }
}

#[tokio::test]
async fn what_a_crash_left_open_has_its_key_still() {
    for place in [Place::file()] {
        let mut store = place.opened().await;
        written(&mut store, &[keyed(key(1, 1), Duration::ZERO)]).await;
        drop(store.close().await.unwrap());
        let mut store = place.opened().await;
        let found = store.reads().earlier_call([1; 16], NOW).await.unwrap().unwrap();
        assert_eq!(found.change.outcome, Outcome::Unknown);
        assert!(is_refused(&mut store, &keyed(key(1, 1), Duration::ZERO)).await);
    }
}

#[tokio::test]
async fn keys_that_are_over_make_room() {
    for place in Place::of_each_kind().await {
        let mut store = place.opened().await;
        let day = |day: u32| IN_FORCE * day;
        let of_day =
            |n: u32| (0..20).map(move |k| keyed(key(u8::try_from(n * 20 + k).unwrap(), 1), day(n)));
        for n in 0..6 {
            for entry in of_day(n) {
                written(&mut store, &[entry]).await;
            }
        }
        let reads = store.reads();
        for n in 0..100 {
            assert!(reads.earlier_call([n; 16], NOW).await.unwrap().is_none(), "{n}");
        }
        for n in 100..120 {
            assert!(reads.earlier_call([n; 16], NOW.plus(day(5))).await.unwrap().is_some(), "{n}");
        }
    }
}
