//! Sinks: their places are kept unless an operator has another word, and what they read is whole.

use super::*;
use crate::audit::evidence::tree::Frontier;
use crate::audit::sink::{
    DeadLetter, FinishedContent, FinishedPart, LETTERS_MAX, SinkOrder, SinkState, SinkStep,
};

const ME: &str = "00112233445566778899aabbccddeeff";
const OTHER: &str = "ffeeddccbbaa99887766554433221100";
const HELD: std::time::Duration = std::time::Duration::from_secs(15);

/// Says something of a sink; tells whether it was taken.
async fn say(store: &mut Store, step: SinkStep) -> bool {
    let reads = match store.reads() {
        Reads::Postgres(reads) => reads,
        Reads::Sqlite(_) => {
            let entry = Entry::Sink(Box::new(step));
            return store.write(&[&entry]).await.unwrap().remove(0).is_ok();
        }
    };
    match step {
        SinkStep::Begin(name, _at_start) => reads.take_sink(&name, true, ME, HELD).await.unwrap(),
        SinkStep::Keep(state, letters) => {
            reads.keep_sink(&state, &letters, ME, HELD).await.unwrap()
        }
        SinkStep::Order(name, order) => reads.order_sink(&name, order).await.unwrap(),
    }
}

async fn state(store: &Store) -> SinkState {
    store.reads().sink_states().await.unwrap().remove(0)
}

#[tokio::test]
async fn a_place_is_kept_unless_there_was_an_order() {
    for place in Place::of_each_kind().await {
        let mut store = place.opened().await;
        assert!(store.reads().sink_states().await.unwrap().is_empty());
        assert!(say(&mut store, SinkStep::Begin("one".to_owned(), 0)).await);
        let begun = state(&store).await;
        assert_eq!((begun.next, begun.revision, begun.attempts), (0, 1, 0));
        let further = SinkState {
            next: 7,
            attempts: 2,
            next_at: Some(NOW),
            sent: 5,
            sent_at: Some(NOW),
            error: Some("no \u{0} 'answer'".to_owned()),
            error_at: Some(NOW),
            dead: 1,
            disabled: Some("digest".to_owned()),
            ..begun
        };
        let letter = |position| DeadLetter { position, at: NOW, reason: "answered 422".to_owned() };
        let step = SinkStep::Keep(further.clone(), vec![letter(3), letter(4)]);
        assert!(say(&mut store, step).await);
        let kept = state(&store).await;
        assert_eq!(SinkState { error: None, ..kept }, SinkState { error: None, ..further.clone() });
        assert_eq!(store.reads().dead_letters("one").await.unwrap(), [letter(4), letter(3)]);

        assert!(say(&mut store, SinkStep::Order("one".to_owned(), SinkOrder::Resume)).await);
        let resumed = state(&store).await;
        assert_eq!((resumed.next, resumed.attempts, resumed.next_at), (7, 0, None));
        assert!(resumed.disabled.is_none() && resumed.revision == 2);
        let late = SinkStep::Keep(SinkState { next: 9, ..further.clone() }, vec![letter(8)]);
        assert!(!say(&mut store, late).await, "the order holds");
        assert_eq!(state(&store).await.next, 7);
        assert!(say(&mut store, SinkStep::Order("one".to_owned(), SinkOrder::Replay(2))).await);
        assert_eq!(state(&store).await.next, 2);

        let many = (0..u64::from(LETTERS_MAX) + 20).map(letter).collect();
        let now = state(&store).await;
        assert!(say(&mut store, SinkStep::Keep(now, many)).await);
        let listed = store.reads().dead_letters("one").await.unwrap();
        assert_eq!(listed.len(), 1_000);
        assert_eq!(listed.last().map(|letter| letter.position), Some(20));
    }
}

#[tokio::test]
async fn one_process_at_a_time_has_a_sink() {
    for place in Place::of_each_kind().await {
        let store = place.opened().await;
        let Reads::Postgres(reads) = store.reads() else { continue };
        assert!(reads.take_sink("one", true, ME, HELD).await.unwrap());
        assert!(!reads.take_sink("one", true, OTHER, HELD).await.unwrap());
        let taken = state(&store).await;
        assert!(!reads.keep_sink(&taken, &[], OTHER, HELD).await.unwrap());
        assert!(reads.take_sink("one", true, ME, std::time::Duration::ZERO).await.unwrap());
        assert!(reads.take_sink("one", true, OTHER, HELD).await.unwrap(), "its time was over");
        assert!(!reads.keep_sink(&taken, &[], ME, HELD).await.unwrap());
        reads.leave_sinks(OTHER).await.unwrap();
        assert!(reads.take_sink("one", true, ME, HELD).await.unwrap());
        assert!(!reads.order_sink("none", SinkOrder::Resume).await.unwrap());
        // After a failover, whoever has it takes it anew before anything of it is kept.
        let Place::Postgres(database) = &place else { panic!() };
        let taken = state(&store).await;
        database.sql("UPDATE changegate.sinks SET timeline = 'another'");
        assert!(!reads.keep_sink(&taken, &[], ME, HELD).await.unwrap());
        assert_ne!(state(&store).await.timeline, taken.timeline);
        assert!(reads.take_sink("one", true, ME, HELD).await.unwrap());
        assert_eq!(state(&store).await.timeline, taken.timeline);
        assert!(reads.keep_sink(&taken, &[], ME, HELD).await.unwrap());
    }
}

#[tokio::test]
async fn finished_records_are_read_in_their_order_whatever_they_are() {
    for place in Place::of_each_kind().await {
        let mut store = place.opened().await;
        let settled = Settlement { by: "answer".to_owned(), at: NOW, applied: Some(true) };
        written(&mut store, &[whole(Outcome::Unknown, &[]), whole(Outcome::Failed, &[])]).await;
        written(&mut store, &[Entry::Settling(1, settled.clone()), event()]).await;
        let _size = leaves::seal(&mut store, &Frontier::default()).await.unwrap();
        let reads = store.reads();
        let end = reads.leaves_end().await.unwrap();
        let found = reads.finished(0..100).await.unwrap();
        assert_eq!(found.len() as u64, end);
        let mut seen = BTreeMap::new();
        for (record, position) in found.iter().zip(0..) {
            assert_eq!(record.position, position);
            let kind = match &record.content {
                FinishedContent::Change(change, FinishedPart::End) => {
                    assert!(change.completed_at.is_some());
                    "end"
                }
                FinishedContent::Change(change, FinishedPart::Settlement) => {
                    assert_eq!(change.settled.as_ref(), Some(&settled));
                    "settlement"
                }
                FinishedContent::Event(_) => "event",
                FinishedContent::Other(kind, record) => {
                    assert!(*kind != "key" || record["at"].is_string(), "{record}");
                    kind
                }
                other => panic!("{other:?}"),
            };
            *seen.entry(kind).or_insert(0) += 1;
        }
        let expected = [("end", 2), ("event", 1), ("key", 1), ("policy", 1), ("settlement", 1)];
        assert_eq!(seen, expected.into());
        assert_eq!(reads.finished(2..3).await.unwrap()[0].position, 2);
        assert!(reads.finished(end..end + 9).await.unwrap().is_empty());
    }
}
