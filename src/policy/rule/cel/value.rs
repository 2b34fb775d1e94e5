//! JSON as CEL sees it: borrowed, and turned into values level by level where a rule looks.
//!
//! Integers are `int` (`uint` beyond it, `double` beyond both). In a deployment, a member that its
//! provider's table knows and that is absent stands there as the provider shows it: null, or an
//! empty list or object. A patch is seen as it was sent.

mod access;

use std::cmp::Ordering;
use std::fmt;
use std::ptr;
use std::sync::{Arc, OnceLock};

use cel::ExecutionError;
use cel::common::traits::{Adder, Container, Indexer, Iterable, Sizer, Zeroer};
use cel::common::types::{
    CelBool, CelDouble, CelInt, CelNull, CelString, CelUInt, Kind, LIST_TYPE, MAP_TYPE, Type,
};
use cel::common::value::Val;
use serde_json::Value;

use super::equal;
use super::given::mismatch;
use super::meter;
use crate::provider::shape::{Member, Shape};

/// The type of objects of a deployment: as any map's, and known by its address.
static SHOWN: Type = MAP_TYPE;

/// The type of objects of a patch.
static SENT: Type = MAP_TYPE;

/// The type of lists of JSON.
static LIST: Type = LIST_TYPE;

/// A value on its way from JSON to CEL.
struct Node<'v> {
    source: Source<'v>,
    made: OnceLock<Made<'v>>,
}

/// Where a value comes from.
#[derive(Clone, Copy)]
enum Source<'v> {
    /// JSON, of this shape.
    Json(&'v Value, &'static Shape),
    /// A member that is absent, of this shape.
    Absent(&'static Shape),
}

/// A value as CEL takes it.
enum Made<'v> {
    Null(CelNull),
    Flag(CelBool),
    Int(CelInt),
    Unsigned(CelUInt),
    Double(CelDouble),
    Text(CelString<'v>),
    List(JsonList<'v>),
    Object(JsonObject<'v>),
}

/// A JSON list. Its copies share their elements.
#[derive(Clone)]
pub(super) struct JsonList<'v>(Arc<[Node<'v>]>);

/// A JSON object, or a deployment's members. Its copies share their entries.
#[derive(Clone)]
pub(super) struct JsonObject<'v> {
    /// Sorted by key.
    entries: Arc<[(CelString<'v>, Node<'v>)]>,
    is_sent: bool,
}

impl<'v> Node<'v> {
    fn new(source: Source<'v>) -> Self {
        Self { source, made: OnceLock::new() }
    }

    fn val(&self, is_sent: bool) -> &(dyn Val + 'v) {
        match self.made.get_or_init(|| self.source.make(is_sent)) {
            Made::Null(value) => value,
            Made::Flag(value) => value,
            Made::Int(value) => value,
            Made::Unsigned(value) => value,
            Made::Double(value) => value,
            Made::Text(value) => {
                meter::look_at_text(value.inner());
                value
            }
            Made::List(value) => value,
            Made::Object(value) => {
                value.look_at_names();
                value
            }
        }
    }
}

impl<'v> Source<'v> {
    fn make(self, is_sent: bool) -> Made<'v> {
        match self {
            Self::Json(Value::Bool(flag), _) => Made::Flag(CelBool::from(*flag)),
            Self::Json(Value::Number(number), _) => made_number(number),
            Self::Json(Value::String(text), _) => Made::Text(CelString::from(text.as_str())),
            Self::Json(Value::Array(items), shape) => Made::List(JsonList::of(items, shape)),
            Self::Json(Value::Object(members), shape) => {
                let members = members.iter().map(|(name, value)| (name.as_str(), value));
                Made::Object(JsonObject::of(members, shape, is_sent))
            }
            Self::Absent(Shape::List(_)) => Made::List(JsonList(Arc::new([]))),
            Self::Absent(Shape::Keyed { .. }) => {
                Made::Object(JsonObject { entries: Arc::new([]), is_sent })
            }
            Self::Json(Value::Null, _) | Self::Absent(_) => Made::Null(CelNull),
        }
    }
}

