//! One walk over two documents side by side. Places are links from a value to the one around it,
//! and are spelt out only where somebody keeps them.

use std::cmp::Ordering;

use serde_json::Value;

use super::same;
use crate::base::pointer::{push_segment, segment_of};
use crate::base::work;
use crate::deployment::Object;

/// A place inside a document.
#[derive(Debug)]
pub(super) struct Location<'p> {
    around: Option<(&'p Location<'p>, Key<'p>)>,
    /// How many keys lead to it.
    pub(super) depth: usize,
    /// How long its JSON Pointer is.
    pub(super) bytes: usize,
    /// Whether it lies at or below one of the pointers that the walk began with.
    pub(super) is_marked: bool,
    /// The rests of those pointers that lead on from here.
    marks: Vec<&'p str>,
}

/// The last key that leads to a place.
#[derive(Clone, Copy, Debug)]
enum Key<'p> {
    Name(&'p str),
    Index(usize),
}

/// The actions at the places of a walk.
pub(super) trait Visit<'v> {
    /// The value that goes along with each place.
    type Beside: Copy;

    /// Whether what appears or vanishes whole is looked into, down to its leaves.
    const LEAVES: bool = false;

    /// Whether members of the document that are null, empty or marked through and through count as
    /// absent.
    const BLANKS_ARE_ABSENT: bool = false;

    /// Goes into a place; `false` where nothing there is of interest.
    fn enter(&mut self, _place: &Location<'_>) -> bool {
        true
    }

    /// Goes from a value that `former` holds to the one at `inner`.
    fn beside(
        &self,
        beside: Self::Beside,
        former: Option<&'v Value>,
        inner: &Location<'_>,
    ) -> Self::Beside;

    /// Notes a place where the two differ. Returns whether that is left to a place around it.
    fn differ(
        &mut self,
        place: &Location<'_>,
        from: Option<&'v Value>,
        to: Option<&'v Value>,
        beside: Self::Beside,
    ) -> bool;

    /// Leaves a place inside which something was `left` to the places around. Returns whether it
    /// still is.
    fn leave(
        &mut self,
        _place: &Location<'_>,
        _from: Option<&'v Value>,
        _to: Option<&'v Value>,
        left: bool,
    ) -> bool {
        left
    }
}

impl<'p> Location<'p> {
    /// The document itself, with `marks` on the places that JSON Pointers name.
    pub(super) fn root(marks: impl Iterator<Item = &'p str>) -> Self {
        let marks = marks.filter_map(|pointer| pointer.strip_prefix('/')).collect();
        Self { around: None, depth: 0, bytes: 0, is_marked: false, marks }
    }

    /// The same place, through which no mark can be found again.
    pub(super) fn member(&'p self, name: &'p str) -> Self {
        let mut is_marked = self.is_marked;
        let mut marks = Vec::new();
        let segment = segment_of(name);
        for mark in &self.marks {
            // Nearly all of them lead elsewhere from their first letter on.
            match mark.strip_prefix(&*segment) {
                Some("") => is_marked = true,
                Some(rest) => marks.extend(rest.strip_prefix('/')),
                None => {}
            }
        }
        work::count(1 + self.marks.len());
        let escapes = segment.len() - name.len();
        Self {
            around: Some((self, Key::Name(name))),
            depth: self.depth + 1,
            bytes: self.bytes + 1 + name.len() + escapes,
            is_marked,
            marks,
        }
    }

    fn element(&'p self, index: usize) -> Self {
        work::count(1);
        let digits = index.checked_ilog10().unwrap_or(0) as usize + 1;
        Self {
            around: Some((self, Key::Index(index))),
            depth: self.depth + 1,
            bytes: self.bytes + 1 + digits,
            is_marked: self.is_marked,
            marks: Vec::new(),
        }
    }

    /// Its JSON Pointer.
    pub(super) fn pointer(&self) -> String {
        work::count(self.bytes);
        let mut pointer = String::with_capacity(self.bytes);
        self.spell(&mut pointer);
        pointer
    }

    fn spell(&self, pointer: &mut String) {
        let Some((around, key)) = self.around else { return };
        around.spell(pointer);
        match key {
            Key::Name(name) => push_segment(pointer, name),
            Key::Index(index) => push_segment(pointer, &index.to_string()),
        }
    }

    /// The name of the member that it is, where it is one.
    pub(super) fn name(&self) -> Option<&'p str> {
        match self.around {
            Some((_, Key::Name(name))) => Some(name),
            _ => None,
        }
    }

    /// The value that an object has at this place.
    pub(super) fn find<'v>(&self, document: &'v Object) -> Option<&'v Value> {
        let (around, key) = self.around?;
        if let (0, Key::Name(name)) = (around.depth, key) {
            return document.get(name);
        }
        key.of(around.find(document)?)
    }

    /// The value here inside `value`, which stands around this place.
    pub(super) fn inside<'v>(&self, value: &'v Value) -> Option<&'v Value> {
        self.around.and_then(|(_, key)| key.of(value))
    }

    /// The value, unless it is null, empty or marked through and through.
    pub(super) fn unless_blank<'v>(&self, value: Option<&'v Value>) -> Option<&'v Value> {
        value.filter(|value| match value {
            Value::Null => false,
            Value::Array(elements) => !elements.is_empty(),
            Value::Object(members) => {
                !members.keys().all(|name| self.marks.contains(&name.as_str()))
            }
            _ => true,
        })
    }
}

