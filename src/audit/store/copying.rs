//! A log in SQLite, copied to PostgreSQL: all its rows, compared one by one at the end, and sealed.
//!
//! The rows of a table are copied in their order, some at a time, and nothing else is written to
//! either side: so a copy that was broken off goes on behind the rows that are there.

use std::path::Path;

use sha2::{Digest as _, Sha256};

use super::copied::{TABLES, Table};
use super::postgres::{Begun, Target};
use super::sqlite::{self, Source};
use super::{Beside, Boxed, FindError};
use crate::base::clock::Timestamp;
use crate::base::database::PostgresUrl;
use crate::base::ids::Hex;

/// How many bytes are sent at once.
const PIECE_BYTES: usize = 256 << 10;

/// After how many bytes what was copied stays, though the rest does not come.
const PART_BYTES: usize = 16 << 20;

/// After how many compared rows it is told how far the work is.
const STEP_ROWS: i64 = 1_000;

/// The most bytes of a row's line that name it.
const NAME_BYTES_MAX: usize = 64;

/// A part of the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Rows are copied.
    Copying,
    /// Rows of both sides are compared.
    Comparing,
}

/// How far the work is.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// At what.
    pub part: Part,
    /// The table that it is at.
    pub table: &'static str,
    /// How many of its rows are done.
    pub done: i64,
    /// How many it has.
    pub rows: i64,
}

/// A copy that is whole.
#[derive(Clone, Debug)]
pub struct Copied {
    /// How many rows it has.
    pub rows: i64,
    /// How many of them are changes.
    pub changes: i64,
    /// Whether it was whole before.
    pub is_old: bool,
}

/// Why there is no copy.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// There is nothing to copy.
    #[error("there is no audit log at {0}: name the file of one")]
    NoLog(String),
    /// A gateway writes it.
    #[error("{0} belongs to a running gateway ({1}): stop that one first")]
    Held(String, String),
    /// The log goes on elsewhere.
    #[error("the log was moved to {0} already, and goes on there")]
    Moved(String),
    /// The two sides differ.
    #[error("the copy differs: {table}, row {row} ({name}) {what}")]
    Mismatch {
        /// The table.
        table: &'static str,
        /// The place of the row in its order.
        row: i64,
        /// The first column of the row.
        name: String,
        /// The fault, in words.
        what: &'static str,
    },
    /// The log can't be read, or sealed.
    #[error("can't use the log at {0}")]
    Source(String, #[source] Boxed),
    /// The database can't be the copy.
    #[error("can't copy to {0}")]
    Target(String, #[source] Boxed),
}

/// A copy under way.
struct Copying<'c> {
    source: Source,
    target: Target,
    names: (String, String),
    tell: &'c mut dyn FnMut(Step),
}

/// Copies the log at `from` to the database at `to`, or completes such a copy.
pub(in crate::audit) async fn copy(
    from: &Path,
    to: &PostgresUrl,
    now: Timestamp,
    tell: &mut dyn FnMut(Step),
) -> Result<Copied, CopyError> {
    let names = (from.display().to_string(), to.to_string());
    let of_source = |error: Boxed| CopyError::Source(names.0.clone(), error);
    let of_target = |error: Boxed| CopyError::Target(names.1.clone(), error);
    if !from.exists() {
        return Err(CopyError::NoLog(names.0));
    }
    let target = Target::open(to).await.map_err(of_target)?;
    let lock = sqlite::Lock::take(from, now).map_err(|error| match error {
        super::HoldError::Held(holder) => CopyError::Held(names.0.clone(), holder),
        super::HoldError::Io(error) => of_source(error.into()),
    })?;
    let found = sqlite::find(from, Beside::Readers).await.map_err(|error| match error {
        FindError::Foreign => CopyError::NoLog(names.0.clone()),
        FindError::Store(error) => of_source(error),
    })?;
    if found.key.is_none() && !found.has_rows {
        return Err(CopyError::NoLog(names.0));
    }
    let source = Source::open(lock, now).await.map_err(of_source)?;
    let mut copying = Copying { source, target, names, tell };
    copying.run(found.moved_to, now).await
}

