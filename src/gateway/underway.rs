//! How many governed calls are on their way; draining waits for none.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// All governed calls.
#[derive(Debug, Default)]
pub(super) struct Exchanges {
    running: AtomicUsize,
    none: Notify,
}

/// One governed call on its way, counted until it is dropped.
pub(super) struct Underway(Arc<Exchanges>);

impl Exchanges {
    pub(super) fn begin(self: &Arc<Self>) -> Underway {
        self.running.fetch_add(1, Ordering::AcqRel);
        Underway(Arc::clone(self))
    }

    /// Waits until none is on its way.
    pub(super) async fn idle(&self) {
        loop {
            let none = self.none.notified();
            if self.running.load(Ordering::Acquire) == 0 {
                return;
            }
            none.await;
        }
    }
}

impl Drop for Underway {
    fn drop(&mut self) {
        if self.0.running.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.none.notify_waiters();
        }
    }
}
