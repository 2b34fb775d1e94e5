//! One connection of the generator, and what was counted on it.

use std::io;
use std::time::Instant;

use tokio::io::AsyncWriteExt as _;

use super::now;
use super::script::Script;
use super::stream::Stream;
use crate::http1;

/// One connection.
pub(super) struct Caller {
    stream: Box<dyn Stream>,
    script: Script,
    sent: Vec<u8>,
    received: Vec<u8>,
    pub(super) tally: Tally,
}

/// The tally of answers.
#[derive(Default)]
pub(super) struct Tally {
    /// How long each good answer took.
    pub(super) nanos: Vec<u64>,
    errors: u64,
}

impl Caller {
    pub(super) fn new(stream: Box<dyn Stream>, script: Script) -> Self {
        let tally = Tally::default();
        Self { stream, script, sent: Vec::new(), received: Vec::new(), tally }
    }

    /// Sends so many requests at once and reads their answers; latency counts from `due`.
    pub(super) async fn exchange(&mut self, count: usize, due: Instant) -> io::Result<()> {
        self.sent.clear();
        for _ in 0..count {
            self.script.write(&mut self.sent);
        }
        let done = self.send_and_read(count, due).await;
        if done.is_err() {
            self.tally.errors += 1;
        }
        done
    }

    async fn send_and_read(&mut self, count: usize, due: Instant) -> io::Result<()> {
        self.stream.write_all(&self.sent).await?;
        self.stream.flush().await?;
        for _ in 0..count {
            let read = http1::read(&mut self.stream, &mut self.received).await?;
            let extent = read.ok_or(io::ErrorKind::UnexpectedEof)?;
            self.tally.note(due, http1::status(&self.received));
            self.received.drain(..extent.total);
        }
        Ok(())
    }
}

impl Tally {
    /// Counts an answer.
    pub(super) fn note(&mut self, due: Instant, status: u16) {
        if (200..300).contains(&status) {
            let took = now().saturating_duration_since(due);
            self.nanos.push(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
        } else {
            self.errors += 1;
        }
    }

    pub(super) fn errors(&self) -> u64 {
        self.errors
    }

    pub(super) fn count(&self) -> u64 {
        u64::try_from(self.nanos.len()).unwrap_or(u64::MAX)
    }

    pub(super) fn add(&mut self, other: Self) {
        self.nanos.extend(other.nanos);
        self.errors += other.errors;
    }
}
