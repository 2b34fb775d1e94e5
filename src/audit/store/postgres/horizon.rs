//! The place in the log up to which all is decided: what lies below it never changes any more, on
//! any gateway.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use super::asking::Asking;
use crate::audit::store::Boxed;
use crate::audit::store::rows::cell;

/// The newest that is known of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Horizon {
    changes: Arc<AtomicI64>,
    events: Arc<AtomicI64>,
}

impl Horizon {
    /// The newest decided change.
    pub(super) async fn newest(&self, asking: &mut Asking) -> Result<i64, Boxed> {
        // It waits for those that write, and they for it: only this statement long.
        let row = asking.row("SELECT changes, events FROM horizon()").await?;
        let column = |column| row.as_ref().map_or(Ok(0), |row| cell(row, column));
        let changes = column("changes")?;
        self.events.fetch_max(column("events")?, Ordering::AcqRel);
        self.changes.fetch_max(changes, Ordering::AcqRel);
        Ok(changes)
    }

    /// The place of a change before which a question may look that asks for those before
    /// `before`.
    pub(super) async fn before(&self, asking: &mut Asking, before: i64) -> Result<i64, Boxed> {
        if before > self.changes.load(Ordering::Acquire).saturating_add(1) {
            self.newest(asking).await?;
        }
        Ok(before.min(self.changes.load(Ordering::Acquire).saturating_add(1)))
    }

    /// The same of an event.
    pub(super) async fn before_event(
        &self,
        asking: &mut Asking,
        before: i64,
    ) -> Result<i64, Boxed> {
        if before > self.events.load(Ordering::Acquire).saturating_add(1) {
            self.newest(asking).await?;
        }
        Ok(before.min(self.events.load(Ordering::Acquire).saturating_add(1)))
    }
}
