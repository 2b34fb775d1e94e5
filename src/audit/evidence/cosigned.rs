//! Cosignatures (C2SP tlog-cosignature): the question that a witness is asked (tlog-witness), the
//! part of its answer that is kept, and a checkpoint with what was kept below it.

use std::collections::BTreeMap;

use super::base64;
use super::note::{Algorithm, Note, Signature, VerifierKey};
use super::tree::Hash;

/// The most signatures below a checkpoint, its own two among them: as many as every verifier takes
/// (signed-note).
const SIGNATURES_MAX: usize = 16;

/// The most of them by one witness: one of each kind of key.
const OF_ONE_WITNESS_MAX: usize = 2;

/// The most bytes of a line that is kept: one of ML-DSA-44 has some 3,300.
const LINE_BYTES_MAX: usize = 4 << 10;

/// The most lines of an answer that are looked at.
const LINES_MAX: usize = 32;

/// The signatures of an answer that are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cosigned {
    pub(crate) signatures: Vec<Signature>,
    /// The names of the keys by which they hold; none where no key is known to hold them against.
    pub(crate) by: Vec<String>,
}

/// Why nothing of an answer is kept.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UselessAnswer {
    #[error("its answer holds no signature: fix the url in evidence.witness_urls")]
    NoSignature,
    #[error("its signature by {0} does not hold: ask who runs it")]
    Bad(String),
    #[error("no key in evidence.witness_keys signed its answer: name its key there")]
    UnknownKey,
}

/// The signatures below the newest tree, by the witness that each came from: one that answers anew
/// leaves nothing behind of what it has answered before.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    text: String,
    by_witness: BTreeMap<usize, Vec<Signature>>,
}

/// The question about a checkpoint for a witness that has seen the first `old` leaves, with the
/// proof that the tree has grown from these.
pub(crate) fn question(old: u64, proof: &[Hash], note: &Note) -> String {
    let lines: String = proof.iter().map(|hash| base64(hash) + "\n").collect();
    format!("old {old}\n{lines}\n{note}")
}

/// The size that a witness has seen, from its answer; `None` where it tells none.
pub(crate) fn seen_size(body: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(body).ok()?;
    let text = text.strip_suffix('\n').unwrap_or(text);
    let is_plain =
        text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| is_plain)
}

/// The part of an answer that is kept below a note that only the log has signed. With keys, that
/// are signatures that hold by one of them, without, all that are in the form of one and not in the
/// log's own name.
pub(crate) fn kept(
    answer: &[u8],
    note: &Note,
    keys: &[VerifierKey],
) -> Result<Cosigned, UselessAnswer> {
    let text = std::str::from_utf8(answer).map_err(|_bytes| UselessAnswer::NoSignature)?;
    let fits = |line: &&str| line.len() < LINE_BYTES_MAX;
    let lines = text.lines().take(LINES_MAX).filter(fits);
    let mut signatures: Vec<Signature> = Vec::new();
    for signature in lines.filter_map(Signature::parse) {
        // One that is bad would spoil the note for all who know the log's keys.
        let is_own = note.signatures.iter().any(|own| own.name() == signature.name());
        if !is_own && !signatures.iter().any(|former| former.is_beside(&signature)) {
            signatures.push(signature);
        }
    }
    if signatures.is_empty() {
        return Err(UselessAnswer::NoSignature);
    }
    let mut by = Vec::new();
    if !keys.is_empty() {
        let answered = Note { text: note.text.clone(), signatures: signatures.clone() };
        let held = answered.signed_by(keys);
        let held = held.map_err(|bad| UselessAnswer::Bad(bad.name().to_owned()))?;
        signatures.retain(|signature| held.iter().any(|held| signature.is_of(held.key)));
        by.extend(held.iter().map(|held| held.key.name().to_owned()));
        if signatures.is_empty() {
            return Err(UselessAnswer::UnknownKey);
        }
    }
    signatures.truncate(OF_ONE_WITNESS_MAX);
    Ok(Cosigned { signatures, by })
}

