//! Public keys that verify signed notes (C2SP signed-note), and how they are written.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use super::ids::{Hex, unhex};

/// How a signature is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Algorithm {
    /// Ed25519 over the text.
    Ed25519,
    /// Ed25519 over the text and the time: the largest tree that was seen until then.
    Cosignature,
}

/// The public half of a key, with the name that it signs by: `name+id+key`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct VerifierKey {
    name: String,
    algorithm: Algorithm,
    public: [u8; 32],
}

impl Algorithm {
    const fn byte(self) -> u8 {
        match self {
            Self::Ed25519 => 0x01,
            Self::Cosignature => 0x04,
        }
    }

    const fn of_byte(byte: u8) -> Option<Self> {
        match byte {
            0x01 => Some(Self::Ed25519),
            0x04 => Some(Self::Cosignature),
            _ => None,
        }
    }
}

/// Whether a key may have that name.
pub(crate) fn is_key_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || c.is_control() || c == '+')
}

impl VerifierKey {
    /// The key of that name; `None` where no key has that name.
    pub(crate) fn new(name: &str, algorithm: Algorithm, public: [u8; 32]) -> Option<Self> {
        is_key_name(name).then(|| Self { name: name.to_owned(), algorithm, public })
    }

    /// The key from its text; `None` where it is none.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (name, rest) = text.split_once('+')?;
        let (id, key) = rest.split_once('+')?;
        let key = STANDARD.decode(key).ok()?;
        let (algorithm, public) = key.split_first()?;
        let key = Self {
            name: name.to_owned(),
            algorithm: Algorithm::of_byte(*algorithm)?,
            public: public.try_into().ok()?,
        };
        (is_key_name(name) && unhex(id) == Some(key.id())).then_some(key)
    }

    /// The name that it signs by.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The bytes of the key itself.
    pub(crate) fn public(&self) -> &[u8; 32] {
        &self.public
    }

    /// How it signs.
    pub(crate) fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The beginning of a digest by which its signatures are told from others'.
    pub(crate) fn id(&self) -> [u8; 4] {
        let digest = Sha256::new()
            .chain_update(&self.name)
            .chain_update(b"\n")
            .chain_update([self.algorithm.byte()])
            .chain_update(self.public);
        digest.finalize().first_chunk().copied().unwrap_or_default()
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = [&[self.algorithm.byte()], &self.public[..]].concat();
        write!(f, "{}+{}+{}", self.name, Hex(&self.id()), STANDARD.encode(key))
    }
}
