//! `changegate completions`: what a shell completes the program's commands and options by.

use clap::Args;
use clap_complete::Shell;

use super::{Failure, command, print};

/// The arguments of `completions`.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell that they are for
    shell: Shell,
}

/// Prints them, as a script that the shell reads.
pub fn run(arguments: &CompletionsArgs) -> Result<(), Failure> {
    let mut script = Vec::new();
    let mut command = command();
    let name = command.get_name().to_owned();
    clap_complete::generate(arguments.shell, &mut command, name, &mut script);
    print::line(String::from_utf8_lossy(&script).trim_end())
}
