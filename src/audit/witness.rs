//! Witnesses of checkpoints, as the log knows them: what they are asked, what came of it, and their
//! signatures on the way back to the task that signs. Who asks them stands above the log.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::json;
use tokio::sync::watch;

use super::Audit;
pub(crate) use super::evidence::cosigned::{UselessAnswer, seen_size};
use super::evidence::cosigned::{kept, question};
use super::evidence::note::{Note, Signature, VerifierKey};
use super::hashes::consistency;
use super::query::QueryError;
use super::record::{Event, EventKind};
use crate::base::clock::Timestamp;
use crate::base::excerpt::excerpt;

/// The most answers that wait for the task that signs: it takes them five times a second.
const ANSWERS_MAX: usize = 64;

/// The most characters of an error that are remembered.
const ERROR_CHARS_MAX: usize = 300;

/// A checkpoint that witnesses are to sign.
#[derive(Debug)]
pub(crate) struct OwnCheckpoint {
    /// How many leaves its tree has.
    pub(crate) size: u64,
    note: Note,
}

/// The signatures of a witness, on their way to the task that signs.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) witness: usize,
    /// The text that they are below.
    pub(super) text: String,
    pub(super) signatures: Vec<Signature>,
}

/// How a witness stands, as this gateway knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WitnessStanding {
    /// Its URL without the scheme.
    pub name: String,
    /// What it signed last.
    pub cosigned: Option<CosignedTree>,
    /// How often it was asked and nothing came of it.
    pub failures: u64,
    /// Why nothing came of it the last time, and since when that is so; `None` where it signed.
    pub error: Option<(String, Timestamp)>,
}

/// A tree that a witness signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CosignedTree {
    /// How many leaves it has.
    pub size: u64,
    /// When the witness answered.
    pub at: Timestamp,
    /// The names of the keys by which its signature holds; none where no key is configured to hold
    /// it against.
    pub by: Vec<String>,
}

/// The place where checkpoints wait for witnesses, and their signatures for who publishes them.
#[derive(Debug)]
pub(super) struct Witnesses {
    newest: watch::Sender<Option<Arc<OwnCheckpoint>>>,
    answers: Mutex<Vec<Answered>>,
    standings: Mutex<Vec<WitnessStanding>>,
}

impl Default for Witnesses {
    fn default() -> Self {
        let newest = watch::Sender::new(None);
        Self { newest, answers: Mutex::default(), standings: Mutex::default() }
    }
}

impl Witnesses {
    /// Shows a checkpoint that only the log has signed to whoever has it signed by others.
    pub(super) fn show(&self, size: u64, note: Note) {
        self.newest.send_replace(Some(Arc::new(OwnCheckpoint { size, note })));
    }

    /// Takes what has come since the last time.
    pub(super) fn taken(&self) -> Vec<Answered> {
        std::mem::take(&mut *self.answers.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn standings(&self) -> MutexGuard<'_, Vec<WitnessStanding>> {
        self.standings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, witness: usize, note: impl FnOnce(&mut WitnessStanding)) {
        if let Some(standing) = self.standings().get_mut(witness) {
            note(standing);
        }
    }
}

impl Audit {
    /// How each witness stands, in the configuration's order.
    #[must_use]
    pub fn witnesses(&self) -> Vec<WitnessStanding> {
        self.shared.witnesses.standings().clone()
    }

    /// Names the witnesses, which are numbered from 0 from here on.
    pub(crate) fn name_witnesses(&self, names: &[String]) {
        let standing = |name: &String| WitnessStanding { name: name.clone(), ..Default::default() };
        *self.shared.witnesses.standings() = names.iter().map(standing).collect();
    }

    /// The newest checkpoint of this gateway, again and again.
    pub(crate) fn own_checkpoints(&self) -> watch::Receiver<Option<Arc<OwnCheckpoint>>> {
        self.shared.witnesses.newest.subscribe()
    }

    /// How many leaves are in the tree by now, whichever gateway has put them there.
    pub(crate) async fn tree_size(&self) -> Result<u64, QueryError> {
        self.reader().reads().tree_size().await.map_err(QueryError::Store)
    }

    /// The question about a checkpoint for a witness that has seen the first `old` leaves.
    pub(crate) async fn witness_question(
        &self,
        checkpoint: &OwnCheckpoint,
        old: u64,
    ) -> Result<String, QueryError> {
        let proof = consistency(self.reader().reads(), old, checkpoint.size).await;
        Ok(question(old, &proof.map_err(QueryError::Store)?, &checkpoint.note))
    }

    /// Takes the answer of a witness to that question, and hands on what of it is kept.
    pub(crate) fn take_cosignatures(
        &self,
        witness: usize,
        (checkpoint, answer): (&OwnCheckpoint, &[u8]),
        keys: &[VerifierKey],
    ) -> Result<(), UselessAnswer> {
        let found = kept(answer, &checkpoint.note, keys)?;
        let (at, size) = (self.shared.clock.now(), checkpoint.size);
        let text = checkpoint.note.text.clone();
        let signatures = found.signatures;
        let witnesses = &self.shared.witnesses;
        let mut answers = witnesses.answers.lock().unwrap_or_else(PoisonError::into_inner);
        if answers.len() < ANSWERS_MAX {
            answers.push(Answered { witness, text, signatures });
        }
        drop(answers);
        let cosigned = Some(CosignedTree { size, at, by: found.by });
        witnesses.note(witness, |standing| {
            (standing.cosigned, standing.error) = (cosigned, None);
        });
        Ok(())
    }

    /// Takes note that nothing came of asking a witness.
    pub(crate) fn witness_failed(&self, witness: usize, why: &str) {
        let (why, now) = (excerpt(why, ERROR_CHARS_MAX), self.shared.clock.now());
        self.shared.witnesses.note(witness, |standing| {
            standing.failures += 1;
            let since = match &standing.error {
                Some((former, since)) if *former == why => *since,
                _another => now,
            };
            standing.error = Some((why, since));
        });
    }

    /// Has it on record that a witness has seen another history than the log's.
    pub(crate) fn note_other_history(&self, witness: &str, what: &str, sizes: (u64, u64)) {
        let (seen, signed) = sizes;
        self.note(Event {
            at: self.shared.clock.now(),
            kind: EventKind::Witness,
            actor: None,
            client_ip: None,
            request_id: None,
            detail: json!({ "witness": witness, "what": what, "seen": seen, "signed": signed }),
        });
    }
}
