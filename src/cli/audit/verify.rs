//! `changegate audit verify` and `changegate audit prove`: evidence, held against the log or alone.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use serde_json::json;

use super::text::plain;
use super::{Environment, Failure, bad_option, change_id, open_at, print_json, print_lines};
use crate::admin::filter;
use crate::audit::prove::{self, BUNDLE_BYTES_MAX};
use crate::audit::verify::{Finding, Pace, Terms, Verified, VerifyError};
use crate::base::clock::{Clock, Timestamp};
use crate::base::count::{counted, numbered};
use crate::base::file::{bytes_within, text};
use crate::cli::log::LogFile;
use crate::cli::print;
use crate::cli::progress::Progress;

/// The most bytes of a checkpoint.
const CHECKPOINT_BYTES_MAX: u64 = 64 << 10;

/// The arguments of `audit verify`.
#[derive(Debug, clap::Args)]
pub struct VerifyArgs {
    #[command(flatten)]
    file: LogFile,
    /// A checkpoint from elsewhere that the log must go on from; - reads standard input. Any
    /// number.
    #[arg(long, value_name = "FILE|-")]
    checkpoint: Vec<PathBuf>,
    /// A key that may have signed, as /api/v1/log/key tells it, or one of a witness:
    /// NAME+ID+KEY. Any number.
    #[arg(long, value_name = "VKEY")]
    key: Vec<String>,
    /// Only what came at or after: a time (RFC 3339), a date, or how long ago, such as 24h or 7d.
    #[arg(long, value_name = "WHEN")]
    since: Option<String>,
    /// The proof of one change, as `audit prove` writes it, in place of a log.
    #[arg(long, value_name = "FILE|-", requires = "key")]
    #[arg(conflicts_with_all = ["checkpoint", "since", "database", "config"])]
    bundle: Option<PathBuf>,
    /// Print each finding, and at the end the result, as one JSON object a line.
    #[arg(long)]
    json: bool,
}

/// The arguments of `audit prove`.
#[derive(Debug, clap::Args)]
pub struct ProveArgs {
    #[command(flatten)]
    file: LogFile,
    /// The change: `chg_` and 32 hex digits.
    id: String,
}

/// Tells everything that does not hold.
pub(super) async fn run(
    arguments: &VerifyArgs,
    environment: &Environment,
    now: Timestamp,
) -> Result<(), Failure> {
    if let Some(bundle) = &arguments.bundle {
        return alone(bundle, arguments);
    }
    let given = |name: &str| (name == "since").then_some(arguments.since.as_deref()).flatten();
    let (since, _until) = filter::span(given, now).map_err(bad_option)?;
    let log = arguments.file.find(environment)?;
    let mut checkpoints = Vec::new();
    for path in &arguments.checkpoint {
        let text = String::from_utf8(read(path, CHECKPOINT_BYTES_MAX)?);
        let text = text.map_err(|_bytes| anyhow!("{} is no checkpoint", path.display()));
        checkpoints.push((path.display().to_string(), text.map_err(Failure::Usage)?));
    }
    if let Some(newest) = &log.newest_checkpoint
        && let Ok(text) = text(newest)
    {
        checkpoints.push((format!("the newest checkpoint ({})", newest.display()), text));
    }
    let (keys, witness_keys) = (arguments.key.clone(), log.witness_keys.clone());
    let terms = Terms { keys, witness_keys, checkpoints, since, pace: Pace::Full };
    let reader = open_at(&log).await?;
    let clock = Clock::System;
    let mut progress = Progress::new(clock.instant());
    let told = |done, all| progress.tell(&clock, || format!("{done} of {all} leaves"));
    let verified = reader.verify(&terms, told).await.map_err(|error| match error {
        VerifyError::BadKey(_) => Failure::Usage(error.into()),
        VerifyError::Query(error) => super::unanswered(error),
    })?;
    tell(&verified, arguments.json)?;
    held(verified.found)
}

