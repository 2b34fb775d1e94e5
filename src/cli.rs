//! The command line: what may be typed, and what every command shares. One file per command.

pub mod approval;
pub mod audit;
pub mod backup;
pub mod check;
mod client;
pub mod completions;
pub mod demo;
pub mod key;
mod log;
pub mod man;
pub mod migrate;
pub mod openapi;
mod place;
pub mod policy;
pub mod print;
mod progress;
mod proxy;
pub mod schema;
pub mod serve;
pub mod simulate;
mod terminal;
pub mod token;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, anyhow};
use clap::{Args, CommandFactory as _, Parser, Subcommand};
use tokio::runtime::Runtime;

use crate::config::Config;
use crate::config::check::Checked;
use crate::server::check as check_config;
use crate::settings::complaint::Complaint;
use crate::telemetry;

/// An audit-logging reverse proxy that governs changes to scheduled AI agents.
#[derive(Debug, Parser)]
#[command(name = "changegate", version, about, disable_help_subcommand = true)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the gateway until SIGTERM or SIGINT.
    Serve(serve::ServeArgs),
    /// Runs an in-memory upstream with the deployments API, for demos and tests.
    Simulate(simulate::SimulateArgs),
    /// Plays a short story on loopback: what is governed, what is refused, what is recorded.
    Demo(demo::DemoArgs),
    /// Validates the configuration and the policy; starts nothing.
    Check(check::CheckArgs),
    /// Works on personal access tokens.
    #[command(subcommand)]
    Token(token::TokenCommand),
    /// Works on the key that the log's fingerprints and digests are made under.
    #[command(subcommand)]
    Key(key::KeyCommand),
    /// Asks the log who changed what.
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Tests the rules.
    #[command(subcommand)]
    Policy(policy::PolicyCommand),
    /// Works on changes that wait for somebody's approval, by the admin API.
    #[command(subcommand)]
    Approval(approval::ApprovalCommand),
    /// Copies the log, beside a running gateway or without one.
    Backup(backup::BackupArgs),
    /// Makes the tables of a log in PostgreSQL, or brings them up to date, as their owner.
    Migrate(migrate::MigrateArgs),
    /// Prints the JSON Schema of the configuration and policy files.
    Schema(schema::SchemaArgs),
    /// Prints the description of the admin API (OpenAPI 3.1).
    Openapi,
    /// Prints what a shell completes commands and options by.
    Completions(completions::CompletionsArgs),
    /// Prints the manual page, in roff.
    Man,
}

/// All that may be typed.
fn command() -> clap::Command {
    CommandLine::command()
}

/// `--config FILE`, which most commands take.
#[derive(Debug, Args)]
pub struct ConfigFile {
    /// The configuration file; by default that of `CHANGEGATE_CONFIG`, else `changegate.toml`.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Variables that tell of the terminal, and who is logged in there.
const TERMINAL_VARIABLES: [&str; 6] =
    ["COLUMNS", "NO_COLOR", "TERM", "SUDO_USER", "USER", "LOGNAME"];

/// The process's environment, as far as it is meant for the program: `CHANGEGATE_…`, and what
/// tells of the terminal.
#[derive(Debug)]
pub struct Environment {
    ours: Vec<(String, String)>,
    terminal: Vec<(String, String)>,
}

/// Why a command ends with another code than 0.
#[derive(Debug)]
pub enum Failure {
    /// The thing asked about does not hold: a failed test, a broken log. Code 1.
    NotHeld(anyhow::Error),
    /// Bad usage or bad configuration. Code 2.
    Usage(anyhow::Error),
    /// The store or the network did not let it be done. Code 3.
    NotCarriedOut(anyhow::Error),
    /// Whoever read the output has gone away, such as `head`: nothing is wrong. Code 0.
    ReaderGone,
}

/// Runs the program and says with which code it ends. Errors go to standard error in one
/// sentence, causes after the effect.
pub fn main(
    arguments: impl IntoIterator<Item = OsString>,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> ExitCode {
    let line = match CommandLine::try_parse_from(arguments) {
        Ok(line) => line,
        Err(usage) => {
            // Where even that can't be printed, there is nobody left to tell.
            let _unheard = usage.print();
            return ExitCode::from(if usage.use_stderr() { 2 } else { 0 });
        }
    };
    let done = Environment::new(variables).and_then(|environment| run(line.command, &environment));
    let code = match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if let Some(error) = failure.error() {
                print::failure(error);
            }
            failure.code().into()
        }
    };
    telemetry::flush();
    code
}

fn run(command: Command, environment: &Environment) -> Result<(), Failure> {
    match command {
        Command::Serve(arguments) => serve::run(&arguments, environment),
        Command::Simulate(arguments) => simulate::run(&arguments),
        Command::Demo(arguments) => demo::run(&arguments, environment),
        Command::Check(arguments) => check::run(&arguments, environment),
        Command::Token(command) => token::run(&command, environment),
        Command::Key(command) => key::run(&command, environment),
        Command::Audit(command) => audit::run(&command, environment),
        Command::Policy(command) => policy::run(&command, environment),
        Command::Approval(command) => approval::run(&command, environment),
        Command::Backup(arguments) => backup::run(&arguments, environment),
        Command::Migrate(arguments) => migrate::run(&arguments),
        Command::Schema(arguments) => schema::run(&arguments),
        Command::Openapi => openapi::run(),
        Command::Completions(arguments) => completions::run(&arguments),
        Command::Man => man::run(),
    }
}

