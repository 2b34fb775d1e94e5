//! The side that writes: one call of a function for a batch, each batch once.

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::PgRow;
use sqlx::{Connection as _, Error, PgConnection, Row as _};
use tokio::time::{Instant, sleep, timeout};

use super::entries::Entries;
use super::error::{
    LOST_RECORDS, ambiguous, code, is_lost, is_overtaken, of_batch, told, unavailable,
};
use super::link::{connect, run};
use super::literal::{bytes, json, text};
use super::lost::Lost;
use super::parts::{documents, parts};
use super::select::Reads;
use super::writer::Writer;
use crate::audit::entry::{Entry, Written};
use crate::audit::store::batch::{Batch, KnownNumbers};
use crate::audit::store::{Boxed, LostDocument, Preparation, StoreError};
use crate::base::clock::Timestamp;
use crate::base::key::KeyId;

/// The longest that a statement may take, on the server.
const STATEMENT_MAX: Duration = Duration::from_secs(4);

/// How long a batch is tried again where the server is away: less than its callers wait.
const PATIENCE: Duration = Duration::from_secs(4);

/// The pauses between two attempts: from, to.
const PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(500));

/// How many numbers for snapshots are taken at a time: the sequence's step.
const BLOCK: i64 = 1_024;

/// How long a connection may rest before it is looked whether it is still one.
const LOOK_AFTER: Duration = Duration::from_secs(2);

/// How many entries a call takes, so that what one of them brings has numbers in one block.
const ENTRIES_MAX: usize = 480;

/// How long the bodies of a call's entries may be together. The server takes less than 256 MiB of
/// JSON as one value, in which they are hex digits.
const BYTES_MAX: usize = 64 << 20;

/// The results of a batch's entries, one each.
type Answers = Vec<Result<Written, StoreError>>;

/// The one connection that writes.
#[derive(Debug)]
pub(in crate::audit) struct Writes {
    writer: Writer,
    /// `None` before the first batch, and after a fault.
    connection: Option<PgConnection>,
    /// The number of the last batch that was tried.
    batch: i64,
    /// That of the last one that was surely written.
    written: i64,
    /// The next number for a snapshot, and the first one that is not this process's.
    numbers: (i64, i64),
    names: KnownNumbers,
    lost: Lost,
    preparation: Option<Preparation>,
    /// How many entries were written since all changes were counted; one at the start.
    pub(super) uncounted: usize,
    /// When the server last answered.
    answered: Option<Instant>,
    /// Whether it was told that no standby is waited for.
    is_told_of_standbys: bool,
    /// That of the server, as long as no other one took its place.
    timeline: Option<String>,
}

impl Writes {
    /// Finds out that the log can be written, by this key.
    pub(in crate::audit::store) async fn open(
        writer: Writer,
        preparation: Preparation,
    ) -> Result<Self, Boxed> {
        let mut writes = Self {
            writer,
            connection: None,
            batch: 0,
            written: 0,
            numbers: (0, 0),
            names: KnownNumbers::default(),
            lost: Lost::default(),
            preparation: Some(preparation),
            uncounted: 1,
            answered: None,
            is_told_of_standbys: false,
            timeline: None,
        };
        let connection = writes.reach().await.map_err(told)?;
        // The one that writes is made where it is used: another thread drives it.
        connection.close().await?;
        Ok(writes)
    }

    /// The asking side of the log.
    pub(in crate::audit::store) fn reads(&self) -> Reads {
        Reads::of(&self.writer.url)
    }

    /// Writes `entries` in one transaction. Where the log's rules refuse one of them, the others
    /// are written all the same: each has its own answer then.
    pub(in crate::audit::store) async fn write(
        &mut self,
        entries: &[&Entry],
    ) -> Result<Answers, StoreError> {
        let mut answers = Vec::with_capacity(entries.len());
        for entries in parts(entries, ENTRIES_MAX, BYTES_MAX) {
            match self.transact(entries).await {
                Ok(written) => answers.extend(written.into_iter().map(Ok)),
                Err(StoreError::Refused(_)) => answers.extend(self.transact_each(entries).await?),
                Err(fault) => return Err(fault),
            }
        }
        Ok(answers)
    }

    async fn transact_each(&mut self, entries: &[&Entry]) -> Result<Answers, StoreError> {
        let mut answers = Vec::with_capacity(entries.len());
        // What is named twice does no harm.
        self.names = KnownNumbers::default();
        for entry in entries {
            answers.push(match self.transact(&[entry]).await {
                Ok(written) => Ok(written.first().copied().unwrap_or_default()),
                Err(StoreError::Refused(cause)) => Err(StoreError::Refused(cause)),
                Err(fault) => return Err(fault),
            });
        }
        Ok(answers)
    }

