//! The places that were concealed, listed within bounds.

use super::work::made;
use crate::base::pointer::push_segment;

/// The most pointers that one record lists; what lies beyond is concealed all the same.
pub const POINTERS_MAX: usize = 1_000;

/// The most bytes of one pointer; above it, the place around is listed.
const PATH_BYTES_MAX: usize = 1_024;

/// The most bytes of all pointers together.
const PATHS_BYTES_MAX: usize = 64 << 10;

/// JSON Pointers of concealed values.
#[derive(Clone, Debug, Default)]
pub struct Redacted {
    paths: Vec<String>,
    bytes: usize,
    /// Whether one did not fit any more.
    is_full: bool,
}

/// Where a pass is, by the way that it went: it is spelt as a pointer only where something is
/// concealed.
#[derive(Clone, Copy)]
pub(super) enum At<'w> {
    Document,
    Member(&'w At<'w>, &'w str),
    Element(&'w At<'w>, usize),
}

impl Redacted {
    /// The pointers.
    #[must_use]
    pub fn paths(&self) -> &[String] {
        &self.paths
    }

    /// The pointers, to be kept.
    #[must_use]
    pub fn into_paths(self) -> Vec<String> {
        self.paths
    }

    /// Lists the places that `others` are, below `prefix`.
    pub fn add_below(&mut self, prefix: &str, others: &Self) {
        for path in &others.paths {
            self.add(format!("{prefix}{path}"));
        }
    }

    /// Lists the place `at` below `prefix`.
    pub(super) fn list(&mut self, prefix: &str, at: At<'_>) {
        if self.paths.len() >= POINTERS_MAX || self.is_full {
            return;
        }
        let mut path = prefix.to_owned();
        at.spell(&mut path);
        self.add(path);
    }

    /// Lists a pointer.
    pub(super) fn add(&mut self, path: String) {
        made(path.len());
        // Places that are too long to tell stand together below the same one.
        if self.paths.last() == Some(&path) {
            return;
        }
        self.is_full = self.bytes + path.len() > PATHS_BYTES_MAX;
        if !self.is_full && self.paths.len() < POINTERS_MAX {
            self.bytes += path.len();
            self.paths.push(path);
        }
    }
}

impl At<'_> {
    /// Adds the way to `path`, segment by segment, up to the first that does not fit. Whether all
    /// did.
    fn spell(&self, path: &mut String) -> bool {
        let push = |path: &mut String, name: &str| {
            let around = path.len();
            // A name that can't fit is not copied first.
            if around + 1 + name.len() > PATH_BYTES_MAX {
                return false;
            }
            push_segment(path, name);
            let fits = path.len() <= PATH_BYTES_MAX;
            if !fits {
                path.truncate(around);
            }
            fits
        };
        match self {
            Self::Document => true,
            Self::Member(above, name) => above.spell(path) && push(path, name),
            Self::Element(above, index) => above.spell(path) && push(path, &index.to_string()),
        }
    }
}
