//! A page of changes that is being filled, and the bounds on what one question looks through.

use super::documents::{AHEAD, Ask, Documents};
use super::texts::show;
use crate::audit::question::FoundChanges;
use crate::audit::record::Change;
use crate::audit::store::Boxed;

/// The most changes, or events, that are looked at for one page, where no index tells which of them
/// fit.
pub(super) const SEARCHED_MAX: i64 = 20_000;

/// The most changes that an index names at once.
pub(super) const NAMED_MAX: i64 = 1_000;

/// The most deployments that are asked for of one id: as many as upstreams have had one.
pub(super) const SAME_ID_MAX: i64 = 64;

/// The most tokens that one name is looked up by.
pub(super) const TOKENS_MAX: i64 = 64;

/// The most unclear changes of one deployment that are settled at once.
pub(super) const UNCLEAR_MAX: i64 = 100;

/// The bytes of text after which a page of changes with bodies ends: each may be megabytes.
const PAGE_BYTES_MAX: usize = 32 << 20;

/// The bytes of lists after which a page of changes without bodies ends: each change may have
/// hundreds of findings and concealed places.
const LISTS_BYTES_MAX: usize = 8 << 20;

/// A page that is being filled.
pub(super) struct PageBuilder {
    limit: usize,
    changes: Vec<Change>,
    list_bytes: usize,
    /// The place before which the next page begins; `None` where there is none, as far as is
    /// known.
    pub(super) next: Option<i64>,
}

impl PageBuilder {
    pub(super) fn new(limit: u16) -> Self {
        Self { limit: limit.into(), changes: Vec::new(), list_bytes: 0, next: None }
    }

    /// How many more changes are asked for, and one beyond, which shows whether there are more.
    pub(super) fn wanted(&self) -> i64 {
        let left = i64::try_from(self.limit - self.changes.len()).unwrap_or(i64::MAX);
        left.saturating_add(1)
    }

    /// Adds a change with so many bytes of lists. Returns whether there was room for it.
    pub(super) fn add(&mut self, change: Change, list_bytes: usize) -> bool {
        if self.changes.len() == self.limit || self.list_bytes > LISTS_BYTES_MAX {
            self.next = self.changes.last().map(|change| change.seq);
            return false;
        }
        self.list_bytes += list_bytes;
        self.changes.push(change);
        true
    }

    /// Shows the bodies of the changes, as far as a page goes. What was pruned meanwhile is left
    /// out.
    pub(super) async fn show_bodies<A: Ask>(
        &mut self,
        documents: &mut Documents<A>,
    ) -> Result<(), Boxed> {
        let mut number = 0;
        while number < self.changes.len() {
            if documents.read_bytes() > PAGE_BYTES_MAX {
                self.changes.truncate(number);
                self.next = self.changes.last().map(|change| change.seq);
                break;
            }
            let next: Vec<i64> =
                self.changes.iter().skip(number).take(AHEAD).map(|change| change.seq).collect();
            let texts = documents.bodies_of_first(&next).await?;
            if let (Some(texts), Some(change)) = (texts, self.changes.get_mut(number)) {
                show(change, &texts)?;
                number += 1;
            } else {
                self.changes.remove(number);
            }
        }
        Ok(())
    }

    pub(super) fn finish(self) -> FoundChanges {
        FoundChanges { changes: self.changes, next: self.next }
    }
}
