//! Places where two documents differ, no more and no longer than can be kept: where there are too
//! many, a place around takes the place of those inside it.

use serde_json::Value;

use super::walk::{Location, Mark, Visit, walk};
use crate::deployment::Object;

/// The longest place that is spelt, in bytes.
const PLACE_BYTES_MAX: usize = 1_024;

/// The most members of a document that are spelt whatever else is, and their bytes. Where more of
/// them differ, the document does as a whole.
const MEMBERS_MAX: usize = 1_024;
const MEMBERS_BYTES_MAX: usize = 256 << 10;

/// How many places are kept, beside the members of the document.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) places: usize,
    pub(super) bytes: usize,
}

/// A place that differs.
#[derive(Debug)]
pub(super) struct Occurrence<'v> {
    pub(super) pointer: String,
    pub(super) from: Option<&'v Value>,
    pub(super) to: Option<&'v Value>,
    /// Whether it lies at or below one of the marks, and is none of the client's doing.
    pub(super) is_marked: bool,
    /// Whether anything below it may differ.
    pub(super) is_whole: bool,
}

/// The two documents, what was asked for, and what is marked.
#[derive(Clone, Copy)]
pub(super) struct Pair<'v, 'm> {
    pub(super) from: &'v Value,
    pub(super) to: &'v Value,
    pub(super) patch: &'v Object,
    pub(super) marks: &'m [&'m str],
}

/// Every place where the documents differ, sorted. With `LEAVES` marked places are left out, and
/// what appeared or vanished whole is told by its leaves.
pub(super) fn places<'v, const LEAVES: bool>(
    pair: &Pair<'v, '_>,
    bounds: Bounds,
) -> Vec<Occurrence<'v>> {
    let mut all = Collect::<LEAVES>::new(pair.patch, bounds, None);
    pair.visit(&mut all);
    if all.is_short {
        let mut count = Count::<LEAVES> { patch: pair.patch, members: Vec::new() };
        pair.visit(&mut count);
        all = Collect::new(pair.patch, bounds, Some(count.depths(bounds)));
        pair.visit(&mut all);
    }
    all.found.sort_by(|one, other| one.pointer.cmp(&other.pointer));
    all.found
}

impl<'v> Pair<'v, '_> {
    fn visit<V: Visit<'v, Beside = ()>>(&self, visit: &mut V) {
        let root = Location::root(self.marks.iter().map(|pointer| (*pointer, Mark::Own)));
        walk(visit, &root, Some(self.from), Some(self.to), ());
    }
}

/// Whether a place is the server's own doing: marked, and not set by the patch to what came.
fn is_own(place: &Location<'_>, patch: &Object, to: Option<&Value>) -> bool {
    place.is_marked && !place.find(patch).is_some_and(|asked| sets(asked, to))
}

/// Whether what was asked is what came, in part at least.
fn sets(asked: &Value, to: Option<&Value>) -> bool {
    match (asked, to) {
        (Value::Null, None) => true,
        (Value::Object(asked), Some(Value::Object(to))) if !asked.is_empty() => {
            asked.iter().any(|(name, asked)| to.get(name).is_some_and(|to| sets(asked, Some(to))))
        }
        (asked, Some(to)) => super::same(asked, to),
        _ => false,
    }
}

/// Spells the places out.
struct Collect<'v, const LEAVES: bool> {
    patch: &'v Object,
    /// How deep each differing member of the document is told; `None` where all is tried first.
    depths: Option<std::vec::IntoIter<usize>>,
    depth_max: usize,
    left: Bounds,
    members_left: Bounds,
    /// Whether something did not fit.
    is_short: bool,
    found: Vec<Occurrence<'v>>,
}

impl<'v, const LEAVES: bool> Collect<'v, LEAVES> {
    fn new(patch: &'v Object, left: Bounds, depths: Option<Vec<usize>>) -> Self {
        let depths = depths.map(Vec::into_iter);
        let members_left = Bounds { places: MEMBERS_MAX, bytes: MEMBERS_BYTES_MAX };
        let (is_short, found) = (false, Vec::new());
        Self { patch, depths, depth_max: usize::MAX, left, members_left, is_short, found }
    }

    /// Keeps a place. Returns whether it is left to the one around it.
    fn keep(
        &mut self,
        place: &Location<'_>,
        (from, to): (Option<&'v Value>, Option<&'v Value>),
        is_whole: bool,
    ) -> bool {
        if place.depth > 0 {
            let left = if place.depth > 1 { &mut self.left } else { &mut self.members_left };
            let fits = left.places > 0 && left.bytes >= place.bytes;
            if !fits || place.depth > self.depth_max || place.bytes > PLACE_BYTES_MAX {
                self.is_short |= !fits;
                return true;
            }
            left.places -= 1;
            left.bytes -= place.bytes;
        }
        let is_marked = is_own(place, self.patch, to);
        self.found.push(Occurrence { pointer: place.pointer(), from, to, is_marked, is_whole });
        false
    }
}

