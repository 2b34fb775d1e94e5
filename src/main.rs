//! The program: reads its arguments and its environment, runs one command, ends with its code.

use std::process::ExitCode;

use changegate::cli;

fn main() -> ExitCode {
    cli::main(std::env::args_os(), std::env::vars_os())
}
