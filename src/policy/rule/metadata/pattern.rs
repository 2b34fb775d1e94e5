//! The rule's patterns, and the keys that they match.

use std::fmt;

use regex_lite::Regex;

use super::letters::{Chars, Item, Star, Ways};
use super::lookalike::Forms;
use super::loose::{self, Compare};
use super::places::MetadataKey;
use crate::base::excerpt::excerpt;
use crate::base::work;

/// The longest pattern, in characters.
const PATTERN_CHARS_MAX: usize = 256;

/// A metadata key or a dotted path of keys; `*` stands for any text within one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPattern {
    text: String,
    segments: Vec<Segment>,
    /// The places around those that it names, the outermost first.
    around: Vec<KeyPattern>,
    /// The ways through the whole path.
    ways: Ways,
    /// Whether some letter of it has two forms.
    varies: bool,
    /// The characters without which nothing is what it names.
    needs: Chars,
}

/// The shape of one key: a regular expression that fits it as a whole.
#[derive(Clone, Debug)]
pub struct KeyShape {
    text: String,
    whole: Regex,
}

/// The most characters of what is wrong with a regular expression.
const CAUSE_CHARS_MAX: usize = 128;

/// Why a pattern can't be used, and the fix.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// It is empty, or has an empty part between dots.
    #[error("is empty or has an empty part: write a key, or keys joined by single dots")]
    Empty,
    /// It is too long.
    #[error("is longer than 256 characters: shorten it")]
    Long,
    /// It holds a control character.
    #[error("holds a control character, which no key can hold: remove it")]
    Control,
    /// It is not a regular expression.
    #[error("is not a regular expression ({0}): fix it; what regex-lite reads is understood")]
    Regex(String),
}

/// The literal parts around the stars of one segment, as they are compared, in either form.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Segment {
    folded: Vec<String>,
    looked: Vec<String>,
    ways: Ways,
    loose: Ways,
    is_star: bool,
}

