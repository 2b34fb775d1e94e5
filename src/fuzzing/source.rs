//! Values grown from bytes: any bytes give some, and a small change of the bytes a small change of
//! the values.

use serde_json::{Number, Value, json};

use crate::deployment::Object;
use crate::provider::Provider;

/// The deepest nesting that is grown.
const DEPTH_MAX: usize = 5;

/// Names that mean something somewhere in a deployment, and some that look like pointers.
const NAMES: [&str; 24] = [
    "name",
    "metadata",
    "cas_config",
    "config",
    "stats",
    "max_concurrent",
    "schedule",
    "timezone",
    "expression",
    "upcoming_runs_at",
    "agent",
    "id",
    "type",
    "version",
    "status",
    "paused_reason",
    "resources",
    "a",
    "b",
    "a/b",
    "~1",
    "*",
    "",
    "\u{e9}",
];

/// Texts that mean something, or nearly do.
const TEXTS: [&str; 10] =
    ["", "a", "b", "UTC", "Asia/Shanghai", "active", "paused", "dep_1", "\u{0}", "\u{1f600}"];

/// Bytes that are used up one by one; beyond their end there is nothing but zeros.
#[derive(Debug)]
pub(crate) struct Source<'a> {
    bytes: std::slice::Iter<'a, u8>,
}

impl<'a> Source<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes: bytes.iter() }
    }

    pub(crate) fn byte(&mut self) -> u8 {
        self.bytes.next().copied().unwrap_or(0)
    }

    /// A number below `end`, which is at most 256.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        usize::from(self.byte()) * end / 256
    }

    pub(crate) fn flip(&mut self) -> bool {
        self.byte() % 2 == 1
    }

    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        let place = self.below(from.len());
        *from.get(place).expect("a place that is there")
    }

    /// Any JSON value.
    pub(crate) fn value(&mut self) -> Value {
        self.nested(DEPTH_MAX)
    }

    /// An object as a deployment or a patch is one: many of its members are fields.
    pub(crate) fn deployment(&mut self, provider: &Provider) -> Object {
        let fields: Vec<&str> = provider.fields.iter().map(|field| field.name).collect();
        let mut found = self.members(DEPTH_MAX, &fields);
        found.extend(self.members(1, &NAMES));
        found
    }

    fn members(&mut self, depth: usize, names: &[&str]) -> Object {
        let count = self.below(7);
        (0..count).map(|_| (self.pick(names).to_owned(), self.nested(depth - 1))).collect()
    }

    fn nested(&mut self, depth: usize) -> Value {
        let kinds = if depth == 0 { 6 } else { 10 };
        match self.below(kinds) {
            0 => Value::Null,
            1 => self.flip().into(),
            2 => self.number(),
            3 => json!(self.below(4)),
            4 | 5 => self.pick(&TEXTS).into(),
            6 | 7 => {
                let count = self.below(4);
                (0..count).map(|_| self.nested(depth - 1)).collect()
            }
            _ => self.members(depth, &NAMES).into(),
        }
    }

    /// A number of any of the three kinds, near to where they meet.
    fn number(&mut self) -> Value {
        let near = self.pick(&[0_i64, 1, 1 << 53, i64::MIN, i64::MAX]);
        let number = near.wrapping_add(i64::from(self.byte()) - 128);
        match self.below(4) {
            0 => json!(number),
            1 => json!(number.cast_unsigned()),
            #[expect(clippy::cast_precision_loss, reason = "any double near there will do")]
            2 => Number::from_f64(number as f64).into(),
            _ => json!(f64::from(self.byte()) / 8.0),
        }
    }
}