/// The part to be trusted of a checkpoint that others may have altered, beside a note of one's own:
/// signatures by these keys; `None` where it is of another tree, or is not signed by the log.
pub(crate) fn trusted(stored: &str, own: &Note, keys: &[VerifierKey]) -> Option<Note> {
    let mut stored = Note::parse(stored).filter(|stored| stored.text == own.text)?;
    stored.signatures.retain(|signature| keys.iter().any(|key| signature.is_of(key)));
    let held = stored.signed_by(keys).ok()?;
    held.iter().any(|held| held.key.algorithm() == Algorithm::Ed25519).then_some(stored)
}

impl Gathered {
    /// Takes the signatures of a witness below a note's text; tells whether they are of the newest
    /// tree.
    pub(crate) fn add(&mut self, witness: usize, text: &str, signatures: Vec<Signature>) -> bool {
        let is_newest = self.text == text;
        if is_newest {
            self.by_witness.insert(witness, signatures);
        }
        is_newest
    }

    /// Goes on with another tree, or with the same one, signed anew.
    pub(crate) fn begin(&mut self, note: &Note) {
        if self.text != note.text {
            self.text.clone_from(&note.text);
            self.by_witness.clear();
        }
    }

    /// A note of the tree with everything that was gathered below it, each signature in the place
    /// of a former one of its key.
    pub(crate) fn below(&self, mut note: Note) -> Note {
        for signature in self.by_witness.values().flatten() {
            let former = note.signatures.iter_mut().find(|former| former.is_beside(signature));
            if let Some(former) = former {
                former.clone_from(signature);
            } else if note.signatures.len() < SIGNATURES_MAX {
                note.signatures.push(signature.clone());
            }
        }
        note
    }
}

