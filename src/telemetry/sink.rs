//! The way of log lines to standard error. Nobody who has something to say waits for it, and none
//! fails with it: lines go into a bounded queue, a thread of its own writes them, and what does not
//! fit or can't be written is dropped and counted.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd as _;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;

use crate::base::visible;

/// The most lines that wait.
const LINES_MAX: usize = 4_096;

/// The most bytes that wait, lines being written among them.
const BYTES_MAX: usize = 1 << 20;

/// The bytes after which no more lines are joined into one write.
const WRITE_BYTES: usize = 16 * 1024;

/// How long the thread lets lines gather after a write. The first line after a silence is written
/// at once; under load a switch of threads for every line would cost more than the lines do.
const GATHERING: Duration = Duration::from_millis(5);

/// How many lines are enough to end that early.
const GATHERED_MAX: usize = LINES_MAX / 4;

/// How long the thread rests where standard error has no room just now (it may be shared with a
/// program that made it non-blocking).
const PAUSE: Duration = Duration::from_millis(10);

/// How often it tries again before it gives lines up.
const PAUSES_MAX: u32 = 50;

/// How long the end of the program waits for its last lines.
const FLUSH_WAIT: Duration = Duration::from_secs(1);

/// The program's sink, once logging was started.
static SINK: OnceLock<Arc<Sink>> = OnceLock::new();

/// A bounded queue of lines.
#[derive(Debug, Default)]
pub(super) struct Sink {
    state: Mutex<State>,
    /// Told when there is a line.
    filled: Condvar,
    /// Told when there is none any more.
    emptied: Condvar,
    dropped: Counter,
}

#[derive(Debug, Default)]
struct State {
    lines: VecDeque<Vec<u8>>,
    bytes: usize,
    /// Lines dropped that no line has told of.
    untold: u64,
    writing: bool,
}