/// Holds the proof of one change against the keys.
fn alone(bundle: &Path, arguments: &VerifyArgs) -> Result<(), Failure> {
    let shown = bundle.display();
    let text = read(bundle, BUNDLE_BYTES_MAX)?;
    let findings = prove::check(&text, &arguments.key);
    let findings = findings.ok_or_else(|| {
        let wrong = "is no proof, or has more in it than one: `audit prove` writes it anew";
        Failure::NotHeld(anyhow!("{shown} {wrong}"))
    })?;
    let found = u64::try_from(findings.len()).unwrap_or(u64::MAX);
    print_findings(&findings, arguments.json)?;
    if found == 0 && !arguments.json {
        let by = by_witnesses(prove::witnesses(&text, &arguments.key));
        print::line(format_args!("{shown} holds: the change is in the tree that was signed{by}."))?;
    }
    held(found)
}

/// How many of the witnesses whose keys were named sign, in words; nothing where none was named.
fn by_witnesses((count, all): (usize, usize)) -> String {
    let all_of_them = numbered(all, "witness", "witnesses");
    if all == 0 { String::new() } else { format!(", also by {count} of {all_of_them}") }
}

/// The failure of so many findings.
fn held(found: u64) -> Result<(), Failure> {
    if found == 0 { Ok(()) } else { Err(Failure::NotHeld(anyhow!(counted(found, "finding")))) }
}

fn print_findings(findings: &[Finding], json: bool) -> Result<(), Failure> {
    if json {
        return print_json(findings);
    }
    print_lines(findings.iter().map(|finding| plain(&finding.to_string())))
}

fn tell(verified: &Verified, json: bool) -> Result<(), Failure> {
    print_findings(&verified.findings, json)?;
    if json {
        return print_json(&[json!({ "verified": verified })]);
    }
    let more = verified.found.saturating_sub(verified.findings.len() as u64);
    if more > 0 {
        print::line(format_args!("and {more} more"))?;
    }
    for note in &verified.notes {
        print::error_line(&format!("note: {}", plain(note)));
    }
    let until = match (verified.signed, verified.signed_at) {
        (Some(size), Some(at)) => format!("the first {size} are signed, as of {at}"),
        (Some(size), None) => format!("the first {size} are signed"),
        (None, _) => "none is signed".to_owned(),
    };
    let signing = verified.witnesses.iter().filter(|one| one.size == verified.signed);
    let until = match verified.signed {
        Some(_) => until + &by_witnesses((signing.count(), verified.witnesses.len())),
        None => until,
    };
    let leaves = numbered(verified.leaves, "leaf", "leaves");
    let holds = if verified.found == 0 { "sound: " } else { "" };
    print::line(format_args!("{holds}{leaves}; {until}."))
}

/// Prints the proof of one change.
pub(super) async fn prove(arguments: &ProveArgs, environment: &Environment) -> Result<(), Failure> {
    let id = change_id(&arguments.id)?;
    let reader = open_at(&arguments.file.find(environment)?).await?;
    let bundle = reader.prove(id).await.map_err(|error| match error {
        prove::ProveError::Query(error) => super::unanswered(error),
        error => Failure::NotHeld(error.into()),
    })?;
    let text = serde_json::to_string_pretty(&bundle).context("can't write it as JSON");
    print::line(text.map_err(Failure::NotCarriedOut)?)
}

/// The bytes of a file, or of standard input.
fn read(path: &Path, bytes_max: u64) -> Result<Vec<u8>, Failure> {
    let read = if path == Path::new("-") {
        let mut bytes = Vec::new();
        let read = std::io::stdin().take(bytes_max).read_to_end(&mut bytes);
        read.map(|_count| bytes)
    } else {
        bytes_within(path, bytes_max)
    };
    let read = read.with_context(|| format!("can't read {}", path.display()));
    read.map_err(Failure::Usage)
}