impl KeyPattern {
    /// Reads a pattern.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        well_formed(text)?;
        let around = text.match_indices('.').filter_map(|(end, _dot)| text.get(..end));
        let around = around.map(Self::alone).collect::<Result<_, _>>()?;
        Ok(Self { around, ..Self::alone(text)? })
    }

    /// The pattern without those of the places around.
    fn alone(text: &str) -> Result<Self, PatternError> {
        let segments: Vec<Segment> = text.split('.').map(Segment::parse).collect();
        // A part that is nothing but white space or ignorable would match only unseen keys.
        if segments.iter().any(Segment::is_empty) {
            return Err(PatternError::Empty);
        }
        let varies = segments.iter().any(|segment| segment.folded != segment.looked);
        let ways = Ways::through(text, Star::WithinDots);
        let needs = needs(text);
        Ok(Self { text: text.to_owned(), segments, around: Vec::new(), ways, varies, needs })
    }

    /// How many keys deep it reaches.
    pub(super) fn depth(&self) -> usize {
        self.segments.len()
    }

    /// Whether it says a key at or below the one that is so many keys deep, rather than all there.
    pub(super) fn names_at_or_below(&self, depth: usize) -> bool {
        self.segments.iter().skip(depth.saturating_sub(1)).any(|segment| !segment.is_star)
    }

    /// Whether the keys that lead to a place are what it names. A key that holds dots counts both
    /// as one key and as the path that it spells.
    pub(super) fn matches(&self, keys: &[MetadataKey<'_>], compare: Compare) -> bool {
        work::count(1);
        let chars = keys.iter().fold(Chars::default(), |all, key| all.unite(key.folded.chars));
        if !chars.may_hold(self.needs) {
            return false;
        }
        let one_by_one = keys.len() == self.segments.len()
            && self.segments.iter().zip(keys).all(|(segment, key)| {
                key.folded.forms.each().into_iter().any(|form| segment.matches(form))
            });
        let spelled = || {
            keys.iter().any(|key| key.folded.is_dotted)
                && (self.spelled(keys.iter().map(|key| key.folded.forms.folded.as_str()))
                    || self.spelled(keys.iter().map(|key| key.folded.forms.looked.as_str())))
        };
        one_by_one
            || spelled()
            || ((self.varies || keys.iter().any(|key| key.folded.forms.vary()))
                && self.matches_by_letters(keys))
            || (compare == Compare::Loose && self.matches_loosely(keys))
    }

    /// Whether it names a place below the one that the keys lead to.
    pub(super) fn reaches_below(&self, keys: &[MetadataKey<'_>], compare: Compare) -> bool {
        self.around.iter().any(|around| around.matches(keys, compare))
    }

    /// As above, without regard to accents and separators of words.
    fn matches_loosely(&self, keys: &[MetadataKey<'_>]) -> bool {
        let one_by_one = keys.len() == self.segments.len()
            && self
                .segments
                .iter()
                .zip(keys)
                .all(|(segment, key)| segment.loose.lead(key.folded.loose().iter()));
        let spelled = || {
            let mut parts = keys.iter().flat_map(|key| key.folded.parts());
            let named = self
                .segments
                .iter()
                .all(|segment| parts.next().is_some_and(|part| segment.loose.lead(part.iter())));
            named && parts.next().is_none()
        };
        one_by_one || (keys.iter().any(|key| key.folded.is_path()) && spelled())
    }

    /// As above, each letter in either form.
    fn matches_by_letters(&self, keys: &[MetadataKey<'_>]) -> bool {
        let one_by_one = keys.len() == self.segments.len()
            && self
                .segments
                .iter()
                .zip(keys)
                .all(|(segment, key)| segment.ways.lead(key.folded.letters().iter()));
        let spelled = || {
            let dot = Item::Letter(Forms::of("."));
            let path = keys.iter().enumerate().flat_map(|(number, key)| {
                let before = (number > 0).then_some(&dot);
                before.into_iter().chain(key.folded.letters())
            });
            self.ways.lead(path)
        };
        one_by_one || spelled()
    }

    fn spelled<'k>(&self, keys: impl Iterator<Item = &'k str>) -> bool {
        let mut parts = keys.flat_map(|key| key.split('.'));
        let named = self
            .segments
            .iter()
            .all(|segment| parts.next().is_some_and(|part| segment.matches(part)));
        named && parts.next().is_none()
    }
}

impl Segment {
    fn parse(text: &str) -> Self {
        let literals: Vec<Forms> = text.split('*').map(Forms::of).collect();
        Self {
            folded: literals.iter().map(|forms| forms.folded.clone()).collect(),
            looked: literals.into_iter().map(|forms| forms.looked).collect(),
            ways: Ways::through(text, Star::All),
            loose: loose::ways_through(text),
            is_star: !text.is_empty() && text.chars().all(|c| c == '*'),
        }
    }

    fn is_empty(&self) -> bool {
        matches!(self.folded.as_slice(), [only] if only.is_empty())
    }

    fn matches(&self, key: &str) -> bool {
        glob(&self.folded, key) || glob(&self.looked, key)
    }
}

impl KeyShape {
    /// Reads a regular expression.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        well_formed(text)?;
        // Compiled alone first, so that no unbalanced bracket can break out of the anchors.
        let compiled = Regex::new(text).and_then(|_| Regex::new(&format!(r"\A(?:{text})\z")));
        let whole = compiled
            .map_err(|why| PatternError::Regex(excerpt(&why.to_string(), CAUSE_CHARS_MAX)))?;
        Ok(Self { text: text.to_owned(), whole })
    }

    /// Whether the whole key fits.
    #[must_use]
    pub fn fits(&self, key: &str) -> bool {
        self.whole.is_match(key)
    }
}

impl fmt::Display for KeyPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Display for KeyShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl PartialEq for KeyShape {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

/// The characters that every text has which a pattern matches, in whatever form: those of letters
/// that have one form alone, however they are read.
fn needs(text: &str) -> Chars {
    let literals = || text.split(['*', '.']);
    let letters = literals().flat_map(|literal| Forms::of_letters(literal).map(Item::Letter));
    let loose = literals().flat_map(loose::items_of);
    let [mut folded, mut looked] = [Chars::default(); 2];
    for forms in literals().map(Forms::of) {
        folded.add(&forms.folded);
        looked.add(&forms.looked);
    }
    let needs = [folded, looked, Ways::needs(letters), Ways::needs(loose)];
    needs.into_iter().reduce(Chars::both).unwrap_or_default()
}

fn well_formed(text: &str) -> Result<(), PatternError> {
    match text {
        "" => Err(PatternError::Empty),
        _ if text.chars().any(char::is_control) => Err(PatternError::Control),
        _ if text.chars().count() > PATTERN_CHARS_MAX => Err(PatternError::Long),
        _ => Ok(()),
    }
}

/// Whether `text` is the literals in their order, with any text where a star was between them.
fn glob(literals: &[String], text: &str) -> bool {
    let [first, between @ .., last] = literals else {
        return literals.first().is_some_and(|only| only == text);
    };
    let inner = text.strip_prefix(first.as_str()).and_then(|rest| rest.strip_suffix(last.as_str()));
    let Some(mut rest) = inner else { return false };
    between.iter().all(|literal| match rest.split_once(literal.as_str()) {
        Some((_, after)) => {
            rest = after;
            true
        }
        None => false,
    })
}

#[cfg(test)]
mod tests {
    use super::super::places::FoldedKeys;
    use super::*;

    fn matches(pattern: &str, keys: &[&str]) -> bool {
        compared(pattern, keys, Compare::Strict)
    }

    fn compared(pattern: &str, keys: &[&str], compare: Compare) -> bool {
        let known = FoldedKeys::default();
        let keys: Vec<MetadataKey<'_>> = keys.iter().map(|text| known.key(text)).collect();
        KeyPattern::parse(pattern).unwrap().matches(&keys, compare)
    }

    #[test]
    fn a_star_stays_within_its_key() {
        assert!(matches("secret_*", &["secret_"]) && matches("secret_*", &["secret_a.b"]));
        assert!(matches("*", &["x"]) && matches("a*b*c", &["a--b--c"]) && matches("**", &["x"]));
        assert!(matches("a.*", &["a", "b"]) && matches("a.*.c", &["a.b", "c"]));
        assert!(!matches("a.*", &["a"]) && !matches("*", &["a", "b"]));
        assert!(!matches("a*a", &["a"]) && !matches("a*b*b", &["ab"]));
    }

    #[test]
    fn loosely_words_are_one_however_they_are_joined_and_accented() {
        for key in [
            "owner-override",
            "ownerOverride",
            "OwnerOverride",
            "owner_override[]",
            "owner_override.",
            "owner.override",
            "\u{f3}wner_override",
            "\u{f8}wner_override",
            "owner__override",
            "_owner_override_",
            "OWNEROVERRIDE",
            "o\u{301}wner\u{ff3f}override",
            "owner_override\u{ff0e}",
            "\u{43e}wn\u{435}r-override",
        ] {
            assert!(compared("owner_override", &[key], Compare::Loose), "{key}");
        }
        assert!(!matches("owner_override", &["owner-override"]));
        for key in ["owner_overrid", "owner_overrides", "owner", "team_owner_override"] {
            assert!(!compared("owner_override", &[key], Compare::Loose), "{key}");
        }
    }

    #[test]
    fn loosely_a_star_stays_at_the_edge_of_a_word() {
        for key in ["secret_a", "secret-a", "secretKey", "secret.a", "s\u{e9}cret_a", "secret_"] {
            assert!(compared("secret_*", &[key], Compare::Loose), "{key}");
        }
        for key in ["secret", "secretary", "my_secret_a"] {
            assert!(!compared("secret_*", &[key], Compare::Loose), "{key}");
        }
        assert!(compared("*_key", &["apiKey"], Compare::Loose));
        assert!(compared("*_key", &["APIKey"], Compare::Loose));
        assert!(!compared("*_key", &["monkey"], Compare::Loose));
    }

    #[test]
    fn loosely_dots_and_brackets_lead_into_what_is_nested() {
        let pattern = "cas_config.config.max_concurrent";
        for keys in [
            &["cas_config", "config", "max_concurrent"] as &[&str],
            &["casConfig", "config", "maxConcurrent"],
            &["cas_config[config][max_concurrent]"],
            &["cas_config[\"config\"].max-concurrent"],
            &["cas_config.config", "max_concurrent[]"],
        ] {
            assert!(compared(pattern, keys, Compare::Loose), "{keys:?}");
        }
        for keys in [&["cas_config"] as &[&str], &["cas_config", "config"], &["cas_config.config"]]
        {
            assert!(!compared(pattern, keys, Compare::Loose), "{keys:?}");
        }
    }

    #[test]
    fn a_plain_pattern_is_the_whole_key_and_at_the_top() {
        assert!(matches("owner", &["owner"]));
        for other in [&["owner2"] as &[&str], &["a", "owner"], &["owner", "a"], &["owner.a"]] {
            assert!(!matches("owner", other), "{other:?}");
        }
    }

    #[test]
    fn patterns_that_can_match_nothing_are_refused() {
        for empty in ["", ".", "a.", ".a", "a..b", " ", "\u{200b}", "a.\u{ad}"] {
            assert_eq!(KeyPattern::parse(empty), Err(PatternError::Empty), "{empty:?}");
        }
        assert_eq!(KeyPattern::parse("a\n"), Err(PatternError::Control));
        assert_eq!(KeyPattern::parse(&"键".repeat(257)), Err(PatternError::Long));
        assert!(KeyPattern::parse(&"键".repeat(256)).is_ok());
    }

    #[test]
    fn a_shape_fits_the_whole_key_or_not_at_all() {
        let shape = KeyShape::parse("a|b[0-9]+").unwrap();
        assert!(shape.fits("a") && shape.fits("b12"));
        assert!(!shape.fits("ab") && !shape.fits("a\n") && !shape.fits("xa"));
        for broken in ["(", "a)|(b", "(?x)a #"] {
            let parsed = KeyShape::parse(broken);
            assert!(matches!(parsed, Err(PatternError::Regex(_))), "{broken}");
        }
    }
}
