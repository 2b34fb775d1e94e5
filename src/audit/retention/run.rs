//! A pass carried out, step by step, by whoever writes the log.

use tokio::sync::oneshot;

use super::figures::RetentionFigures;
use super::pruner::Pruner;
use crate::audit::chore::Chore;
use crate::audit::queue::Queues;
use crate::audit::store::{Boxed, PruneStep, Pruned, Reads, Store, StoreError};

/// Who writes.
pub(super) enum Hand<'h> {
    /// This process alone, and nothing else.
    Alone(&'h mut Store),
    /// A gateway's writer, between batches.
    Beside(&'h Queues),
    /// A function of the log, which sees to it that one does at a time.
    Shared(&'h Reads),
}

/// How a pass has come to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// Nothing is left to do.
    Done,
    /// The log was not as it had been found: another pass has to look anew.
    Overtaken,
    /// Somebody else is at it.
    Busy,
    /// What is to be kept is another now.
    Changed,
}

/// Why a pass was broken off.
#[derive(Debug, thiserror::Error)]
#[error("the log is closed")]
struct Closed;

impl Hand<'_> {
    /// Carries out a step.
    async fn prune(&mut self, step: PruneStep) -> Result<Pruned, Boxed> {
        match self {
            Self::Alone(store) => Ok(store.prune(&step).await?),
            Self::Beside(queues) => {
                handed(queues, |answer| Chore::Prune(Box::new(step), answer)).await
            }
            Self::Shared(reads) => reads.prune(&step).await,
        }
    }

    /// Gives room back, all that there is.
    pub(super) async fn shrink(&mut self) -> Result<(), Boxed> {
        loop {
            let has_more = match self {
                Self::Alone(store) => store.shrink(true).await?,
                Self::Beside(queues) => handed(queues, Chore::Shrink).await?,
                Self::Shared(_server_does) => false,
            };
            if !has_more {
                return Ok(());
            }
        }
    }
}

/// Has the writer do a chore.
async fn handed<T>(
    queues: &Queues,
    chore: impl FnOnce(oneshot::Sender<Result<T, StoreError>>) -> Chore,
) -> Result<T, Boxed> {
    let (answer, answered) = oneshot::channel();
    queues.chores.send(chore(answer)).await.map_err(|_closed| Closed)?;
    Ok(answered.await.map_err(|_closed| Closed)??)
}

/// Carries out all steps of a pass, for as long as it `holds` what it takes is not to be kept.
pub(super) async fn through(
    pruner: &mut Pruner,
    hand: &mut Hand<'_>,
    figures: &RetentionFigures,
    holds: impl Fn() -> bool,
) -> Result<Ended, Boxed> {
    while let Some(step) = pruner.next().await? {
        // Last of all: to find a step takes its time.
        if !holds() {
            return Ok(Ended::Changed);
        }
        figures.note_overdue(pruner.overdue());
        let (changes, events, at) = (step.changes.len(), step.events.len(), step.event.at);
        match hand.prune(step).await? {
            Pruned::Done(took) => {
                if !matches!(hand, Hand::Alone(_)) {
                    pruner.heed(took);
                }
                figures.add(changes, events, at);
            }
            Pruned::Overtaken => return Ok(Ended::Overtaken),
            Pruned::Busy => return Ok(Ended::Busy),
        }
    }
    Ok(Ended::Done)
}
