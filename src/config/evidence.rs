//! `[evidence]`: the tree over the log, and how it is signed.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::files;
use crate::settings::raw::Node;
use crate::settings::reader::Reader;
use crate::settings::value::{Meant, duration, text};

/// The end of the name of the file that the newest checkpoint is remembered in.
const NEWEST_END: &str = "checkpoint";

/// The most bytes of an origin.
const ORIGIN_BYTES_MAX: usize = 200;

/// The shortest time between two checkpoints.
const INTERVAL_MIN: Duration = Duration::from_secs(1);

/// `[evidence]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EvidenceConfig {
    /// The log's name in checkpoints; `None` for one that is made of the log's first key.
    pub origin: Option<String>,
    /// The file with the secret of the keys that sign; `None` where they are made of the log's own.
    pub key_file: Option<PathBuf>,
    /// From one checkpoint to the next (default 60 s).
    pub interval: Duration,
    /// The file that always holds the newest checkpoint.
    pub checkpoint_file: Option<PathBuf>,
    /// The file beside the key that the newest checkpoint is remembered in.
    pub newest_file: PathBuf,
    /// Witnesses of checkpoints, which are not asked yet.
    pub witness_urls: Vec<String>,
}

/// The file beside the key that the newest checkpoint is remembered in, of a configuration of which
/// nothing else need hold.
pub(super) fn newest_file(reader: &mut Reader<'_>) -> Option<PathBuf> {
    let own = reader.path("evidence.key_file").map(|(file, _place)| file);
    let logs = reader.path("audit.key_file").map(|(file, _place)| file);
    Some(extended(&own.or(logs)?, NEWEST_END))
}

/// Reads `[evidence]` of a log whose key file is that one.
pub(super) fn read(reader: &mut Reader<'_>, audit_key: &Path) -> EvidenceConfig {
    let origin = reader.read("evidence.origin", origin);
    let key_file = reader.path("evidence.key_file");
    let interval = reader.value("evidence.interval", duration);
    let checkpoint_file = reader.path("evidence.checkpoint_file");
    let witnesses = reader.each("evidence.witness_urls", text);
    if let Some((_url, place)) = witnesses.first() {
        let message = "`evidence.witness_urls`: witnesses are not asked by this version yet: have \
            the checkpoint_file copied to another machine";
        reader.complaints.warn(place, message);
    }
    let key = key_file.as_ref().map(|(file, place)| ("key_file", place, files::key(file)));
    let written = checkpoint_file.as_ref();
    let written = written.map(|(file, place)| ("checkpoint_file", place, files::can_keep(file)));
    for (name, place, found) in key.into_iter().chain(written) {
        if let Err(message) = found {
            reader.complaints.error(place, &format!("`evidence.{name}`: {message}"));
        }
    }
    EvidenceConfig {
        origin: origin.map(|(origin, _place)| origin),
        newest_file: extended(key_file.as_ref().map_or(audit_key, |(file, _)| file), NEWEST_END),
        key_file: key_file.map(|(file, _place)| file),
        interval: interval.max(INTERVAL_MIN),
        checkpoint_file: checkpoint_file.map(|(file, _place)| file),
        witness_urls: witnesses.into_iter().map(|(url, _place)| url).collect(),
    }
}

fn origin(node: &Node) -> Meant<String> {
    let bad = |c: char| c.is_whitespace() || c.is_control() || c == '+';
    let fits =
        |text: &String| !text.is_empty() && text.len() <= ORIGIN_BYTES_MAX && !text.contains(bad);
    let fix = "write a name of the log that nobody else uses, such as \"example.com/changegate\": \
        up to 200 bytes without spaces and +";
    text(node).ok().filter(fits).ok_or_else(|| fix.to_owned())
}

fn extended(path: &Path, end: &str) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(format!(".{end}"));
    PathBuf::from(path)
}
