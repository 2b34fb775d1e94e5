//! A client says the same of itself in one request after the other: fields that are those of the
//! request before, byte for byte, tell the same and need not be read again.

use super::head::Head;

/// The longest field section that is kept, in bytes: connections are many.
const SECTION_BYTES_MAX: usize = 1024;

/// The field section of a head that was well-formed, its empty line included.
#[derive(Debug, Default)]
pub(super) struct CachedFields {
    section: Vec<u8>,
    /// The facts told by the head that it belongs to.
    head: Head,
}

impl CachedFields {
    /// Whether the known fields come next, after a request line that told `begun`: what they make
    /// of the head, and what follows them.
    pub(super) fn find<'b>(&self, begun: Head, bytes: &'b [u8]) -> Option<(Head, &'b [u8])> {
        let fits = !self.section.is_empty() && self.head.has_version_of(begun);
        let after = bytes.strip_prefix(self.section.as_slice()).filter(|_| fits)?;
        Some((self.head, after))
    }

    /// Keeps the fields of a head in place of those before it.
    pub(super) fn learn(&mut self, section: &[u8], head: Head) {
        if section.len() <= SECTION_BYTES_MAX {
            section.clone_into(&mut self.section);
            self.head = head;
        }
    }
}
