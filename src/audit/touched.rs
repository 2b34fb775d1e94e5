//! Where a change has changed its deployment, or was asked to, so arranged that a place is found by
//! its name alone.

use std::borrow::Cow;
use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};

use crate::deployment::diff::ChangedPlace;

/// The most segments of a place that is told from those around it. What lies deeper is told as the
/// place at this depth, anything below which may have changed.
const DEPTH_MAX: usize = 8;

/// A place at or below which a deployment has changed, or was asked to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Touched {
    /// JSON Pointer (RFC 6901).
    pub(super) path: String,
    /// How it was touched.
    pub(super) touch: Touch,
    /// Whether that is so of anything below it, not only of what has a row of its own.
    pub(super) is_whole: bool,
}

/// The way in which a place was touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Touch {
    /// A change of it was asked for, and came about.
    AskedAndChanged,
    /// It changed, which was not asked.
    Changed,
    /// A change of it was asked for, and did not come about.
    Asked,
}

impl Touch {
    /// All that say that a place changed.
    pub(super) const CHANGED: [Self; 2] = [Self::AskedAndChanged, Self::Changed];

    /// All that say that a change of it was asked for.
    pub(super) const ASKED: [Self; 2] = [Self::AskedAndChanged, Self::Asked];

    /// The number that the log has for it.
    pub(super) fn kind(self, is_whole: bool) -> i64 {
        let kind = match self {
            Self::AskedAndChanged => 0,
            Self::Changed => 2,
            Self::Asked => 4,
        };
        kind + i64::from(is_whole)
    }
}

/// The places that a change touched, by a digest that is recorded with its end: as often as there
/// are rows, in the order of their paths and kinds, the SHA-256 of the one before (32 zero bytes at
/// first), the kind as one byte, and the path. Of the last one the first half is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct TouchedDigest(Option<[u8; 32]>);

impl TouchedDigest {
    /// The digest of rows in their order.
    pub(super) fn of(touched: &[Touched]) -> Self {
        let mut digest = Self::default();
        for Touched { path, touch, is_whole } in touched {
            digest.add(path, touch.kind(*is_whole));
        }
        digest
    }

    /// Adds the next row.
    pub(super) fn add(&mut self, path: &str, kind: i64) {
        let mut next = Sha256::new();
        next.update(self.0.unwrap_or_default());
        // Kinds are small numbers.
        next.update([u8::try_from(kind).unwrap_or(u8::MAX)]);
        next.update(path);
        self.0 = Some(next.finalize().into());
    }

    /// The part that is recorded; `None` of no rows.
    pub(super) fn half(&self) -> Option<[u8; 16]> {
        self.0.and_then(|digest| digest.first_chunk().copied())
    }
}

/// The touched places and those around them, sorted. `asked` is `None` where they are those that
/// changed.
pub(super) fn touched(changed: &[ChangedPlace], asked: Option<&[ChangedPlace]>) -> Vec<Touched> {
    let changed = with_around(changed);
    let Some(asked) = asked.map(with_around) else {
        let touch = Touch::AskedAndChanged;
        let touched = |(path, is_whole): (Cow<'_, str>, bool)| (path.into_owned(), is_whole);
        let all = changed.into_iter().map(touched);
        return all.map(|(path, is_whole)| Touched { path, touch, is_whole }).collect();
    };
    let mut all: BTreeMap<Cow<'_, str>, (Option<bool>, Option<bool>)> = BTreeMap::new();
    for (path, is_whole) in changed {
        all.entry(path).or_default().0 = Some(is_whole);
    }
    for (path, is_whole) in asked {
        all.entry(path).or_default().1 = Some(is_whole);
    }
    let mut touched = Vec::new();
    for (path, (changed, asked)) in all {
        let mut add = |touch, is_whole: Option<bool>| {
            let path = path.clone().into_owned();
            touched.extend(is_whole.map(|is_whole| Touched { path, touch, is_whole }));
        };
        if changed == asked {
            add(Touch::AskedAndChanged, changed);
        } else {
            add(Touch::Changed, changed);
            add(Touch::Asked, asked);
        }
    }
    touched
}

/// The places and those around them, each once, and whether it is one of a whole.
fn with_around(places: &[ChangedPlace]) -> BTreeMap<Cow<'_, str>, bool> {
    let mut all: BTreeMap<Cow<'_, str>, bool> = BTreeMap::new();
    for ChangedPlace { path, is_whole } in places {
        let shown = cut(path);
        for around in around(shown).filter(|around| !around.is_empty()) {
            all.entry(storable(around)).or_default();
        }
        *all.entry(storable(shown)).or_default() |= *is_whole || shown.len() < path.len();
    }
    all
}

