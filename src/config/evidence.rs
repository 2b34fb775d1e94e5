//! `[evidence]`: the tree over the log, and how it is signed.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::files;
use super::sinks::Target;
use super::upstream::{is_loopback, place};
use crate::base::key::Token;
use crate::base::verifier::{Algorithm, VerifierKey};
use crate::settings::raw::Node;
use crate::settings::reader::Reader;
use crate::settings::value::{Meant, duration, text};

/// The end of the name of the file that the newest checkpoint is remembered in.
const NEWEST_END: &str = "checkpoint";

/// The most bytes of an origin.
const ORIGIN_BYTES_MAX: usize = 200;

/// The end of the URL at which a witness takes checkpoints.
const ADD_CHECKPOINT: &str = "/add-checkpoint";

/// The most bytes of a witness's URL, without its scheme.
const WITNESS_BYTES_MAX: usize = 200;

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
    /// The witnesses that are to sign checkpoints too.
    pub witnesses: Vec<WitnessConfig>,
    /// The keys by which they do, as verifiers take them; without any, their signatures are not
    /// held against anything.
    pub witness_keys: Vec<String>,
}

/// One of `evidence.witness_urls`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WitnessConfig {
    /// Its URL without the scheme, by which it is told of.
    pub name: String,
    /// Where it takes checkpoints.
    pub to: Target,
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
    let (witnesses, witness_keys) = witnesses(reader);
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
        witnesses,
        witness_keys,
    }
}

/// The witnesses, and the keys by which they sign.
fn witnesses(reader: &mut Reader<'_>) -> (Vec<WitnessConfig>, Vec<String>) {
    let found = reader.each("evidence.witness_urls", witness);
    let keys = witness_keys(reader);
    let (mut names, mut witnesses) = (HashSet::new(), Vec::new());
    for (witness, place) in found {
        if !names.insert(witness.name.clone()) {
            let message = "`evidence.witness_urls`: this one is named twice: remove one of them";
            reader.complaints.error(&place, message);
        }
        if keys.is_empty() && witnesses.is_empty() {
            let message = "`evidence.witness_urls`: without `evidence.witness_keys` the signatures \
                of witnesses are kept as they come, and not verified: name the key of each there";
            reader.complaints.warn(&place, message);
        }
        witnesses.push(witness);
    }
    (witnesses, keys)
}

/// The keys of witnesses, of a configuration of which nothing else need hold.
pub(super) fn witness_keys(reader: &mut Reader<'_>) -> Vec<String> {
    let keys = reader.each("evidence.witness_keys", witness_key);
    keys.into_iter().map(|(key, _place)| key).collect()
}

fn witness(node: &Node) -> Meant<WitnessConfig> {
    let fix = "write such as \"https://witness.example.com\", to which /add-checkpoint is added";
    let (origin, user, path) = place(&text(node)?, [("http", 80), ("https", 443)], fix)?;
    if user.is_some() || path.contains(['?', '#']) {
        return Err(format!("no user, query or fragment here; {fix}"));
    }
    if !origin.tls && !is_loopback(&origin.host) {
        return Err(format!("it would be asked in clear on another host: use https; {fix}"));
    }
    let path = path.trim_end_matches('/');
    if path.ends_with(ADD_CHECKPOINT) {
        return Err(format!("leave {ADD_CHECKPOINT} out; {fix}"));
    }
    let name = origin.authority() + path;
    if name.len() > WITNESS_BYTES_MAX {
        return Err(format!("it is longer than {WITNESS_BYTES_MAX} bytes; {fix}"));
    }
    let path = Token::new(&format!("{path}{ADD_CHECKPOINT}"));
    Ok(WitnessConfig { name, to: Target { origin, path, ca_file: None } })
}

fn witness_key(node: &Node) -> Meant<String> {
    let key = text(node)?;
    let fix = "copy the witness's key for Ed25519 cosignatures (type 4) whole: NAME+ID+KEY";
    match VerifierKey::parse(&key).map(|key| key.algorithm()) {
        Some(Algorithm::Cosignature) => Ok(key),
        Some(Algorithm::Ed25519) => Err(format!("this key signs logs (type 1); {fix}")),
        None => Err(fix.to_owned()),
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
