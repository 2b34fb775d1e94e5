//! The keys of an issuer (RFC 7517), and the signatures that they make: RS256 and ES256 (RFC 7518,
//! 3.1), by keys that are public. What a token says of its algorithm only chooses among these, so
//! that none is verified by a shared secret, or not at all.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

/// The most keys of a set that are looked at.
const KEYS_MAX: usize = 64;

/// The bytes of a coordinate on P-256.
const COORDINATE_BYTES: usize = 32;

/// An algorithm that is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Algorithm {
    Rs256,
    Es256,
}

impl Algorithm {
    /// The algorithm of that name; `None` for any other, such as `none` and `HS256`.
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            "RS256" => Some(Self::Rs256),
            "ES256" => Some(Self::Es256),
            _other => None,
        }
    }
}

/// The keys that sign ID tokens.
#[derive(Debug, Default)]
pub(super) struct KeySet(Vec<SigningKey>);

#[derive(Debug)]
struct SigningKey {
    id: Option<String>,
    public: PublicKey,
}

#[derive(Debug)]
enum PublicKey {
    Rsa {
        n: Vec<u8>,
        e: Vec<u8>,
    },
    /// A point on P-256, uncompressed (SEC 1, 2.3.3).
    P256(Vec<u8>),
}

#[derive(Deserialize)]
struct Document {
    keys: Vec<serde_json::Value>,
}

/// The members of a key that are read.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl KeySet {
    /// The keys of a document that can be used here; others of it are left out.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        let document: Document = serde_json::from_slice(bytes)?;
        let keys = document.keys.into_iter().take(KEYS_MAX);
        let read = |key| serde_json::from_value::<Jwk>(key).ok()?.usable();
        Ok(Self(keys.filter_map(read).collect()))
    }

    /// Whether a key of that name is there; any key where none is named.
    pub(super) fn knows(&self, id: Option<&str>) -> bool {
        self.0.iter().any(|key| id.is_none() || key.id.as_deref() == id)
    }

    /// Whether one of the keys of that name made the signature.
    pub(super) fn verifies(
        &self,
        id: Option<&str>,
        algorithm: Algorithm,
        message: &[u8],
        signature: &[u8],
    ) -> bool {
        let mut named = self.0.iter().filter(|key| id.is_none() || key.id.as_deref() == id);
        named.any(|key| key.public.verifies(algorithm, message, signature))
    }
}

impl Jwk {
    fn usable(self) -> Option<SigningKey> {
        let fits = |found: Option<&str>, wanted| found.is_none_or(|found| found == wanted);
        let bytes = |text: Option<&String>| URL_SAFE_NO_PAD.decode(text?).ok();
        let (kind, alg) = (self.kty.as_str(), self.alg.as_deref());
        if !fits(self.purpose.as_deref(), "sig") {
            return None;
        }
        let public = match kind {
            "RSA" if fits(alg, "RS256") => {
                let unsigned = |bytes: Vec<u8>| bytes.into_iter().skip_while(|byte| *byte == 0);
                let (n, e) = (bytes(self.n.as_ref())?, bytes(self.e.as_ref())?);
                PublicKey::Rsa { n: unsigned(n).collect(), e: unsigned(e).collect() }
            }
            "EC" if fits(alg, "ES256") && self.crv.as_deref() == Some("P-256") => {
                let (x, y) = (bytes(self.x.as_ref())?, bytes(self.y.as_ref())?);
                let is_whole = x.len() == COORDINATE_BYTES && y.len() == COORDINATE_BYTES;
                is_whole.then(|| PublicKey::P256([vec![4], x, y].concat()))?
            }
            _other => return None,
        };
        Some(SigningKey { id: self.kid, public })
    }
}

impl PublicKey {
    fn verifies(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        match (self, algorithm) {
            (Self::Rsa { n, e }, Algorithm::Rs256) => {
                let key = RsaPublicKeyComponents { n, e };
                key.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature).is_ok()
            }
            (Self::P256(point), Algorithm::Es256) => {
                let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point);
                key.verify(message, signature).is_ok()
            }
            (Self::Rsa { .. }, Algorithm::Es256) | (Self::P256(_), Algorithm::Rs256) => false,
        }
    }
}
