//! Turns of calls that ask for approvals: of one actor's calls, one at a time looks whether what it
//! asks for is asked for already.

use std::sync::Arc;

use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::base::ids::Fingerprint;

/// How many actors may ask without waiting for each other.
const ASKING: usize = 64;

/// Keeps one actor's calls from asking for the same approval at once.
#[derive(Debug)]
pub(super) struct AskingTurns([Arc<Mutex<()>>; ASKING]);

impl Default for AskingTurns {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Arc::default()))
    }
}

impl AskingTurns {
    /// The turn of one of this actor's calls, once it comes.
    pub(super) async fn take(&self, actor: Fingerprint) -> Option<OwnedMutexGuard<()>> {
        let place = usize::try_from(actor.as_u64() % ASKING as u64).ok()?;
        Some(Arc::clone(self.0.get(place)?).lock_owned().await)
    }
}