/// A path as every kind of store takes it: U+0000, which some don't, as U+FFFD.
pub(super) fn storable(path: &str) -> Cow<'_, str> {
    if path.contains('\0') { path.replace('\0', "\u{fffd}").into() } else { path.into() }
}

/// The part of a path that rows tell.
pub(super) fn cut(path: &str) -> &str {
    let end = path.match_indices('/').nth(DEPTH_MAX).map_or(path.len(), |(end, _)| end);
    path.get(..end).unwrap_or(path)
}

/// The places around one, the document among them.
pub(super) fn around(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').filter_map(|(end, _)| path.get(..end))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(places: &[(&str, bool)]) -> Vec<(String, bool)> {
        let place = |(path, is_whole): &(&str, bool)| ChangedPlace {
            path: (*path).to_owned(),
            is_whole: *is_whole,
        };
        let touched = touched(&places.iter().map(place).collect::<Vec<_>>(), None);
        touched.into_iter().map(|touched| (touched.path, touched.is_whole)).collect()
    }

    fn expected(places: &[(&str, bool)]) -> Vec<(String, bool)> {
        places.iter().map(|(path, is_whole)| ((*path).to_owned(), *is_whole)).collect()
    }

    #[test]
    fn a_place_is_told_with_those_around_it_each_once() {
        assert_eq!(
            told(&[("/metadata/a/b", false), ("/metadata/c", true), ("/name", false)]),
            expected(&[
                ("/metadata", false),
                ("/metadata/a", false),
                ("/metadata/a/b", false),
                ("/metadata/c", true),
                ("/name", false),
            ])
        );
        assert_eq!(told(&[("", true)]), expected(&[("", true)]));
        assert_eq!(told(&[]), expected(&[]));
    }

    #[test]
    fn the_digest_is_of_all_rows_in_their_order() {
        let place = |path: &str, is_whole| ChangedPlace { path: path.to_owned(), is_whole };
        let rows = touched(&[place("/a", false), place("/b", true)], None);
        let first = Sha256::digest([&[0; 32][..], &[0], b"/a"].concat());
        let last: [u8; 32] = Sha256::digest([&first[..], &[1], b"/b"].concat()).into();
        assert_eq!(TouchedDigest::of(&rows).half().as_ref(), last.first_chunk());
        let nul = touched(&[place("/a\0", false), place("/a\u{fffd}", true)], None);
        assert_eq!(nul, touched(&[place("/a\u{fffd}", true)], None));
        let others = [&rows[..1], &rows[1..], &[rows[1].clone(), rows[0].clone()]];
        for other in others {
            assert_ne!(TouchedDigest::of(other), TouchedDigest::of(&rows));
        }
        assert_eq!(TouchedDigest::of(&[]).half(), None);
    }

    #[test]
    fn what_was_asked_is_told_from_what_changed() {
        let place = |path: &str, is_whole| ChangedPlace { path: path.to_owned(), is_whole };
        let changed = [place("/a/b", false), place("/c", true), place("/d", false)];
        let asked = [place("/a/b", false), place("/c", false), place("/e/f", true)];
        let found = touched(&changed, Some(&asked)).into_iter();
        let found: Vec<_> = found.map(|t| (t.path, t.touch.kind(t.is_whole))).collect();
        let expected =
            [("/a", 0), ("/a/b", 0), ("/c", 3), ("/c", 4), ("/d", 2), ("/e", 4), ("/e/f", 5)];
        assert_eq!(found, expected.map(|(path, kind)| (path.to_owned(), kind)));
        assert_eq!(touched(&[], Some(&[])), []);
    }

    #[test]
    fn what_lies_deep_is_told_as_a_whole_around_it() {
        let told = told(&[("/1/2/3/4/5/6/7/8/9/10", false), ("/1/2/3/4/5/6/7/8", false)]);
        assert_eq!(told.len(), 8);
        assert_eq!(told.last(), Some(&("/1/2/3/4/5/6/7/8".to_owned(), true)));
        assert_eq!(cut("/1/2/3/4/5/6/7/8/9"), "/1/2/3/4/5/6/7/8");
        assert_eq!(cut("/a"), "/a");
        assert_eq!(around("/a/b").collect::<Vec<_>>(), ["", "/a"]);
    }
}