impl Key<'_> {
    fn of<'v>(&self, value: &'v Value) -> Option<&'v Value> {
        match self {
            Self::Name(name) => value.get(*name),
            Self::Index(index) => value.get(*index),
        }
    }
}

/// Visits every place at or below `place` where two values differ: objects are compared member by
/// member, arrays of equal length element by element. Returns whether something is left to a place
/// around this one.
pub(super) fn walk<'v, V: Visit<'v>>(
    visit: &mut V,
    place: &Location<'_>,
    from: Option<&'v Value>,
    to: Option<&'v Value>,
    beside: V::Beside,
) -> bool {
    let (from, to) = if V::BLANKS_ARE_ABSENT && place.depth == 1 {
        (place.unless_blank(from), place.unless_blank(to))
    } else {
        (from, to)
    };
    if !visit.enter(place) {
        return false;
    }
    let inner = |visit: &V, inner: &Location<'_>| visit.beside(beside, from, inner);
    let left = match (from, to) {
        (Some(Value::Object(one)), Some(Value::Object(other))) => {
            members(visit, place, named(one), named(other), inner)
        }
        (Some(Value::Array(one)), Some(Value::Array(other))) if one.len() == other.len() => {
            elements(visit, place, one.iter().map(Some).zip(other.iter().map(Some)), inner)
        }
        (None, None) => return false,
        (Some(one), Some(other)) if same(one, other) => return false,
        _ => match V::LEAVES.then(|| appeared(from, to)).flatten() {
            Some((Value::Object(one), true)) => {
                members(visit, place, std::iter::empty(), named(one), inner)
            }
            Some((Value::Object(one), false)) => {
                members(visit, place, named(one), std::iter::empty(), inner)
            }
            Some((Value::Array(one), true)) => {
                elements(visit, place, one.iter().map(|one| (None, Some(one))), inner)
            }
            Some((Value::Array(one), false)) => {
                elements(visit, place, one.iter().map(|one| (Some(one), None)), inner)
            }
            _ => return visit.differ(place, from, to, beside),
        },
    };
    visit.leave(place, from, to, left)
}

/// The value that appeared (`true`) or vanished with others inside, where there were none before
/// or after; `None` where neither is so.
fn appeared<'v>(from: Option<&'v Value>, to: Option<&'v Value>) -> Option<(&'v Value, bool)> {
    let is_filled = |value: Option<&Value>| match value {
        Some(Value::Object(members)) => !members.is_empty(),
        Some(Value::Array(elements)) => !elements.is_empty(),
        _ => false,
    };
    match (is_filled(from), is_filled(to)) {
        (false, true) => Some((to?, true)),
        (true, false) => Some((from?, false)),
        _ => None,
    }
}

fn elements<'v, V: Visit<'v>>(
    visit: &mut V,
    place: &Location<'_>,
    pairs: impl Iterator<Item = (Option<&'v Value>, Option<&'v Value>)>,
    beside: impl Fn(&V, &Location<'_>) -> V::Beside,
) -> bool {
    let mut left = false;
    for (index, (from, to)) in pairs.enumerate() {
        let inner = place.element(index);
        let beside = beside(visit, &inner);
        left |= walk(visit, &inner, from, to, beside);
    }
    left
}

/// Visits members of two objects by name, both at once: they are sorted.
pub(super) fn members<'v, V: Visit<'v>>(
    visit: &mut V,
    place: &Location<'_>,
    from: impl Iterator<Item = (&'v str, &'v Value)>,
    to: impl Iterator<Item = (&'v str, &'v Value)>,
    beside: impl Fn(&V, &Location<'_>) -> V::Beside,
) -> bool {
    let (mut from, mut to) = (from.peekable(), to.peekable());
    let mut left = false;
    loop {
        let order = match (from.peek(), to.peek()) {
            (Some((one, _)), Some((other, _))) => one.cmp(other),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => return left,
        };
        let one = if order.is_le() { from.next() } else { None };
        let other = if order.is_ge() { to.next() } else { None };
        let Some((name, _)) = one.or(other) else { return left };
        let (one, other) = (one.map(|(_, value)| value), other.map(|(_, value)| value));
        // Most members of a document stay as they are. Deeper down nothing is compared twice.
        if place.depth == 0
            && let (Some(one), Some(other)) = (one, other)
            && same(one, other)
        {
            continue;
        }
        let inner = place.member(name);
        let beside = beside(visit, &inner);
        left |= walk(visit, &inner, one, other, beside);
    }
}

/// The members of an object with their names.
pub(super) fn named(object: &Object) -> impl Iterator<Item = (&str, &Value)> {
    object.iter().map(|(name, value)| (name.as_str(), value))
}
