//! One gateway a log: the lock file beside the database.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use crate::clock::Timestamp;

/// The most bytes of a lock file that are read.
const HOLDER_BYTES_MAX: u64 = 256;

/// The right to write a log. The operating system takes it back when the process ends, however
/// it ends; the file itself stays, since removing it would race with the next holder.
#[derive(Debug)]
pub(in crate::audit) struct Lock {
    _file: File,
}

/// Why the lock was not taken.
#[derive(Debug)]
pub(in crate::audit) enum LockError {
    /// Another has it: what it wrote of itself.
    Held(String),
    /// The lock file can't be used.
    Io(io::Error),
}

impl Lock {
    /// Takes the lock of `database`, or tells who has it.
    pub(in crate::audit) fn take(database: &Path, now: Timestamp) -> Result<Self, LockError> {
        // Where the database is a link, its lock is beside what the link leads to: one file has
        // one lock, however it is named. One that is not there yet is no link.
        let database = database.canonicalize().unwrap_or_else(|_absent| database.to_owned());
        let mut path = database.into_os_string();
        path.push(".lock");
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false);
        let mut file = file.open(PathBuf::from(path)).map_err(LockError::Io)?;
        match file.try_lock() {
            Ok(()) => sign(&mut file, now).map_err(LockError::Io)?,
            Err(TryLockError::WouldBlock) => return Err(LockError::Held(holder(&mut file))),
            Err(TryLockError::Error(error)) => return Err(LockError::Io(error)),
        }
        Ok(Self { _file: file })
    }
}

fn sign(file: &mut File, now: Timestamp) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    write!(file, "process {}, since {now}", std::process::id())
}

fn holder(file: &mut File) -> String {
    let mut text = String::new();
    let read = file.take(HOLDER_BYTES_MAX).read_to_string(&mut text);
    if read.is_ok() && !text.is_empty() { text } else { "an unnamed process".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn a_link_to_a_log_has_the_logs_lock() {
        let folder = tempfile::tempdir().unwrap();
        let (log, link) = (folder.path().join("log.db"), folder.path().join("link.db"));
        std::fs::write(&log, "").unwrap();
        std::os::unix::fs::symlink(&log, &link).unwrap();
        let now = Timestamp::from_millis(0);
        let _held = Lock::take(&log, now).unwrap();
        assert!(matches!(Lock::take(&link, now), Err(LockError::Held(_))));
    }
}
