//! Documents as the log keeps them: a canonical text, compressed on its own or, where an earlier
//! snapshot of the same deployment is at hand, against that one's text. From one change to the
//! next little moves, so that a snapshot costs some tens of bytes instead of a thousand.

use std::cell::RefCell;
use std::io;

use serde_json::Value;
use sha2::{Digest as _, Sha256};
use zstd::zstd_safe::{
    CCtx, CParameter, DCtx, SafeResult, compress_bound, get_error_name, get_frame_content_size,
};

use crate::base::canonical::canonical;

/// The zstd level: it costs a fraction of the default's time, for a few per cent more bytes. Level
/// 1 saves one byte in a hundred, and clears a table twice as large for each document.
const LEVEL: i32 = -1;

/// The most snapshots that one may be built on, one upon the other; the tables say so too.
const DEPTH_MAX: u8 = 31;

/// The most bytes of text that are unpacked to read one snapshot, its bases included.
const CHAIN_BYTES_MAX: usize = 8 << 20;

/// A document in its canonical text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Document {
    pub(super) text: Vec<u8>,
    /// SHA-256 of the text.
    pub(super) digest: [u8; 32],
}

/// A snapshot that is in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) number: i64,
    /// How many others it is built on, one upon the other.
    pub(super) depth: u8,
}

/// A document as it is written.
#[derive(Debug)]
pub(super) struct Snapshot {
    pub(super) digest: [u8; 32],
    /// The snapshot that its text is compressed against; `None` where it stands alone.
    pub(super) base: Option<Stored>,
    /// One zstd frame.
    pub(super) body: Vec<u8>,
}

/// A document on its way into the log.
#[derive(Debug)]
pub(super) enum SnapshotRef {
    Already(Stored),
    New(Snapshot),
}

impl Document {
    pub(super) fn of(document: &Value) -> Self {
        let text = canonical(document);
        Self { digest: Sha256::digest(&text).into(), text }
    }

    /// This document as it is written: where a former one is known, by what differs from it.
    pub(super) fn file(&self, former: Option<(&Self, Stored)>) -> io::Result<SnapshotRef> {
        let Some((former, stored)) = former else {
            return Ok(SnapshotRef::New(self.snapshot(None, pack_against(&[], &self.text)?)));
        };
        if former.digest == self.digest {
            return Ok(SnapshotRef::Already(stored));
        }
        let text_bytes = self.text.len().max(former.text.len());
        let chain_bytes = (usize::from(stored.depth) + 2).saturating_mul(text_bytes);
        if stored.depth < DEPTH_MAX && chain_bytes <= CHAIN_BYTES_MAX {
            let body = pack_against(&former.text, &self.text)?;
            // Where nearly all is new, nothing is won by depending on another.
            if body.len() < self.text.len() / 4 {
                return Ok(SnapshotRef::New(self.snapshot(Some(stored), body)));
            }
        }
        Ok(SnapshotRef::New(self.snapshot(None, pack_against(&[], &self.text)?)))
    }

    fn snapshot(&self, base: Option<Stored>, body: Vec<u8>) -> Snapshot {
        Snapshot { digest: self.digest, base, body }
    }
}

impl Snapshot {
    /// How many others it is built on.
    pub(super) fn depth(&self) -> u8 {
        self.base.map_or(0, |base| base.depth + 1)
    }
}

thread_local! {
    // Making a context costs more than packing a deployment with it.
    static PACKER: RefCell<CCtx<'static>> = RefCell::new(CCtx::create());
    static UNPACKER: RefCell<DCtx<'static>> = RefCell::new(DCtx::create());
}

/// `text` as one zstd frame with a checksum: no digest stands beside it.
pub(super) fn seal(text: &[u8]) -> io::Result<Vec<u8>> {
    packed(text, |packer, body| {
        packer.set_parameter(CParameter::CompressionLevel(LEVEL))?;
        packer.set_parameter(CParameter::ChecksumFlag(true))?;
        packer.compress2(body, text)
    })
}

/// The text of a snapshot as one that stands alone.
pub(super) fn alone(text: &[u8]) -> io::Result<Vec<u8>> {
    pack_against(&[], text)
}

/// `text` as one zstd frame that can be unpacked where `base`, which may be empty, is at hand.
fn pack_against(base: &[u8], text: &[u8]) -> io::Result<Vec<u8>> {
    packed(text, |packer, body| packer.compress_using_dict(body, text, base, LEVEL))
}

