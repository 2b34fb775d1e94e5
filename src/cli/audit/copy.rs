//! `changegate audit copy`: a log in SQLite, moved to PostgreSQL.

use anyhow::anyhow;
use serde_json::json;

use super::super::progress::Progress;
use super::{Failure, print};
use crate::audit::copy::{CopyError, Part, Step, copy};
use crate::base::clock::Clock;
use crate::base::count::counted;
use crate::base::database::Database;

/// The arguments of `audit copy`.
#[derive(Debug, clap::Args)]
pub struct CopyArgs {
    /// The log in SQLite, which no gateway may write meanwhile.
    #[arg(long, value_name = "FILE|URL")]
    from: std::path::PathBuf,
    /// The database in PostgreSQL, with the tables that `migrate` made and nothing in them, as
    /// its owner logs in: `postgres://OWNER@HOST/DATABASE`. `PGPASSWORD` may have the password.
    #[arg(long, value_name = "URL")]
    to: String,
    /// Print {"from":…,"to":…,"rows":…,"changes":…}.
    #[arg(long)]
    json: bool,
}

/// Copies it, or completes a copy that was broken off.
pub(super) async fn run(arguments: &CopyArgs) -> Result<(), Failure> {
    let usage = |option: &str, fix: &str| Failure::Usage(anyhow!("{option}: {fix}"));
    let from = Database::parse_or_path(&arguments.from);
    let from = from.map_err(|fix| usage("--from", &fix))?;
    let Database::Sqlite(file) = &from else {
        return Err(usage("--from", "name a log in SQLite; pg_dump copies one in PostgreSQL"));
    };
    let to = Database::parse(&arguments.to).map_err(|fix| usage("--to", &fix))?;
    let Database::Postgres(url) = &to else {
        return Err(usage("--to", "name a database in PostgreSQL; `backup` copies to a file"));
    };
    let clock = Clock::System;
    let mut progress = Progress::new(clock.instant());
    let copied = copy(file, url, clock.now(), |step| progress.tell(&clock, || words(step))).await;
    let copied = copied.map_err(|error| match error {
        CopyError::Mismatch { .. } => Failure::NotHeld(error.into()),
        other => Failure::NotCarriedOut(other.into()),
    })?;
    let (rows, changes) = (copied.rows, copied.changes);
    if arguments.json {
        let (from, to) = (from.to_string(), to.to_string());
        return print::line(json!({"from": from, "to": to, "rows": rows, "changes": changes}));
    }
    if copied.is_old {
        return print::line(format_args!("{to} is a whole copy of {from} already."));
    }
    print::line(format_args!(
        "{to} holds all of {from}: {}, {} in all, each compared.",
        counted(changes, "change"),
        counted(rows, "row")
    ))?;
    print::line(format_args!(
        "{from} is sealed: no gateway writes it again. Name the new one in audit.database, as the \
         role changegate, and keep the key file."
    ))
}

fn words(Step { part, table, done, rows }: Step) -> String {
    let verb = match part {
        Part::Copying => "copied",
        Part::Comparing => "compared",
    };
    format!("{verb} {done} of {rows} rows of {table}")
}
