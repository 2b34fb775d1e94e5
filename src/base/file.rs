//! Small files, read whole and within a bound. What is no regular file is not read: a pipe may
//! never open or end, and `/dev/zero` has no end.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read as _, Write as _};
#[cfg(unix)]
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// The longest file that is read, in bytes: of the configuration, the policy, certificates, keys.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// A file's text.
pub(crate) fn text(path: &Path) -> io::Result<String> {
    text_within(path, FILE_BYTES_MAX)
}

/// The text of a file that may have so many bytes.
pub(crate) fn text_within(path: &Path, bytes_max: u64) -> io::Result<String> {
    let no_text = |_bytes| io::Error::new(io::ErrorKind::InvalidData, "it is not text in UTF-8");
    String::from_utf8(bytes_within(path, bytes_max)?).map_err(no_text)
}

/// Puts a text in the place of a file's, whole and on disk.
pub(crate) fn replace(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    options.mode(mode);
    let mut file = options.open(&beside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&beside, path)
}

/// The certificates of a PEM file, at least one.
pub(crate) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, pem::Error> {
    let bytes = bytes(path).map_err(pem::Error::Io)?;
    let all = CertificateDer::pem_slice_iter(&bytes).collect::<Result<Vec<_>, _>>()?;
    if all.is_empty() { Err(pem::Error::NoItemsFound) } else { Ok(all) }
}

/// The private key of a PEM file.
pub(crate) fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, pem::Error> {
    PrivateKeyDer::from_pem_slice(&bytes(path).map_err(pem::Error::Io)?)
}

/// A file's bytes.
pub(crate) fn bytes(path: &Path) -> io::Result<Vec<u8>> {
    bytes_within(path, FILE_BYTES_MAX)
}

/// A file's bytes, where it has no more than so many.
pub(crate) fn bytes_within(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // One more than may be, so that what is too long shows.
    open(path)?.take(bytes_max + 1).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > bytes_max) {
        let message = format!("it is longer than {bytes_max} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    Ok(bytes)
}

/// Whether others than its owner can read or write a file.
#[cfg(unix)]
pub(crate) fn exposed(metadata: &Metadata) -> bool {
    std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o077 != 0
}

/// Whether others than its owner can read or write a file: what is not told is not known.
#[cfg(not(unix))]
pub(crate) fn exposed(_metadata: &Metadata) -> bool {
    false
}

/// Opens a regular file, and waits for no other: to open a pipe waits for whoever writes to it.
fn open(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.read(true);
    #[cfg(unix)]
    options.custom_flags(
        i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).map_err(io::Error::other)?,
    );
    let file = options.open(path)?;
    if file.metadata()?.is_file() {
        return Ok(file);
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_long_is_told_from_what_fits() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        let longest = vec![b'a'; usize::try_from(FILE_BYTES_MAX).unwrap()];
        std::fs::write(&path, &longest).unwrap();
        assert_eq!(text(&path).unwrap().as_bytes(), longest);
        std::fs::write(&path, [longest, vec![b'a']].concat()).unwrap();
        assert_eq!(text(&path).unwrap_err().to_string(), "it is longer than 4194304 bytes");
    }

    #[test]
    fn what_is_no_regular_file_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        let mode = rustix::fs::Mode::RUSR;
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, mode).unwrap();
        for path in [&pipe, folder.path(), Path::new("/dev/zero")] {
            assert_eq!(text(path).unwrap_err().to_string(), "it is not a regular file");
        }
    }
}