    async fn transact(&mut self, entries: &[&Entry]) -> Result<Vec<Written>, StoreError> {
        self.reserve(entries).await?;
        let (mut batch, mut next) = (Batch::default(), self.numbers.0);
        let answers = entries.iter().map(|entry| batch.add(entry, &mut next, &self.names));
        let answers = answers.collect();
        let node = batch.changes.first().map(|change| &*change.opening.intent.node);
        let node = node.or(self.writer.node.as_deref());
        let rows = Entries::of(&batch).and_then(|rows| json(&rows));
        let rows = rows.map_err(|error| StoreError::Refused(Arc::new(error)))?;
        let node = text(node);
        // The number is given up with the batch: what was sent may still arrive.
        self.batch += 1;
        let call = format!(
            "SELECT former, late_ends FROM changegate.write_v1('{}', {}, {node}, {rows}::jsonb)",
            self.writer.process, self.batch
        );
        self.lost.guard(entries);
        let row = self.ask(&call).await;
        self.lost.guard(&[]);
        let row = row?;
        self.numbers.0 = next;
        self.uncounted += entries.len();
        self.heed(&row);
        self.names.learn(&batch);
        Ok(answers)
    }

    /// Takes note of what the server tells of a batch that it has written.
    fn heed(&mut self, row: &PgRow) {
        let former: i64 = row.try_get::<Option<i64>, _>("former").ok().flatten().unwrap_or(0);
        if former < self.written {
            tracing::error!(batches = self.written - former, "{LOST_RECORDS}");
            self.lose_documents();
        }
        self.written = self.batch;
        if let Ok(late @ 1..) = row.try_get::<i64, _>("late_ends") {
            tracing::warn!(
                changes = late,
                "another gateway has ended changes for this one: their own ends are kept beside"
            );
        }
    }

    /// Takes it that any document of this process may be lost.
    fn lose_documents(&mut self) {
        self.lost.note(self.numbers.0);
        self.numbers = (0, 0);
    }

    /// Whether documents were lost since this was asked last.
    pub(in crate::audit::store) fn takes_back_documents(&mut self) -> bool {
        self.lost.take_news()
    }

    /// Sees to it that there are numbers for all documents that `entries` bring.
    async fn reserve(&mut self, entries: &[&Entry]) -> Result<(), StoreError> {
        let needed = entries.iter().map(|entry| documents(entry).count()).sum::<usize>();
        let needed = i64::try_from(needed).unwrap_or(i64::MAX);
        if self.numbers.1 - self.numbers.0 >= needed {
            return Ok(());
        }
        loop {
            let row = self.ask("SELECT changegate.snapshot_numbers_v1() AS first").await?;
            let first: i64 = row.try_get("first").map_err(unavailable)?;
            self.numbers = (first, first + BLOCK);
            // A server that has lost something gives what it gave before once more.
            if !self.lost.has(first) {
                return Ok(());
            }
        }
    }

    /// Runs a statement of one row, again and again for a while where the server is away. It must
    /// be one that does no harm when it runs twice.
    pub(super) async fn ask(&mut self, statement: &str) -> Result<PgRow, StoreError> {
        let until = Instant::now() + PATIENCE;
        let (mut pause, longest) = PAUSES;
        // What was once sent and not answered may have been done.
        let mut is_open = false;
        loop {
            let connected = self.connect().await;
            if connected.is_ok() && self.lost.is_named() {
                return Err(StoreError::Refused(Arc::new(LostDocument)));
            }
            let ran = match connected {
                Ok(()) => self.attempt(statement).await,
                Err(error) => Err((error, false)),
            };
            let fault = match ran {
                Ok(row) => return Ok(row),
                Err((error, was_sent)) if is_lost(&error) => {
                    is_open |= was_sent;
                    self.connection = None;
                    error
                }
                Err((error, _was_sent)) if is_overtaken(&error) => error,
                Err((error, _was_sent)) => return Err(of_batch(error)),
            };
            if Instant::now() + pause >= until {
                return Err(if is_open { ambiguous(fault) } else { unavailable(fault) });
            }
            sleep(pause).await;
            pause = longest.min(pause * 2);
        }
    }

    /// Sees to it that there is a connection, and hears of what another server has lost.
    async fn connect(&mut self) -> Result<(), Error> {
        if self.connection.is_none() {
            self.connection = Some(self.reach().await?);
        }
        Ok(())
    }

