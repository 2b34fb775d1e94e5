//! JSON lines in a file that is put aside once it is long: whole lines, also after a crash.
//!
//! A file has one owner: whoever writes to it next waits until the write before is over, also one
//! that nobody waits for any more, and other processes are kept away by a lock on it.

use std::collections::HashMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::delivery::Delivery;
use super::message::Message;
use crate::base::clock::Timestamp;
use crate::config::FileSink;

/// The most bytes of a line.
const LINE_BYTES_MAX: usize = 16 << 20;

/// How much is read at once where the end of the last whole line is looked for.
const STEP: u64 = 64 << 10;

/// The files of all sinks, by their paths.
#[derive(Clone, Default)]
pub(super) struct Files(Arc<Mutex<HashMap<PathBuf, Owner>>>);

/// The right to write to a file, with the file.
type Owner = Arc<tokio::sync::Mutex<Open>>;

/// A file, and how long it is; `None` until it is opened, and after a fault.
type Open = Option<(File, u64)>;

/// A file that grows.
pub(super) struct Lines {
    sink: FileSink,
    owner: Owner,
}

impl Files {
    /// The owner of the file at a path.
    fn owner(&self, path: &Path) -> Owner {
        let mut owners = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // No more than sinks use, or a write that hangs.
        owners.retain(|_path, owner| Arc::strong_count(owner) > 1);
        Arc::clone(owners.entry(path.to_owned()).or_default())
    }
}

impl Lines {
    pub(super) fn new(sink: &FileSink, files: &Files) -> Self {
        Self { sink: sink.clone(), owner: files.owner(&sink.path) }
    }

    /// Appends messages, beside the runtime, and has them on disk.
    pub(super) async fn send(
        &mut self,
        messages: &[Message],
        now: Timestamp,
    ) -> io::Result<Delivery> {
        let mut text = Vec::new();
        for message in messages {
            text.extend(message.text(now, LINE_BYTES_MAX)?);
            text.push(b'\n');
        }
        let sink = self.sink.clone();
        let mut owned = Arc::clone(&self.owner).lock_owned().await;
        // The write goes on where nobody waits for it any more, and has the file until its end.
        let written = tokio::task::spawn_blocking(move || {
            let open = owned.take();
            *owned = Some(append(&sink, open, &text)?);
            Ok(())
        });
        Ok(match written.await.map_err(io::Error::other).flatten() {
            Ok(()) => Delivery::Taken,
            Err(error) => Delivery::failed(format!("can't write the file ({error})")),
        })
    }
}

fn append(sink: &FileSink, open: Open, text: &[u8]) -> io::Result<(File, u64)> {
    // One that was put aside by somebody else, or removed, is not written to any more.
    let open = open.filter(|(file, _length)| is_at(file, &sink.path));
    let (mut file, mut length) = match open {
        Some(open) => open,
        None => opened(&sink.path)?,
    };
    let more = u64::try_from(text.len()).unwrap_or(u64::MAX);
    if length > 0 && length.saturating_add(more) > sink.bytes_max {
        drop(file);
        put_aside(sink)?;
        (file, length) = opened(&sink.path)?;
    }
    let written = file.write_all(text).and_then(|()| file.sync_data());
    if let Err(error) = written {
        // Half a line is worse than none.
        let _ = file.set_len(length);
        return Err(error);
    }
    Ok((file, length.saturating_add(more)))
}

#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let same = || {
        let (own, there) = (file.metadata().ok()?, std::fs::metadata(path).ok()?);
        Some(own.dev() == there.dev() && own.ino() == there.ino())
    };
    same().unwrap_or(false)
}

#[cfg(not(unix))]
fn is_at(_file: &File, path: &Path) -> bool {
    path.exists()
}

/// Opens the file behind its last whole line: what a crash has left of another one is cut.
fn opened(path: &Path) -> io::Result<(File, u64)> {
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    if let Err(TryLockError::WouldBlock) = file.try_lock() {
        return Err(io::Error::other("another process writes to it: name another file here"));
    }
    let length = file.metadata()?.len();
    let whole = whole(&mut file, length)?;
    if whole < length {
        file.set_len(whole)?;
        file.sync_data()?;
    }
    Ok((file, whole))
}

/// How far a file has whole lines.
fn whole(file: &mut File, length: u64) -> io::Result<u64> {
    let mut end = length;
    while end > 0 {
        let start = end.saturating_sub(STEP);
        file.seek(SeekFrom::Start(start))?;
        let mut part = Vec::new();
        Read::by_ref(file).take(end - start).read_to_end(&mut part)?;
        if let Some(place) = memchr::memrchr(b'\n', &part) {
            return Ok(start + u64::try_from(place).unwrap_or(0) + 1);
        }
        end = start;
    }
    Ok(0)
}

