//! One pass over the parser's events that builds the value and refuses what is ambiguous.

use std::fmt;

use serde::de::{DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde_json::map::Entry;
use serde_json::{Map, Number, Value};

use super::{DEPTH_MAX, PatchError, malformed};
use crate::base::excerpt::excerpt;
use crate::base::work;

/// The most characters of one key that a refusal shows.
const KEY_CHARS_MAX: usize = 64;

/// The most characters of a whole path that a refusal shows.
const PATH_CHARS_MAX: usize = 256;

/// The longest name of a member that a client may send, in bytes.
const NAME_BYTES_MAX: usize = 1_024;

/// Which keys are taken.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Keys {
    /// Any text.
    Any,
    /// Text of bounded length without control characters.
    Sane,
}

/// Reads one value and remembers why it was refused, since the parser's own error can't carry it.
pub(super) struct Reader {
    depth_max: usize,
    values_max: usize,
    /// How many values have been met: each takes memory, however few bytes it is written in.
    values: usize,
    keys: Keys,
    refusal: Option<Refusal>,
}

struct Refusal {
    reason: Reason,
    /// Keys and indices from the offending place outwards: filled while the error travels out,
    /// so that a body without fault pays nothing for it.
    steps: Vec<String>,
}

#[derive(Clone, Copy)]
enum Reason {
    Twice,
    Control,
    Deep,
    Number,
    Values,
    LongName,
}

/// The place of a value that is still to be read.
struct ValueSeed<'r> {
    reader: &'r mut Reader,
    /// How many arrays and objects are around it.
    depth: usize,
}

impl Reader {
    pub(super) fn new(depth_max: usize, values_max: usize, keys: Keys) -> Self {
        Self { depth_max: depth_max.min(DEPTH_MAX), values_max, values: 0, keys, refusal: None }
    }

    pub(super) fn read<'de, R: serde_json::de::Read<'de>>(
        &mut self,
        json: &mut serde_json::Deserializer<R>,
    ) -> Result<Value, PatchError> {
        let read = ValueSeed { reader: self, depth: 0 }.deserialize(json);
        read.map_err(|error| match &self.refusal {
            Some(refusal) => refusal.explain(self.depth_max, self.values_max),
            None => malformed(&error),
        })
    }

    fn refuse<E: serde::de::Error>(&mut self, reason: Reason) -> E {
        self.refusal = Some(Refusal { reason, steps: Vec::new() });
        E::custom("refused")
    }

    fn refuse_at<E: serde::de::Error>(&mut self, reason: Reason, key: &str) -> E {
        let error = self.refuse(reason);
        self.outwards(key);
        error
    }

    fn outwards(&mut self, step: &str) {
        if let Some(refusal) = &mut self.refusal {
            refusal.steps.push(excerpt(step, KEY_CHARS_MAX));
        }
    }
}

impl ValueSeed<'_> {
    fn enter<E: serde::de::Error>(&mut self) -> Result<(), E> {
        if self.depth >= self.reader.depth_max {
            return Err(self.reader.refuse(Reason::Deep));
        }
        self.depth += 1;
        Ok(())
    }

    fn inner(&mut self) -> ValueSeed<'_> {
        ValueSeed { reader: self.reader, depth: self.depth }
    }
}

impl<'de> DeserializeSeed<'de> for ValueSeed<'_> {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, json: D) -> Result<Value, D::Error> {
        if self.reader.values >= self.reader.values_max {
            return Err(self.reader.refuse(Reason::Values));
        }
        self.reader.values += 1;
        work::count(1);
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ValueSeed<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        let number = Number::from_f64(value);
        number.map(Value::Number).ok_or_else(|| self.reader.refuse(Reason::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut elements: A) -> Result<Value, A::Error> {
        self.enter()?;
        let mut array = Vec::new();
        loop {
            match elements.next_element_seed(self.inner()) {
                Ok(Some(value)) => array.push(value),
                Ok(None) => return Ok(array.into()),
                Err(error) => {
                    self.reader.outwards(&array.len().to_string());
                    return Err(error);
                }
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut members: A) -> Result<Value, A::Error> {
        self.enter()?;
        let mut object = Map::new();
        while let Some(key) = members.next_key::<String>()? {
            if self.reader.keys == Keys::Sane {
                if key.len() > NAME_BYTES_MAX {
                    return Err(self.reader.refuse_at(Reason::LongName, &key));
                }
                if key.chars().any(char::is_control) {
                    return Err(self.reader.refuse_at(Reason::Control, &key));
                }
            }
            match object.entry(key) {
                Entry::Occupied(first) => {
                    return Err(self.reader.refuse_at(Reason::Twice, first.key()));
                }
                Entry::Vacant(place) => match members.next_value_seed(self.inner()) {
                    Ok(value) => _ = place.insert(value),
                    Err(error) => {
                        self.reader.outwards(place.key());
                        return Err(error);
                    }
                },
            }
        }
        Ok(object.into())
    }
}

impl Refusal {
    fn explain(&self, depth_max: usize, values_max: usize) -> PatchError {
        let path = self.steps.iter().rev().map(String::as_str).collect::<Vec<_>>().join(".");
        let path = excerpt(&path, PATH_CHARS_MAX);
        let message = match self.reason {
            Reason::Twice => format!("`{path}` is given twice in one object: keep one of them"),
            Reason::Control => format!("the key `{path}` holds a control character: remove it"),
            Reason::Deep => {
                format!("`{path}` is nested deeper than {depth_max} levels: flatten it")
            }
            Reason::Values => {
                let message = format!(
                    "the body holds more than {values_max} values, nested ones included: send fewer"
                );
                return PatchError::whole(message);
            }
            Reason::LongName => {
                format!("the name `{path}` has more than {NAME_BYTES_MAX} bytes: shorten it")
            }
            Reason::Number => {
                format!("`{path}` is not a finite number: send one that a double holds")
            }
        };
        PatchError { message, param: (!path.is_empty()).then_some(path) }
    }
}
