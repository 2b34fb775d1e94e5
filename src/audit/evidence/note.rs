//! Signed notes (C2SP signed-note): a text, and below it a line for each signature.

use std::fmt;

use super::{base64, from_base64};
use crate::base::clock::Timestamp;
use crate::base::verifier::is_key_name;
pub(crate) use crate::base::verifier::{Algorithm, VerifierKey};
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};

/// How a line of a signature begins.
const SIGNED: &str = "\u{2014} ";

/// The most bytes of a note that is read.
const NOTE_BYTES_MAX: usize = 64 << 10;

/// The most signatures of a note that is read.
const SIGNATURES_MAX: usize = 64;

/// A key that signs.
pub(crate) struct Signer {
    pair: Ed25519KeyPair,
    key: VerifierKey,
}

/// One signature of a note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Signature {
    name: String,
    key_id: [u8; 4],
    bytes: Vec<u8>,
}

/// A text and its signatures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Note {
    pub(crate) text: String,
    pub(super) signatures: Vec<Signature>,
}

/// A known key's signature that does not hold.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the signature by {0} does not hold")]
pub(crate) struct BadSignature(String);

impl BadSignature {
    /// The name of the key.
    pub(crate) fn name(&self) -> &str {
        &self.0
    }
}

/// A signature that holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Signed<'k> {
    pub(crate) key: &'k VerifierKey,
    /// The time that a cosignature tells.
    pub(crate) at: Option<Timestamp>,
}

/// The statement that a signature of these bytes makes of `text`; `None` where it does not hold.
fn signed<'k>(key: &'k VerifierKey, text: &str, signature: &[u8]) -> Option<Signed<'k>> {
    let verifier = UnparsedPublicKey::new(&ED25519, key.public());
    match key.algorithm() {
        Algorithm::Ed25519 => {
            verifier.verify(text.as_bytes(), signature).ok()?;
            Some(Signed { key, at: None })
        }
        Algorithm::Cosignature => {
            let (time, signature) = signature.split_first_chunk()?;
            let seconds = u64::from_be_bytes(*time);
            verifier.verify(cosigned(text, seconds).as_bytes(), signature).ok()?;
            let millis = i64::try_from(seconds).ok()?.checked_mul(1_000)?;
            Some(Signed { key, at: Some(Timestamp::from_millis(millis)) })
        }
    }
}

/// The message that a cosignature signs.
fn cosigned(text: &str, seconds: u64) -> String {
    format!("cosignature/v1\ntime {seconds}\n{text}")
}

impl Signer {
    /// The key of that name made of 32 secret bytes; `None` where no key has that name.
    pub(crate) fn new(name: &str, algorithm: Algorithm, seed: &[u8; 32]) -> Option<Self> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).ok()?;
        let public = pair.public_key().as_ref().try_into().ok()?;
        Some(Self { pair, key: VerifierKey::new(name, algorithm, public)? })
    }

    /// The public half.
    pub(crate) fn key(&self) -> &VerifierKey {
        &self.key
    }

    fn sign(&self, text: &str, now: Timestamp) -> Signature {
        let bytes = match self.key.algorithm() {
            Algorithm::Ed25519 => self.pair.sign(text.as_bytes()).as_ref().to_vec(),
            Algorithm::Cosignature => {
                let seconds = u64::try_from(now.millis() / 1_000).unwrap_or_default();
                let signature = self.pair.sign(cosigned(text, seconds).as_bytes());
                [&seconds.to_be_bytes(), signature.as_ref()].concat()
            }
        };
        Signature { name: self.key.name().to_owned(), key_id: self.key.id(), bytes }
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({})", self.key)
    }
}

impl Note {
    /// A note of `text`, which ends with a new line, signed by each of these at `now`.
    pub(crate) fn sign(text: String, signers: &[&Signer], now: Timestamp) -> Self {
        let signatures = signers.iter().map(|signer| signer.sign(&text, now)).collect();
        Self { text, signatures }
    }

    /// The note from its whole text; `None` where it is none.
    pub(crate) fn parse(note: &str) -> Option<Self> {
        let has_controls = note.contains(|c: char| c.is_control() && c != '\n');
        if note.len() > NOTE_BYTES_MAX || has_controls {
            return None;
        }
        // The last empty line: there may be others in the text.
        let place = note.rfind("\n\n")?;
        let (text, signed) = note.split_at_checked(place + 1)?;
        let lines = signed.strip_prefix('\n')?.strip_suffix('\n')?.split('\n');
        let signatures: Option<Vec<Signature>> = lines.map(Signature::parse).collect();
        let signatures = signatures.filter(|all| all.len() <= SIGNATURES_MAX)?;
        Some(Self { text: text.to_owned(), signatures })
    }

