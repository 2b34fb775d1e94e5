//! Entries in parts that one call takes, and the documents that they bring or name.

use crate::audit::document::{Snapshot, SnapshotRef};
use crate::audit::entry::Entry;

/// The documents of an entry.
pub(super) fn filed(entry: &Entry) -> impl Iterator<Item = &SnapshotRef> {
    let (before, after) = match entry {
        Entry::Intent(opening) => (opening.before.as_ref(), None),
        Entry::Whole(opening, ending) => (opening.before.as_ref(), ending.after.as_ref()),
        Entry::Completion(ending) => (None, ending.after.as_ref()),
        _without => (None, None),
    };
    [before, after].into_iter().flatten()
}

/// Those that are not in the log.
pub(super) fn documents(entry: &Entry) -> impl Iterator<Item = &Snapshot> {
    filed(entry).filter_map(|filed| match filed {
        SnapshotRef::New(snapshot) => Some(snapshot),
        SnapshotRef::Already(_) => None,
    })
}

/// How long the bodies of an entry are.
fn bytes_of(entry: &Entry) -> usize {
    let patch = match entry {
        Entry::Intent(opening) | Entry::Whole(opening, _) => opening.patch.as_ref(),
        _no_patch => None,
    };
    let documents = documents(entry).map(|snapshot| snapshot.body.len());
    patch.map_or(0, |patch| patch.len()) + documents.sum::<usize>()
}

/// Entries in parts of at most so many, and of bodies that are no longer together, but for one that
/// is longer alone.
pub(super) fn parts<'a, 'e>(
    mut entries: &'a [&'e Entry],
    entries_max: usize,
    bytes_max: usize,
) -> impl Iterator<Item = &'a [&'e Entry]> {
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fits = |entry: &&&Entry| {
            bytes += bytes_of(entry);
            bytes <= bytes_max
        };
        let fitting = entries.iter().take(entries_max).take_while(fits).count();
        let (part, rest) = entries.split_at_checked(fitting.max(1))?;
        entries = rest;
        Some(part)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::audit::store::samples::{event, opening};

    #[test]
    fn entries_come_in_parts_that_the_server_takes() {
        let mut all: Vec<Entry> = (0..5).map(|_| event()).collect();
        let long = Entry::Intent(Box::new(opening(&json!({"name": "a long one"}))));
        let bytes = bytes_of(&long);
        assert!(bytes > 10);
        all.insert(1, long);
        let all: Vec<&Entry> = all.iter().collect();
        let sizes = |entries_max, bytes_max| {
            parts(&all, entries_max, bytes_max).map(<[_]>::len).collect::<Vec<_>>()
        };
        assert_eq!(sizes(9, bytes), [6]);
        assert_eq!(sizes(4, bytes), [4, 2]);
        assert_eq!(sizes(9, bytes - 1), [1, 1, 4]);
        assert_eq!(parts(&[], 9, 9).count(), 0);
    }
}
