//! `changegate audit export`: changes as files for other programs.

mod parts;

use std::io;
use std::path::PathBuf;

use anyhow::{Context as _, anyhow};

use self::parts::Parts;
use super::arguments::{FilterArgs, SpanArgs};
use super::{Environment, Failure, print, sought, unanswered};
use crate::audit::query::{Filter, Reader};
use crate::base::clock::{Clock, Timestamp};
use crate::cli::log::LogFile;
use crate::cli::progress::Progress;
use crate::export::{ExportWalk, Format};

/// The arguments of `audit export`.
#[derive(Debug, clap::Args)]
pub struct ExportArgs {
    #[command(flatten)]
    file: LogFile,
    /// The format: jsonl (whole changes), csv, or ocsf (OCSF 1.8.0), each one change a line.
    #[arg(long, value_name = "FORMAT", value_parser = format)]
    format: Format,
    #[command(flatten)]
    which: FilterArgs,
    #[command(flatten)]
    span: SpanArgs,
    /// Write files into this folder, instead of to standard output: the same command again goes on
    /// where it was broken off.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// With --out: how many changes a file has at most.
    #[arg(long, value_name = "N", default_value_t = 100_000, requires = "out")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    part_rows: u32,
    /// Go on behind the change with this seq, the last one that an earlier export wrote.
    #[arg(long, value_name = "SEQ", conflicts_with = "out")]
    #[arg(value_parser = clap::value_parser!(i64).range(1..))]
    cursor: Option<i64>,
}

/// The word on what the log will know of the export.
const NOT_RECORDED: &str = "this export leaves no record in the log, which is only read here: \
    where each is to be recorded, export by GET /api/v1/export";

fn format(text: &str) -> Result<Format, String> {
    Format::named(text).ok_or_else(|| "write jsonl, csv or ocsf".to_owned())
}

/// Exports.
pub(super) async fn run(
    arguments: &ExportArgs,
    environment: &Environment,
    now: Timestamp,
) -> Result<(), Failure> {
    let log = arguments.file.find(environment)?;
    let (reader, filter) = sought(&arguments.which, &arguments.span, &log, now).await?;
    let Some(folder) = &arguments.out else {
        let mut sink = Stream { format: arguments.format, last: None };
        let walked = walk(&reader, (&filter, arguments.cursor), arguments.format, &mut sink).await;
        if let (Err(Failure::NotCarriedOut(_)), Some(seq)) = (&walked, sink.last) {
            print::error_line(&format!("broken off: go on with --cursor {seq}"));
        }
        let count = walked?;
        print::error_line(&format!("{count} changes exported; {NOT_RECORDED}"));
        return Ok(());
    };
    let asked = arguments.asked();
    let rows_max = u64::from(arguments.part_rows);
    let mut parts = Parts::open(folder, arguments.format, &asked, filter, rows_max)?;
    if parts.is_done() {
        print::error_line(&format!(
            "{} holds this export whole: name another folder for a new one",
            folder.display()
        ));
        return Ok(());
    }
    let (filter, before) = (parts.filter().clone(), parts.before());
    walk(&reader, (&filter, before), arguments.format, &mut parts).await?;
    let told = parts.finish()?;
    print::error_line(&format!("{told}; {NOT_RECORDED}"));
    Ok(())
}

impl ExportArgs {
    /// The filter as it was typed, to be known again.
    fn asked(&self) -> String {
        const KEYS: [&str; 14] = [
            "deployment_id",
            "actor",
            "team",
            "operation",
            "decision",
            "outcome",
            "effect",
            "rule",
            "path",
            "asked_path",
            "request_id",
            "q",
            "since",
            "until",
        ];
        let given = |key: &&str| self.which.given(key).or_else(|| self.span.given(key));
        let named = self.which.name.as_ref().map(|name| format!("name={name}"));
        let typed = KEYS.iter().filter_map(|key| Some(format!("{key}={}", given(key)?)));
        typed.chain(named).collect::<Vec<_>>().join("\n")
    }
}

/// Takes changes one after the other, each in its written form.
trait Sink {
    /// Takes what a file begins with.
    fn begin(&mut self) -> Result<(), Failure>;

    /// Takes the written form of the change at the place `seq`.
    fn take(&mut self, seq: i64, written: &[u8]) -> Result<(), Failure>;
}

/// Standard output.
struct Stream {
    format: Format,
    last: Option<i64>,
}

impl Sink for Stream {
    fn begin(&mut self) -> Result<(), Failure> {
        let mut head = Vec::new();
        self.format.begin(&mut head).map_err(not_written)?;
        print::part_of_file(&head)
    }

    fn take(&mut self, seq: i64, written: &[u8]) -> Result<(), Failure> {
        print::part_of_file(written)?;
        self.last = Some(seq);
        Ok(())
    }
}

/// Leads every change that a filter finds to `sink`, one at a time. Returns how many there were.
async fn walk(
    reader: &Reader,
    (filter, before): (&Filter, Option<i64>),
    format: Format,
    sink: &mut impl Sink,
) -> Result<u64, Failure> {
    let clock = Clock::System;
    let mut progress = Progress::new(clock.instant());
    let mut walk = ExportWalk::new(filter.clone(), before);
    let (mut count, mut written) = (0, Vec::new());
    if before.is_none() {
        sink.begin()?;
    }
    while walk.fill(reader).await.map_err(unanswered)? {
        let mut texts = reader.texts().await.map_err(unanswered)?;
        while let Some(change) = walk.take() {
            let bodies = texts.of(&change).await.map_err(unanswered)?;
            written.clear();
            format.write(&change, &bodies, &mut written).map_err(not_written)?;
            sink.take(change.seq, &written)?;
            count += 1;
            progress.tell(&clock, || {
                format!("{count} changes exported, as far back as {}", change.received_at)
            });
        }
    }
    Ok(count)
}

fn not_written(error: io::Error) -> Failure {
    Failure::NotCarriedOut(anyhow!(error).context("a change can't be written"))
}

/// Names what can't be written.
fn failed(error: io::Error, what: &std::path::Path) -> Failure {
    let written = Err::<(), _>(error).with_context(|| format!("can't write {}", what.display()));
    written.err().map_or(Failure::ReaderGone, Failure::NotCarriedOut)
}
