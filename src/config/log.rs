//! The part of a configuration that questions to its log need. Nothing else of it is looked at: the
//! record must be readable while the policy is broken, and by those who may not read the key.

use std::path::{Path, PathBuf};

use super::evidence;
use super::files;
use super::keys::KEYS;
use super::{Actors, ConfiguredHold, people, retention};
use crate::base::database::Database;
use crate::settings::complaint::{Complaint, Complaints, Location};
use crate::settings::raw::Typed;
use crate::settings::reader::{Reader, read_text};

/// The variable that names the log in place of the file.
const VARIABLE: &str = "CHANGEGATE_AUDIT__DATABASE";

/// A log, and whom the configuration knows.
#[derive(Clone, Debug)]
pub struct LogConfig {
    /// `audit.database`.
    pub database: Database,
    /// The holders of tokens, as far as they can be read.
    pub actors: Actors,
    /// The file beside the key of the evidence that remembers the newest checkpoint.
    pub newest_checkpoint: Option<PathBuf>,
    /// The keys of witnesses, as verifiers take them, as far as they can be read.
    pub witness_keys: Vec<String>,
    /// `retention.hold`, as far as it can be read.
    pub holds: Vec<ConfiguredHold>,
}

/// Reads the configuration at `path` as far as its log is concerned, or says why that is not known.
/// Where the environment names the log, the file need not be there.
pub fn read(path: &Path, environment: &[(String, String)]) -> Result<LogConfig, Vec<Complaint>> {
    let is_named = environment.iter().any(|(name, _)| name == VARIABLE);
    let text = match read_text(path) {
        Ok(text) => text,
        Err(_absent) if is_named => String::new(),
        Err(why) => {
            let mut complaints = Complaints::about(path.to_owned());
            complaints.error(&Location::File, &why);
            return Err(complaints.in_order());
        }
    };
    let mut broken = Complaints::about(path.to_owned());
    let typed = Typed::read(&KEYS, &text, environment, &mut broken).or_else(|| {
        let mut unheard = Complaints::about(path.to_owned());
        is_named.then(|| Typed::read(&KEYS, "", environment, &mut unheard)).flatten()
    });
    let Some(typed) = typed else { return Err(broken.in_order()) };
    let folder = path.parent().map(Path::to_owned).unwrap_or_default();
    let mut complaints = Complaints::about(path.to_owned());
    let mut reader = Reader { typed, folder, complaints: &mut complaints };
    let database = reader.read("audit.database", files::database);
    let Some((database, _place)) = database else { return Err(complaints.in_order()) };
    let database = database.within(&reader.folder);
    // What is wrong with them concerns the gateway.
    let actors = people::actors(&mut reader, &mut Vec::new());
    let newest_checkpoint = evidence::newest_file(&mut reader);
    let witness_keys = evidence::witness_keys(&mut reader);
    let holds = retention::holds(&mut reader);
    Ok(LogConfig { database, actors, newest_checkpoint, witness_keys, holds })
}
