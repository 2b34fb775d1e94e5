//! Checkpoints (C2SP tlog-checkpoint): the size and root of the tree at a moment, signed.

use super::note::{Algorithm, Note, Signer, VerifierKey};
use super::tree::Hash;
use super::{base64, hash_from_base64};
use crate::base::clock::Timestamp;
use crate::base::key::Key;

/// The end of the name of the key that signs times.
const CLOCK: &str = "/clock";

/// A tree, as a checkpoint tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Checkpoint {
    pub(crate) origin: String,
    pub(crate) size: u64,
    pub(crate) root: Hash,
}

/// The two keys of a log: one signs its trees, the other the times at which they were the newest.
#[derive(Debug)]
pub(crate) struct Signers {
    log: Signer,
    clock: Signer,
}

/// Whether a key is a witness's: it signs times, and is not that of the clock of a log whose key is
/// among these.
pub(crate) fn is_witness(key: &VerifierKey, known: &[VerifierKey]) -> bool {
    let is_log = |name| {
        let of = |log: &VerifierKey| log.algorithm() == Algorithm::Ed25519 && log.name() == name;
        known.iter().any(of)
    };
    key.algorithm() == Algorithm::Cosignature && !key.name().strip_suffix(CLOCK).is_some_and(is_log)
}

impl Checkpoint {
    /// The checkpoint that a note's text tells; `None` where it tells none.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut lines = text.strip_suffix('\n')?.split('\n');
        let (origin, size, root) = (lines.next()?, lines.next()?, lines.next()?);
        let is_plain = size.bytes().all(|byte| byte.is_ascii_digit())
            && (size == "0" || !size.starts_with('0'));
        let size = size.parse().ok().filter(|_| is_plain && !origin.is_empty())?;
        // What follows are extensions of others.
        let is_whole = lines.all(|line| !line.is_empty());
        let root = hash_from_base64(root).filter(|_| is_whole)?;
        Some(Self { origin: origin.to_owned(), size, root })
    }

    fn text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, base64(&self.root))
    }
}

impl Signers {
    /// The keys of the log of that origin, both made of one secret; `None` where no log may have
    /// that origin.
    pub(crate) fn new(origin: &str, secret: &Key) -> Option<Self> {
        let (log, clock) =
            (secret.digest("evidence log", b""), secret.digest("evidence clock", b""));
        Some(Self {
            log: Signer::new(origin, Algorithm::Ed25519, &log)?,
            clock: Signer::new(&format!("{origin}{CLOCK}"), Algorithm::Cosignature, &clock)?,
        })
    }

    /// The public halves.
    pub(crate) fn keys(&self) -> [&VerifierKey; 2] {
        [self.log.key(), self.clock.key()]
    }

    /// The tree of that size and root, signed as the newest one at `now`.
    pub(crate) fn sign(&self, size: u64, root: Hash, now: Timestamp) -> Note {
        let checkpoint = Checkpoint { origin: self.log.key().name().to_owned(), size, root };
        Note::sign(checkpoint.text(), &[&self.log, &self.clock], now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_is_read_back_and_signed_with_its_time() {
        let signers = Signers::new("example.com/log", &Key::from_bytes([7; 32])).unwrap();
        let note = signers.sign(3, [5; 32], Timestamp::from_millis(2_000));
        let expected = Checkpoint { origin: "example.com/log".to_owned(), size: 3, root: [5; 32] };
        assert_eq!(Checkpoint::parse(&note.text), Some(expected.clone()));
        let keys = signers.keys().map(Clone::clone);
        let signed = note.signed_by(&keys).unwrap();
        assert_eq!(signed.len(), 2);
        assert_eq!(signed[1].at, Some(Timestamp::from_millis(2_000)));
        assert_eq!(signed[1].key.name(), "example.com/log/clock");
        let extended = format!("{}more\n", note.text);
        assert_eq!(Checkpoint::parse(&extended), Some(expected));
        for (part, other) in [("\n3", "\n03"), ("\n3", "\n-3"), ("BQU", "BQ"), ("\n3", "\n\n3")] {
            assert_eq!(Checkpoint::parse(&note.text.replacen(part, other, 1)), None, "{other}");
        }
        assert!(Signers::new("has spaces", &Key::from_bytes([7; 32])).is_none());
    }
}
