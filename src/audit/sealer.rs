//! The task that has finished records come into the tree, and signs the tree at every interval,
//! also where nothing happened: silence is evidence too.
//!
//! ```text
//! ends, events, … -> leaves (numbered with the record) -> hashes, subtrees (every 200 ms)
//!                                                     -> checkpoint (every interval) -> files
//! ```

mod figures;
mod signing;

use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

pub use self::figures::EvidenceStanding;
pub(super) use self::figures::SealerFigures;
use super::Audit;
use super::entry::Entry;
use super::evidence::checkpoint::{Checkpoint, Signers};
use super::evidence::cosigned::Gathered;
use super::evidence::leaf::{Facts, LeafKind};
use super::evidence::note::{Note, VerifierKey};
use super::evidence::tree::Frontier;
use super::hashes::{frontier, root};
use super::sealed::Sealed;
use super::store::{Boxed, FoundRecord, Reads, Unsealed};
use crate::base::ids::Hex;
use crate::base::key::Key;

/// The word of the events that tell of erasures, in their entries.
const ERASE: &str = "erase";

/// How often finished records are looked for.
const EVERY: Duration = Duration::from_millis(200);

/// How many records come into the tree together.
const PART: u64 = 1_024;

/// How long it is waited after a fault.
const AFTER_FAULT: Duration = Duration::from_secs(5);

/// How the origin begins of a log that has no other.
const OWN_ORIGIN: &str = "changegate.local/";

/// The settings of the evidence.
#[derive(Clone, Debug)]
pub struct EvidenceSettings {
    /// The log's name in checkpoints; `None` for one made of its first key.
    pub origin: Option<String>,
    /// The secret of the keys that sign.
    pub key: Key,
    /// From one checkpoint to the next.
    pub interval: Duration,
    /// The file that always holds the newest checkpoint.
    pub checkpoint_file: Option<PathBuf>,
    /// The file beside the key that the newest checkpoint is remembered in.
    pub newest_file: PathBuf,
    /// Whether witnesses sign checkpoints too.
    pub is_witnessed: bool,
    /// The keys by which they do, as verifiers take them; without any, their signatures are not
    /// held against anything.
    pub witness_keys: Vec<String>,
}

/// The task itself.
#[derive(Debug)]
pub struct Sealer {
    audit: Audit,
    settings: EvidenceSettings,
    /// `None` until the log has been found to be the one that was signed last.
    begun: Option<Begun>,
    signed: Option<Instant>,
    /// How many commits there were when nothing was left to do.
    commits: Option<u64>,
    is_told: bool,
    /// Whether it was told that the newest checkpoint is not remembered.
    forgets: bool,
    /// The newest erasure of a shared log that is known.
    erasure: i64,
    witness_keys: Vec<VerifierKey>,
    /// The tree that was signed last, as only the log has signed it.
    newest: Option<(u64, Note)>,
    gathered: Gathered,
}

/// The tree of a log, and the keys that sign it.
#[derive(Debug)]
struct Begun {
    signers: Signers,
    frontier: Frontier,
    /// Why it is not signed, where it is not.
    refused: Option<Boxed>,
}

/// Why a tree is not signed.
#[derive(Debug, thiserror::Error)]
enum Unsigned {
    #[error(
        "the log holds {found} of the {signed} records of its newest checkpoint ({file}): it was \
         cut, or restored from an older backup; restore the whole of it, or, to go on without what \
         is missing, move {file} and the key of the evidence away"
    )]
    Cut { found: u64, signed: u64, file: String },
    #[error(
        "the log is not the one that its newest checkpoint ({file}) is of: `changegate audit \
         verify` tells what was altered"
    )]
    Another { file: String },
    #[error("{0} can't be an origin: fix evidence.origin")]
    Origin(String),
}

impl Audit {
    /// How far the evidence is kept up.
    #[must_use]
    pub fn evidence(&self) -> EvidenceStanding {
        self.shared.sealer.standing(self.shared.clock.instant())
    }

    /// The task that is to run beside the log.
    #[must_use]
    pub fn sealer(&self, settings: EvidenceSettings) -> Sealer {
        let audit = self.clone();
        // What was left by the last process counts as behind until it is in the tree.
        let now = self.shared.clock.instant();
        self.shared.sealer.note(|told| told.caught_up = Some(now));
        let witness_keys = settings.witness_keys.iter();
        Sealer {
            audit,
            begun: None,
            signed: None,
            commits: None,
            is_told: false,
            forgets: false,
            erasure: 0,
            witness_keys: witness_keys.filter_map(|key| VerifierKey::parse(key)).collect(),
            newest: None,
            gathered: Gathered::default(),
            settings,
        }
    }
}

