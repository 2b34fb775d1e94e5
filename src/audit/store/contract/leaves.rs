//! Leaves: every record becomes one, in every kind of store, once.

use super::*;
use crate::audit::evidence::leaf::{Facts, LeafKind};
use crate::audit::evidence::tree::{Frontier, perfect};
use crate::audit::sealed::{Sealed, SignedTree};

/// Has everything that is finished come into the tree; tells whether it did.
pub(in crate::audit) async fn seal(
    store: &mut Store,
    frontier: &Frontier,
) -> Result<Frontier, bool> {
    let unsealed = store.reads().unsealed(frontier.size(), 1_000).await.unwrap();
    let records: Vec<(i64, Facts)> = unsealed
        .into_iter()
        .map(|one| match one.found {
            FoundRecord::Whole(facts) => (one.record.1, *facts),
            other => panic!("{:?}: {other:?}", one.record),
        })
        .collect();
    let sealed = Sealed::of(frontier, &records);
    let after = sealed.frontier.clone();
    let done = match store.reads() {
        Reads::Postgres(reads) => reads.seal(&sealed).await.unwrap(),
        Reads::Sqlite(_) => {
            let entry = Entry::Sealing(Box::new(sealed));
            store.write(&[&entry]).await.unwrap().remove(0).is_ok()
        }
    };
    if done { Ok(after) } else { Err(false) }
}

#[tokio::test]
async fn every_finished_record_is_a_leaf_once_and_none_that_is_open() {
    for place in Place::of_each_kind().await {
        let mut store = place.opened().await;
        let open = Entry::Intent(Box::new(opening(&json!({"name": "n"}))));
        let settled = Settlement { by: "answer".to_owned(), at: NOW, applied: Some(true) };
        let entries = [open, whole(Outcome::Failed, &["/name"]), whole(Outcome::Unknown, &[])];
        written(&mut store, &entries).await;
        written(&mut store, &[event(), Entry::Settling(3, settled)]).await;
        let reads = store.reads();
        assert_eq!(reads.tree_size().await.unwrap(), 0);
        let frontier = seal(&mut store, &Frontier::default()).await.unwrap();
        let size = frontier.size();
        assert_eq!(
            (reads.tree_size().await.unwrap(), reads.leaves_end().await.unwrap()),
            (size, size)
        );
        let leaves = reads.leaves(0..100).await.unwrap();
        let mut counts = BTreeMap::new();
        for (leaf, position) in leaves.iter().zip(0..) {
            assert_eq!(leaf.position, position);
            let FoundRecord::Whole(facts) = &leaf.found else { panic!("{leaf:?}") };
            assert_eq!(leaf.hash, Some(facts.hash(&leaf.salt.unwrap())));
            *counts.entry(facts.kind).or_insert(0) += 1;
        }
        let kinds = [LeafKind::Change, LeafKind::Settlement, LeafKind::Event, LeafKind::Policy];
        let expected: BTreeMap<_, _> = kinds.into_iter().zip([2, 1, 1, 1]).collect();
        counts.remove(&LeafKind::Key);
        assert_eq!(counts, expected);
        assert!(reads.unsealed(size, 9).await.unwrap().is_empty());
        for kind in LeafKind::ALL {
            assert!(
                reads.without_leaf(kind.number(), -i64::MAX..=i64::MAX).await.unwrap().is_empty()
            );
        }
        assert!(reads.neither_open_nor_ended(-i64::MAX..=i64::MAX).await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn of_two_that_seal_the_same_one_does() {
    for place in Place::of_each_kind().await {
        let mut store = place.opened().await;
        written(&mut store, &[event(), event()]).await;
        let frontier = seal(&mut store, &Frontier::default()).await.unwrap();
        written(&mut store, &[event()]).await;
        assert_eq!(seal(&mut store, &Frontier::default()).await, Err(false));
        assert_eq!(store.reads().tree_size().await.unwrap(), frontier.size());
        let after = seal(&mut store, &frontier).await.unwrap();
        assert_eq!(after.size(), frontier.size() + 1);
    }
}

#[tokio::test]
async fn roots_over_full_tiles_and_the_newest_checkpoint_are_kept() {
    for place in Place::of_each_kind().await {
        let mut store = place.opened().await;
        let events: Vec<Entry> = (0..300).map(|_| event()).collect();
        written(&mut store, &events).await;
        let frontier = seal(&mut store, &Frontier::default()).await.unwrap();
        let reads = store.reads();
        let first = reads.hashes(0, 0..256).await.unwrap();
        assert_eq!(reads.hashes(1, 0..9).await.unwrap(), [perfect(&first).unwrap()]);
        assert_eq!(reads.hashes(0, 256..999).await.unwrap().len() as u64, frontier.size() - 256);
        for (size, note) in [(300, "newer"), (200, "older")] {
            let signed = SignedTree { size, at: NOW, note: note.to_owned() };
            match store.reads() {
                Reads::Postgres(reads) => reads.sign(&signed).await.unwrap(),
                Reads::Sqlite(_) => {
                    let entry = Entry::Checkpoint(Box::new(signed));
                    let _refused = store.write(&[&entry]).await.unwrap();
                }
            }
        }
        assert_eq!(reads.checkpoint().await.unwrap().as_deref(), Some("newer"));
    }
}
