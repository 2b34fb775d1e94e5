//! The table of the keys that a file may hold.

use std::collections::BTreeSet;

/// All keys of one file, in the order in which they are told of.
#[derive(Debug)]
pub(crate) struct KeyTable {
    pub(crate) parts: &'static [&'static [KeySpec]],
    /// The meaning of each section, in a sentence or two.
    pub(crate) sections: &'static [(&'static str, &'static str)],
    /// Whether a file may leave out a section, and with it the keys that the section must have.
    pub(crate) may_lack_sections: bool,
}

/// One key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeySpec {
    /// Its dotted path; `[]` stands after an array of tables.
    pub(crate) path: &'static str,
    pub(crate) kind: ValueKind,
    /// Its meaning, in sentences of Markdown.
    pub(crate) about: &'static str,
    /// The default, as TOML; `None` where nothing can be guessed.
    pub(crate) default: Option<&'static str>,
    /// A value to start from where there is no default, as TOML.
    pub(crate) example: Option<&'static str>,
    /// Whether it must be typed, in every table of an array where it lies in one.
    pub(crate) is_required: bool,
    /// Whether its value may hold a secret, also where it was typed there by mistake: no complaint
    /// repeats it.
    pub(crate) is_hidden: bool,
    /// Whether a running gateway takes a change only after a restart, in words.
    pub(crate) restart: &'static str,
}

/// The kind of a key's values.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ValueKind {
    /// A text that is not empty.
    Text,
    /// A text that fits a regular expression (ECMA-262, as far as others know it).
    Pattern(&'static str),
    /// A name for people of so many characters at most, none of them a control character.
    Name(usize),
    /// One of some words.
    Choice(&'static [&'static str]),
    /// `true` or `false`.
    Flag,
    /// A whole number within bounds.
    Count(u32, u32),
    /// A number of bytes within bounds, also as text with a unit.
    Size(u64, u64),
    /// Seconds, or a text with a unit.
    Duration,
    /// As above, from so many seconds to so many.
    Span(u64, u64),
    /// A list of at most so many texts.
    Texts(usize),
    /// A table of at most so many texts under keys that are not told beforehand.
    TextMap(usize),
    /// An array of tables, whose own keys have paths below it.
    Tables,
    /// A table whose keys its reader tells apart.
    Table,
    /// A JSON object: a table, or a text in JSON.
    Document,
    /// An array of tables of any keys.
    FreeTables,
}

impl KeySpec {
    pub(crate) const fn new(path: &'static str, kind: ValueKind, about: &'static str) -> Self {
        Self {
            path,
            kind,
            about,
            default: None,
            example: None,
            is_required: false,
            is_hidden: false,
            restart: "no",
        }
    }

    pub(crate) const fn default(self, default: &'static str) -> Self {
        Self { default: Some(default), ..self }
    }

    pub(crate) const fn example(self, example: &'static str) -> Self {
        Self { example: Some(example), ..self }
    }

    pub(crate) const fn required(self) -> Self {
        Self { is_required: true, ..self }
    }

    pub(crate) const fn hidden(self) -> Self {
        Self { is_hidden: true, ..self }
    }

    pub(crate) const fn restart(self, restart: &'static str) -> Self {
        Self { restart, ..self }
    }
}

impl KeyTable {
    /// Every key, in order.
    pub(crate) fn all(&self) -> impl Iterator<Item = &'static KeySpec> + Clone {
        self.parts.iter().copied().flatten()
    }

    /// The key at a path.
    pub(crate) fn named(&self, path: &str) -> Option<&'static KeySpec> {
        self.all().find(|key| key.path == path)
    }

    /// Whether keys lie below the path.
    pub(crate) fn is_section(&self, path: &str) -> bool {
        self.all().any(|key| below(path, key.path).is_some())
    }

    /// The text to write in place of the unknown key `name` of `section` (empty at the top).
    pub(crate) fn fix(&self, section: &str, name: &str) -> String {
        let siblings = self.siblings(section);
        if let Some(sibling) = near(name, siblings.iter().copied()) {
            return format!("did you mean `{sibling}`?");
        }
        let mut elsewhere = self.all().filter_map(|key| key.path.rsplit_once('.'));
        if let Some((home, _)) = elsewhere.find(|(_, last)| *last == name) {
            return match home.strip_suffix("[]") {
                Some(home) => format!("it belongs in [[{home}]]"),
                None => format!("it belongs in [{home}]"),
            };
        }
        let known: Vec<&str> = siblings.into_iter().collect();
        format!("remove it; known here: {}", known.join(", "))
    }

    /// The names that may stand directly in a section.
    fn siblings(&self, section: &str) -> BTreeSet<&'static str> {
        let names = self.all().filter_map(|key| below(section, key.path));
        names.filter_map(|rest| rest.split(['.', '[']).next()).collect()
    }
}

/// The word among some that was probably meant by `name`.
pub(crate) fn near<'w>(name: &str, words: impl Iterator<Item = &'w str>) -> Option<&'w str> {
    let name = name.to_lowercase();
    words
        .map(|word| (strsim::damerau_levenshtein(word, &name), word))
        .filter(|(distance, word)| *distance <= 1.max(word.len() / 3))
        .min()
        .map(|(_, word)| word)
}

/// The part of `path` below `section`.
fn below(section: &str, path: &'static str) -> Option<&'static str> {
    if section.is_empty() { Some(path) } else { path.strip_prefix(section)?.strip_prefix('.') }
}
