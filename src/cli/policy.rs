//! `changegate policy`: the rules before they are in force.

pub mod test;

use super::{Environment, Failure};

/// The actions on a policy.
#[derive(Debug, clap::Subcommand)]
pub enum PolicyCommand {
    /// Judges cases, and compares what the policy says of them with what they expect.
    Test(test::TestArgs),
}

/// Runs one of them.
pub fn run(command: &PolicyCommand, environment: &Environment) -> Result<(), Failure> {
    match command {
        PolicyCommand::Test(arguments) => test::run(arguments, environment),
    }
}
