//! The checkpoints that a log is held against, and who signed them.

use std::collections::BTreeSet;

use super::{FindingKind, Findings, Terms, Witnessed};
use crate::audit::evidence::checkpoint::{Checkpoint, is_witness};
use crate::audit::evidence::note::{Algorithm, Note, VerifierKey};
use crate::audit::store::{Boxed, Reads};
use crate::base::clock::Timestamp;

/// How findings call the checkpoint in the log.
const OWN: &str = "the log's own checkpoint";

/// Checkpoints whose signatures hold.
pub(super) struct Signed {
    trees: Vec<SignedTree>,
    keys: Vec<VerifierKey>,
    witnesses: Vec<VerifierKey>,
    /// Whether the keys are those that the log names itself.
    is_own_word: bool,
}

/// A tree as somebody signed it.
pub(super) struct SignedTree {
    pub(super) name: String,
    pub(super) checkpoint: Checkpoint,
    at: Option<Timestamp>,
    /// The witnesses that sign it, and when they say they did.
    witnesses: Vec<(VerifierKey, Option<Timestamp>)>,
}

impl Signed {
    /// The checkpoints of the log and of elsewhere, as far as their signatures hold.
    pub(super) async fn found(
        reads: &Reads,
        keys: Vec<VerifierKey>,
        terms: &Terms,
        findings: &mut Findings,
    ) -> Result<Self, Boxed> {
        let named = reads.log_keys().await?;
        let named: Vec<VerifierKey> =
            named.iter().filter_map(|text| VerifierKey::parse(text)).collect();
        let known = [&keys[..], &named].concat();
        let (witnesses, keys): (Vec<_>, Vec<_>) =
            keys.into_iter().partition(|key| is_witness(key, &known));
        let is_own_word = keys.is_empty();
        let mut signed = Self { trees: Vec::new(), keys, witnesses, is_own_word };
        if is_own_word {
            signed.keys.clone_from(&named);
        } else {
            let is_known = |key: &&VerifierKey| {
                key.algorithm() == Algorithm::Cosignature || signed.keys.contains(key)
            };
            for key in named.iter().filter(|key| !is_known(key)) {
                let about = format!("the log is signed by {key}, which was not named");
                findings.add(FindingKind::UnknownKey, None, about);
            }
        }
        let own = reads.checkpoint().await?.map(|text| (OWN.to_owned(), text));
        if own.is_none() && terms.checkpoints.is_empty() {
            let about = "no checkpoint signs the log: the gateway makes one at its start, and at \
                every interval";
            findings.add(FindingKind::Unsigned, None, about.to_owned());
        }
        for (name, text) in own.iter().chain(&terms.checkpoints) {
            signed.add(name, text, &named, findings);
        }
        Ok(signed)
    }

    fn add(&mut self, name: &str, text: &str, named: &[VerifierKey], findings: &mut Findings) {
        let mut unsigned = |why: &str| {
            findings.add(FindingKind::Unsigned, None, format!("{name} {why}"));
        };
        let note = Note::parse(text);
        let parsed = note.and_then(|note| Some((Checkpoint::parse(&note.text)?, note)));
        let Some((checkpoint, note)) = parsed else {
            return unsigned("is no checkpoint: it was altered, or cut");
        };
        let all = [&self.keys[..], &self.witnesses].concat();
        let by = match note.signed_by(&all) {
            Ok(by) => by,
            Err(bad) => return unsigned(&format!("is not what was signed: {bad}")),
        };
        if !by.iter().any(|signed| signed.key.algorithm() == Algorithm::Ed25519) {
            let others = note.signed_by(named).unwrap_or_default();
            match others.first() {
                Some(other) => {
                    let about = format!("{name} is signed by {}, which was not named", other.key);
                    findings.add(FindingKind::UnknownKey, None, about);
                }
                None => unsigned("has no signature of a known key: name it with --key"),
            }
            return;
        }
        let (by, own): (Vec<_>, Vec<_>) =
            by.into_iter().partition(|signed| self.witnesses.contains(signed.key));
        let at = own.iter().filter_map(|signed| signed.at).max();
        let witnesses = by.into_iter().map(|signed| (signed.key.clone(), signed.at)).collect();
        self.trees.push(SignedTree { name: name.to_owned(), checkpoint, at, witnesses });
    }

    /// The sizes of the trees.
    pub(super) fn sizes(&self) -> BTreeSet<u64> {
        self.trees.iter().map(|tree| tree.checkpoint.size).collect()
    }

    /// The trees.
    pub(super) fn trees(&self) -> &[SignedTree] {
        &self.trees
    }

    /// The largest tree that is no larger than `end`, and until when it was the newest.
    pub(super) fn newest(&self, end: u64) -> Option<(u64, Option<Timestamp>)> {
        let trees = self.trees.iter().filter(|tree| tree.checkpoint.size <= end);
        trees.map(|tree| (tree.checkpoint.size, tree.at)).max()
    }

    /// How far each witness signs, of the trees that are no larger than `end`.
    pub(super) fn witnesses(&self, end: u64) -> Vec<Witnessed> {
        let mut names: Vec<&VerifierKey> = Vec::new();
        for key in &self.witnesses {
            if !names.contains(&key) {
                names.push(key);
            }
        }
        let witnessed = |key: &VerifierKey| {
            let trees = self.trees.iter().filter(|tree| tree.checkpoint.size <= end);
            let signed = trees.filter_map(|tree| {
                let (_key, at) = tree.witnesses.iter().find(|(by, _at)| by == key)?;
                Some((tree.checkpoint.size, *at))
            });
            let newest = signed.max();
            let (size, at) = (newest.map(|(size, _at)| size), newest.and_then(|(_size, at)| at));
            Witnessed { name: key.name().to_owned(), size, at }
        };
        names.into_iter().map(witnessed).collect()
    }

    /// The keys that signatures were held against.
    pub(super) fn keys(&self) -> Vec<String> {
        self.keys.iter().map(ToString::to_string).collect()
    }

    pub(super) fn notes(&self) -> Vec<String> {
        let own = "the keys are those that the log names itself: name them with --key, as you know \
            them from elsewhere";
        let mut notes = Vec::new();
        if self.is_own_word {
            notes.push(own.to_owned());
        }
        if self.trees.iter().all(|tree| tree.name == OWN) {
            notes.push(
                "that the end of the log was cut, its checkpoint with it, or an old backup put \
                 back, only a checkpoint from elsewhere shows: --checkpoint FILE"
                    .to_owned(),
            );
        }
        notes
    }
}
