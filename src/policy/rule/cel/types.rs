//! Types of expressions, as they are known before anything is evaluated.

#![expect(clippy::match_same_arms, reason = "arms are in the order in which they are tried")]

use std::fmt;

use crate::provider::shape::Shape;

/// The kind of maps, whatever they are of.
const MAP: u8 = 13;

/// The type of an expression.
#[derive(Clone, Debug)]
pub(super) enum Type {
    /// Nothing is known.
    Dyn,
    /// Any type, null too: of a parameter.
    Any,
    Null,
    Bool,
    Int,
    Uint,
    Double,
    Text,
    Bytes,
    Timestamp,
    Duration,
    /// The type of types.
    Kind,
    List(Box<Self>),
    Map(Box<Self>, Box<Self>),
    Optional(Box<Self>),
    /// An object of the API.
    Object(&'static Shape),
    /// An object of a patch, as it was sent.
    Sent(&'static Shape),
    /// It, or null.
    Nullable(Box<Self>),
    /// A parameter of a signature.
    Parameter(char),
}

impl Type {
    /// The type of values of that shape.
    pub(super) fn of(shape: &'static Shape) -> Self {
        match shape {
            Shape::Any => Self::Dyn,
            Shape::Flag => Self::Bool,
            Shape::Whole => Self::Int,
            // JSON has one kind of numbers: with a point it is a double, else an int.
            Shape::Number => Self::Dyn,
            Shape::Text => Self::Text,
            Shape::List(element) => Self::List(Box::new(Self::of(element))),
            Shape::Members(_) | Shape::Keyed { .. } => Self::Object(shape),
        }
    }

    pub(super) fn list(element: Self) -> Self {
        Self::List(Box::new(element))
    }

    pub(super) fn optional(inner: Self) -> Self {
        Self::Optional(Box::new(inner))
    }

    /// It, or null.
    pub(super) fn or_null(self) -> Self {
        match self {
            Self::Dyn | Self::Null | Self::Nullable(_) => self,
            other => Self::Nullable(Box::new(other)),
        }
    }

    /// It, null left out.
    pub(super) fn not_null(&self) -> &Self {
        match self {
            Self::Nullable(inner) => inner,
            other => other,
        }
    }

    pub(super) fn is_dyn(&self) -> bool {
        matches!(self, Self::Dyn | Self::Any | Self::Parameter(_))
    }

    /// The type of a sum with something that is not known: the same, but for moments and lengths.
    pub(super) fn and_unknown(self) -> Self {
        match self {
            Self::Timestamp | Self::Duration => Self::Dyn,
            other => other,
        }
    }

    pub(super) fn is_number(&self) -> bool {
        matches!(self, Self::Int | Self::Uint | Self::Double)
    }

    /// Whether a value of one type can be equal to one of the other.
    pub(super) fn may_equal(&self, other: &Self) -> bool {
        match (self, other) {
            (one, other) if one.is_dyn() || other.is_dyn() => true,
            (Self::Null, Self::Null) => true,
            (Self::Nullable(inner), other) | (other, Self::Nullable(inner)) => {
                matches!(other, Self::Null | Self::Nullable(_)) || inner.may_equal(other)
            }
            (Self::List(one), Self::List(other)) | (Self::Optional(one), Self::Optional(other)) => {
                one.may_equal(other)
            }
            (Self::Map(key, value), Self::Map(other_key, other_value)) => {
                key.may_equal(other_key) && value.may_equal(other_value)
            }
            (one, other) if one.kind() == MAP && other.kind() == MAP => true,
            (one, other) => one.kind() == other.kind() || one.is_number() && other.is_number(),
        }
    }

    /// The one type of values that are of either.
    pub(super) fn join(self, other: Self) -> Self {
        match (self, other) {
            // What an empty list holds.
            (Self::Parameter(_), other) | (other, Self::Parameter(_)) => other,
            (Self::Null, other) | (other, Self::Null) => other.or_null(),
            (Self::Nullable(one), other) | (other, Self::Nullable(one)) => {
                one.join(other.not_null().clone()).or_null()
            }
            (Self::List(one), Self::List(other)) => Self::list(one.join(*other)),
            (Self::Optional(one), Self::Optional(other)) => Self::optional(one.join(*other)),
            (Self::Map(key, value), Self::Map(other_key, other_value)) => {
                Self::Map(Box::new(key.join(*other_key)), Box::new(value.join(*other_value)))
            }
            (Self::Object(one), Self::Object(other)) if std::ptr::eq(one, other) => {
                Self::Object(one)
            }
            (one, other) if one.kind() == other.kind() && one.kind() != MAP => one,
            _ => Self::Dyn,
        }
    }

    /// Whether it may be given where `parameter` is asked; what the letters of a signature stand
    /// for is noted in `letters`.
    pub(super) fn fits(&self, parameter: &Self, letters: &mut Letters) -> bool {
        match (self, parameter) {
            (_, Self::Any) => true,
            (Self::Nullable(_) | Self::Null, Self::Dyn) => false,
            (_, Self::Dyn) | (Self::Dyn | Self::Any, _) => true,
            // What an empty list holds fits everywhere.
            (Self::Parameter(_), other) if !matches!(other, Self::Parameter(_)) => true,
            (given, Self::Parameter(letter)) => {
                let known = letters.of(*letter);
                let wider = match known.take() {
                    Some(known) => known.join(given.clone()),
                    None => given.clone(),
                };
                *known = Some(wider);
                true
            }
            (Self::List(given), Self::List(asked))
            | (Self::Optional(given), Self::Optional(asked)) => given.fits(asked, letters),
            (Self::Map(key, value), Self::Map(asked_key, asked_value)) => {
                key.fits(asked_key, letters) && value.fits(asked_value, letters)
            }
            (Self::Object(_) | Self::Sent(_), Self::Map(key, value)) => {
                Self::Text.fits(key, letters) && Self::Dyn.fits(value, letters)
            }
            (given, asked) => given.kind() == asked.kind(),
        }
    }

    /// The type with what the letters stand for.
    pub(super) fn with(&self, letters: &Letters) -> Self {
        match self {
            Self::Parameter(letter) => letters.known(*letter).cloned().unwrap_or(Self::Dyn),
            Self::List(element) => Self::list(element.with(letters)),
            Self::Optional(inner) => Self::optional(inner.with(letters)),
            Self::Map(key, value) => {
                Self::Map(Box::new(key.with(letters)), Box::new(value.with(letters)))
            }
            other => other.clone(),
        }
    }

    fn kind(&self) -> u8 {
        match self {
            Self::Dyn => 0,
            Self::Any => 1,
            Self::Null => 2,
            Self::Bool => 3,
            Self::Int => 4,
            Self::Uint => 5,
            Self::Double => 6,
            Self::Text => 7,
            Self::Bytes => 8,
            Self::Timestamp => 9,
            Self::Duration => 10,
            Self::Kind => 11,
            Self::List(_) => 12,
            Self::Map(..) | Self::Object(_) | Self::Sent(_) => MAP,
            Self::Optional(_) => 14,
            Self::Nullable(_) => 15,
            Self::Parameter(_) => 16,
        }
    }

    /// Reads the name of a type, as signatures write it.
    pub(super) fn parse(name: &str) -> Option<Self> {
        if let Some((outer, inner)) = name.strip_suffix(')').and_then(|name| name.split_once('(')) {
            let mut inner = Self::parse_list(inner)?.into_iter();
            let (first, second) = (inner.next()?, inner.next());
            return match (outer, second) {
                ("list", None) => Some(Self::list(first)),
                ("optional", None) => Some(Self::optional(first)),
                ("map", Some(second)) => Some(Self::Map(Box::new(first), Box::new(second))),
                _ => None,
            };
        }
        Some(match name {
            "dyn" => Self::Dyn,
            "any" => Self::Any,
            "bool" => Self::Bool,
            "int" => Self::Int,
            "uint" => Self::Uint,
            "double" => Self::Double,
            "string" => Self::Text,
            "bytes" => Self::Bytes,
            "timestamp" => Self::Timestamp,
            "duration" => Self::Duration,
            "type" => Self::Kind,
            "A" => Self::Parameter('A'),
            "B" => Self::Parameter('B'),
            _ => return None,
        })
    }

    /// Reads names with commas between them.
    pub(super) fn parse_list(names: &str) -> Option<Vec<Self>> {
        if names.is_empty() {
            return Some(Vec::new());
        }
        let mut depth = 0;
        let is_between = |letter: char| {
            depth += i32::from(letter == '(') - i32::from(letter == ')');
            letter == ',' && depth == 0
        };
        names.split(is_between).map(Self::parse).collect()
    }
}

/// What the letters of a signature stand for.
#[derive(Debug, Default)]
pub(super) struct Letters([Option<Type>; 2]);

impl Letters {
    fn of(&mut self, letter: char) -> &mut Option<Type> {
        let [a, b] = &mut self.0;
        if letter == 'A' { a } else { b }
    }

    fn known(&self, letter: char) -> Option<&Type> {
        let [a, b] = &self.0;
        if letter == 'A' { a.as_ref() } else { b.as_ref() }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dyn | Self::Any | Self::Parameter(_) => f.write_str("anything"),
            Self::Null => f.write_str("null"),
            Self::Bool => f.write_str("a bool"),
            Self::Int => f.write_str("an int"),
            Self::Uint => f.write_str("a uint"),
            Self::Double => f.write_str("a double"),
            Self::Text => f.write_str("a string"),
            Self::Bytes => f.write_str("bytes"),
            Self::Timestamp => f.write_str("a timestamp"),
            Self::Duration => f.write_str("a duration"),
            Self::Kind => f.write_str("a type"),
            Self::List(_) => f.write_str("a list"),
            Self::Map(..) => f.write_str("a map"),
            Self::Object(_) | Self::Sent(_) => f.write_str("an object"),
            Self::Optional(_) => f.write_str("an optional"),
            Self::Nullable(inner) => write!(f, "{inner} or null"),
        }
    }
}