impl Note {
    /// The note with the signatures of another one of the same text, by other keys, below its own.
    pub(crate) fn with_others_of(mut self, other: Note) -> Self {
        for signature in other.signatures {
            let is_known = self.signatures.iter().any(|own| own.is_beside(&signature));
            if !is_known && self.signatures.len() < SIGNATURES_MAX {
                self.signatures.push(signature);
            }
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::evidence::checkpoint::Signers;
    use crate::audit::evidence::note::Signer;
    use crate::base::clock::Timestamp;
    use crate::base::key::Key;

    const NOW: Timestamp = Timestamp::from_millis(2_000);

    fn signers() -> Signers {
        Signers::new("example.com/log", &Key::from_bytes([7; 32])).unwrap()
    }

    fn witness(name: &str, byte: u8) -> Signer {
        Signer::new(name, Algorithm::Cosignature, &[byte; 32]).unwrap()
    }

    /// The line by which a witness signs the text of a note.
    fn line(by: &Signer, note: &Note) -> String {
        let signed = Note::sign(note.text.clone(), &[by], NOW).to_string();
        signed.split_once("\n\n").unwrap().1.to_owned()
    }

    #[test]
    fn a_question_has_the_form_of_the_specification() {
        let note = signers().sign(3, [5; 32], NOW);
        assert_eq!(question(0, &[], &note), format!("old 0\n\n{note}"));
        let hash = base64(&[1; 32]);
        assert_eq!(question(2, &[[1; 32]; 2], &note), format!("old 2\n{hash}\n{hash}\n\n{note}"));
        for (body, size) in [("0\n", Some(0)), ("12\n", Some(12)), ("12", Some(12))] {
            assert_eq!(seen_size(body.as_bytes()), size);
        }
        for body in ["", "\n", "012\n", "-1\n", "+1\n", "1 \n", "1\n2\n", "99999999999999999999\n"]
        {
            assert_eq!(seen_size(body.as_bytes()), None, "{body:?}");
        }
        assert_eq!(seen_size(&[0xff]), None);
    }

    #[test]
    fn with_keys_only_what_holds_by_one_of_them_is_kept() {
        let note = signers().sign(3, [5; 32], NOW);
        let (one, two) = (witness("w.example/1", 1), witness("w.example/2", 2));
        let keys = [one.key().clone()];
        let answer = line(&two, &note) + &line(&one, &note);
        let found = kept(answer.as_bytes(), &note, &keys).unwrap();
        assert_eq!(found.by, ["w.example/1"]);
        let whole = format!("{note}{}", found.signatures[0]);
        let read = Note::parse(&whole).unwrap();
        assert_eq!(read.signed_by(&keys).unwrap()[0].at, Some(NOW));
        let unknown = kept(line(&two, &note).as_bytes(), &note, &keys);
        assert_eq!(unknown, Err(UselessAnswer::UnknownKey));
        // Of another tree, and under the name of a key that is known.
        let other = signers().sign(4, [6; 32], NOW);
        let bad = kept(line(&one, &other).as_bytes(), &note, &keys);
        assert_eq!(bad, Err(UselessAnswer::Bad("w.example/1".to_owned())));
    }

    #[test]
    fn without_keys_lines_are_kept_as_they_came_within_bounds() {
        let note = signers().sign(3, [5; 32], NOW);
        let lines: String =
            (0..5).map(|n| line(&witness(&format!("w.example/{n}"), n), &note)).collect();
        let found = kept(lines.as_bytes(), &note, &[]).unwrap();
        assert_eq!((found.signatures.len(), found.by.len()), (OF_ONE_WITNESS_MAX, 0));
        // What would spoil the note, and what is no signature.
        let own = line(&witness("example.com/log", 9), &note);
        let long = format!("\u{2014} w {}\n", base64(&[0; LINE_BYTES_MAX]));
        for answer in ["", "\n", "<html>", &own, &long, "\u{2014} w AA==\n"] {
            let found = kept(answer.as_bytes(), &note, &[]);
            assert_eq!(found, Err(UselessAnswer::NoSignature), "{answer}");
        }
        assert_eq!(kept(&[0xff; 9], &note, &[]), Err(UselessAnswer::NoSignature));
    }

    #[test]
    fn a_witness_leaves_behind_what_it_answered_last_and_no_more() {
        let note = signers().sign(3, [5; 32], NOW);
        let mut gathered = Gathered::default();
        assert!(!gathered.add(0, &note.text, Vec::new()));
        gathered.begin(&note);
        for round in 0..9 {
            for place in 0..20 {
                let by = witness(&format!("w.example/{place}/{round}"), 1);
                let found = kept(line(&by, &note).as_bytes(), &note, &[]).unwrap();
                assert!(gathered.add(place, &note.text, found.signatures));
            }
        }
        let whole = gathered.below(note.clone());
        assert_eq!(whole.signatures.len(), SIGNATURES_MAX);
        assert!(whole.to_string().contains("w.example/0/8 "));
        assert!(!whole.to_string().contains("/7 "));
        // The same tree, signed anew, keeps them; another one does not.
        gathered.begin(&signers().sign(3, [5; 32], Timestamp::from_millis(9_000)));
        assert_eq!(gathered.below(note.clone()), whole);
        gathered.begin(&signers().sign(4, [6; 32], NOW));
        assert_eq!(gathered.below(note.clone()), note);
    }

    #[test]
    fn what_others_may_have_altered_is_trusted_by_its_signatures() {
        let signers = signers();
        let (own, one) = (signers.sign(3, [5; 32], NOW), witness("w.example/1", 1));
        let keys = [signers.keys().map(Clone::clone).to_vec(), vec![one.key().clone()]].concat();
        let stored = signers.sign(3, [5; 32], Timestamp::from_millis(5_000));
        let two = line(&witness("w.example/2", 2), &own);
        let stored = format!("{stored}{two}{}", line(&one, &own));
        let found = trusted(&stored, &own, &keys).unwrap();
        assert_eq!(found.signatures.len(), 3);
        let whole = own.clone().with_others_of(found);
        assert_eq!(whole.to_string(), format!("{own}{}", line(&one, &own)));
        assert!(trusted(&stored, &signers.sign(4, [5; 32], NOW), &keys).is_none());
        assert!(trusted(&stored.replacen("AAAA", "AAAB", 1), &own, &keys).is_none());
    }
}
