//! A key that takes the place of another one.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt as _, fchown};
use std::path::{Path, PathBuf};

use super::{Key, KeyError, KeyId, extended, sync_folder, write};
use crate::base::ids::random;

/// A new key beside the file whose place it will take.
#[derive(Debug)]
pub struct Staged {
    path: PathBuf,
    beside: PathBuf,
    key: Key,
}

impl Staged {
    /// The one that lies beside this key file, since its change was broken off.
    #[must_use]
    pub fn find(path: &Path) -> Option<Self> {
        Self::found(path).ok().flatten()
    }

    /// The same; a file that is there and can't be read as a key is no sign that there is none.
    pub fn found(path: &Path) -> Result<Option<Self>, KeyError> {
        let beside = extended(path, "new");
        if !beside.exists() {
            return Ok(None);
        }
        let key = Key::load(&beside)?;
        Ok(Some(Self { path: path.to_owned(), beside, key }))
    }

    /// Makes one, for whoever owns the file `like`, or, where there is none, the folder that it
    /// comes to lie in: root may do this for a service.
    pub fn make(path: &Path, like: Option<&Path>) -> Result<Self, KeyError> {
        let beside = extended(path, "new");
        let made = match fs::remove_file(&beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _gone => write(&beside, random()),
        };
        let synced = made.and_then(|file| {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
            let like = like.or(folder).unwrap_or(Path::new("."));
            let owner = fs::metadata(like)?;
            // Only root may give a file away, and nobody else has to.
            let _kept = fchown(&file, Some(owner.uid()), Some(owner.gid()));
            file.sync_all()?;
            sync_folder(path)
        });
        synced.map_err(|source| KeyError::File { path: beside.clone(), source })?;
        Ok(Self { path: path.to_owned(), key: Key::load(&beside)?, beside })
    }

    /// The key's name.
    #[must_use]
    pub fn id(&self) -> KeyId {
        self.key.id()
    }

    /// The key itself.
    #[must_use]
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// Puts it in its place in one step, and destroys the one that lay there.
    pub fn replace(self) -> Result<(), KeyError> {
        let aside = extended(&self.path, OLD);
        // What a change that was broken off has left is swept first.
        let placed = sweep(&self.path)
            .and_then(|()| fs::hard_link(&self.path, &aside))
            .and_then(|()| fs::rename(&self.beside, &self.path))
            .and_then(|()| sync_folder(&self.path))
            .and_then(|()| sweep(&self.path));
        placed.map_err(|source| KeyError::File { path: self.path, source })
    }

    /// Puts it in its place in one step. The key `former`, if it lies there, is kept beside, and
    /// its file told.
    pub fn put_in_place(self, former: Option<KeyId>) -> Result<Option<PathBuf>, KeyError> {
        let kept = former.map(|former| extended(&self.path, &former.to_string()));
        let linked = match &kept {
            Some(kept) => match fs::hard_link(&self.path, kept) {
                // By the same change, broken off before.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
                linked => linked,
            },
            None => Ok(()),
        };
        let placed = linked
            .and_then(|()| sync_folder(&self.path))
            .and_then(|()| fs::rename(&self.beside, &self.path))
            .and_then(|()| sync_folder(&self.path));
        placed.map_err(|source| KeyError::File { path: self.path, source })?;
        Ok(kept)
    }
}

/// The end of the name of a former key's file, until it is destroyed.
const OLD: &str = "old";

/// Destroys the former key that lies beside this one, where one does.
pub fn sweep(path: &Path) -> io::Result<()> {
    let aside = extended(path, OLD);
    if aside.exists() {
        overwrite(&aside)?;
        fs::remove_file(&aside)?;
        sync_folder(path)?;
    }
    Ok(())
}

/// Writes zeros over a key, as far as the file system writes in place.
fn overwrite(path: &Path) -> io::Result<()> {
    let length = fs::metadata(path)?.len();
    let mut file = fs::OpenOptions::new().write(true).open(path)?;
    io::copy(&mut io::Read::take(io::repeat(b'0'), length), &mut file)?;
    file.sync_all()
}
