//! The installation's secret key, and everything that is digested under it.
//!
//! One 32-byte secret lives in `audit.key_file`. From it every keyed digest is made, each use
//! under a label of its own, so that a value's digest in one role says nothing in another.

mod staged;

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hmac::{Hmac, Mac as _};
use sha2::Sha256;

pub use self::staged::{Staged, sweep};
use crate::base::claims::Claims;
use crate::base::ids::{Fingerprint, Hex, random, unhex};

/// The secret under which tokens, stored secrets and etags are digested (HMAC-SHA-256).
#[derive(Clone)]
pub struct Key {
    keyed: Hmac<Sha256>,
}

/// Names a key without telling anything of it: `key_` and 16 hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyId([u8; 8]);

impl KeyId {
    /// The id from the form the store keeps.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 8]) -> Self {
        Self(bytes)
    }

    /// The id as its 8 bytes, the form the store keeps.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 8] {
        &self.0
    }
}

impl std::fmt::Display for KeyId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "key_{}", Hex(&self.0))
    }
}

/// A personal access token in memory: it prints as nothing but its being one.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(Arc<str>);

impl Token {
    /// The token of that text.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// The token's own text, for comparing and digesting.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(…)")
    }
}

/// How the digest of a secret begins.
pub(crate) const CONCEALED: &str = "hmac-sha256:";

/// The history within which equal secrets have equal digests. A digest of one scope can't be held
/// against another's, so that nobody tests guesses at a secret by sending them elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DigestScope {
    /// The history of one deployment, by its id.
    Deployment(Arc<str>),
    /// The calls of one actor that are about no deployment yet, or about none.
    Actor(Fingerprint),
    /// The gateway's own words, of nobody's call.
    Gateway,
}

impl DigestScope {
    /// The scope of a call by `actor`: that of its deployment, where it has one.
    #[must_use]
    pub fn of_call(deployment_id: Option<&str>, actor: Fingerprint) -> Self {
        deployment_id.map_or(Self::Actor(actor), |id| Self::Deployment(id.into()))
    }

    /// The byte that tells the kinds apart, and the name within the kind.
    fn parts(&self) -> (u8, &[u8]) {
        match self {
            Self::Deployment(id) => (b'd', id.as_bytes()),
            Self::Actor(fingerprint) => (b'a', fingerprint.as_bytes()),
            Self::Gateway => (b'g', b""),
        }
    }
}

/// Why the key file can't be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file can't be read or made.
    #[error(
        "can't use the key file {}: make it readable and writable for this user",
        path.display()
    )]
    File {
        /// The file.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// The file does not hold a key.
    #[error("{} holds no key (64 hex digits): restore it from a backup", path.display())]
    Garbled {
        /// The file.
        path: PathBuf,
    },
    /// Others can read the file.
    #[error("{} is readable by others: chmod 600 it", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
    },
}

impl Key {
    /// A key from its 32 bytes, which RFC 2104 pads with zeros to the 64 of a SHA-256 block.
    #[must_use]
    pub fn from_bytes(secret: [u8; 32]) -> Self {
        let mut block = [0; 64];
        for (place, byte) in block.iter_mut().zip(secret) {
            *place = byte;
        }
        Self { keyed: Hmac::<Sha256>::new(&block.into()) }
    }

