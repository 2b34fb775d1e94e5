//! `[seal]`: originals of what is concealed, kept sealed.

use std::path::{Path, PathBuf};

use super::AuditConfig;
use super::files;
use crate::base::database::Database;
use crate::settings::reader::Reader;
use crate::settings::value::flag;

/// `[seal]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SealConfig {
    /// The file with the sealing key; without one no originals are kept.
    pub key_file: Option<PathBuf>,
    /// Whether it may lie in the folder of the database.
    pub beside_database: bool,
}

/// Reads `[seal]` of a log.
pub(super) fn read(reader: &mut Reader<'_>, audit: Option<&AuditConfig>) -> SealConfig {
    let key_file = reader.path("seal.key_file");
    let beside_database = reader.value("seal.beside_database", flag);
    if let (Some((file, place)), Some(audit)) = (&key_file, audit) {
        let found = files::key(file).and_then(|()| apart(file, audit, beside_database));
        if let Err(message) = found {
            reader.complaints.error(place, &format!("`seal.key_file`: {message}"));
        }
    }
    SealConfig { key_file: key_file.map(|(file, _place)| file), beside_database }
}

/// Holds that the file is not one of the log's own, and lies apart from it.
fn apart(file: &Path, audit: &AuditConfig, may_lie_beside: bool) -> Result<(), String> {
    if files::real(file) == files::real(&audit.key_file) {
        return Err(
            "this is the file of audit.key_file: name another one, which is made on the first start"
                .to_owned(),
        );
    }
    let Database::Sqlite(database) = &audit.database else { return Ok(()) };
    if may_lie_beside || files::real(folder(file)) != files::real(folder(database)) {
        return Ok(());
    }
    Err("a key beside the database is in every copy of the folder, so that erasing erases nothing \
         there: name a file in another folder, or set seal.beside_database = true"
        .to_owned())
}

fn folder(file: &Path) -> &Path {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new("."))
}
