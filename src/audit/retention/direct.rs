//! Pruning by a command, beside no gateway or, in PostgreSQL, beside any.

use std::time::Duration;

use super::figures::RetentionFigures;
use super::run::{Ended, Hand, through};
use super::{Retention, Survey, pass};
use crate::audit::store::{Boxed, Preparation, Reads, Store};
use crate::audit::{StartError, take};
use crate::base::clock::Clock;
use crate::base::database::Database;

/// How often a pass begins anew where others write meanwhile.
const PASSES_MAX: usize = 20;

/// Why nothing, or not all, was pruned.
#[derive(Debug, thiserror::Error)]
pub enum PruneError {
    /// A gateway has the log.
    #[error(
        "{database} belongs to a running gateway ({holder}): it prunes by itself where \
         `retention.max_age` says how much is kept; or stop it first"
    )]
    Held {
        /// The log.
        database: String,
        /// The holder, as the lock file names it.
        holder: String,
    },
    /// A gateway has the log that a hold was to be written to.
    #[error(
        "{database} belongs to a running gateway ({holder}): name it in [[retention.hold]] of its \
         configuration, which is taken without a restart, or stop it first"
    )]
    Running {
        /// The log.
        database: String,
        /// The holder, as the lock file names it.
        holder: String,
    },
    /// Another one prunes it.
    #[error("a gateway prunes the log right now: try it again")]
    Busy,
    /// The log can't be used.
    #[error("can't use the audit database {database}")]
    Store {
        /// The log.
        database: String,
        /// The store's error.
        source: Boxed,
    },
}

/// Tells what is older, and what of it is kept; takes nothing.
pub async fn look(
    database: &Database,
    retention: &Retention,
    older_than: Duration,
    clock: &Clock,
) -> Result<Survey, PruneError> {
    let failed = |source| PruneError::Store { database: database.to_string(), source };
    let reads = Reads::open(database).await.map_err(failed)?;
    let pruner = pass::by_command(reads, retention, older_than, clock.now()).await;
    pruner.map_err(failed)?.look().await.map_err(failed)
}

/// Takes everything that is older, but for what is kept.
pub async fn prune(
    database: &Database,
    retention: &Retention,
    older_than: Duration,
    clock: &Clock,
) -> Result<Survey, PruneError> {
    let failed = |source| PruneError::Store { database: database.to_string(), source };
    if let Database::Postgres(_) = database {
        let reads = Reads::open(database).await.map_err(failed)?;
        let mut hand = Hand::Shared(&reads);
        let survey = all(&reads, retention, (older_than, clock), &mut hand).await;
        return survey.map_err(failed)?.ok_or(PruneError::Busy);
    }
    let hold = take(database, clock.now()).map_err(|error| match error {
        StartError::Held { database, holder } => PruneError::Held { database, holder },
        other => failed(other.into()),
    })?;
    let opened = Store::open_alone(hold, Preparation { key: None, at: clock.now() }).await;
    let mut store = opened.map_err(failed)?;
    let pruned = alone(&mut store, retention, older_than, clock).await;
    let closed = store.close().await;
    let survey = pruned.map_err(failed)?;
    closed.map_err(|fault| failed(fault.into()))?;
    Ok(survey)
}

async fn alone(
    store: &mut Store,
    retention: &Retention,
    older_than: Duration,
    clock: &Clock,
) -> Result<Survey, Boxed> {
    // What is not counted yet would be counted never.
    while store.count().await? {}
    let reads = store.reads();
    let mut hand = Hand::Alone(store);
    let survey = all(&reads, retention, (older_than, clock), &mut hand).await?;
    hand.shrink().await?;
    Ok(survey.unwrap_or_default())
}

/// Passes until nothing is left; `None` where somebody else is at it.
async fn all(
    reads: &Reads,
    retention: &Retention,
    (older_than, clock): (Duration, &Clock),
    hand: &mut Hand<'_>,
) -> Result<Option<Survey>, Boxed> {
    let figures = RetentionFigures::default();
    for _pass in 0..PASSES_MAX {
        let begun = pass::by_command(reads.clone(), retention, older_than, clock.now());
        let mut pruner = begun.await?;
        let ended = through(&mut pruner, hand, &figures, || true).await?;
        let survey = pruner.survey().clone();
        match ended {
            Ended::Done => {
                let done = figures.standing();
                return Ok(Some(Survey { changes: done.changes, events: done.events, ..survey }));
            }
            Ended::Overtaken | Ended::Changed => {}
            Ended::Busy => return Ok(None),
        }
    }
    Err("others write what is pruned all the time, so that only a part of it went: try it again"
        .into())
}
