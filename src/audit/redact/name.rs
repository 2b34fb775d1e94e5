//! Names, and whether their values are secret.

use super::work::looked;

/// The names, folded, of members that hold variables only where they look so: `environment` may
/// be a word or a reference as well.
const ENVIRONMENTS: [&str; 5] = ["env", "envvars", "envvariables", "variables", "environment"];

/// The end of the names of members that always hold variables.
const VARIABLES: &str = "environmentvariables";

/// The word that secrets are counted in: a number under such a name is an amount.
const COUNTED: &str = "tokens";

/// How many letters of a name are compared, from its end: more than any end has, be it in plural.
const LETTERS_MAX: usize = 24;

/// Names, folded, that are secret as keys of a query alone.
const QUERY_KEYS: [&str; 2] = ["sig", "signature"];

/// The meaning of a member's name for its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NameMeaning {
    /// Says nothing.
    Plain,
    /// The value is secret.
    Secret,
    /// The value is secret, unless it is an amount.
    Counted,
    /// The value is variables.
    Variables,
    /// The value is variables, if it looks so.
    Environment,
}

/// The ends of the names of secrets, folded: without case, `_` and `-`.
#[derive(Clone, Debug)]
pub(super) struct SecretNames {
    ends: Vec<Vec<u8>>,
    /// The last two letters of every end: most names have others.
    last_two: Pairs,
}

/// Pairs of letters: for each last one, from `a` on, a bit for each that stands before it.
#[derive(Clone, Copy, Debug, Default)]
struct Pairs([u32; 26]);

impl SecretNames {
    pub(super) fn new(ends: &[&str]) -> Self {
        let ends: Vec<Vec<u8>> = ends.iter().map(|end| letters(end.as_bytes()).collect()).collect();
        let own = ENVIRONMENTS.iter().chain([&VARIABLES]).chain(&QUERY_KEYS);
        let mut last_two = Pairs::default();
        for end in ends.iter().cloned().chain(own.map(|name| letters(name.as_bytes()).collect())) {
            let mut end = end.into_iter();
            last_two.add(end.next(), end.next());
        }
        Self { ends, last_two }
    }

    /// The meaning of a member's name. A number behind it and a plural do not change it.
    pub(super) fn of(&self, name: &str) -> NameMeaning {
        self.of_bytes(name.as_bytes())
    }

    /// The same of a name in a text, as a key of a query where it is one.
    pub(super) fn of_text(&self, name: &[u8], in_query: bool) -> NameMeaning {
        match self.of_bytes(name) {
            NameMeaning::Plain if in_query && QUERY_KEYS.iter().any(|key| ends_in(name, key)) => {
                NameMeaning::Secret
            }
            named => named,
        }
    }

    fn of_bytes(&self, name: &[u8]) -> NameMeaning {
        if !self.may_end(name) {
            return NameMeaning::Plain;
        }
        let mut last = [0; LETTERS_MAX];
        let count = last.iter_mut().zip(letters(name)).map(|(to, letter)| *to = letter).count();
        let whole = last.get(..count).unwrap_or_default();
        let singular = whole.strip_prefix(b"s").unwrap_or(whole);
        let ends_in = |end: &str| begins(whole.iter().copied(), end.bytes().rev());
        if ENVIRONMENTS.iter().any(|known| known.len() == count && ends_in(known)) {
            NameMeaning::Environment
        } else if ends_in(VARIABLES) {
            NameMeaning::Variables
        } else if !self.ends.iter().any(|end| is_end(whole, end) || is_end(singular, end)) {
            NameMeaning::Plain
        } else if ends_in(COUNTED) {
            NameMeaning::Counted
        } else {
            NameMeaning::Secret
        }
    }

    /// Whether a name, or its singular, ends in the last two letters of some end.
    fn may_end(&self, name: &[u8]) -> bool {
        // Nearly all names end in small letters, and few of them in a plural's.
        if let [.., former, last] = name
            && former.is_ascii_lowercase()
            && last.is_ascii_lowercase()
            && *last != b's'
        {
            looked(2);
            return self.last_two.has(Some(*last), Some(*former));
        }
        let mut letters = letters(name);
        let (last, former) = (letters.next(), letters.next());
        self.last_two.has(last, former)
            || last == Some(b's') && self.last_two.has(former, letters.next())
    }
}

impl Pairs {
    fn add(&mut self, last: Option<u8>, former: Option<u8>) {
        if let Some((last, former)) = numbers(last, former)
            && let Some(formers) = self.0.get_mut(last)
        {
            *formers |= 1 << former;
        }
    }

    fn has(&self, last: Option<u8>, former: Option<u8>) -> bool {
        let found = |(last, former)| self.0.get(last).is_some_and(|it| it >> former & 1 == 1);
        numbers(last, former).is_some_and(found)
    }
}

/// The places of two small letters in the alphabet.
fn numbers(last: Option<u8>, former: Option<u8>) -> Option<(usize, u8)> {
    let number = |letter: u8| letter.checked_sub(b'a').filter(|number| *number < 26);
    Some((number(last?)?.into(), number(former?)?))
}

/// Whether the name is, or ends in, the folded name `end` as words of its own.
fn ends_in(name: &[u8], end: &str) -> bool {
    begins(letters(name), letters(end.as_bytes()))
}

/// The letters of a name that are compared, from its end: a number behind it is not.
fn letters(name: &[u8]) -> impl Iterator<Item = u8> {
    let compared = |byte: &&u8| !matches!(byte, b'_' | b'-' | b'.' | b' ');
    let letters = name.iter().rev().filter(compared).inspect(|_| looked(1));
    letters.skip_while(|byte| byte.is_ascii_digit()).map(u8::to_ascii_lowercase)
}

/// Whether letters, from the last one on, begin as `end` does: most differ in the first.
fn is_end(letters: &[u8], end: &[u8]) -> bool {
    letters.first() == end.first() && letters.starts_with(end)
}

fn begins(mut letters: impl Iterator<Item = u8>, mut wanted: impl Iterator<Item = u8>) -> bool {
    wanted.all(|letter| letters.next() == Some(letter))
}
