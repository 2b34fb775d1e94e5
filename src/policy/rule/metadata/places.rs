//! Every place inside the metadata, with the keys that lead to it.

use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use serde_json::Value;

use super::letters::{Chars, Item, LETTERS_MAX};
use super::lookalike::Forms;
use super::loose;
use super::written::{Texts, Written};
use crate::base::pointer::below;
use crate::base::work;

/// The most keys whose forms are remembered within one decision.
const KEYS_MAX: usize = 4_096;

/// One key on the way to a place.
#[derive(Clone)]
pub(super) struct MetadataKey<'v> {
    /// As it is written.
    pub(super) text: &'v str,
    /// As it is compared.
    pub(super) folded: Rc<Folded>,
}

/// A key as it is compared.
pub(super) struct Folded {
    pub(super) forms: Forms,
    /// Whether it may spell a path.
    pub(super) is_dotted: bool,
    /// Every character of any of its forms, and maybe more.
    pub(super) chars: Chars,
    letters: OnceCell<Vec<Item>>,
    loose: OnceCell<Vec<Item>>,
    /// The parts of a path that it spells, for stores that compare loosely.
    parts: OnceCell<Vec<Vec<Item>>>,
    text: Box<str>,
}

/// The keys of one decision, each folded once, however many readings hold it.
#[derive(Default)]
pub(in crate::policy) struct FoldedKeys {
    folded: RefCell<BTreeMap<Box<str>, Rc<Folded>>>,
    /// The texts that may hold more of them.
    pub(super) texts: Texts,
}

impl FoldedKeys {
    pub(super) fn key<'v>(&self, text: &'v str) -> MetadataKey<'v> {
        let mut known = self.folded.borrow_mut();
        if let Some(folded) = known.get(text) {
            return MetadataKey { text, folded: Rc::clone(folded) };
        }
        let folded = Rc::new(Folded::of(text));
        if known.len() < KEYS_MAX {
            known.insert(text.into(), Rc::clone(&folded));
        }
        MetadataKey { text, folded }
    }
}

impl Folded {
    fn of(text: &str) -> Self {
        let forms = Forms::of(text);
        let is_dotted = forms.each().iter().any(|form| form.contains('.'));
        let mut chars = Chars::default();
        forms.each().iter().for_each(|form| chars.add(form));
        let mut folded = Self {
            forms,
            is_dotted,
            chars,
            letters: OnceCell::new(),
            loose: OnceCell::new(),
            parts: OnceCell::new(),
            text: text.into(),
        };
        // The characters of ASCII keys are the same one by one.
        if text.is_ascii() {
            return folded;
        }
        for item in folded.letters().iter().chain(folded.loose()) {
            if let Item::Letter(forms) = item {
                forms.each().iter().for_each(|form| chars.add(form));
            }
        }
        folded.chars = chars;
        folded
    }

    /// Its letters as they are compared one by one, no more of them than can matter.
    pub(super) fn letters(&self) -> &[Item] {
        self.letters.get_or_init(|| {
            Forms::of_letters(&self.text).map(Item::Letter).take(LETTERS_MAX + 1).collect()
        })
    }

    /// The same for loose comparison.
    pub(super) fn loose(&self) -> &[Item] {
        self.loose.get_or_init(|| loose::items_of(start(&self.text)))
    }

    /// The parts of the path that it spells for stores that compare loosely; itself where it
    /// spells none.
    pub(super) fn parts(&self) -> &[Vec<Item>] {
        self.parts.get_or_init(|| loose::parts_of(start(&self.text)).map(loose::items_of).collect())
    }

    pub(super) fn is_path(&self) -> bool {
        loose::is_path(&self.text)
    }
}

/// The part of a key that can matter.
fn start(text: &str) -> &str {
    let end = text.char_indices().nth(LETTERS_MAX).map_or(text.len(), |(end, _)| end);
    text.get(..end).unwrap_or(text)
}

/// A value inside the metadata.
pub(super) struct Location<'a, 'v> {
    /// The keys that lead to it; elements of arrays are not counted.
    pub(super) keys: &'a [MetadataKey<'v>],
    /// JSON Pointer below the deployment.
    pub(super) pointer: &'a str,
    /// The value there.
    pub(super) value: &'v Value,
    /// Whether it is a text of JSON that can't be told to be one thing: any key may stand below.
    pub(super) is_unclear: bool,
}

/// A walk through metadata.
pub(super) struct Walk<'w> {
    pub(super) keys: &'w FoldedKeys,
    /// How many keys deep it goes.
    pub(super) depth_max: usize,
    /// Pointers at and below which nothing is visited.
    pub(super) computed: &'w [&'w str],
}

/// The action at a place.
pub(super) type VisitPlace<'f> = dyn FnMut(&Location<'_, '_>) + 'f;

impl Walk<'_> {
    /// Visits every value under a key, at most `depth_max` keys deep, but for what lies at one of
    /// the pointers in `computed`. Where a text is a JSON object or list, the values in it are
    /// visited as well: a store may take it for that. Where that is unclear, it is visited so.
    pub(super) fn each_place(&self, pointer: &str, metadata: &Value, visit: &mut VisitPlace<'_>) {
        self.descend(&mut Vec::new(), &mut pointer.to_owned(), metadata, visit);
    }

    /// Visits the value to which `keys` lead, and those below it.
    pub(super) fn place_and_below<'v>(
        &self,
        keys: &[&'v str],
        pointer: &str,
        value: &'v Value,
        visit: &mut VisitPlace<'_>,
    ) {
        let mut keys: Vec<MetadataKey<'v>> = keys.iter().map(|text| self.keys.key(text)).collect();
        visit(&Location { keys: &keys, pointer, value, is_unclear: false });
        self.descend(&mut keys, &mut pointer.to_owned(), value, visit);
    }

    fn descend<'v>(
        &self,
        keys: &mut Vec<MetadataKey<'v>>,
        pointer: &mut String,
        value: &'v Value,
        visit: &mut VisitPlace<'_>,
    ) {
        if keys.len() >= self.depth_max {
            return;
        }
        match value {
            Value::Object(members) => {
                for (text, value) in members {
                    work::count(1);
                    keys.push(self.keys.key(text));
                    below(pointer, text, |pointer| {
                        if !self.computed.contains(&pointer.as_str()) {
                            visit(&Location { keys, pointer, value, is_unclear: false });
                            self.descend(keys, pointer, value, visit);
                        }
                    });
                    keys.pop();
                }
            }
            Value::Array(elements) => {
                for (index, value) in elements.iter().enumerate() {
                    below(pointer, &index.to_string(), |pointer| {
                        self.descend(keys, pointer, value, visit);
                    });
                }
            }
            Value::String(text) if !keys.is_empty() => match self.keys.texts.read(text) {
                Written::Plain => {}
                Written::Json(value) => self.descend(&mut keys.clone(), pointer, &value, visit),
                Written::Unclear => visit(&Location { keys, pointer, value, is_unclear: true }),
            },
            _ => {}
        }
    }
}