/// The end of [`Sink`] that tracing writes to: each call is one line.
#[derive(Clone, Debug)]
pub(super) struct Lines(pub(super) Arc<Sink>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let line = visible::lines(&String::from_utf8_lossy(bytes)).into_owned();
        self.0.push(line.into_bytes());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// As [`Lines`], of lines that are fit for a terminal already and hold its colours.
#[derive(Clone, Debug)]
pub(super) struct Coloured(pub(super) Arc<Sink>);

impl Write for Coloured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.push(bytes.to_vec());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The program's sink, whose thread is started by the first call. Where there can be none, all
/// lines are dropped once it is full.
pub(super) fn start() -> Arc<Sink> {
    let sink = SINK.get_or_init(|| {
        let sink = Arc::<Sink>::default();
        let writes = Arc::clone(&sink);
        // A descriptor of its own: the lock of `std::io::stderr` may be held by a stuck writer.
        if let Ok(error) = io::stderr().as_fd().try_clone_to_owned() {
            let thread = thread::Builder::new().name("changegate-diag".to_owned());
            let _detached = thread.spawn(move || writes.run(File::from(error)));
        }
        sink
    });
    Arc::clone(sink)
}

/// Lines that were dropped since the start.
pub(super) fn dropped() -> Counter {
    SINK.get().map(|sink| sink.dropped.clone()).unwrap_or_default()
}

/// Hands a line to the sink, where logging was started: `false` where it was not.
pub(super) fn say(line: &str) -> bool {
    let Some(sink) = SINK.get() else { return false };
    sink.push(format!("{line}\n").into_bytes());
    true
}

/// Waits until the lines so far are written, a bounded time.
pub(crate) fn flush() {
    if let Some(sink) = SINK.get() {
        sink.flush(FLUSH_WAIT);
    }
}

impl Sink {
    fn push(&self, line: Vec<u8>) {
        let mut state = self.state();
        if state.lines.len() >= LINES_MAX || state.bytes + line.len() > BYTES_MAX {
            self.drop_lines(&mut state, 1);
            return;
        }
        state.bytes += line.len();
        state.lines.push_back(line);
        // The thread looks again by itself after a write, and soon enough but for a flood.
        let is_awaited = !state.writing || state.lines.len() == GATHERED_MAX;
        drop(state);
        if is_awaited {
            self.filled.notify_one();
        }
    }

    fn drop_lines(&self, state: &mut State, count: u64) {
        self.dropped.inc_by(count);
        state.untold += count;
    }

    /// Writes whatever comes, for as long as the program runs.
    fn run(&self, mut out: impl Write) {
        loop {
            let (bytes, count) = self.take();
            let written = write(&mut out, &bytes);
            if let Some(dropped) = self.note(bytes.len(), &written, count) {
                tracing::warn!(dropped, "log lines could not be written and were dropped");
            }
            let few = |state: &mut State| state.lines.len() < GATHERED_MAX;
            let gathered = self.filled.wait_timeout_while(self.state(), GATHERING, few);
            drop(gathered);
        }
    }

    /// Counts `count` lines of so many bytes as written or lost. Returns how many were dropped
    /// that no line has told of, where one can be told now.
    fn note(&self, bytes: usize, written: &io::Result<()>, count: u64) -> Option<u64> {
        let mut state = self.state();
        state.bytes -= bytes;
        if written.is_err() {
            self.drop_lines(&mut state, count);
            return None;
        }
        Some(std::mem::take(&mut state.untold)).filter(|dropped| *dropped > 0)
    }

    /// The lines that are to be written next, joined, and how many they are.
    fn take(&self) -> (Vec<u8>, u64) {
        let mut state = self.state();
        state.writing = false;
        while state.lines.is_empty() {
            self.emptied.notify_all();
            state = self.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.writing = true;
        let (mut joined, mut count) = (Vec::new(), 0);
        while joined.len() < WRITE_BYTES
            && let Some(line) = state.lines.pop_front()
        {
            joined.extend(line);
            count += 1;
        }
        (joined, count)
    }

    fn flush(&self, wait: Duration) {
        let state = self.state();
        let busy = |state: &mut State| state.writing || !state.lines.is_empty();
        let waited = self.emptied.wait_timeout_while(state, wait, busy);
        drop(waited);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes all of `bytes`, unless there is no room for a while.
fn write(out: &mut impl Write, mut bytes: &[u8]) -> io::Result<()> {
    let mut pauses = 0;
    while !bytes.is_empty() {
        match out.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && pauses < PAUSES_MAX => {
                pauses += 1;
                thread::sleep(PAUSE);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

    use super::*;

    /// A reader that takes one write at a time, or refuses it.
    struct Slow(Receiver<bool>, SyncSender<Vec<u8>>);

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            match self.0.recv() {
                Ok(true) => {}
                Ok(false) => return Err(io::ErrorKind::StorageFull.into()),
                // The test has ended.
                Err(_) => loop {
                    thread::park();
                },
            }
            self.1.send(bytes.to_vec()).unwrap();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn slow() -> (Arc<Sink>, SyncSender<bool>, Receiver<Vec<u8>>) {
        let sink = Arc::<Sink>::default();
        let ((go, told), (wrote, written)) = (sync_channel(9_000), sync_channel(9_000));
        let writes = Arc::clone(&sink);
        thread::spawn(move || writes.run(Slow(told, wrote)));
        (sink, go, written)
    }

    #[test]
    fn nobody_waits_for_a_reader_who_does_not_read() {
        let (sink, go, written) = slow();
        for n in 0..10_000 {
            sink.push(format!("{n}\n").into_bytes());
        }
        sink.flush(Duration::from_millis(1));
        let dropped = sink.dropped.get();
        assert!((1_000..=10_000 - 4_096).contains(&dropped), "{dropped}");
        (0..9_000).for_each(|_| go.send(true).unwrap());
        sink.flush(Duration::from_secs(10));
        let lines: String =
            written.try_iter().map(|bytes| String::from_utf8(bytes).unwrap()).collect();
        assert!(lines.starts_with("0\n1\n"));
        assert_eq!(lines.lines().count() as u64, 10_000 - dropped);
        assert_eq!(sink.state().untold, 0, "what was dropped is told of");
    }

    #[test]
    fn what_waits_is_bounded_in_bytes() {
        let (sink, _go, _written) = slow();
        for _ in 0..100 {
            sink.push(vec![b'x'; BYTES_MAX / 10]);
        }
        assert!(sink.state().bytes <= BYTES_MAX);
        assert_eq!(sink.dropped.get(), 90);
    }

    #[test]
    fn a_line_that_cannot_be_written_is_counted_and_the_next_one_comes_out() {
        let (sink, go, written) = slow();
        sink.push(b"lost\n".to_vec());
        go.send(false).unwrap();
        sink.flush(Duration::from_secs(10));
        assert_eq!((sink.dropped.get(), sink.state().untold), (1, 1));
        sink.push(b"kept\n".to_vec());
        go.send(true).unwrap();
        assert_eq!(written.recv().unwrap(), b"kept\n");
        sink.flush(Duration::from_secs(10));
        assert_eq!((sink.dropped.get(), sink.state().untold), (1, 0));
    }
}
