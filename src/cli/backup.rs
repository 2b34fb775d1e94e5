//! `changegate backup`: a copy of the log that is whole, while a gateway writes it or not.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};

use super::log::LogFile;
use super::{Environment, Failure, print, runtime};
use crate::audit::query::Reader;
use crate::base::database::Database;

/// The arguments of `backup`.
#[derive(Debug, clap::Args)]
pub struct BackupArgs {
    /// The file to make; one that is there is left alone.
    file: PathBuf,
    #[command(flatten)]
    log: LogFile,
}

/// Makes the copy, for its owner alone.
pub fn run(arguments: &BackupArgs, environment: &Environment) -> Result<(), Failure> {
    let log = arguments.log.find(environment)?;
    let runtime = runtime()?;
    let copied = runtime.block_on(copy(&log.database, &arguments.file));
    copied.context("no backup is made").map_err(Failure::NotCarriedOut)?;
    let (file, database) = (arguments.file.display(), &log.database);
    print::line(format_args!("{file} holds a copy of {database}."))
}

async fn copy(database: &Database, target: &Path) -> anyhow::Result<()> {
    let reader = Reader::open(database).await?;
    let shown = target.display();
    // SQLite takes an empty file as well as none; this one is its owner's from the beginning.
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(target);
    let file = file.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => anyhow!("{shown} is there already: name another file"),
        _ => anyhow::Error::new(error).context(format!("can't make {shown}")),
    })?;
    let copied = reader.copy_to(target).await.map_err(anyhow::Error::new);
    let kept = copied.and_then(|()| sync(&file, target).context("can't write it to disk"));
    if kept.is_err() {
        // What is told is why there is no copy.
        let _removed = std::fs::remove_file(target);
    }
    kept
}

/// Waits until the file and its name are on disk.
fn sync(file: &File, target: &Path) -> io::Result<()> {
    file.sync_all()?;
    let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}
