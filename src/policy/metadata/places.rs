//! Every place inside the metadata, with the keys that lead to it.

use std::cell::OnceCell;

use serde_json::Value;

use super::letters::LETTERS_MAX;
use super::lookalike::Forms;
use crate::deployment::pointer::below;

/// One key on the way to a place.
pub(super) struct Key<'v> {
    /// As it is written.
    pub(super) text: &'v str,
    /// As it is compared.
    pub(super) forms: Forms,
    /// Whether it may spell a path.
    pub(super) is_dotted: bool,
    letters: OnceCell<Vec<Forms>>,
}

impl<'v> Key<'v> {
    pub(super) fn new(text: &'v str) -> Self {
        let forms = Forms::of(text);
        let is_dotted = forms.each().iter().any(|form| form.contains('.'));
        Self { text, forms, is_dotted, letters: OnceCell::new() }
    }

    /// Its letters as they are compared one by one, no more of them than can matter.
    pub(super) fn letters(&self) -> &[Forms] {
        self.letters.get_or_init(|| Forms::of_letters(self.text).take(LETTERS_MAX + 1).collect())
    }
}

/// A value inside the metadata.
pub(super) struct Place<'a, 'v> {
    /// The keys that lead to it; elements of arrays are not counted.
    pub(super) keys: &'a [Key<'v>],
    /// JSON Pointer below the deployment.
    pub(super) pointer: &'a str,
    /// What stands there.
    pub(super) value: &'v Value,
}

/// Visits every value under a key, at most `depth_max` keys deep, but for what lies at one of the
/// pointers in `computed`.
pub(super) fn each_place<'v>(
    pointer: &str,
    metadata: &'v Value,
    depth_max: usize,
    computed: &[&str],
    visit: &mut dyn FnMut(&Place<'_, 'v>),
) {
    descend(&mut Vec::new(), &mut pointer.to_owned(), metadata, depth_max, computed, visit);
}

fn descend<'v>(
    keys: &mut Vec<Key<'v>>,
    pointer: &mut String,
    value: &'v Value,
    depth_max: usize,
    computed: &[&str],
    visit: &mut dyn FnMut(&Place<'_, 'v>),
) {
    if keys.len() >= depth_max {
        return;
    }
    match value {
        Value::Object(members) => {
            for (text, value) in members {
                keys.push(Key::new(text));
                below(pointer, text, |pointer| {
                    if !computed.contains(&pointer.as_str()) {
                        visit(&Place { keys: keys.as_slice(), pointer, value });
                        descend(keys, pointer, value, depth_max, computed, visit);
                    }
                });
                keys.pop();
            }
        }
        Value::Array(elements) => {
            for (index, value) in elements.iter().enumerate() {
                below(pointer, &index.to_string(), |pointer| {
                    descend(keys, pointer, value, depth_max, computed, visit);
                });
            }
        }
        _ => {}
    }
}