/// Renames the file to the first of the former ones, and each of these to the next.
fn put_aside(sink: &FileSink) -> io::Result<()> {
    if sink.keep == 0 {
        return std::fs::remove_file(&sink.path);
    }
    for number in (1..sink.keep).rev() {
        let from = former(&sink.path, number);
        if from.exists() {
            std::fs::rename(from, former(&sink.path, number + 1))?;
        }
    }
    std::fs::rename(&sink.path, former(&sink.path, 1))?;
    // The names are on disk with the folder.
    let folder = sink.path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

fn former(path: &Path, number: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::SinkFormat;

    fn sink(folder: &Path, keep: u32) -> FileSink {
        FileSink { path: folder.join("log.jsonl"), bytes_max: 10, keep }
    }

    #[test]
    fn half_a_line_is_cut_and_the_rest_stays() {
        let folder = tempfile::tempdir().unwrap();
        let sink = FileSink { bytes_max: 1 << 20, ..sink(folder.path(), 1) };
        for (before, after) in
            [("", "new\n"), ("half", "new\n"), ("one\n", "one\nnew\n"), ("one\nhalf", "one\nnew\n")]
        {
            std::fs::write(&sink.path, before).unwrap();
            drop(append(&sink, None, b"new\n").unwrap());
            assert_eq!(std::fs::read_to_string(&sink.path).unwrap(), after, "{before:?}");
        }
        let long = format!("one\n{}", "x".repeat(200_000));
        std::fs::write(&sink.path, long).unwrap();
        assert_eq!(append(&sink, None, b"new\n").unwrap().1, 8);
    }

    #[test]
    fn a_file_that_another_one_writes_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let sink = FileSink { bytes_max: 1 << 20, ..sink(folder.path(), 1) };
        let open = append(&sink, None, b"one\n").unwrap();
        let refused = append(&sink, None, b"two\n").unwrap_err();
        assert!(refused.to_string().contains("another process writes to it"), "{refused}");
        drop(open);
        append(&sink, None, b"two\n").unwrap();
        assert_eq!(std::fs::read_to_string(&sink.path).unwrap(), "one\ntwo\n");
    }

    #[tokio::test]
    async fn a_write_that_nobody_waits_for_keeps_the_file_until_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let sink = FileSink { bytes_max: 1 << 20, ..sink(folder.path(), 1) };
        let files = Files::default();
        let now = Timestamp::from_millis(0);
        let messages = [Message::test(("file", SinkFormat::Change), "main", now)];
        // A write that hangs, as a runner that is gone has left it.
        let hanging = files.owner(&sink.path).lock_owned().await;
        let mut lines = Lines::new(&sink, &files);
        let send = lines.send(&messages, now);
        let late = tokio::time::timeout(Duration::from_millis(50), send).await;
        assert!(late.is_err() && !sink.path.exists(), "nothing is written beside it");
        drop(hanging);
        let mut other = Lines::new(&sink, &files);
        for _ in 0..2 {
            assert_eq!(lines.send(&messages, now).await.unwrap(), Delivery::Taken);
            assert_eq!(other.send(&messages, now).await.unwrap(), Delivery::Taken);
        }
        drop((lines, other));
        assert_eq!(std::fs::read_to_string(&sink.path).unwrap().lines().count(), 4);
        let elsewhere = files.owner(Path::new("elsewhere"));
        assert_eq!(files.0.lock().unwrap().len(), 1, "files of former sinks are forgotten");
        drop(elsewhere);
    }

    #[test]
    fn long_files_are_put_aside_and_the_oldest_go() {
        let folder = tempfile::tempdir().unwrap();
        let sink = sink(folder.path(), 2);
        let mut open = None;
        for number in 1..=4 {
            let text = format!("number {number}\n");
            open = Some(append(&sink, open, text.as_bytes()).unwrap());
        }
        let read = |path: &Path| std::fs::read_to_string(path).unwrap();
        assert_eq!(read(&sink.path), "number 4\n");
        assert_eq!(read(&former(&sink.path, 1)), "number 3\n");
        assert_eq!(read(&former(&sink.path, 2)), "number 2\n");
        assert!(!former(&sink.path, 3).exists());
        // Who puts it aside by other means finds it begun anew.
        std::fs::rename(&sink.path, folder.path().join("elsewhere")).unwrap();
        append(&sink, open, b"five\n").unwrap();
        assert_eq!(read(&sink.path), "five\n");
    }
}
