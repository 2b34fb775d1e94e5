//! Work that the writer does between batches, a little at a time, so that no call waits for it.

use tokio::sync::oneshot;

use super::store::{PruneStep, Pruned, StoreError};

/// One piece of it, and who waits for it.
#[derive(Debug)]
pub(super) enum Chore {
    /// Takes records away.
    Prune(Box<PruneStep>, oneshot::Sender<Result<Pruned, StoreError>>),
    /// Gives free room back; the answer tells whether there is more.
    Shrink(oneshot::Sender<Result<bool, StoreError>>),
}
