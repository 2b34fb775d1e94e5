//! The writer while something is erased: this process alone, or a function of the log.

use crate::audit::entry::Entry;
use crate::audit::evidence::leaf::Facts;
use crate::audit::hashes::frontier;
use crate::audit::sealed::Sealed;
use crate::audit::sealer::record;
use crate::audit::store::{Boxed, EraseStep, Pruned, Reads, Store};

/// How many records come into the tree together.
const PART: u64 = 1_024;

/// The writer.
pub(super) enum Hand<'h> {
    /// This process alone, and nothing else.
    Alone(&'h mut Store),
    /// A function of the log, beside gateways.
    Shared(&'h Reads),
}

impl Hand<'_> {
    /// Has everything that is finished come into the tree: only what is in there can be told of
    /// once it is gone.
    pub(super) async fn seal(&mut self, reads: &Reads) -> Result<(), Boxed> {
        loop {
            let size = reads.tree_size().await?;
            let found = reads.unsealed(size, PART).await?;
            if found.is_empty() {
                return Ok(());
            }
            let records: Vec<(i64, Facts)> = found.into_iter().map(record).collect();
            let sealed = Sealed::of(&frontier(reads, size).await?, &records);
            match self {
                Self::Alone(store) => {
                    store.write_each(&[&Entry::Sealing(Box::new(sealed))]).await?;
                }
                Self::Shared(Reads::Postgres(shared)) => {
                    // Where a gateway was faster, there is less to do.
                    shared.seal(&sealed).await?;
                }
                Self::Shared(Reads::Sqlite(_has_one_writer)) => return Ok(()),
            }
        }
    }

    /// Carries out a step.
    pub(super) async fn erase(&mut self, step: &EraseStep) -> Result<Pruned, Boxed> {
        match self {
            Self::Alone(store) => Ok(store.erase(step).await?),
            Self::Shared(reads) => reads.erase(step).await,
        }
    }
}
