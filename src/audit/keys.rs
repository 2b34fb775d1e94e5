//! The key that a log goes with: found to be the right one before anything is written under it,
//! and changed for another.

use std::path::{Path, PathBuf};

use super::store::{Beside, FindError, LogFacts, Preparation, Store, find};
use super::{StartError, take};
use crate::base::clock::Clock;
use crate::base::database::Database;
use crate::base::key::{self, Key, KeyId, Staged};

/// The fix for a user who has lost the key.
macro_rules! rotate {
    () => {
        "run `changegate key rotate --config FILE` to go on under a new one"
    };
}

/// Why a key and a log don't go together.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The log was written under a key that is not there.
    #[error(
        "the key file {} is missing, under which {} was written{}: restore it from a backup, or {}",
        key_file.display(), database, named(*expected), rotate!()
    )]
    Missing {
        /// Where it should be.
        key_file: PathBuf,
        /// The log.
        database: Database,
        /// The key's id, where that is on record.
        expected: Option<KeyId>,
    },
    /// The log was written under another key.
    #[error(
        "{} was written under another key ({expected}) than this one ({found}): restore that key \
         file from a backup, or {}",
        database, rotate!()
    )]
    Another {
        /// The log.
        database: Database,
        /// The key that is on record.
        expected: KeyId,
        /// The key that is there.
        found: KeyId,
    },
    /// A change of the key was broken off.
    #[error(
        "the key of {} is being changed to {expected}: run `changegate key rotate --config FILE` \
         once more to complete that",
        database
    )]
    Halfway {
        /// The log.
        database: Database,
        /// The key that is on record.
        expected: KeyId,
    },
    /// The originals were sealed under another key.
    #[error(
        "the originals in {} are sealed under {expected}, and seal.key_file holds {found}: restore \
         that file, or unset seal.key_file to go on without originals",
        database
    )]
    Sealing {
        /// The log.
        database: Database,
        /// The key of the newest ones.
        expected: KeyId,
        /// The key that is there.
        found: KeyId,
    },
    /// The database is not a log.
    #[error(
        "{} is not an audit log, but the database of another program or no SQLite file: name \
         another file in audit.database",
        database
    )]
    Foreign {
        /// The database.
        database: Database,
    },
    /// The log can't be read.
    #[error("can't read the audit database {}", database)]
    Store {
        /// The database.
        database: Database,
        /// The store's error.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The log was copied, and goes on elsewhere.
    #[error(
        "{} is sealed: the log was moved to {moved_to} and goes on there; name that one in \
         audit.database",
        database
    )]
    Moved {
        /// The log.
        database: Database,
        /// Where it goes on.
        moved_to: String,
    },
    /// There is no log yet.
    #[error(
        "there is no audit database at {}: the first start makes it, and a key with it",
        database
    )]
    NoLog {
        /// The database.
        database: Database,
    },
    /// The key file can't be used.
    #[error(transparent)]
    File(#[from] key::KeyError),
}

/// The key of a log, and whether its file was made just now.
#[derive(Clone, Debug)]
pub struct LogKey {
    /// The key.
    pub key: Key,
    /// Whether there was none before.
    pub is_new: bool,
}

/// A key that was changed for another.
#[derive(Clone, Debug)]
pub struct Rotation {
    /// The key in force.
    pub key: KeyId,
    /// The one before. `None` where none is known.
    pub former: Option<KeyId>,
    /// Where the former one's file lies now. `None` where it was missing.
    pub kept: Option<PathBuf>,
}

/// Reads the key that goes with the log, or makes one where nothing is recorded yet.
pub async fn load_or_create(database: &Database, key_file: &Path) -> Result<LogKey, KeyError> {
    let found = look(database, Beside::Anyone).await;
    if !key_file.exists() {
        // On a full disk a log may be unreadable beside others; no key is made for it then.
        let found = found?;
        if found.has_rows {
            return Err(missing(database, key_file, &found));
        }
        return Ok(LogKey { key: Key::load_or_create(key_file)?, is_new: true });
    }
    let key = Key::load(key_file)?;
    match found {
        Ok(found) => fit(database, Some(key_file), &found, key.id())?,
        // Looked at again by who holds the lock.
        Err(KeyError::Store { .. }) => {}
        Err(error) => return Err(error),
    }
    Ok(LogKey { key, is_new: false })
}

