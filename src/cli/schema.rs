//! `changegate schema`: the JSON Schema of the files that operators write.

use clap::{Args, ValueEnum};
use serde_json::Value;

use super::{Failure, print};
use crate::config::KEYS as CONFIGURATION;
use crate::policy::case::keys::KEYS as TESTS;
use crate::policy::keys::KEYS as POLICY;
use crate::settings::schema::{either, schema};

/// The arguments of `schema`.
#[derive(Debug, Args)]
pub struct SchemaArgs {
    /// The file that it describes; by default the first two, either of which fits
    file: Option<File>,
}

/// A file that operators write.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum File {
    /// The configuration
    Configuration,
    /// The policy
    Policy,
    /// Cases for `policy test`
    Tests,
}

/// Runs the command.
pub fn run(arguments: &SchemaArgs) -> Result<(), Failure> {
    let schema = match arguments.file {
        Some(file) => of(file),
        None => either(&[("configuration", of(File::Configuration)), ("policy", of(File::Policy))]),
    };
    print::line(format!("{schema:#}"))
}

fn of(file: File) -> Value {
    match file {
        File::Configuration => schema(
            &CONFIGURATION,
            "Changegate configuration",
            "The configuration of an audit-logging reverse proxy, as TOML.",
        ),
        File::Policy => {
            schema(&POLICY, "Changegate policy", "The rules for changes to deployments, as TOML.")
        }
        File::Tests => schema(&TESTS, "Changegate policy tests", "Cases for a policy, as TOML."),
    }
}
