//! Where the log lies. Only what is below here speaks SQL, and only the room of a kind of store
//! names its driver.
//!
//! A log has one writer at a time: who has the [`Hold`] of it opens the [`Store`], which keeps the
//! hold for as long as it is open. [`Reads`] answer questions, beside the writer or without one.

mod approval_rows;
mod batch;
mod beside;
#[cfg(test)]
pub(super) mod contract;
mod copied;
mod copying;
mod counted;
mod documents;
mod erasable;
mod finished;
mod folded;
mod indexed;
mod leaves;
mod named;
mod originals;
mod owned_row;
mod page;
mod places;
mod policies;
mod postgres;
mod prunable;
mod reads;
mod rows;
#[cfg(test)]
pub(super) mod samples;
mod sqlite;
#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a server of tests starts in real time")]
#[path = "../../tests/servers/postgres.rs"]
mod test_server;
mod texts;
mod turn_name;
mod turns;
mod way;

use std::error::Error;
use std::io;
use std::sync::Arc;

pub(super) use self::beside::{OriginalBody, SpanRow, TouchedRows};
pub(super) use self::copying::copy;
pub use self::copying::{Copied, CopyError, Part, Step};
pub(super) use self::documents::AHEAD;
pub(super) use self::erasable::{ERASED, EraseStep, ErasedLeaf, Halves, SealedRecord};
pub(super) use self::indexed::BLOCK_BITS;
pub(super) use self::leaves::{FoundRecord, Gap, LeafRow, Unfit, Unsealed};
pub(super) use self::originals::{OriginalRow, Rewrapped};
pub(super) use self::owned_row::OwnedRow;
pub use self::postgres::Migrated;
pub(super) use self::prunable::{
    Candidate, OldEvent, PruneBounds, PruneStep, Pruned, Subjects, Word,
};
pub(super) use self::reads::{Documents, Reads, Walk};
#[cfg(test)]
pub(super) use self::sqlite::interfere;
pub(super) use self::turns::{NoTurn, Turns};

use super::entry::{Entry, Written};
use crate::base::clock::Timestamp;
use crate::base::database::{Database, PostgresUrl};
use crate::base::key::KeyId;
use crate::policy::Policy;

/// Any error on the way of a question.
pub(super) type Boxed = Box<dyn Error + Send + Sync>;

/// A store's own error, shared by those who wait for one batch.
pub(super) type Cause = Arc<dyn Error + Send + Sync>;

