//! Documents that a failover may have lost, of which the next records must not be told.

use super::parts::filed;
use crate::audit::document::SnapshotRef;
use crate::audit::entry::Entry;

/// What is known of losses.
#[derive(Debug, Default)]
pub(super) struct Lost {
    /// Every document of this process below this number may be lost.
    below: i64,
    /// The lowest number of a former document that is named by the batch on its way.
    named: Option<i64>,
    is_news: bool,
}

impl Lost {
    /// Takes note of a loss; `next` is the number that the next document would have had.
    pub(super) fn note(&mut self, next: i64) {
        self.below = self.below.max(next);
        self.is_news = true;
    }

    /// Whether it may be of a lost document.
    pub(super) fn has(&self, number: i64) -> bool {
        number < self.below
    }

    /// Has these entries be on their way.
    pub(super) fn guard(&mut self, entries: &[&Entry]) {
        let filed = entries.iter().flat_map(|entry| filed(entry));
        let former = filed.filter_map(|filed| match filed {
            SnapshotRef::Already(stored) => Some(*stored),
            SnapshotRef::New(snapshot) => snapshot.base,
        });
        self.named = former.map(|stored| stored.number).min();
    }

    /// Whether what is on its way names one that may be lost.
    pub(super) fn is_named(&self) -> bool {
        self.named.is_some_and(|number| self.has(number))
    }

    /// Whether there was a loss since this was asked last.
    pub(super) fn take_news(&mut self) -> bool {
        std::mem::take(&mut self.is_news)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::audit::document::{Document, Stored};
    use crate::audit::store::samples::{event, opening};

    fn intent(before: Option<SnapshotRef>) -> Entry {
        let mut opening = opening(&json!({"name": "n"}));
        opening.before = before;
        Entry::Intent(Box::new(opening))
    }

    #[test]
    fn what_names_a_document_that_may_be_lost_is_found_out() {
        let text = |n: usize| Document::of(&json!({"n": n, "long": "x".repeat(9_000)}));
        let stored = Stored { number: 5, depth: 0 };
        let upon = text(1).file(Some((&text(2), stored))).unwrap();
        assert!(matches!(&upon, SnapshotRef::New(snapshot) if snapshot.base.is_some()));
        let naming = [intent(Some(SnapshotRef::Already(stored))), intent(Some(upon))];
        let others = [intent(Some(text(3).file(None).unwrap())), intent(None), event()];
        let mut lost = Lost::default();
        assert!(!lost.has(0) && !lost.take_news());
        for entry in &naming {
            lost.guard(&[entry]);
            assert!(!lost.is_named(), "nothing is lost yet");
        }
        lost.note(6);
        assert!(lost.is_named() && lost.take_news() && !lost.take_news());
        lost.note(3);
        assert!(lost.has(5) && !lost.has(6), "what was lost before stays so");
        for entry in &naming {
            lost.guard(&[&others[2], entry]);
            assert!(lost.is_named());
        }
        for entry in &others {
            lost.guard(&[entry]);
            assert!(!lost.is_named());
        }
    }
}