fn made_number(number: &serde_json::Number) -> Made<'_> {
    let read = number.is_f64().then(|| read_back(number)).flatten();
    let number = read.as_ref().unwrap_or(number);
    if let Some(int) = number.as_i64() {
        Made::Int(CelInt::from(int))
    } else if let Some(unsigned) = number.as_u64() {
        Made::Unsigned(CelUInt::from(unsigned))
    } else {
        Made::Double(CelDouble::from(number.as_f64().unwrap_or(f64::NAN)))
    }
}

/// A double as it is read back from the log, which writes one without a fraction as an integer:
/// the same change must be judged alike by its record.
fn read_back(number: &serde_json::Number) -> Option<serde_json::Number> {
    let double = number.as_f64().filter(|double| double.fract() == 0.0)?;
    let digits = format!("{double:.0}");
    let int = digits.parse::<i64>().map(serde_json::Number::from);
    int.or_else(|_too_large| digits.parse::<u64>().map(serde_json::Number::from)).ok()
}

impl<'v> JsonList<'v> {
    fn of(items: &'v [Value], shape: &'static Shape) -> Self {
        let element = shape.element();
        Self(items.iter().map(|item| Node::new(Source::Json(item, element))).collect())
    }

    fn at(&self, index: &dyn Val) -> Result<&Node<'v>, ExecutionError> {
        let position = if let Some(index) = index.downcast_ref::<CelInt>() {
            usize::try_from(*index.inner()).ok()
        } else if let Some(index) = index.downcast_ref::<CelUInt>() {
            usize::try_from(*index.inner()).ok()
        } else {
            return Err(mismatch("_[_]"));
        };
        position
            .and_then(|position| self.0.get(position))
            .ok_or_else(|| ExecutionError::function_error("_[_]", "no element has that index"))
    }
}

impl<'v> JsonObject<'v> {
    /// The members of a deployment, with those that `fields` knows beside.
    pub(super) fn shown(
        members: impl Iterator<Item = (&'v str, &'v Value)>,
        shape: &'static Shape,
    ) -> Self {
        Self::of(members, shape, false)
    }

    /// The members of a patch, as it was sent.
    pub(super) fn sent(members: &'v serde_json::Map<String, Value>) -> Self {
        let members = members.iter().map(|(name, value)| (name.as_str(), value));
        Self::of(members, &Shape::Any, true)
    }

    fn of(
        members: impl Iterator<Item = (&'v str, &'v Value)>,
        shape: &'static Shape,
        is_sent: bool,
    ) -> Self {
        let mut entries: Vec<(CelString<'v>, Node<'v>)> = members
            .map(|(name, value)| {
                (CelString::from(name), Node::new(Source::Json(value, shape.member(name))))
            })
            .collect();
        if let Shape::Members(known) = shape {
            let is_absent = |member: &&Member| {
                let is = |(name, _): &(CelString<'_>, _)| name.inner() == member.name;
                member.is_shown_empty() && !entries.iter().any(is)
            };
            let absent: Vec<_> = known.iter().filter(is_absent).collect();
            let node = |member: &&'static Member| {
                (CelString::from(member.name), Node::new(Source::Absent(&member.shape)))
            };
            entries.extend(absent.iter().map(node));
        }
        entries.sort_unstable_by(|(one, _), (other, _)| one.inner().cmp(other.inner()));
        Self { entries: entries.into(), is_sent }
    }

    /// An object of texts, some of them absent; sorted by name.
    pub(super) fn texts<const N: usize>(texts: [(&'static str, Option<CelString<'v>>); N]) -> Self {
        let entry = |(name, text): (&'static str, Option<CelString<'v>>)| {
            let made = text.map_or(Made::Null(CelNull), Made::Text);
            let node = Node { source: Source::Absent(&Shape::Any), made: OnceLock::from(made) };
            (CelString::from(name), node)
        };
        Self { entries: texts.into_iter().map(entry).collect(), is_sent: false }
    }