/// Says what is missing where a log is there and its key file is not.
pub async fn check(database: &Database, key_file: &Path) -> Result<(), KeyError> {
    let found = look(database, Beside::Anyone).await?;
    match Key::load(key_file) {
        Ok(key) => fit(database, Some(key_file), &found, key.id()),
        Err(_) if !key_file.exists() && found.has_rows => Err(missing(database, key_file, &found)),
        // What is wrong with the file itself is told elsewhere.
        Err(_) => Ok(()),
    }
}

/// Holds that the log goes with `key`. The caller has its lock.
pub(super) async fn hold(database: &Database, key: KeyId) -> Result<(), KeyError> {
    fit(database, None, &look(database, Beside::Readers).await?, key)
}

/// Changes the key of a log that no gateway runs on for a new one, and records from which change
/// on it is in force. Whenever this is broken off, the key file is that of the log, or the next
/// call completes the change.
pub async fn rotate(
    database: &Database,
    key_file: &Path,
    clock: &Clock,
) -> Result<Rotation, RotateError> {
    if database.is_missing() {
        return Err(KeyError::NoLog { database: database.clone() }.into());
    }
    let now = clock.now();
    let hold = take(database, now)?;
    let found = look(database, Beside::Readers).await?;
    let present = if key_file.exists() { Some(Key::load(key_file)?.id()) } else { None };
    let begun = Staged::find(key_file).filter(|begun| Some(begun.id()) == found.key);
    let former = found.key.or(present);
    // Held until the file is in its place.
    let (staged, _hold) = match begun {
        Some(begun) if present != found.key => (begun, hold),
        _ => {
            let staged = Staged::make(key_file, database.file())?;
            let preparation = Preparation { key: former, at: now };
            let opened = Store::open_alone(hold, preparation).await;
            let mut store = opened.map_err(|error| unreadable(database, error))?;
            let changed = store.change_key(former, staged.id(), now).await;
            changed.map_err(|fault| unreadable(database, fault.into()))?;
            let closed = store.close().await;
            (staged, closed.map_err(|fault| unreadable(database, fault.into()))?)
        }
    };
    let key = staged.id();
    let kept = staged.put_in_place(present)?;
    Ok(Rotation { key, former: former.filter(|former| *former != key).or(present), kept })
}

/// Why the key of a log was not changed.
#[derive(Debug, thiserror::Error)]
pub enum RotateError {
    /// A gateway runs on it, or it can't be used.
    #[error(transparent)]
    Log(#[from] StartError),
    /// A key file can't be written.
    #[error(transparent)]
    Key(#[from] KeyError),
}

impl From<key::KeyError> for RotateError {
    fn from(error: key::KeyError) -> Self {
        Self::Key(error.into())
    }
}

fn fit(
    database: &Database,
    key_file: Option<&Path>,
    found: &LogFacts,
    key: KeyId,
) -> Result<(), KeyError> {
    let Some(expected) = found.key.filter(|expected| *expected != key && found.has_rows) else {
        return Ok(());
    };
    let database = database.clone();
    let begun = key_file.and_then(Staged::find).is_some_and(|begun| begun.id() == expected);
    Err(if begun {
        KeyError::Halfway { database, expected }
    } else {
        KeyError::Another { database, expected, found: key }
    })
}

fn missing(database: &Database, key_file: &Path, found: &LogFacts) -> KeyError {
    let (key_file, database) = (key_file.to_owned(), database.clone());
    match found.key.filter(|id| Staged::find(&key_file).is_some_and(|begun| begun.id() == *id)) {
        Some(expected) => KeyError::Halfway { database, expected },
        None => KeyError::Missing { key_file, database, expected: found.key },
    }
}

async fn look(database: &Database, beside: Beside) -> Result<LogFacts, KeyError> {
    let found = find(database, beside).await.map_err(|error| match error {
        FindError::Foreign => KeyError::Foreign { database: database.clone() },
        FindError::Store(source) => unreadable(database, source),
    })?;
    match found.moved_to {
        Some(moved_to) => Err(KeyError::Moved { database: database.clone(), moved_to }),
        None => Ok(found),
    }
}

pub(super) fn unreadable(database: &Database, source: super::store::Boxed) -> KeyError {
    KeyError::Store { database: database.clone(), source }
}

fn named(key: Option<KeyId>) -> String {
    key.map(|key| format!(" ({key})")).unwrap_or_default()
}