/// The frame that `pack` makes of `text`.
fn packed(
    text: &[u8],
    pack: impl FnOnce(&mut CCtx<'static>, &mut Vec<u8>) -> SafeResult,
) -> io::Result<Vec<u8>> {
    let mut body = Vec::with_capacity(compress_bound(text.len()));
    PACKER.with_borrow_mut(|packer| pack(packer, &mut body)).map_err(zstd_error)?;
    body.shrink_to_fit();
    Ok(body)
}

/// The bytes of a frame's text, as it says itself.
pub(super) fn text_bytes(body: &[u8]) -> Option<usize> {
    let bytes = get_frame_content_size(body).ok().flatten();
    bytes.and_then(|bytes| usize::try_from(bytes).ok())
}

/// The text of a frame, of which `base` is the text that it was packed against.
pub(super) fn unpack(body: &[u8], base: Option<&[u8]>) -> io::Result<Vec<u8>> {
    let unknown = || io::Error::new(io::ErrorKind::InvalidData, "a frame does not tell its size");
    let bytes = text_bytes(body).ok_or_else(unknown)?;
    let mut text = Vec::new();
    text.try_reserve_exact(bytes).map_err(io::Error::other)?;
    let base = base.unwrap_or_default();
    UNPACKER
        .with_borrow_mut(|unpacker| unpacker.decompress_using_dict(&mut text, body, base))
        .map_err(zstd_error)?;
    Ok(text)
}

fn zstd_error(code: usize) -> io::Error {
    io::Error::other(get_error_name(code))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::Hex;
    use serde_json::json;

    fn stored(depth: u8) -> Stored {
        Stored { number: 7, depth }
    }

    fn deployment(name: &str) -> Document {
        let prompts: Vec<_> =
            (0..40).map(|n| Hex(&Sha256::digest([n])).to_string().repeat(2)).collect();
        Document::of(&json!({"name": name, "initial_events": prompts}))
    }

    #[test]
    fn little_is_kept_where_little_moved_and_the_whole_is_read_back() {
        let (former, latter) = (deployment("one"), deployment("two"));
        let SnapshotRef::New(whole) = former.file(None).unwrap() else { panic!() };
        assert_eq!((whole.base, whole.depth()), (None, 0));
        assert_eq!(unpack(&whole.body, None).unwrap(), former.text);
        let SnapshotRef::New(moved) = latter.file(Some((&former, stored(3)))).unwrap() else {
            panic!()
        };
        assert_eq!(moved.depth(), 4);
        assert!(moved.body.len() < 60, "{} bytes", moved.body.len());
        assert_eq!(unpack(&moved.body, Some(&former.text)).unwrap(), latter.text);
        assert!(unpack(&moved.body, None).ok() != Some(latter.text));
    }

    #[test]
    fn a_sealed_text_that_was_altered_is_not_read() {
        let text = canonical(&json!({"name": "0123456789", "description": "new"}));
        let body = seal(&text).unwrap();
        assert_eq!(unpack(&body, None).unwrap(), text);
        for place in 0..body.len() {
            let mut altered = body.clone();
            altered[place] ^= 1;
            assert!(unpack(&altered, None).ok().is_none_or(|read| read == text), "{place}");
        }
    }

    #[test]
    fn a_document_that_did_not_move_is_not_kept_twice() {
        let (former, same) = (deployment("one"), deployment("one"));
        let filed = same.file(Some((&former, stored(3)))).unwrap();
        assert!(matches!(filed, SnapshotRef::Already(place) if place == stored(3)));
    }

    #[test]
    fn a_small_document_does_not_hang_on_a_long_chain_of_large_ones() {
        let small = deployment("one");
        let large = Document::of(&json!({"a": "a".repeat(1 << 20), "initial_events":
            serde_json::from_slice::<Value>(&small.text).unwrap()["initial_events"]}));
        for (depth, stands_alone) in [(0, false), (6, true)] {
            let filed = small.file(Some((&large, stored(depth)))).unwrap();
            let SnapshotRef::New(snapshot) = filed else { panic!() };
            assert_eq!(snapshot.base.is_none(), stands_alone, "{depth}");
        }
    }

    #[test]
    fn a_chain_ends_and_what_is_all_new_stands_alone() {
        let (former, latter) = (deployment("one"), deployment("two"));
        let texts: Vec<_> = (50..60).map(|n| Hex(&Sha256::digest([n])).to_string()).collect();
        let other = Document::of(&json!({ "x": texts }));
        for (document, depth) in [(&latter, DEPTH_MAX), (&other, 0)] {
            let filed = document.file(Some((&former, stored(depth)))).unwrap();
            let SnapshotRef::New(snapshot) = filed else { panic!() };
            assert_eq!(snapshot.base, None);
            assert_eq!(unpack(&snapshot.body, None).unwrap(), document.text);
        }
    }
}
