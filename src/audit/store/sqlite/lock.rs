//! One gateway a log: a lock on the database file itself, whatever it is called, and a note beside
//! it that says who has it.
//!
//! The lock is one of `flock(2)`, of which SQLite's own, of `fcntl(2)`, know nothing. It lies on a
//! descriptor that stays open for as long as this process has the database open: closing any
//! descriptor of a file gives up all locks of `fcntl` that the process holds on it. Elsewhere than
//! on Linux the two kinds may be one; there the note's file is what is locked.

use std::fs::{File, Metadata, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::OFlags;

use crate::audit::store::HoldError;
use crate::base::clock::Timestamp;

/// The most bytes of a note that are read, and that a file may have to be taken for one.
const NOTE_BYTES_MAX: u64 = 256;

/// The most bytes of the kernel's list of locks that are read.
const LOCKS_BYTES_MAX: u64 = 1 << 20;

/// The device of a file and its number there, which tell it from any other.
pub(super) type FileId = (u64, u64);

/// The right to write a log. The operating system takes it back when the process ends, however
/// it ends; the files themselves stay, since removing one would race with the next holder.
#[derive(Debug)]
pub(in crate::audit) struct Lock {
    path: PathBuf,
    database: Arc<File>,
    /// `None` where something else lies in the note's place.
    _note: Option<File>,
}

impl Lock {
    /// Takes the lock of `database`, which is made where there is none, or tells who has it.
    pub(in crate::audit) fn take(database: &Path, now: Timestamp) -> Result<Self, HoldError> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(database).map_err(HoldError::Io)?;
        // Where the database is a link, the note is beside what the link leads to.
        let named = database.canonicalize().unwrap_or_else(|_gone| database.to_owned());
        let mut beside = named.into_os_string();
        beside.push(".lock");
        let note = open_note(Path::new(&beside));
        if cfg!(target_os = "linux") {
            lock(&file, || holder(&file, note.as_ref().ok()))?;
        }
        let note = match note {
            Ok(mut note) => {
                // A gateway of an earlier version holds this one alone.
                lock(&note, || read_note(&note).unwrap_or_else(unnamed))?;
                match sign(&mut note, now) {
                    Err(error) if !cfg!(target_os = "linux") => return Err(HoldError::Io(error)),
                    // It only names the holder, which the kernel does as well.
                    _signed => Some(note),
                }
            }
            Err(_elsewhere) if cfg!(target_os = "linux") => None,
            Err(error) => return Err(HoldError::Io(error)),
        };
        Ok(Self { path: database.to_owned(), database: Arc::new(file), _note: note })
    }

    /// The database, as it was named.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The descriptor that the lock lies on, to be kept for as long as anything of the database is
    /// open.
    pub(in crate::audit) fn descriptor(&self) -> Arc<File> {
        Arc::clone(&self.database)
    }

    /// Which file it is that is locked.
    pub(super) fn file_id(&self) -> io::Result<FileId> {
        self.database.metadata().map(|found| id_of(&found))
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing would do it as well, but the descriptor may have to stay.
        let _unlocked = self.database.unlock();
    }
}

/// Which file a path leads to.
pub(super) fn file_id(path: &Path) -> io::Result<FileId> {
    std::fs::metadata(path).map(|found| id_of(&found))
}

fn id_of(found: &Metadata) -> FileId {
    (found.dev(), found.ino())
}

fn lock(file: &File, holder: impl FnOnce() -> String) -> Result<(), HoldError> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(HoldError::Held(holder())),
        Err(TryLockError::Error(error)) => Err(HoldError::Io(error)),
    }
}

/// The note's file. No link is followed, and nothing is taken for a note that is none: who may
/// write in this folder must not choose what is overwritten.
fn open_note(path: &Path) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let flags = i32::try_from(flags.bits()).map_err(io::Error::other)?;
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600).custom_flags(flags);
    let file = options.open(path)?;
    let found = file.metadata()?;
    if found.is_file() && found.nlink() == 1 && found.len() <= NOTE_BYTES_MAX {
        return Ok(file);
    }
    Err(io::Error::other("it is not the note of a gateway"))
}

