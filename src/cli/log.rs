//! The log that a command works with: named by itself, or by a configuration of which nothing else
//! is asked.

use std::path::PathBuf;

use anyhow::anyhow;

use super::{ConfigFile, Environment, Failure, print};
use crate::base::database::Database;
use crate::config::Actors;
use crate::config::log::{self, LogConfig};

/// `--database FILE` or `--config FILE`.
#[derive(Debug, clap::Args)]
pub(super) struct LogFile {
    #[command(flatten)]
    config: ConfigFile,
    /// The log itself, such as a backup; no configuration is read then.
    #[arg(long, value_name = "FILE|URL", conflicts_with = "config")]
    database: Option<PathBuf>,
}

impl LogFile {
    /// The configuration that names the log, where one does.
    pub(super) fn config(&self) -> Option<&ConfigFile> {
        self.database.is_none().then_some(&self.config)
    }

    /// The log and whom its configuration knows; of that only `audit.database` must hold.
    pub(super) fn find(&self, environment: &Environment) -> Result<LogConfig, Failure> {
        if let Some(given) = &self.database {
            let database = Database::parse_or_path(given);
            let database = database.map_err(|fix| Failure::Usage(anyhow!("--database: {fix}")))?;
            let (actors, newest_checkpoint) = (Actors::default(), None);
            let (witness_keys, holds) = (Vec::new(), Vec::new());
            return Ok(LogConfig { database, actors, newest_checkpoint, witness_keys, holds });
        }
        let path = self.config.path(environment);
        log::read(path, environment.variables()).map_err(|complaints| {
            complaints.iter().for_each(print::complaint);
            let path = path.display();
            Failure::Usage(anyhow!("{path} names no log: fix it, or give --database FILE"))
        })
    }
}
