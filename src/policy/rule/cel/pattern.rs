//! Regular expressions of `matches`: compiled when the policy is loaded, and matched in linear
//! time.

use std::any::Any;

use cel::common::types::Type;
use cel::common::value::{StaticVal, Val};
use regex_lite::{Regex, RegexBuilder};

use super::meter;

/// The longest pattern, in bytes.
const PATTERN_BYTES_MAX: usize = 512;

/// The sizes of compiled patterns that are told apart: the larger, the more each byte costs.
const SIZES: [usize; 7] = [1 << 10, 2 << 10, 4 << 10, 8 << 10, 16 << 10, 32 << 10, 64 << 10];

/// Bytes of text that the smallest pattern is matched against for one step.
const BYTES_PER_STEP: usize = 64;

static TYPE: Type = Type::new_unspecified_type("pattern");

/// A pattern that was compiled.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    regex: Regex,
    /// How many times the smallest size it has.
    weight: usize,
}

impl Pattern {
    /// Compiles a pattern; else says what is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text.len() > PATTERN_BYTES_MAX {
            return Err(format!(
                "the pattern is longer than {PATTERN_BYTES_MAX} bytes: split it into several"
            ));
        }
        let mut refused = String::new();
        for size in SIZES {
            match RegexBuilder::new(text).size_limit(size).build() {
                Ok(regex) => return Ok(Self { regex, weight: size / SIZES[0] }),
                Err(error) => refused = error.to_string(),
            }
        }
        let refused: String = refused.chars().filter(|c| !c.is_control()).take(160).collect();
        Err(format!("the pattern is not a regular expression that can be used ({refused}): fix it"))
    }

    /// Whether it matches anywhere in a text.
    pub(super) fn matches(&self, text: &str) -> Result<bool, cel::ExecutionError> {
        meter::visit(1 + text.len().saturating_mul(self.weight) / BYTES_PER_STEP)?;
        Ok(self.regex.is_match(text))
    }
}

impl Val for Pattern {
    fn get_type(&self) -> &Type {
        &TYPE
    }

    fn cel_type() -> &'static Type {
        &TYPE
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v> {
        Box::new(self.clone())
    }

    fn as_any(&self) -> Option<&dyn Any> {
        Some(self)
    }
}

impl StaticVal for Pattern {}
