//! `changegate policy`: the rules before they are in force.

pub mod explain;
pub mod push;
pub mod replay;
mod source;
pub mod standing;
pub mod test;

use super::{Environment, Failure};

/// The actions on a policy.
#[derive(Debug, clap::Subcommand)]
pub enum PolicyCommand {
    /// Judges cases, and compares what the policy says of them with what they expect.
    Test(test::TestArgs),
    /// Tells rule by rule what a policy says of one recorded change, and why.
    Explain(explain::ExplainArgs),
    /// Tells which deployments, as the log last saw them, break which rules now.
    Standing(standing::StandingArgs),
    /// Puts a policy into a log in PostgreSQL, for all gateways on it without a file of their own.
    Push(push::PushArgs),
    /// Judges recorded changes by another policy: what would be decided otherwise.
    Replay(Box<replay::ReplayArgs>),
}

/// Runs one of them.
pub fn run(command: &PolicyCommand, environment: &Environment) -> Result<(), Failure> {
    match command {
        PolicyCommand::Test(arguments) => test::run(arguments, environment),
        PolicyCommand::Explain(arguments) => explain::run(arguments, environment),
        PolicyCommand::Standing(arguments) => standing::run(arguments, environment),
        PolicyCommand::Push(arguments) => push::run(arguments, environment),
        PolicyCommand::Replay(arguments) => replay::run(arguments, environment),
    }
}