/// Reads the configuration that a command works with. Every complaint goes to standard error; an
/// error among them is a [`Failure::Usage`].
pub fn load_config(path: &Path, environment: &Environment) -> Result<Config, Failure> {
    load_config_telling(path, environment, |_complaint| true)
}

/// The same for a command that has nothing to do with what is warned of: it tells errors alone.
fn load_config_bare(path: &Path, environment: &Environment) -> Result<Config, Failure> {
    load_config_telling(path, environment, |complaint| !complaint.warning)
}

fn load_config_telling(
    path: &Path,
    environment: &Environment,
    is_told: impl Fn(&Complaint) -> bool,
) -> Result<Config, Failure> {
    let Checked { config, complaints, .. } = check_config(path, &environment.ours);
    complaints.iter().filter(|complaint| is_told(complaint)).for_each(print::complaint);
    config.ok_or_else(|| check::invalid(path, &complaints))
}

/// A runtime for one command, on this thread.
fn runtime() -> Result<Runtime, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("can't start").map_err(Failure::NotCarriedOut)
}

impl ConfigFile {
    /// Whether a file is named, so that it must be there.
    #[must_use]
    pub fn is_named(&self, environment: &Environment) -> bool {
        self.config.is_some() || environment.named("CHANGEGATE_CONFIG").is_some()
    }

    /// The file: as given, else as `CHANGEGATE_CONFIG` says, else `changegate.toml`.
    #[must_use]
    pub fn path<'a>(&'a self, environment: &'a Environment) -> &'a Path {
        let given = self.config.as_deref();
        let named = || environment.named("CHANGEGATE_CONFIG").map(Path::new);
        given.or_else(named).unwrap_or(Path::new("changegate.toml"))
    }
}

impl Environment {
    /// Keeps what is meant for the program, which must be UTF-8.
    pub fn new(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Result<Self, Failure> {
        let mut read = Self { ours: Vec::new(), terminal: Vec::new() };
        for (name, value) in variables {
            let Ok(name) = name.into_string() else { continue };
            if name.starts_with("CHANGEGATE_") {
                let not_text =
                    |_value| Failure::Usage(anyhow!("{name} is not UTF-8 text: set it anew"));
                let value = value.into_string().map_err(not_text)?;
                read.ours.push((name, value));
            } else if TERMINAL_VARIABLES.contains(&name.as_str()) {
                let value = value.to_string_lossy().into_owned();
                read.terminal.push((name, value));
            }
        }
        Ok(read)
    }

    /// The variable of that name, where it is not empty.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&str> {
        named_in(&self.ours, name)
    }

    /// The variable of that name that tells of the terminal, where it is not empty.
    #[must_use]
    pub fn of_terminal(&self, name: &str) -> Option<&str> {
        named_in(&self.terminal, name)
    }

    /// Whether a terminal shows colours, as far as the environment says.
    #[must_use]
    pub fn has_colours(&self) -> bool {
        self.of_terminal("NO_COLOR").is_none() && self.of_terminal("TERM") != Some("dumb")
    }

    /// All of them, as the configuration's check takes them.
    #[must_use]
    pub fn variables(&self) -> &[(String, String)] {
        &self.ours
    }
}

fn named_in<'v>(variables: &'v [(String, String)], name: &str) -> Option<&'v str> {
    let found = variables.iter().find(|(candidate, _)| candidate == name);
    found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
}

impl Failure {
    /// The process's exit code.
    #[must_use]
    pub const fn code(&self) -> u8 {
        match self {
            Self::ReaderGone => 0,
            Self::NotHeld(_) => 1,
            Self::Usage(_) => 2,
            Self::NotCarriedOut(_) => 3,
        }
    }

    const fn error(&self) -> Option<&anyhow::Error> {
        match self {
            Self::ReaderGone => None,
            Self::NotHeld(error) | Self::Usage(error) | Self::NotCarriedOut(error) => Some(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        command().debug_assert();
    }

    #[test]
    fn help_fits_a_terminal_of_80_columns() {
        let mut waiting = vec![command()];
        while let Some(command) = waiting.pop() {
            let help = command.clone().term_width(80).render_long_help().to_string();
            let longest = help.lines().max_by_key(|line| line.chars().count()).unwrap();
            assert!(longest.chars().count() <= 80, "{}: {longest}", command.get_name());
            waiting.extend(command.get_subcommands().cloned());
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_variable_that_is_no_text_is_named() {
        let bad = <OsString as std::os::unix::ffi::OsStringExt>::from_vec(vec![0xff]);
        let other = Environment::new([("PATH".into(), bad.clone())]).unwrap();
        assert!(other.variables().is_empty());
        let failure = Environment::new([("CHANGEGATE_X".into(), bad)]).unwrap_err();
        assert_eq!(failure.code(), 2);
        assert!(failure.error().unwrap().to_string().contains("CHANGEGATE_X"));
    }
}
