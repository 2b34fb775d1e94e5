//! Sealed originals: bodies as they were before their secrets were concealed, encrypted. Each row
//! has a data key of its own, and that is wrapped under the sealing key, which lies apart from the
//! log: whoever destroys one of the two destroys the original. Pure.
//!
//! ```text
//! {"patch":…,"before":…} -> zstd -> AES-256-GCM under the data key -> body
//!                        data key -> AES-256-GCM under the sealing key -> wrapped
//! ```

use std::io;
use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::error::Unspecified;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::document::{seal as pack, unpack};
use crate::base::canonical::canonical;
use crate::base::ids::{ChangeId, random};
use crate::base::key::{Key, KeyId};

/// The beginning of what each encryption is bound to.
const VERSION: &[u8] = b"cg-seal/1";

/// The bytes of a data key.
const DATA_KEY_BYTES: usize = 32;

/// The bytes of one that is wrapped: a nonce, the key, and a tag.
#[cfg(test)]
const WRAPPED_BYTES: usize = NONCE_LEN + DATA_KEY_BYTES + 16;

/// The key that data keys are wrapped under. Clones share it.
#[derive(Clone, Debug)]
pub struct SealingKey {
    id: KeyId,
    cipher: Arc<RandomizedNonceKey>,
}

/// The half of a change that a row is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Half {
    /// What was asked, and the deployment before.
    Intent,
    /// The deployment after.
    End,
}

/// Originals of a half of a change, sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SealedOriginals {
    /// The sealing key that the data key is wrapped under.
    pub(super) key: KeyId,
    pub(super) wrapped: Vec<u8>,
    pub(super) body: Vec<u8>,
}

/// Why originals can't be read.
#[derive(Debug, thiserror::Error)]
pub enum UnsealError {
    /// They were sealed under a key that is not there.
    #[error("the originals are sealed under {0}, which is not there: restore that seal.key_file")]
    OtherKey(KeyId),
    /// They are not what was sealed.
    #[error("the originals are not what was sealed: `changegate audit verify` tells more")]
    Altered,
}

impl From<Unspecified> for UnsealError {
    fn from(_says_nothing: Unspecified) -> Self {
        Self::Altered
    }
}

impl Half {
    pub(super) const BOTH: [Self; 2] = [Self::Intent, Self::End];

    /// Its number in the tables.
    pub(super) const fn number(self) -> u8 {
        match self {
            Self::Intent => 1,
            Self::End => 2,
        }
    }

    /// The half of that number.
    pub(super) fn numbered(number: i64) -> Option<Self> {
        Self::BOTH.into_iter().find(|half| i64::from(half.number()) == number)
    }
}

impl SealedOriginals {
    /// The digest that is recorded with the half that they are of.
    pub(super) fn digest(&self) -> [u8; 16] {
        digest(&self.body)
    }
}

impl SealingKey {
    /// The sealing key of a secret.
    #[must_use]
    pub fn of(secret: &Key) -> Option<Self> {
        let key = secret.digest("sealing key", b"");
        let cipher = RandomizedNonceKey::new(&AES_256_GCM, &key).ok()?;
        Some(Self { id: secret.id(), cipher: Arc::new(cipher) })
    }

    /// The key's name.
    #[must_use]
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// Seals bodies of a change, by their names; `None` where there are none.
    pub(super) fn seal(
        &self,
        bodies: Map<String, Value>,
        change: ChangeId,
        half: Half,
    ) -> io::Result<Option<SealedOriginals>> {
        if bodies.is_empty() {
            return Ok(None);
        }
        let failed = |_says_nothing: Unspecified| io::Error::other("originals can't be sealed");
        let text = pack(&canonical(&Value::Object(bodies)))?;
        let data_key: [u8; DATA_KEY_BYTES] = random();
        let cipher = RandomizedNonceKey::new(&AES_256_GCM, &data_key).map_err(failed)?;
        let body = encrypt(&cipher, text, &bound(change, half, b"body")).map_err(failed)?;
        let (wrapped, key) = (self.wrap(&data_key, change, half).map_err(failed)?, self.id);
        Ok(Some(SealedOriginals { key, wrapped, body }))
    }

    /// Wraps a data key.
    fn wrap(&self, data_key: &[u8], change: ChangeId, half: Half) -> Result<Vec<u8>, Unspecified> {
        encrypt(&self.cipher, data_key.to_vec(), &bound(change, half, b"key"))
    }

    /// The bodies that were sealed, by their names.
    pub(super) fn open(
        &self,
        sealed: &SealedOriginals,
        change: ChangeId,
        half: Half,
    ) -> Result<Map<String, Value>, UnsealError> {
        let data_key = self.unwrap(sealed, change, half)?;
        let cipher = RandomizedNonceKey::new(&AES_256_GCM, &data_key)?;
        let text = decrypt(&cipher, &sealed.body, &bound(change, half, b"body"))?;
        let text = unpack(&text, None).map_err(|_unreadable| UnsealError::Altered)?;
        serde_json::from_slice(&text).map_err(|_unreadable| UnsealError::Altered)
    }

