//! `changegate policy push`: a policy for all gateways on one log.

use std::path::PathBuf;

use anyhow::anyhow;
use serde_json::json;

use super::source::PolicyFile;
use crate::audit::push_policy;
use crate::base::database::Database;
use crate::cli::log::LogFile;
use crate::cli::{Environment, Failure, print, runtime};

/// The arguments of `policy push`.
#[derive(Debug, clap::Args)]
pub struct PushArgs {
    /// The policy.
    file: PathBuf,
    #[command(flatten)]
    log: LogFile,
    /// Print the digest, and whether it is a new one, as JSON.
    #[arg(long)]
    json: bool,
}

/// Checks the policy, and has the log serve it.
pub fn run(arguments: &PushArgs, environment: &Environment) -> Result<(), Failure> {
    let log = arguments.log.find(environment)?;
    let Database::Postgres(url) = &log.database else {
        return Err(Failure::Usage(anyhow!(
            "{} is a log in SQLite, which has one gateway: name the policy in that one's \
             policy.file; a log in PostgreSQL serves one to all of its gateways",
            log.database
        )));
    };
    let policy = PolicyFile::find(Some(&arguments.file), &arguments.log, environment)?.policy()?;
    let pushed = runtime()?.block_on(push_policy(url, &policy));
    let is_new = pushed.map_err(|error| Failure::NotCarriedOut(error.into()))?;
    let digest = &policy.digest;
    if arguments.json {
        return print::line(json!({"policy_digest": digest, "is_new": is_new}));
    }
    if !is_new {
        return print::line(format_args!("The log serves this policy already:\n{digest}"));
    }
    print::line(format_args!(
        "The log serves this policy now:\n{digest}\nEach gateway without a policy.file takes it \
         within two seconds, and\nnames it in /readyz."
    ))
}