impl Copying<'_> {
    async fn run(&mut self, moved_to: Option<String>, now: Timestamp) -> Result<Copied, CopyError> {
        let identity = self.source.identity().await.map_err(|error| self.of_source(error))?;
        let found = self.target.found(&identity).await.map_err(|error| self.of_target(error))?;
        let begun = match (found, &moved_to) {
            (Some(begun), _) => begun,
            (None, Some(moved_to)) => return Err(CopyError::Moved(moved_to.clone())),
            (None, None) => {
                let begun = self.target.begin(&identity, &self.names.0, now).await;
                begun.map_err(|error| self.of_target(error))?;
                Begun::Open
            }
        };
        let mut counted = Copied { rows: 0, changes: 0, is_old: begun == Begun::Done };
        let mut counts = Vec::with_capacity(TABLES.len());
        for table in &TABLES {
            let rows = self.source.count(table).await.map_err(|error| self.of_source(error))?;
            if begun == Begun::Open {
                self.fill(table, rows).await?;
            }
            counts.push(rows);
            counted.rows += rows;
            counted.changes += if table.name == "changes" { rows } else { 0 };
        }
        if begun == Begun::Done {
            return Ok(counted);
        }
        let mut digest = Sha256::new();
        for (table, rows) in TABLES.iter().zip(counts) {
            self.compare(table, (rows, &mut digest)).await?;
        }
        if moved_to.is_none() {
            let digest = Hex(&digest.finalize()).to_string();
            let names = (self.names.0.as_str(), self.names.1.as_str());
            let sealed = self.source.seal(names, (counted.rows, &digest), now).await;
            sealed.map_err(|error| self.of_source(error))?;
            counted.rows += 1;
            // The seal itself.
            for table in TABLES.iter().filter(|table| table.name == "events") {
                self.fill(table, 0).await?;
            }
        }
        let mut given = Vec::new();
        for table in TABLES.iter().filter(|table| matches!(table.order, "number" | "seq")) {
            if !matches!(table.name, "ends" | "settlements") {
                let greatest = self.source.greatest(table.name).await;
                given.push((table.name, greatest.map_err(|error| self.of_source(error))?));
            }
        }
        let finished = self.target.finish(&given, now).await;
        finished.map_err(|error| self.of_target(error))?;
        Ok(counted)
    }

    /// Copies the rows of a table that are not there yet.
    async fn fill(&mut self, table: &'static Table, rows: i64) -> Result<(), CopyError> {
        let names = &self.names;
        let of_source = |error| CopyError::Source(names.0.clone(), error);
        let of_target = |error| CopyError::Target(names.1.clone(), error);
        let mut done = self.target.count(table).await.map_err(of_target)?;
        let mut lines = self.source.lines(table, done);
        let mut piece = Vec::with_capacity(PIECE_BYTES * 2);
        let mut goes_on = true;
        while goes_on {
            let mut filling = self.target.filling(table).await.map_err(of_target)?;
            let mut bytes = 0;
            while goes_on && bytes < PART_BYTES {
                piece.clear();
                while goes_on && piece.len() < PIECE_BYTES {
                    goes_on = lines.next(&mut piece).await.map_err(of_source)?;
                    done += i64::from(goes_on);
                }
                filling.add(&piece).await.map_err(of_target)?;
                bytes += piece.len();
                (self.tell)(Step { part: Part::Copying, table: table.name, done, rows });
            }
            filling.finish().await.map_err(of_target)?;
        }
        Ok(())
    }

    /// Holds that the rows of a table are the same on both sides, and adds them to a digest.
    async fn compare(
        &mut self,
        table: &'static Table,
        (rows, digest): (i64, &mut Sha256),
    ) -> Result<(), CopyError> {
        let names = &self.names;
        let of_source = |error| CopyError::Source(names.0.clone(), error);
        let of_target = |error| CopyError::Target(names.1.clone(), error);
        let mut here = self.source.lines(table, 0);
        let mut there = self.target.lines(table).await.map_err(of_target)?;
        let mut line = Vec::new();
        let mut done = 0;
        loop {
            line.clear();
            let is_here = here.next(&mut line).await.map_err(of_source)?;
            let copy = there.next().await.map_err(of_target)?;
            done += 1;
            let (what, shown) = match copy {
                None if !is_here => return Ok(()),
                None => ("is missing", line.as_slice()),
                Some(copy) if !is_here => ("is one too many", copy),
                Some(copy) if copy != line => ("is not what was copied", line.as_slice()),
                Some(_same) => {
                    digest.update(&line);
                    if done % STEP_ROWS == 0 {
                        let (part, table) = (Part::Comparing, table.name);
                        (self.tell)(Step { part, table, done, rows });
                    }
                    continue;
                }
            };
            let name = begin_of(shown);
            return Err(CopyError::Mismatch { table: table.name, row: done, name, what });
        }
    }

    fn of_source(&self, error: Boxed) -> CopyError {
        CopyError::Source(self.names.0.clone(), error)
    }

    fn of_target(&self, error: Boxed) -> CopyError {
        CopyError::Target(self.names.1.clone(), error)
    }
}

/// The first column of a row's line.
fn begin_of(line: &[u8]) -> String {
    let first = line.split(|byte| matches!(byte, b'\t' | b'\n')).next().unwrap_or_default();
    String::from_utf8_lossy(first.get(..NAME_BYTES_MAX).unwrap_or(first)).into_owned()
}
