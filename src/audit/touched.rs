//! Where a change has changed its deployment, so arranged that a place is found by its name alone.

use std::collections::BTreeMap;

use crate::deployment::diff::ChangedPlace;

/// The most segments of a place that is told from those around it. What lies deeper is told as the
/// place at this depth, anything below which may have changed.
const DEPTH_MAX: usize = 8;

/// A place at or below which a deployment has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Touched {
    /// JSON Pointer (RFC 6901).
    pub(super) path: String,
    /// Whether anything below it may have changed, not only what has a row of its own.
    pub(super) is_whole: bool,
}

/// The changed places and those around them, each once, sorted.
pub(super) fn touched(places: &[ChangedPlace]) -> Vec<Touched> {
    let mut all: BTreeMap<&str, bool> = BTreeMap::new();
    for ChangedPlace { path, is_whole } in places {
        let shown = cut(path);
        for around in around(shown).filter(|around| !around.is_empty()) {
            all.entry(around).or_default();
        }
        *all.entry(shown).or_default() |= *is_whole || shown.len() < path.len();
    }
    let touched = |(path, is_whole): (&str, bool)| Touched { path: path.to_owned(), is_whole };
    all.into_iter().map(touched).collect()
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
        let touched = touched(&places.iter().map(place).collect::<Vec<_>>());
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
    fn what_lies_deep_is_told_as_a_whole_around_it() {
        let told = told(&[("/1/2/3/4/5/6/7/8/9/10", false), ("/1/2/3/4/5/6/7/8", false)]);
        assert_eq!(told.len(), 8);
        assert_eq!(told.last(), Some(&("/1/2/3/4/5/6/7/8".to_owned(), true)));
        assert_eq!(cut("/1/2/3/4/5/6/7/8/9"), "/1/2/3/4/5/6/7/8");
        assert_eq!(cut("/a"), "/a");
        assert_eq!(around("/a/b").collect::<Vec<_>>(), ["", "/a"]);
    }
}