fn sign(note: &mut File, now: Timestamp) -> io::Result<()> {
    note.set_len(0)?;
    note.rewind()?;
    write!(note, "process {}, since {now}", std::process::id())
}

/// The holder of the database: the note beside it, unless it is that of another one,
/// since the database may have more names than one.
fn holder(database: &File, note: Option<&File>) -> String {
    let note = note.and_then(read_note);
    match (kernels_holder(database), note) {
        (Some(process), Some(note)) if note.starts_with(&format!("process {process},")) => note,
        (Some(process), _note) => format!("process {process}"),
        (None, Some(note)) => note,
        (None, None) => unnamed(),
    }
}

fn unnamed() -> String {
    "an unnamed process".to_owned()
}

fn read_note(mut note: &File) -> Option<String> {
    let mut text = String::new();
    note.rewind().ok()?;
    note.take(NOTE_BYTES_MAX).read_to_string(&mut text).ok()?;
    Some(text).filter(|text| !text.is_empty())
}

/// The process that the kernel names as the holder, where this one may see it (proc(5)).
fn kernels_holder(database: &File) -> Option<u32> {
    let (device, number) = id_of(&database.metadata().ok()?);
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let file = format!("{major:02x}:{minor:02x}:{number}");
    let mut locks = String::new();
    let list = File::open("/proc/locks").ok()?;
    list.take(LOCKS_BYTES_MAX).read_to_string(&mut locks).ok()?;
    locks.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        match fields.as_slice() {
            [_number, "FLOCK", _kind, "WRITE", process, place, ..] if *place == file => {
                process.parse().ok().filter(|process| *process > 0)
            }
            _another => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(0);

    fn holder_of(database: &Path) -> String {
        match Lock::take(database, NOW) {
            Err(HoldError::Held(holder)) => holder,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_log_has_one_lock_whatever_it_is_called() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let log = path("log.db");
        std::fs::write(&log, "").unwrap();
        let _held = Lock::take(&log, NOW).unwrap();
        let this = format!("process {}", std::process::id());
        assert_eq!(holder_of(&log), format!("{this}, since 1970-01-01T00:00:00.000Z"));
        std::fs::remove_file(path("log.db.lock")).unwrap();
        assert_eq!(holder_of(&log), this);
        std::fs::hard_link(&log, path("another.db")).unwrap();
        std::fs::write(path("another.db.lock"), "process 1, since ever").unwrap();
        assert_eq!(holder_of(&path("another.db")), this);
        symlink(&log, path("link.db")).unwrap();
        assert!(holder_of(&path("link.db")).starts_with(&this));
        std::fs::rename(&log, path("moved.db")).unwrap();
        assert_eq!(holder_of(&path("moved.db")), this);
    }

    #[test]
    fn what_lies_in_the_notes_place_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("precious"), "precious").unwrap();
        symlink(path("precious"), path("a.db.lock")).unwrap();
        std::fs::hard_link(path("precious"), path("b.db.lock")).unwrap();
        std::fs::write(path("c.db.lock"), "x".repeat(300)).unwrap();
        std::fs::create_dir(path("d.db.lock")).unwrap();
        for name in ["a.db", "b.db", "c.db", "d.db"] {
            let _held = Lock::take(&path(name), NOW).unwrap();
            assert!(holder_of(&path(name)).starts_with("process "), "{name}");
        }
        assert_eq!(std::fs::read_to_string(path("precious")).unwrap(), "precious");
        assert_eq!(std::fs::read_to_string(path("c.db.lock")).unwrap().len(), 300);
    }

    #[test]
    fn a_lock_that_is_given_back_can_be_taken() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log.db");
        drop(Lock::take(&log, NOW).unwrap());
        let held = Lock::take(&log, NOW).unwrap();
        assert_eq!(held.file_id().unwrap(), file_id(&log).unwrap());
    }
}