    /// Reads the key file.
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        let file = |source| KeyError::File { path: path.to_owned(), source };
        let text = crate::base::file::text(path).map_err(file)?;
        if crate::base::file::exposed(&fs::metadata(path).map_err(file)?) {
            return Err(KeyError::Exposed { path: path.to_owned() });
        }
        let secret =
            unhex(text.trim_end()).ok_or_else(|| KeyError::Garbled { path: path.to_owned() })?;
        Ok(Self::from_bytes(secret))
    }

    /// Reads the key file, or makes it with a new random key and mode 0600 where there is none.
    pub fn load_or_create(path: &Path) -> Result<Self, KeyError> {
        match create(path, random()) {
            Ok(()) => Self::load(path),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Self::load(path),
            Err(source) => Err(KeyError::File { path: path.to_owned(), source }),
        }
    }

    /// The key's name: a digest of nothing but a label.
    #[must_use]
    pub fn id(&self) -> KeyId {
        KeyId(first(&self.digest("key id", b"")))
    }

    /// The fingerprint of a personal access token.
    #[must_use]
    pub fn fingerprint(&self, token: &[u8]) -> Fingerprint {
        Fingerprint::from_bytes(first(&self.digest("pat", token)))
    }

    /// The fingerprint of all tokens that an issuer gives a subject: it stands for a service
    /// account, whose tokens change all the time.
    #[must_use]
    pub fn fingerprint_of(&self, claims: &Claims) -> Fingerprint {
        let Claims { issuer, subject } = claims;
        // Neither holds a control character.
        let text = format!("{issuer}\0{subject}");
        Fingerprint::from_bytes(first(&self.digest("subject", text.as_bytes())))
    }

    /// The text that is stored in a secret's place: `hmac-sha256:` and 32 hex digits. Equal
    /// secrets have equal digests within one scope only.
    #[must_use]
    pub fn conceal(&self, scope: &DigestScope, secret: &str) -> String {
        let digest = self.scoped("secret", scope, secret.as_bytes());
        format!("{CONCEALED}{}", Hex(digest.get(..16).unwrap_or(&digest)))
    }

    /// HMAC-SHA-256 of `content` within `scope`, in the role that `label` names.
    #[must_use]
    pub fn scoped(&self, label: &str, scope: &DigestScope, content: &[u8]) -> [u8; 32] {
        let (kind, name) = scope.parts();
        let mut mac = self.keyed.clone();
        mac.update(label.as_bytes());
        mac.update(&[0, kind]);
        // Its length says where the name ends, whatever bytes it holds.
        mac.update(&(name.len() as u64).to_be_bytes());
        mac.update(name);
        mac.update(content);
        mac.finalize().into_bytes().into()
    }

    /// HMAC-SHA-256 of `content`, in the role that `label` names. Labels hold no NUL.
    #[must_use]
    pub fn digest(&self, label: &str, content: &[u8]) -> [u8; 32] {
        let mut mac = self.keyed.clone();
        mac.update(label.as_bytes());
        mac.update(&[0]);
        mac.update(content);
        mac.finalize().into_bytes().into()
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(…)")
    }
}

/// The first 8 bytes of a digest.
fn first(digest: &[u8; 32]) -> [u8; 8] {
    digest.first_chunk().copied().unwrap_or_default()
}

/// Writes the key beside its place and links it there, so that no reader ever sees half a key and
/// of two first starts one wins.
fn create(path: &Path, secret: [u8; 32]) -> io::Result<()> {
    if path.exists() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    let beside = extended(path, &Hex(&random::<4>()).to_string());
    let written = write(&beside, secret).and_then(|file| file.sync_all());
    let linked = written.and_then(|()| fs::hard_link(&beside, path));
    fs::remove_file(&beside)?;
    linked?;
    sync_folder(path)
}

/// Writes a key to a file that is not there yet, and that only this user may read.
fn write(path: &Path, secret: [u8; 32]) -> io::Result<fs::File> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    let mut file = options.open(path)?;
    writeln!(file, "{}", Hex(&secret))?;
    Ok(file)
}

/// Has the names in a file's folder on disk.
fn sync_folder(path: &Path) -> io::Result<()> {
    match path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        Some(folder) => fs::File::open(folder)?.sync_all(),
        None => fs::File::open(".")?.sync_all(),
    }
}

fn extended(path: &Path, end: &str) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(format!(".{end}"));
    PathBuf::from(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_then_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("k");
        let first = Key::load_or_create(&path).unwrap();
        let second = Key::load_or_create(&path).unwrap();
        assert_eq!(first.fingerprint(b"pt-1"), second.fingerprint(b"pt-1"));
        assert_ne!(first.fingerprint(b"pt-1"), first.fingerprint(b"pt-2"));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        assert!(!crate::base::file::exposed(&fs::metadata(&path).unwrap()));
    }

    #[test]
    fn equal_secrets_show_as_equal_within_one_scope_only() {
        let key = Key::from_bytes([7; 32]);
        let actor = |byte| DigestScope::Actor(Fingerprint::from_bytes([byte; 8]));
        let deployment = |id: &str| DigestScope::Deployment(id.into());
        let scopes = [
            DigestScope::Gateway,
            actor(1),
            actor(2),
            deployment("dep_1"),
            deployment("dep_1\0x"),
            deployment(""),
        ];
        let mut digests: Vec<_> = scopes.iter().map(|scope| key.conceal(scope, "x")).collect();
        assert_eq!(digests[3], key.conceal(&deployment("dep_1"), "x"));
        assert_ne!(digests[3], key.conceal(&deployment("dep_1"), "\0xx"));
        digests.sort();
        digests.dedup();
        assert_eq!(digests.len(), scopes.len());
    }

    #[test]
    fn a_garbled_or_exposed_key_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("k");
        create(&path, [7; 32]).unwrap();
        fs::write(&path, "not hex").unwrap();
        assert!(matches!(Key::load(&path), Err(KeyError::Garbled { .. })));
    }
}
