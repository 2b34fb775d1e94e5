//! `changegate audit export`: changes as files for other programs.

mod parts;

use std::io;
use std::path::PathBuf;

use anyhow::{Context as _, anyhow};

use self::parts::Parts;
use super::arguments::{FilterArgs, SpanArgs};
use super::{Environment, Failure, print, sought, unanswered};
use crate::audit::query::{BodyTexts, Filter, Reader};
use crate::audit::record::Change;
use crate::base::clock::{Clock, Timestamp};
use crate::base::count::counted;
use crate::cli::log::LogFile;
use crate::cli::progress::Progress;
use crate::export::{Encoder, ExportWalk, Format};

/// The arguments of `audit export`.
#[derive(Debug, clap::Args)]
pub struct ExportArgs {
    #[command(flatten)]
    file: LogFile,
    /// The format: jsonl (whole changes), csv or ocsf (OCSF 1.8.0), each one change a line; or
    /// parquet.
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
    Format::named(text).ok_or_else(|| "write jsonl, csv, parquet or ocsf".to_owned())
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
        let encoder = Encoder::new(arguments.format).map_err(not_written)?;
        let mut sink = Stream { encoder, written: Vec::new(), last: None };
        let walked = walk(&reader, (&filter, arguments.cursor), &mut sink).await;
        let is_table = arguments.format == Format::Parquet;
        let walked = walked.and_then(|count| sink.finish().map(|()| count));
        if let (Err(Failure::NotCarriedOut(_)), Some(seq), false) = (&walked, sink.last, is_table) {
            print::error_line(&format!("broken off: go on with --cursor {seq}"));
        }
        let count = walked?;
        print::error_line(&format!("{} exported; {NOT_RECORDED}", counted(count, "change")));
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
    walk(&reader, (&filter, before), &mut parts).await?;
    let told = parts.finish()?;
    print::error_line(&format!("{told}; {NOT_RECORDED}"));
    Ok(())
}

impl ExportArgs {
    /// The filter as it was typed, to be known again.
    fn asked(&self) -> String {
        const KEYS: [&str; 15] = [
            "deployment_id",
            "deployment_name",
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
        let typed = KEYS.iter().filter_map(|key| Some(format!("{key}={}", given(key)?)));
        typed.collect::<Vec<_>>().join("\n")
    }
}

/// Takes changes one after the other.
trait Sink {
    /// Takes what a file begins with.
    fn begin(&mut self) -> Result<(), Failure>;

    /// Takes a change with its bodies.
    fn take(&mut self, change: &Change, bodies: &BodyTexts) -> Result<(), Failure>;
}

/// Standard output.
struct Stream {
    encoder: Encoder,
    /// Bytes that are written next.
    written: Vec<u8>,
    last: Option<i64>,
}

impl Stream {
    /// Writes what the file ends with.
    fn finish(&mut self) -> Result<(), Failure> {
        self.encoder.finish(&mut self.written).map_err(not_written)?;
        self.write()
    }

    fn write(&mut self) -> Result<(), Failure> {
        print::part_of_file(&self.written)?;
        self.written.clear();
        Ok(())
    }
}

impl Sink for Stream {
    fn begin(&mut self) -> Result<(), Failure> {
        self.encoder.begin(&mut self.written).map_err(not_written)?;
        self.write()
    }

    fn take(&mut self, change: &Change, bodies: &BodyTexts) -> Result<(), Failure> {
        self.encoder.write(change, bodies, &mut self.written).map_err(not_written)?;
        self.write()?;
        self.last = Some(change.seq);
        Ok(())
    }
}

/// Leads every change that a filter finds to `sink`, one at a time. Returns how many there were.
async fn walk(
    reader: &Reader,
    (filter, before): (&Filter, Option<i64>),
    sink: &mut impl Sink,
) -> Result<u64, Failure> {
    let clock = Clock::System;
    let mut progress = Progress::new(clock.instant());
    let mut walk = ExportWalk::new(filter.clone(), before);
    let mut count = 0;
    if before.is_none() {
        sink.begin()?;
    }
    while walk.fill(reader).await.map_err(unanswered)? {
        let mut texts = reader.texts().await.map_err(unanswered)?;
        while let Some((change, bodies)) = walk.take(&mut texts).await.map_err(unanswered)? {
            sink.take(&change, &bodies)?;
            count += 1;
            progress.tell(&clock, || {
                let count = counted(count, "change");
                format!("{count} exported, as far back as {}", change.received_at)
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