impl Sealer {
    /// Seals and signs until `stop` is cancelled, and then once more.
    pub async fn run(mut self, stop: CancellationToken) {
        loop {
            let is_last = stop.is_cancelled();
            if is_last {
                (self.signed, self.commits) = (None, None);
            }
            let rest = match self.work().await {
                Ok(()) => {
                    self.is_told = false;
                    EVERY
                }
                Err(error) => {
                    self.tell(&error);
                    AFTER_FAULT
                }
            };
            if is_last {
                return;
            }
            tokio::select! {
                () = sleep(rest) => {}
                () = stop.cancelled() => {}
            }
        }
    }

    fn tell(&mut self, error: &Boxed) {
        // What has come into the tree meanwhile is looked at anew.
        (self.begun, self.newest) = (None, None);
        if !std::mem::replace(&mut self.is_told, true) {
            let error = &**error as &dyn std::error::Error;
            tracing::error!(error, "the log is written, but its evidence is not kept up");
        }
    }

    async fn work(&mut self) -> Result<(), Boxed> {
        if self.begun.is_none() {
            self.begun = Some(self.begin().await?);
        }
        let now = self.audit.shared.clock.instant();
        self.seal().await?;
        let leaves = self.begun.as_ref().map_or(0, |begun| begun.frontier.size());
        self.audit.shared.sealer.note(|told| (told.leaves, told.caught_up) = (leaves, Some(now)));
        let is_due = self.signed.is_none_or(|at| now.duration_since(at) >= self.settings.interval);
        if is_due {
            self.sign().await?;
            self.signed = Some(now);
            self.audit.shared.sealer.note(|told| told.signed = Some(now));
        }
        self.cosign().await
    }

    /// Finds the tree, holds it against the newest checkpoint, and has the keys on record.
    async fn begin(&self) -> Result<Begun, Boxed> {
        let reads = self.reads();
        let origin = match &self.settings.origin {
            Some(origin) => origin.clone(),
            None => own_origin(reads).await?,
        };
        let signers = Signers::new(&origin, &self.settings.key);
        let signers = signers.ok_or(Unsigned::Origin(origin))?;
        let size = reads.tree_size().await?;
        let frontier = frontier(reads, size).await?;
        let refused = match self.hold_against_newest(&signers, &frontier).await {
            // Sinks and pruning go by the tree of a shared log: it grows, and is not signed.
            Err(error) if reads.are_shared() && error.is::<Unsigned>() => Some(error),
            held => held.map(|()| None)?,
        };
        let keys = signers.keys().map(ToString::to_string);
        let known = reads.log_keys().await?;
        let new: Vec<String> = keys.into_iter().filter(|key| !known.contains(key)).collect();
        if !new.is_empty() {
            if !known.is_empty() {
                tracing::warn!(keys = ?new, "the log is signed by other keys from now on");
            }
            self.audit.add_log_keys(new).await?;
        }
        Ok(Begun { signers, frontier, refused })
    }

