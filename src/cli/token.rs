//! `changegate token`: what stands for a personal access token in configuration and records.

use std::io::{self, IsTerminal as _, Read};

use anyhow::{Context as _, anyhow};
use serde_json::json;

use super::{ConfigFile, Environment, Failure, load_config_bare, print, runtime};
use crate::audit::keys;
use crate::base::claims::Claims;

/// The longest token that is read, in bytes.
const TOKEN_BYTES_MAX: usize = 4096;

/// The actions on a token.
#[derive(Debug, clap::Subcommand)]
pub enum TokenCommand {
    /// Reads a token on standard input and prints its fingerprint, as `[[actor]]` takes it.
    Fingerprint(FingerprintArgs),
}

/// The arguments of `token fingerprint`.
#[derive(Debug, clap::Args)]
pub struct FingerprintArgs {
    #[command(flatten)]
    file: ConfigFile,
    /// Print {"fingerprint":"pat_…"}.
    #[arg(long)]
    json: bool,
}

/// Runs one of them.
pub fn run(command: &TokenCommand, environment: &Environment) -> Result<(), Failure> {
    let TokenCommand::Fingerprint(arguments) = command;
    let config = load_config_bare(arguments.file.path(environment), environment)?;
    let stdin = io::stdin();
    if stdin.is_terminal() {
        print::error_line("Type or paste the token, then Enter and Ctrl-D:");
    }
    let token = read_token(stdin.lock())?;
    let runtime = runtime()?;
    let (database, key_file) = (&config.audit.database, &config.audit.key_file);
    let found = runtime.block_on(keys::load_or_create(database, key_file));
    let found = found.context("no fingerprint can be made").map_err(Failure::NotCarriedOut)?;
    if found.is_new {
        print::error_line(&format!(
            "{} is a new key, made just now: the gateway must use the same one",
            key_file.display()
        ));
    }
    let claims = std::str::from_utf8(&token).ok().and_then(Claims::of);
    if let Some(claims) = &claims {
        let Claims { issuer, subject } = claims;
        print::error_line(&format!(
            "a token that says it is of {subject:?}, issued by {issuer:?}: all of theirs have this \
             fingerprint in the log. Name them in an [[actor]] by `subject`, for each token has \
             another fingerprint of its own",
        ));
    }
    let by_token = || found.key.fingerprint(&token);
    let fingerprint =
        claims.as_ref().map_or_else(by_token, |claims| found.key.fingerprint_of(claims));
    if arguments.json {
        print::line(json!({ "fingerprint": fingerprint }))
    } else {
        print::line(fingerprint)
    }
}

/// Reads a token without the newline that a shell puts after it.
fn read_token(input: impl Read) -> Result<Vec<u8>, Failure> {
    let usage = |message: &str| Failure::Usage(anyhow!("{message}"));
    let mut token = Vec::new();
    // One more than a newline beyond the longest, so that what is too long shows.
    let bytes_max = u64::try_from(TOKEN_BYTES_MAX + 3).unwrap_or(u64::MAX);
    input
        .take(bytes_max)
        .read_to_end(&mut token)
        .context("can't read standard input")
        .map_err(Failure::NotCarriedOut)?;
    for end in [b'\n', b'\r'] {
        if token.last() == Some(&end) {
            token.pop();
        }
    }
    if token.is_empty() {
        return Err(usage(
            "no token on standard input: pipe one in, such as `printf %s \"$PAT\" |`",
        ));
    }
    if token.len() > TOKEN_BYTES_MAX {
        return Err(usage("the token is longer than 4096 bytes: give the token alone"));
    }
    if !token.iter().all(u8::is_ascii_graphic) {
        return Err(usage("the token holds a space or an unprintable byte: give the token alone"));
    }
    Ok(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_newline_is_not_part_of_the_token() {
        for typed in ["pt-1", "pt-1\n", "pt-1\r\n"] {
            assert_eq!(read_token(typed.as_bytes()).unwrap(), b"pt-1", "{typed:?}");
        }
        let longest = "x".repeat(TOKEN_BYTES_MAX);
        assert_eq!(read_token(longest.as_bytes()).unwrap().len(), TOKEN_BYTES_MAX);
        assert!(read_token(format!("{longest}\r\n").as_bytes()).is_ok());
    }

    #[test]
    fn what_is_no_token_is_refused_as_bad_usage() {
        let long = "x".repeat(TOKEN_BYTES_MAX + 1);
        let flood = "x".repeat(1 << 20);
        for typed in ["", "\n", "\r\n", "pt-1\n\n", "Bearer pt-1", "pt-é", "a\0", &long, &flood] {
            assert_eq!(read_token(typed.as_bytes()).unwrap_err().code(), 2);
        }
    }
}
