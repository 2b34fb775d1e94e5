//! The writer's work between batches. It has its time from the calls: of all time, the writer gives
//! it a small share, and never more than one piece at once.

use std::time::Duration;

use tokio::time::Instant;

use super::Writer;
use crate::audit::chore::Chore;

/// How many times as long as a chore has taken the writer is there for calls alone.
const SHARE: u32 = 4;

impl Writer {
    /// Takes what waits to be done, once its time has come, also where batches follow each other
    /// without a rest.
    pub(super) fn take_chore(&mut self) {
        if self.chore.is_none() && self.is_healthy() && Instant::now() >= self.chore_due {
            self.chore = self.ends.chores.try_recv().ok();
        }
    }

    /// Does what was taken.
    pub(super) async fn do_chore(&mut self) {
        let Some(chore) = self.chore.take() else { return };
        let begun = Instant::now();
        match chore {
            Chore::Prune(step, waiting) => {
                let pruned = self.store.prune(&step).await;
                self.is_dirty = true;
                if let Err(fault) = &pruned {
                    self.doubt(fault);
                }
                let _gone = waiting.send(pruned);
            }
            Chore::Shrink(waiting) => {
                let shrunk = self.store.shrink(false).await;
                self.is_dirty = true;
                if let Err(fault) = &shrunk {
                    self.doubt(fault);
                }
                let _gone = waiting.send(shrunk);
            }
        }
        if let Err(fault) = self.store.trim().await {
            self.doubt(&fault);
        }
        let took: Duration = begun.elapsed();
        self.chore_due = Instant::now() + took * SHARE;
    }
}
