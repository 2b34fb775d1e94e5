//! `changegate key`: the secret key that the log's fingerprints and digests are made under.

use anyhow::{Context as _, anyhow};
use serde_json::json;

use super::{ConfigFile, Environment, Failure, load_config, print, runtime};
use crate::audit::keys;
use crate::audit::unseal;
use crate::base::clock::Clock;
use crate::base::count::{counted, numbered};
use crate::config::Config;

/// The actions on the key.
#[derive(Debug, clap::Subcommand)]
pub enum KeyCommand {
    /// Makes a new key and records from which change on it is in force; the gateway must not run.
    /// With --seal, that of sealed originals.
    Rotate(RotateArgs),
}

/// The arguments of `key rotate`.
#[derive(Debug, clap::Args)]
pub struct RotateArgs {
    #[command(flatten)]
    file: ConfigFile,
    /// The key of `seal.key_file`: what was erased is then gone from every backup too.
    #[arg(long)]
    seal: bool,
    /// Print {"key":"key_…","former":…,"kept":…}.
    #[arg(long)]
    json: bool,
}

/// Runs one of them.
pub fn run(command: &KeyCommand, environment: &Environment) -> Result<(), Failure> {
    let KeyCommand::Rotate(arguments) = command;
    let config = load_config(arguments.file.path(environment), environment)?;
    if arguments.seal {
        return rotate_seal(&config, arguments);
    }
    let (database, key_file) = (&config.audit.database, &config.audit.key_file);
    let runtime = runtime()?;
    let rotated = runtime.block_on(keys::rotate(database, key_file, &Clock::System));
    let rotated = rotated.context("the key is not changed").map_err(Failure::NotCarriedOut)?;
    let (key, former) = (rotated.key.to_string(), rotated.former.map(|former| former.to_string()));
    let kept = rotated.kept.map(|kept| kept.display().to_string());
    if arguments.json {
        return print::line(json!({"key": key, "former": former, "kept": kept}));
    }
    print::line(format_args!("{} holds a new key, {key}.", key_file.display()))?;
    if let Some(kept) = kept {
        print::line(format_args!("The former one is kept as {kept}."))?;
    }
    print::line(
        "Fingerprints, digests and etags are others from the next change on: make the fingerprints \
         of [[actor]] anew with `changegate token fingerprint`.",
    )
}

fn rotate_seal(config: &Config, arguments: &RotateArgs) -> Result<(), Failure> {
    let key_file = config.seal.key_file.as_deref().filter(|file| file.exists());
    let key_file = key_file.ok_or_else(|| {
        Failure::Usage(anyhow!("there is no sealing key: set seal.key_file, and start the gateway"))
    })?;
    let rotating = unseal::rotate_seal(&config.audit.database, key_file, &Clock::System);
    let rotated = runtime()?.block_on(rotating);
    let rotated = rotated.context("the sealing key is not changed");
    let rotated = rotated.map_err(Failure::NotCarriedOut)?;
    let (key, former) = (rotated.key.to_string(), rotated.former.to_string());
    let count = rotated.rewrapped;
    if arguments.json {
        return print::line(json!({"key": key, "former": former, "originals": count,
            "left": rotated.left, "completed": rotated.completed}));
    }
    print::line(format_args!(
        "{} holds a new key, {key}; the keys of {} are wrapped under it.",
        key_file.display(),
        counted(count, "sealed original")
    ))?;
    if rotated.left > 0 {
        print::line(format_args!(
            "{} left alone: under another key, or altered since.",
            numbered(rotated.left, "original was", "originals were")
        ))?;
    }
    if rotated.completed > 0 {
        print::line(format_args!(
            "{} complete with it: `audit erase --status` tells which.",
            numbered(rotated.completed, "erasure is", "erasures are")
        ))?;
    }
    print::line(format_args!(
        "The former key, {former}, is destroyed. Destroy its copies too: what was erased is gone \
         once they are."
    ))
}