impl<'v, const LEAVES: bool> Visit<'v> for Collect<'v, LEAVES> {
    type Beside = ();
    const LEAVES: bool = LEAVES;

    fn enter(&mut self, place: &Location<'_>) -> bool {
        if place.depth == 1
            && let Some(depths) = &mut self.depths
        {
            self.depth_max = depths.next().unwrap_or(1);
        }
        // The first try ends where it fails.
        self.depths.is_some() || !self.is_short
    }

    fn beside(&self, (): (), _former: Option<&'v Value>, _inner: &Location<'_>) {}

    fn differ(
        &mut self,
        place: &Location<'_>,
        from: Option<&'v Value>,
        to: Option<&'v Value>,
        (): (),
    ) -> bool {
        if LEAVES && is_own(place, self.patch, to) {
            return false;
        }
        let is_filled = |value: Option<&Value>| {
            value.is_some_and(|value| value.is_array() || value.is_object())
        };
        let is_whole = is_filled(from) || is_filled(to);
        self.keep(place, (from, to), is_whole)
    }

    fn leave(
        &mut self,
        place: &Location<'_>,
        from: Option<&'v Value>,
        to: Option<&'v Value>,
        left: bool,
    ) -> bool {
        left && self.keep(place, (from, to), true)
    }
}

/// Counts the places of each member of the document, by how deep they are told.
struct Count<'v, const LEAVES: bool> {
    patch: &'v Object,
    members: Vec<Vec<Level>>,
}

/// The places of one member to one depth.
#[derive(Clone, Copy, Debug, Default)]
struct Level {
    /// Places of that depth.
    places: usize,
    bytes: usize,
    /// Places around deeper ones.
    around: usize,
    around_bytes: usize,
}

impl<const LEAVES: bool> Count<'_, LEAVES> {
    fn level(&mut self, depth: usize) -> Option<&mut Level> {
        let levels = self.members.last_mut()?;
        if levels.len() < depth {
            levels.resize_with(depth, Level::default);
        }
        levels.get_mut(depth.checked_sub(1)?)
    }

    /// How deep each member can be told so that all fit: those of the fewest places first, and
    /// what they leave is shared by the rest.
    fn depths(&self, bounds: Bounds) -> Vec<usize> {
        let mut depths = vec![1; self.members.len()];
        let mut order: Vec<usize> = (0..self.members.len()).collect();
        let all = |levels: &[Level]| levels.iter().map(|level| level.places).sum::<usize>();
        order.sort_by_key(|number| self.members.get(*number).map_or(0, |levels| all(levels)));
        let (mut left, mut waiting) = (bounds, order.len());
        for number in order {
            let share = Bounds { places: left.places / waiting, bytes: left.bytes / waiting };
            waiting -= 1;
            let (Some(levels), Some(depth)) = (self.members.get(number), depths.get_mut(number))
            else {
                continue;
            };
            let (mut told, mut used) = (Level::default(), Level::default());
            for (level, deep) in levels.iter().zip(1..) {
                told.places += level.places;
                told.bytes += level.bytes;
                let places = told.places + level.around;
                let bytes = told.bytes + level.around_bytes;
                if places <= share.places && bytes <= share.bytes {
                    *depth = deep;
                    used = Level { places, bytes, ..Level::default() };
                }
            }
            left.places -= used.places;
            left.bytes -= used.bytes;
        }
        depths
    }
}

impl<'v, const LEAVES: bool> Visit<'v> for Count<'v, LEAVES> {
    type Beside = ();
    const LEAVES: bool = LEAVES;

    fn enter(&mut self, place: &Location<'_>) -> bool {
        if place.depth == 1 {
            self.members.push(Vec::new());
        }
        true
    }

    fn beside(&self, (): (), _former: Option<&'v Value>, _inner: &Location<'_>) {}

    fn differ(
        &mut self,
        place: &Location<'_>,
        _from: Option<&'v Value>,
        to: Option<&'v Value>,
        (): (),
    ) -> bool {
        if LEAVES && is_own(place, self.patch, to) {
            return false;
        }
        if let Some(level) = self.level(place.depth).filter(|_| place.bytes <= PLACE_BYTES_MAX) {
            level.places += 1;
            level.bytes += place.bytes;
        }
        true
    }

    fn leave(
        &mut self,
        place: &Location<'_>,
        _from: Option<&'v Value>,
        _to: Option<&'v Value>,
        left: bool,
    ) -> bool {
        if let Some(level) = self.level(place.depth).filter(|_| left) {
            level.around += 1;
            level.around_bytes += place.bytes;
        }
        left
    }
}

/// Whether what is shown differs somewhere from what was asked.
pub(super) fn differ<'v>(
    place: &Location<'_>,
    asked: Option<&'v Value>,
    shown: Option<&'v Value>,
) -> bool {
    let mut any = Any(false);
    walk(&mut any, place, asked, shown, ());
    any.0
}

/// Whether anything that is shown differs from what was asked, the server's own aside.
pub(super) struct Any(pub(super) bool);

impl<'v> Visit<'v> for Any {
    type Beside = ();
    const BLANKS_ARE_ABSENT: bool = true;

    fn enter(&mut self, place: &Location<'_>) -> bool {
        !self.0 && !place.is_marked
    }

    fn beside(&self, (): (), _former: Option<&'v Value>, _inner: &Location<'_>) {}

    fn differ(
        &mut self,
        place: &Location<'_>,
        asked: Option<&'v Value>,
        _shown: Option<&'v Value>,
        (): (),
    ) -> bool {
        self.0 |= asked.is_some() || !place.is_filled;
        false
    }
}