    fn unwrap(
        &self,
        sealed: &SealedOriginals,
        change: ChangeId,
        half: Half,
    ) -> Result<Vec<u8>, UnsealError> {
        if sealed.key != self.id {
            return Err(UnsealError::OtherKey(sealed.key));
        }
        Ok(decrypt(&self.cipher, &sealed.wrapped, &bound(change, half, b"key"))?)
    }

    /// A data key that is wrapped under this one, wrapped under `newer` instead.
    pub(super) fn rewrapped(
        &self,
        sealed: &SealedOriginals,
        (change, half): (ChangeId, Half),
        newer: &Self,
    ) -> Result<Vec<u8>, UnsealError> {
        let data_key = self.unwrap(sealed, change, half)?;
        Ok(newer.wrap(&data_key, change, half)?)
    }
}

/// The first half of the SHA-256 of an encrypted body, which stays the same under whichever key.
pub(super) fn digest(body: &[u8]) -> [u8; 16] {
    let digest: [u8; 32] = Sha256::digest(body).into();
    digest.first_chunk().copied().unwrap_or_default()
}

/// The text that an encryption is bound to: moved to another place, it does not open.
fn bound(change: ChangeId, half: Half, of: &[u8]) -> Vec<u8> {
    [VERSION, change.as_bytes(), &[half.number()], of].concat()
}

/// Encrypts: the nonce, then the text, then the tag.
fn encrypt(
    cipher: &RandomizedNonceKey,
    text: Vec<u8>,
    bound: &[u8],
) -> Result<Vec<u8>, Unspecified> {
    let mut sealed = text;
    let nonce = cipher.seal_in_place_append_tag(Aad::from(bound), &mut sealed)?;
    let mut whole = nonce.as_ref().to_vec();
    whole.append(&mut sealed);
    Ok(whole)
}

fn decrypt(
    cipher: &RandomizedNonceKey,
    sealed: &[u8],
    bound: &[u8],
) -> Result<Vec<u8>, Unspecified> {
    let (nonce, rest) = sealed.split_first_chunk::<NONCE_LEN>().ok_or(Unspecified)?;
    let mut rest = rest.to_vec();
    let opened = cipher.open_in_place(Nonce::from(nonce), Aad::from(bound), &mut rest)?.len();
    rest.truncate(opened);
    Ok(rest)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn key(byte: u8) -> SealingKey {
        SealingKey::of(&Key::from_bytes([byte; 32])).unwrap()
    }

    fn bodies() -> Map<String, Value> {
        let Value::Object(bodies) = json!({"patch": {"token": "sk-secret"}}) else { panic!() };
        bodies
    }

    fn id(byte: u8) -> ChangeId {
        ChangeId::from_bytes(&[byte; 16]).unwrap()
    }

    #[test]
    fn what_is_sealed_opens_under_its_key_at_its_place_alone() {
        let sealed = key(1).seal(bodies(), id(1), Half::Intent).unwrap().unwrap();
        assert_eq!(sealed.wrapped.len(), WRAPPED_BYTES);
        assert!(!String::from_utf8_lossy(&sealed.body).contains("secret"));
        assert_eq!(key(1).open(&sealed, id(1), Half::Intent).unwrap(), bodies());
        for (change, half) in [(id(2), Half::Intent), (id(1), Half::End)] {
            let opened = key(1).open(&sealed, change, half);
            assert!(matches!(opened, Err(UnsealError::Altered)), "{opened:?}");
        }
        let opened = key(2).open(&sealed, id(1), Half::Intent);
        assert!(matches!(opened, Err(UnsealError::OtherKey(other)) if other == key(1).id()));
    }

    #[test]
    fn each_bit_counts() {
        let sealed = key(1).seal(bodies(), id(1), Half::End).unwrap().unwrap();
        for place in 0..sealed.wrapped.len() + sealed.body.len() {
            let mut other = sealed.clone();
            let wrapped = other.wrapped.len();
            match place.checked_sub(wrapped) {
                None => other.wrapped[place] ^= 1,
                Some(place) => other.body[place] ^= 1,
            }
            assert!(key(1).open(&other, id(1), Half::End).is_err(), "{place}");
        }
    }

    #[test]
    fn a_data_key_is_wrapped_anew_and_the_body_stays() {
        let sealed = key(1).seal(bodies(), id(1), Half::End).unwrap().unwrap();
        let wrapped = key(1).rewrapped(&sealed, (id(1), Half::End), &key(2)).unwrap();
        let newer = SealedOriginals { key: key(2).id(), wrapped, body: sealed.body };
        assert_eq!(key(2).open(&newer, id(1), Half::End).unwrap(), bodies());
        assert!(key(1).open(&newer, id(1), Half::End).is_err());
    }

    #[test]
    fn nothing_is_sealed_of_nothing() {
        assert_eq!(key(1).seal(Map::new(), id(1), Half::End).unwrap(), None);
    }
}