    /// Runs a statement once; an error tells whether it was sent.
    pub(super) async fn attempt(&mut self, statement: &str) -> Result<PgRow, (Error, bool)> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.reach().await.map_err(|error| (error, false))?,
        };
        let ran = run(&mut connection, statement, STATEMENT_MAX).await;
        if ran.as_ref().err().is_none_or(|error| !is_lost(error)) {
            self.connection = Some(connection);
            self.answered = Some(Instant::now());
        }
        let row = ran.and_then(|rows| rows.into_iter().next().ok_or(Error::RowNotFound));
        row.map_err(|error| (error, true))
    }

    /// A connection to a server that is fit, and to a log that has this key.
    async fn reach(&mut self) -> Result<PgConnection, Error> {
        let (mut connection, standing) = connect(&self.writer.url).await?;
        if standing.lags && !std::mem::replace(&mut self.is_told_of_standbys, true) {
            tracing::warn!(
                "the server has standbys, and a commit waits for none of them: what a failover \
                 loses was answered as durable; set synchronous_standby_names"
            );
        }
        if let Some(Preparation { key: Some(key), at }) = self.preparation {
            let (key, at) = (bytes(key.as_bytes()), at.millis());
            let prepare = format!("SELECT changegate.prepare_v1({key}, {at})");
            run(&mut connection, &prepare, STATEMENT_MAX).await?;
        }
        self.preparation = None;
        self.heed_timeline(&mut connection, standing.timeline).await;
        self.names = KnownNumbers::default();
        Ok(connection)
    }

    /// Notes that another server has taken the place of the one before, and what it has lost. Where
    /// that can't be noted, records go on: each tells of what is lost before it.
    async fn heed_timeline(&mut self, connection: &mut PgConnection, timeline: String) {
        let former = self.timeline.get_or_insert_with(|| timeline.clone());
        if *former == timeline {
            return;
        }
        let node = text(self.writer.node.as_deref());
        let note = format!(
            "SELECT changegate.failover_v1('{}', {node}, {}, '{former}', '{timeline}') AS lost",
            self.writer.process, self.written
        );
        let noted = run(connection, &note, STATEMENT_MAX).await;
        let lost = noted.and_then(|rows| rows.first().ok_or(Error::RowNotFound)?.try_get("lost"));
        match lost {
            Ok(lost @ 1_i64..) => {
                tracing::error!(batches = lost, "{LOST_RECORDS}");
                // Told.
                self.written -= lost;
                self.lose_documents();
            }
            Ok(_none) => tracing::warn!(
                timeline,
                "another server has taken the place of the log's: nothing that this gateway wrote \
                 is lost"
            ),
            Err(error) => {
                tracing::warn!(error = %told(error), "a failover of the log's server is not noted");
                return;
            }
        }
        self.timeline = Some(timeline);
    }

    /// Uses a time without work to find out whether the server is still there.
    pub(in crate::audit::store) async fn rest(&mut self) -> Result<(), StoreError> {
        if self.answered.is_some_and(|answered| answered.elapsed() < LOOK_AFTER) {
            return Ok(());
        }
        self.ask("SELECT 1 AS there").await.map(drop)
    }

    /// Finds out whether a batch can be written, durably.
    pub(in crate::audit::store) async fn probe(&mut self) -> Result<(), StoreError> {
        let probe = format!("SELECT changegate.probe_v1('{}')", self.writer.process);
        self.attempt(&probe).await.map(drop).map_err(|(error, _was_sent)| unavailable(error))
    }

    /// Records that another key is in force from now on, and tells from which change on.
    pub(in crate::audit::store) async fn change_key(
        &mut self,
        former: Option<KeyId>,
        key: KeyId,
        now: Timestamp,
    ) -> Result<i64, StoreError> {
        let former = former.map_or_else(|| "NULL".to_owned(), |former| bytes(former.as_bytes()));
        let key = bytes(key.as_bytes());
        let call =
            format!("SELECT changegate.change_key_v1({former}, {key}, {}) AS first", now.millis());
        // Not twice.
        let row = self.attempt(&call).await.map_err(|(error, was_sent)| match code(&error) {
            None if was_sent => ambiguous(error),
            _told => of_batch(error),
        })?;
        row.try_get("first").map_err(unavailable)
    }

    /// The name of this process.
    #[cfg(test)]
    pub(super) fn process(&self) -> &str {
        &self.writer.process
    }

    /// Closes the connection.
    pub(in crate::audit::store) async fn close(mut self) -> Writer {
        if let Some(connection) = self.connection.take() {
            // All that was answered is durable.
            let _closed = timeout(STATEMENT_MAX, connection.close()).await;
        }
        self.writer
    }
}