/// Why something was not written.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum StoreError {
    /// A rule of a table forbids this record; others are not concerned.
    #[error("the log's rules forbid the record")]
    Refused(#[source] Cause),
    /// The store did not take it. Nothing was written.
    #[error("the store does not work")]
    Unavailable(#[source] Cause),
    /// The store failed while committing: it may hold the record or not.
    #[error("the store failed while writing")]
    Ambiguous(#[source] Cause),
    /// The log that was opened is no longer there, or can't be trusted any longer.
    #[error(transparent)]
    Gone(Cause),
}

impl StoreError {
    /// Whether a record was refused since it names a document that the log does not have any more.
    pub(super) fn is_of_lost_document(&self) -> bool {
        matches!(self, Self::Refused(cause) if cause.is::<LostDocument>())
    }
}

/// A record names a document that the log does not have any more.
#[derive(Debug, thiserror::Error)]
#[error("it names a document that the log does not have any more: try it again")]
pub(super) struct LostDocument;

/// The facts found in a log. One that is not there, or empty, holds nothing.
#[derive(Clone, Debug, Default)]
pub(super) struct LogFacts {
    /// Whether anything is recorded.
    pub(super) has_rows: bool,
    /// The key in force. `None` where none is on record yet.
    pub(super) key: Option<KeyId>,
    /// Where the log went on, of one that is sealed.
    pub(super) moved_to: Option<String>,
}

/// Why nothing was found out.
#[derive(Debug, thiserror::Error)]
pub(super) enum FindError {
    /// It is something else than a log.
    #[error("it is not an audit log")]
    Foreign,
    /// It can't be read.
    #[error("it can't be read")]
    Store(#[source] Boxed),
}

/// The others that may have the log open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Beside {
    /// A gateway that writes, perhaps.
    Anyone,
    /// No gateway: this process has the hold.
    Readers,
}

/// Looks into the log at `database`, and alters nothing of it.
pub(super) async fn find(database: &Database, beside: Beside) -> Result<LogFacts, FindError> {
    match database {
        Database::Sqlite(path) => sqlite::find(path, beside).await,
        Database::Postgres(url) => postgres::find(url).await,
    }
}

/// Has the log at `url` serve a policy to the gateways that share it, and tells whether it is
/// another one than before.
pub(super) async fn push_policy(url: &PostgresUrl, policy: &Policy) -> Result<bool, Boxed> {
    postgres::push_policy(url, policy).await
}

/// Makes the roles and tables of a log in PostgreSQL, or brings them up to date.
pub(super) async fn migrate(url: &PostgresUrl) -> Result<Migrated, Boxed> {
    Ok(postgres::migrate(url).await?)
}

/// The right to write a log, by its kind.
#[derive(Debug)]
pub(super) enum Hold {
    /// A lock on the file.
    Sqlite(sqlite::Lock),
    /// Nothing but the place: several gateways write the log, and its functions see to it.
    Postgres(postgres::Writer),
}

/// Why the hold of a log was not taken.
#[derive(Debug)]
pub(super) enum HoldError {
    /// Another has it: what is known of it.
    Held(String),
    /// The log's place can't be used.
    Io(io::Error),
}

impl Hold {
    /// The hold of the gateway of that name.
    pub(super) fn named(self, node: &Arc<str>) -> Self {
        match self {
            Self::Postgres(writer) => Self::Postgres(writer.named(node)),
            lock @ Self::Sqlite(_) => lock,
        }
    }

    /// Takes the hold of the log at `database`, or tells who has it.
    pub(super) fn take(database: &Database, now: Timestamp) -> Result<Self, HoldError> {
        match database {
            Database::Sqlite(path) => sqlite::Lock::take(path, now).map(Self::Sqlite),
            Database::Postgres(url) => Ok(Self::Postgres(postgres::Writer::of(url))),
        }
    }
}

/// The work of a start in a log: to bring its tables up to date, to end as `unknown` what a
/// crash left open, and to record the key that is in force.
#[derive(Clone, Copy, Debug)]
pub(super) struct Preparation {
    /// `None` leaves the one that is on record.
    pub(super) key: Option<KeyId>,
    pub(super) at: Timestamp,
}

/// The one that writes the log, by its kind.
#[derive(Debug)]
pub(super) enum Store {
    /// One file, with one writer.
    Sqlite(Box<sqlite::Writes>),
    /// A database of a server, with several writers.
    Postgres(Box<postgres::Writes>),
}

impl Store {
    /// Opens the log that `hold` is of and prepares it: its tables are brought up to date, what
    /// those who had the hold before left open is ended, and the key in force is recorded. Where
    /// that fails in a way that may pass, such as for want of room, it is made up for as soon as it
    /// can be, and the error is told.
    pub(super) async fn open(
        hold: Hold,
        preparation: Preparation,
    ) -> Result<(Self, Option<StoreError>), Boxed> {
        match hold {
            Hold::Sqlite(lock) => {
                let (writes, fault) = sqlite::Writes::open(lock, preparation).await?;
                Ok((Self::Sqlite(Box::new(writes)), fault))
            }
            Hold::Postgres(writer) => {
                let writes = postgres::Writes::open(writer, preparation).await?;
                Ok((Self::Postgres(Box::new(writes)), None))
            }
        }
    }

    /// The same for one who works alone: there is nobody to make up for what fails.
    pub(super) async fn open_alone(hold: Hold, preparation: Preparation) -> Result<Self, Boxed> {
        let (store, fault) = Self::open(hold, preparation).await?;
        fault.map_or(Ok(store), |fault| Err(fault.into()))
    }

    /// The asking side of this log.
    pub(super) fn reads(&self) -> Reads {
        match self {
            Self::Sqlite(writes) => Reads::Sqlite(writes.reads()),
            Self::Postgres(writes) => Reads::Postgres(writes.reads()),
        }
    }

    /// Whether its connections are of the network, which the thread that drives them must serve.
    pub(super) fn is_remote(&self) -> bool {
        matches!(self, Self::Postgres(_))
    }

    /// How many changes a crash had left open; they are `unknown` now.
    pub(super) fn swept(&self) -> u64 {
        match self {
            Self::Sqlite(writes) => writes.swept(),
            // What others have left open ends once their leases are over.
            Self::Postgres(_) => 0,
        }
    }

    /// Writes `entries` durably, all together. Where the log's rules refuse one of them, the others
    /// are written all the same: each has its own answer then.
    pub(super) async fn write(
        &mut self,
        entries: &[&Entry],
    ) -> Result<Vec<Result<Written, StoreError>>, StoreError> {
        match self {
            Self::Sqlite(writes) => writes.write(entries).await,
            Self::Postgres(writes) => writes.write(entries).await,
        }
    }

    /// Writes `entries` durably, all together, or fails where one of them is refused.
    pub(super) async fn write_each(&mut self, entries: &[&Entry]) -> Result<(), StoreError> {
        self.write(entries).await?.into_iter().try_for_each(|answer| answer.map(|_written| ()))
    }

    /// Gives back the room that a large batch has taken, if there is too much of it.
    pub(super) async fn trim(&mut self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(writes) => writes.trim().await,
            Self::Postgres(_) => Ok(()),
        }
    }

    /// Counts some of the changes that are not counted yet, for questions about long times. Tells
    /// whether there are more.
    pub(super) async fn count(&mut self) -> Result<bool, StoreError> {
        match self {
            Self::Sqlite(writes) => writes.count().await,
            Self::Postgres(writes) => writes.count().await,
        }
    }

    /// Whether the log has lost documents since this was asked last: none that was known is there
    /// for sure.
    pub(super) fn takes_back_documents(&mut self) -> bool {
        match self {
            Self::Sqlite(_) => false,
            Self::Postgres(writes) => writes.takes_back_documents(),
        }
    }

    /// Whether so many changes are not counted yet that no time without work is waited for.
    pub(super) fn is_behind(&self) -> bool {
        match self {
            Self::Sqlite(writes) => writes.is_behind(),
            Self::Postgres(writes) => writes.is_behind(),
        }
    }

    /// Takes records away that go together, or nothing where the log is not as it was found.
    pub(super) async fn prune(&mut self, step: &PruneStep) -> Result<Pruned, StoreError> {
        match self {
            Self::Sqlite(writes) => writes.prune(step).await,
            // Several gateways may: whoever reads calls the function that does.
            Self::Postgres(_) => Ok(Pruned::Busy),
        }
    }

    /// Takes parts of records away that go together, or nothing where the log is not as it was
    /// found.
    pub(super) async fn erase(&mut self, step: &EraseStep) -> Result<Pruned, StoreError> {
        match self {
            Self::Sqlite(writes) => writes.erase(step).await,
            Self::Postgres(_) => Ok(Pruned::Busy),
        }
    }

    /// Leaves nothing in the log's files of what was erased; tells whether it could.
    pub(super) async fn scour(&mut self) -> Result<bool, StoreError> {
        match self {
            Self::Sqlite(writes) => writes.scour().await,
            Self::Postgres(_) => Ok(false),
        }
    }

    /// Gives back some of the room that what was pruned has left, all of it in the end or all but
    /// what the next records take; tells whether there is more.
    pub(super) async fn shrink(&mut self, all: bool) -> Result<bool, StoreError> {
        match self {
            Self::Sqlite(writes) => writes.shrink(all).await,
            Self::Postgres(_) => Ok(false),
        }
    }

    /// Uses a time without work. Where nothing was written since the last one, the log is looked
    /// for where others find it, which costs no sync.
    pub(super) async fn rest(&mut self, was_written: bool) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(writes) if was_written => writes.checkpoint().await,
            Self::Sqlite(writes) => writes.look(),
            Self::Postgres(writes) => writes.rest().await,
        }
    }

    /// Finds out whether a batch of records can be written.
    pub(super) async fn probe(&mut self, now: Timestamp) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(writes) => writes.probe(now).await,
            Self::Postgres(writes) => writes.probe().await,
        }
    }

    /// Records that another key is in force from now on, and tells from which change on.
    pub(super) async fn change_key(
        &mut self,
        former: Option<KeyId>,
        key: KeyId,
        now: Timestamp,
    ) -> Result<i64, StoreError> {
        match self {
            Self::Sqlite(writes) => writes.change_key(former, key, now).await,
            Self::Postgres(writes) => writes.change_key(former, key, now).await,
        }
    }

    /// Holds that no gateway runs on the log while its sealing key is changed. Of SQLite's the lock
    /// says so.
    pub(super) async fn begin_seal_rotation(&mut self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(_locked) => Ok(()),
            Self::Postgres(writes) => writes.begin_seal_rotation().await,
        }
    }

    /// Puts data keys that are wrapped anew in the place of the former ones.
    pub(super) async fn rewrap(&mut self, rows: &[Rewrapped]) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(writes) => writes.rewrap(rows).await,
            Self::Postgres(writes) => writes.rewrap(rows).await,
        }
    }

    /// Closes the log, with nothing left to be made up for, and gives the hold back.
    pub(super) async fn close(self) -> Result<Hold, StoreError> {
        match self {
            Self::Sqlite(writes) => writes.close().await.map(Hold::Sqlite),
            Self::Postgres(writes) => Ok(Hold::Postgres(writes.close().await)),
        }
    }
}
