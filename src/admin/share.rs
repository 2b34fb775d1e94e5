//! Limits on the questions of each asker, so that none keeps others from their answers.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The most questions on their way, their answers included.
pub(crate) const QUESTIONS_MAX: usize = 64;

/// The most of one asker.
const QUESTIONS_EACH_MAX: usize = 32;

/// The most of one asker that read the log at once: one less than it has connections for them.
const READING_EACH_MAX: usize = 3;

/// The most streams of changes of one asker at once.
pub(crate) const STREAMS_EACH_MAX: usize = 8;

/// All askers. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Askers {
    all: Arc<Semaphore>,
    shares: Arc<Mutex<HashMap<Identity, Arc<Share>>>>,
}

/// The digest of an asker's token; `None` where none is asked for.
pub(crate) type Identity = Option<[u8; 32]>;

/// The questions of one asker that are being answered. A question waits here first, and only then
/// for what all askers share, so that no asker fills that queue.
#[derive(Debug)]
pub(crate) struct Share {
    questions: Arc<Semaphore>,
    /// Questions that an index answers.
    pub(crate) reading: Semaphore,
    /// Questions that may look through the whole log.
    pub(crate) scanning: Semaphore,
    /// Streams of changes.
    pub(crate) streams: Arc<Semaphore>,
    /// Questions for bodies.
    pub(crate) bodies: Semaphore,
}

/// A question that is being answered, until it is dropped.
#[derive(Debug)]
pub(crate) struct Question {
    _all: OwnedSemaphorePermit,
    _own: OwnedSemaphorePermit,
}

impl Default for Askers {
    fn default() -> Self {
        Self { all: Arc::new(Semaphore::new(QUESTIONS_MAX)), shares: Arc::default() }
    }
}

impl Askers {
    /// The share of an asker.
    pub(crate) fn share(&self, asker: Identity) -> Arc<Share> {
        let mut shares = self.shares.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(share) = shares.get(&asker) {
            return Arc::clone(share);
        }
        // There are as many as tokens; those of former ones go.
        shares.retain(|_, share| Arc::strong_count(share) > 1);
        Arc::clone(shares.entry(asker).or_default())
    }

    /// A question of an asker; `None` where too many are on their way.
    pub(crate) fn question(&self, share: &Share) -> Option<Question> {
        let own = Arc::clone(&share.questions).try_acquire_owned().ok()?;
        let all = Arc::clone(&self.all).try_acquire_owned().ok()?;
        Some(Question { _all: all, _own: own })
    }
}

impl Default for Share {
    fn default() -> Self {
        Self {
            questions: Arc::new(Semaphore::new(QUESTIONS_EACH_MAX)),
            streams: Arc::new(Semaphore::new(STREAMS_EACH_MAX)),
            reading: Semaphore::new(READING_EACH_MAX),
            scanning: Semaphore::new(1),
            bodies: Semaphore::new(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_asker_takes_no_more_than_its_share_and_gets_it_back() {
        let askers = Askers::default();
        let (one, other) = (askers.share(Some([1; 32])), askers.share(Some([2; 32])));
        let held: Vec<_> = std::iter::from_fn(|| askers.question(&one)).take(1_000).collect();
        assert_eq!(held.len(), QUESTIONS_EACH_MAX);
        assert!(askers.question(&other).is_some());
        drop(held);
        assert!(askers.question(&one).is_some());
        assert!(Arc::ptr_eq(&one, &askers.share(Some([1; 32]))));
    }
}
