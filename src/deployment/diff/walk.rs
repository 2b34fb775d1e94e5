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
    /// Whether it lies at or below a place that is marked as the server's.
    pub(super) is_marked: bool,
    /// Whether it is marked as one that the server fills in.
    pub(super) is_filled: bool,
    /// Whether it is marked as one where a text may be a list of one block.
    is_text: bool,
    /// The marks on places further down, with the rests of the pointers that lead there.
    marks: Vec<(&'p str, Mark)>,
}

/// A word on a place that is known beforehand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// The server's: it may show there what it likes.
    Own,
    /// Filled in by the server where it was left out.
    Filled,
    /// A text, or a list of one block of text that says the same.
    Text,
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

    /// Whether members of the document that are null, empty or the server's through and through
    /// count as absent.
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
    /// The document itself, with `marks` on the places that JSON Pointers name, in which `*` is
    /// any element of a list.
    pub(super) fn root(marks: impl Iterator<Item = (&'p str, Mark)>) -> Self {
        let rest = |(pointer, mark): (&'p str, Mark)| Some((pointer.strip_prefix('/')?, mark));
        let marks = marks.filter_map(rest).collect();
        let (is_marked, is_filled, is_text) = (false, false, false);
        Self { around: None, depth: 0, bytes: 0, is_marked, is_filled, is_text, marks }
    }

    /// The same place, through which no mark can be found again.
    pub(super) fn member(&'p self, name: &'p str) -> Self {
        let segment = segment_of(name);
        let escapes = segment.len() - name.len();
        self.below(Key::Name(name), &segment, name.len() + escapes)
    }

    fn element(&'p self, index: usize) -> Self {
        let digits = index.checked_ilog10().unwrap_or(0) as usize + 1;
        self.below(Key::Index(index), "*", digits)
    }

    /// The place that `key` leads to, which marks call `segment`.
    fn below(&'p self, key: Key<'p>, segment: &str, bytes: usize) -> Self {
        let mut inner = Self {
            around: Some((self, key)),
            depth: self.depth + 1,
            bytes: self.bytes + 1 + bytes,
            is_marked: self.is_marked,
            is_filled: false,
            is_text: false,
            marks: Vec::new(),
        };
        for (pointer, mark) in &self.marks {
            // Nearly all of them lead elsewhere from their first letter on.
            match (pointer.strip_prefix(segment), mark) {
                (Some(""), Mark::Own) => inner.is_marked = true,
                (Some(""), Mark::Filled) => inner.is_filled = true,
                (Some(""), Mark::Text) => inner.is_text = true,
                (Some(rest), _) => {
                    inner.marks.extend(rest.strip_prefix('/').map(|rest| (rest, *mark)));
                }
                (None, _) => {}
            }
        }
        work::count(1 + self.marks.len());
        inner
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

    /// The value, unless it is null, empty or the server's through and through.
    pub(super) fn unless_blank<'v>(&self, value: Option<&'v Value>) -> Option<&'v Value> {
        value.filter(|value| match value {
            Value::Null => false,
            Value::Array(elements) => !elements.is_empty(),
            Value::Object(members) => {
                let is_own = |name: &String| self.marks.contains(&(name.as_str(), Mark::Own));
                !members.keys().all(is_own)
            }
            Value::String(text) => !text.is_empty(),
            Value::Bool(_) | Value::Number(_) => true,
        })
    }

    /// Whether one of the two is a text here, and the other a list of one block that says it.
    fn reads_alike(&self, one: &Value, other: &Value) -> bool {
        let is_block = |text: &Value, list: &Value| match list.as_array().map(Vec::as_slice) {
            Some([Value::Object(block)]) => {
                block.len() == 2
                    && block.get("type").is_some_and(|kind| kind == "text")
                    && block.get("text") == Some(text)
            }
            _ => false,
        };
        self.is_text
            && (one.is_string() && is_block(one, other)
                || other.is_string() && is_block(other, one))
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
        (Some(one), Some(other)) if same(one, other) || place.reads_alike(one, other) => {
            return false;
        }
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
