//! Leaves that are read while those before them are looked at.

use std::ops::Range;

use crate::audit::store::{Boxed, LeafRow, Reads};

type Found = Result<Vec<LeafRow>, Boxed>;

/// The asking side, and what was read ahead.
pub(super) struct Ahead<'r> {
    reads: &'r Reads,
    read: Option<(Range<u64>, Found)>,
}

impl<'r> Ahead<'r> {
    pub(super) fn of(reads: &'r Reads) -> Self {
        Self { reads, read: None }
    }

    pub(super) fn reads(&self) -> &'r Reads {
        self.reads
    }

    /// The leaves of a range, with their records.
    pub(super) async fn leaves(&mut self, range: Range<u64>) -> Found {
        match self.read.take() {
            Some((ahead, found)) if ahead == range => found,
            _others => self.reads.leaves(range).await,
        }
    }

    /// Reads the leaves of a range, which are asked for next.
    pub(super) async fn read(&mut self, range: Range<u64>) {
        if !range.is_empty() {
            self.read = Some((range.clone(), self.reads.leaves(range).await));
        }
    }
}