    /// The signatures of those keys. Those of other keys say nothing; one of a known key that does
    /// not hold spoils the note.
    pub(crate) fn signed_by<'k>(
        &self,
        keys: &'k [VerifierKey],
    ) -> Result<Vec<Signed<'k>>, BadSignature> {
        let mut all: Vec<Signed<'k>> = Vec::new();
        for signature in &self.signatures {
            let Some(key) = keys.iter().find(|key| signature.is_of(key)) else { continue };
            let holds = signed(key, &self.text, &signature.bytes);
            let holds = holds.ok_or_else(|| BadSignature(key.name().to_owned()))?;
            if !all.iter().any(|former| former.key == key) {
                all.push(holds);
            }
        }
        Ok(all)
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures.iter().try_for_each(|signature| write!(f, "{signature}"))
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = [&self.key_id, &self.bytes[..]].concat();
        writeln!(f, "{SIGNED}{} {}", self.name, base64(&bytes))
    }
}

impl Signature {
    /// The signature from its line, without the new line at the end; `None` where it is none.
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let (name, bytes) = line.strip_prefix(SIGNED)?.split_once(' ')?;
        let bytes = from_base64(bytes)?;
        let (key_id, bytes) = bytes.split_first_chunk()?;
        let is_named = is_key_name(name) && !bytes.is_empty();
        is_named.then(|| Self { name: name.to_owned(), key_id: *key_id, bytes: bytes.to_vec() })
    }

    /// The name of the key that made it, as it says itself.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Whether it says that a key made it.
    pub(crate) fn is_of(&self, key: &VerifierKey) -> bool {
        key.name() == self.name && key.id() == self.key_id
    }

    /// Whether both say that they were made by the same key.
    pub(crate) fn is_beside(&self, other: &Self) -> bool {
        self.name == other.name && self.key_id == other.key_id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of Go's `golang.org/x/mod/sumdb/note`.
    const PETER: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    const PETERS: &str = "If you think cryptography is the answer to your problem,\n\
        then you don't know what your problem is.\n\n\
        \u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKv\
        qfqdngotpRZb6KE6RyyBwJnAM=\n";

    #[test]
    fn a_note_of_another_implementation_is_verified() {
        let key = VerifierKey::parse(PETER).unwrap();
        assert_eq!(key.to_string(), PETER);
        let note = Note::parse(PETERS).unwrap();
        assert_eq!(note.to_string(), PETERS);
        let keys = [key.clone()];
        let signed = note.signed_by(&keys).unwrap();
        assert_eq!(signed, [Signed { key: &key, at: None }]);
        let other = Note::parse(&PETERS.replace("answer", "Answer")).unwrap();
        assert_eq!(other.signed_by(&keys), Err(BadSignature("PeterNeumann".to_owned())));
        assert!(other.signed_by(&[]).unwrap().is_empty());
    }

    #[test]
    fn signatures_hold_for_their_text_and_time_alone() {
        let now = Timestamp::from_millis(1_700_000_000_123);
        let signers = [(Algorithm::Ed25519, 1), (Algorithm::Cosignature, 2)];
        let signers =
            signers.map(|(how, byte)| Signer::new("example.com/log", how, &[byte; 32]).unwrap());
        let note = Note::sign("a\n\nb\n".to_owned(), &[&signers[0], &signers[1]], now);
        let read = Note::parse(&note.to_string()).unwrap();
        assert_eq!(read, note);
        let keys = signers.map(|signer| signer.key().clone());
        let told = read.signed_by(&keys).unwrap();
        let times: Vec<_> = told.iter().map(|signed| signed.at).collect();
        assert_eq!(times, [None, Some(Timestamp::from_millis(1_700_000_000_000))]);
        let mut other = note.clone();
        other.text.insert(0, 'x');
        assert!(other.signed_by(&keys).is_err());
        let mut later = note;
        later.signatures[1].bytes[7] ^= 1;
        assert!(later.signed_by(&keys).is_err());
    }

    #[test]
    fn what_is_no_note_or_key_is_refused() {
        for (part, other) in
            [("\n\n", "\n"), ("\u{2014} P", "- P"), ("know", "\tknow"), ("=\n", "=")]
        {
            assert!(Note::parse(&PETERS.replacen(part, other, 1)).is_none(), "{part:?}");
        }
        for text in ["", "a+b", &PETER.replace("c7", "c8"), &PETER.replace("+A", "+B")] {
            assert!(VerifierKey::parse(text).is_none(), "{text}");
        }
        assert!(Signer::new("a b", Algorithm::Ed25519, &[0; 32]).is_none());
    }
}