    /// Holds that the tree is the one that was signed last, or has grown from it. A log never signs
    /// two trees of which neither is the beginning of the other.
    async fn hold_against_newest(
        &self,
        signers: &Signers,
        frontier: &Frontier,
    ) -> Result<(), Boxed> {
        let path = &self.settings.newest_file;
        let text = match crate::base::file::text(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let keys = signers.keys().map(Clone::clone);
        let note = Note::parse(&text);
        let is_own = |note: &Note| note.signed_by(&keys).is_ok_and(|signed| !signed.is_empty());
        let newest = note.filter(is_own).and_then(|note| Checkpoint::parse(&note.text));
        let Some(newest) = newest else { return Ok(()) };
        let (found, file) = (frontier.size(), path.display().to_string());
        if newest.size > found {
            return Err(Unsigned::Cut { found, signed: newest.size, file }.into());
        }
        if root(self.reads(), newest.size).await? != Some(newest.root) {
            return Err(Unsigned::Another { file }.into());
        }
        Ok(())
    }

    /// Has everything that is finished come into the tree.
    async fn seal(&mut self) -> Result<(), Boxed> {
        let commits = self.audit.counters().commits;
        if self.reads().are_shared() {
            self.follow().await?;
        } else if self.commits == Some(commits) {
            return Ok(());
        }
        while let Some(begun) = &self.begun {
            let size = begun.frontier.size();
            let found = self.reads().unsealed(size, PART).await?;
            if found.is_empty() {
                break;
            }
            let records: Vec<(i64, Facts)> = found.into_iter().map(record).collect();
            if records
                .iter()
                .any(|(_reference, facts)| facts.clear("event").as_deref() == Some(ERASE))
            {
                self.audit.shared.latest.clear();
            }
            let sealed = Sealed::of(&begun.frontier, &records);
            let frontier = sealed.frontier.clone();
            if !self.audit.seal(sealed).await? {
                // Another gateway was faster.
                return Ok(());
            }
            self.audit.shared.sealer.note(|told| told.leaves = frontier.size());
            if let Some(begun) = &mut self.begun {
                begun.frontier = frontier;
            }
        }
        self.commits = Some(commits);
        Ok(())
    }

    /// Takes note of what other gateways have sealed. A tree that has not grown from the one that
    /// was known is that of another server, which lacks something: it is held against the newest
    /// checkpoint before it is signed.
    async fn follow(&mut self) -> Result<(), Boxed> {
        let size = self.reads().tree_size().await?;
        if self.begun.as_ref().is_some_and(|begun| begun.frontier.size() == size) {
            return Ok(());
        }
        // What a gateway remembers may be erased, and is not built upon any more.
        let erasure = self.reads().newest_erasure().await?;
        if std::mem::replace(&mut self.erasure, erasure) != erasure {
            self.audit.shared.latest.clear();
        }
        let Some(Begun { frontier: known, .. }) = &self.begun else { return Ok(()) };
        let has_grown =
            known.size() < size && root(self.reads(), known.size()).await? == Some(known.root());
        if !has_grown {
            self.newest = None;
            self.begun = Some(self.begin().await?);
            return Ok(());
        }
        let frontier = frontier(self.reads(), size).await?;
        if let Some(begun) = &mut self.begun {
            begun.frontier = frontier;
        }
        Ok(())
    }

    fn reads(&self) -> &Reads {
        self.audit.shared.reader.reads()
    }
}

impl Audit {
    /// Has leaves come into the tree; tells whether they did.
    async fn seal(&self, sealed: Sealed) -> Result<bool, Boxed> {
        match self.shared.reader.reads() {
            Reads::Postgres(reads) => reads.seal(&sealed).await,
            Reads::Sqlite(_) => {
                self.submit(Entry::Sealing(Box::new(sealed))).await?;
                Ok(true)
            }
        }
    }

    async fn add_log_keys(&self, keys: Vec<String>) -> Result<(), Boxed> {
        let now = self.shared.clock.now();
        match self.shared.reader.reads() {
            Reads::Postgres(reads) => reads.add_log_keys(&keys, now).await,
            Reads::Sqlite(_) => {
                self.submit(Entry::LogKeys(keys, now)).await?;
                Ok(())
            }
        }
    }
}

/// The origin of a log that has no other: it stays the same whatever its keys are later.
async fn own_origin(reads: &Reads) -> Result<String, Boxed> {
    let key = reads.first_key().await?.ok_or("no key of the log is on record yet")?;
    Ok(format!("{OWN_ORIGIN}{}", Hex(key.as_bytes())))
}

/// The record of a leaf; where it can't be read, one that no record is equal to.
pub(super) fn record(unsealed: Unsealed) -> (i64, Facts) {
    let (kind, reference) = unsealed.record;
    let facts = match unsealed.found {
        FoundRecord::Whole(facts) => *facts,
        FoundRecord::Unreadable(error) => {
            let error = &*error as &dyn std::error::Error;
            tracing::error!(kind, reference, error, "a record was altered before it was sealed");
            altered(kind)
        }
        FoundRecord::Missing => {
            tracing::error!(kind, reference, "a record is gone before it was sealed");
            altered(kind)
        }
    };
    (reference, facts)
}

fn altered(kind: i64) -> Facts {
    let kind = LeafKind::numbered(kind).unwrap_or(LeafKind::Event);
    Facts::of(kind)
}