    /// Notes that the names of its members are looked at.
    pub(super) fn look_at_names(&self) {
        meter::look_at_names(self.entries.iter().map(|(name, _)| name.inner()));
    }

    fn find(&self, key: &str) -> Option<&Node<'v>> {
        let compare = |(name, _): &(CelString<'v>, _)| -> Ordering { name.inner().cmp(key) };
        let at = self.entries.binary_search_by(compare).ok()?;
        self.entries.get(at).map(|(_, node)| node)
    }
}

/// A list of some values.
pub(super) fn list_of(items: Vec<&Value>) -> JsonList<'_> {
    let node = |item| Node::new(Source::Json(item, &Shape::Any));
    JsonList(items.into_iter().map(node).collect())
}

/// Whether a value is an object of a deployment, in which null is absent.
pub(super) fn is_shown(value: &dyn Val) -> bool {
    ptr::eq(value.get_type(), &raw const SHOWN)
}

impl fmt::Debug for JsonList<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of {}", self.0.len())
    }
}

impl fmt::Debug for JsonObject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object of {}", self.entries.len())
    }
}

impl Val for JsonList<'_> {
    fn get_type(&self) -> &Type {
        &LIST
    }

    fn cel_type() -> &'static Type {
        &LIST
    }

    fn as_adder<'b, 'w>(&'b self) -> Option<&'b (dyn Adder + 'w)>
    where
        Self: 'w,
    {
        Some(self)
    }

    fn as_container(&self) -> Option<&dyn Container> {
        Some(self)
    }

    fn as_indexer<'b, 'w>(&'b self) -> Option<&'b (dyn Indexer + 'w)>
    where
        Self: 'w,
    {
        Some(self)
    }

    fn as_iterable<'b, 'w>(&'b self) -> Option<&'b (dyn Iterable + 'w)>
    where
        Self: 'w,
    {
        Some(self)
    }

    fn as_sizer(&self) -> Option<&dyn Sizer> {
        Some(self)
    }

    fn as_zeroer(&self) -> Option<&dyn Zeroer> {
        Some(self)
    }

    fn equals(&self, other: &dyn Val) -> bool {
        // An overrun on the way is remembered by the meter.
        other.get_type().kind() == Kind::List && equal::equal(self, other).unwrap_or(false)
    }

    fn clone_as_boxed<'w>(&self) -> Box<dyn Val + 'w>
    where
        Self: 'w,
    {
        Box::new(self.clone())
    }
}

impl Val for JsonObject<'_> {
    fn get_type(&self) -> &Type {
        if self.is_sent { &SENT } else { &SHOWN }
    }

    fn cel_type() -> &'static Type {
        &SHOWN
    }

    fn as_container(&self) -> Option<&dyn Container> {
        Some(self)
    }

    fn as_indexer<'b, 'w>(&'b self) -> Option<&'b (dyn Indexer + 'w)>
    where
        Self: 'w,
    {
        Some(self)
    }

    fn as_iterable<'b, 'w>(&'b self) -> Option<&'b (dyn Iterable + 'w)>
    where
        Self: 'w,
    {
        Some(self)
    }

    fn as_sizer(&self) -> Option<&dyn Sizer> {
        Some(self)
    }

    fn as_zeroer(&self) -> Option<&dyn Zeroer> {
        Some(self)
    }

    fn equals(&self, other: &dyn Val) -> bool {
        other.get_type().kind() == Kind::Map && equal::equal(self, other).unwrap_or(false)
    }

    fn clone_as_boxed<'w>(&self) -> Box<dyn Val + 'w>
    where
        Self: 'w,
    {
        Box::new(self.clone())
    }
}
