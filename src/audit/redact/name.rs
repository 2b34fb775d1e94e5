//! Names, and whether their values are secret.

use super::work::looked;

/// The names, folded, of members that hold variables only where they look so: `environment` may
/// be a word or a reference as well.
const ENVIRONMENTS: [&str; 5] = ["env", "envvars", "envvariables", "variables", "environment"];

/// The end of the names of members that always hold variables.
const VARIABLES: &str = "environmentvariables";

/// What a secret is counted in: a number under such a name is an amount.
const COUNTED: &str = "tokens";

/// Names, folded, that are secret as keys of a query alone.
const QUERY_KEYS: [&str; 2] = ["sig", "signature"];

/// The meaning of a member's name for its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Named {
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
pub(super) struct Names {
    ends: Vec<Vec<u8>>,
    /// The [`mark`] of every end: most names have another.
    marks: u64,
}

impl Names {
    pub(super) fn new(ends: &[&str]) -> Self {
        let ends: Vec<Vec<u8>> = ends.iter().map(|end| letters(end.as_bytes()).collect()).collect();
        let own = ENVIRONMENTS.iter().chain([&VARIABLES]).chain(&QUERY_KEYS);
        let own = own.map(|name| mark(&mut letters(name.as_bytes())));
        let marks = ends.iter().map(|end| mark(&mut end.iter().copied()));
        let marks = marks.chain(own).fold(0, |all, mark| all | mark);
        Self { ends, marks }
    }

    /// The meaning of a member's name. A number behind it and a plural do not change it.
    pub(super) fn of(&self, name: &str) -> Named {
        self.of_bytes(name.as_bytes())
    }

    /// The same of a name in a text, as a key of a query where it is one.
    pub(super) fn of_text(&self, name: &[u8], in_query: bool) -> Named {
        match self.of_bytes(name) {
            Named::Plain if in_query && QUERY_KEYS.iter().any(|key| ends_in(name, key)) => {
                Named::Secret
            }
            named => named,
        }
    }

    fn of_bytes(&self, name: &[u8]) -> Named {
        let whole = mark(&mut letters(name));
        let singular = mark(&mut singular(name));
        if self.marks & (whole | singular) == 0 {
            return Named::Plain;
        }
        let is_end = |end: &Vec<u8>| {
            begins(letters(name), end.iter().copied())
                || begins(self::singular(name), end.iter().copied())
        };
        if ENVIRONMENTS.iter().any(|known| letters(name).eq(letters(known.as_bytes()))) {
            Named::Environment
        } else if begins(letters(name), letters(VARIABLES.as_bytes())) {
            Named::Variables
        } else if !self.ends.iter().any(is_end) {
            Named::Plain
        } else if begins(letters(name), letters(COUNTED.as_bytes())) {
            Named::Counted
        } else {
            Named::Secret
        }
    }
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

/// The same without the `s` of a plural.
fn singular(name: &[u8]) -> impl Iterator<Item = u8> {
    let mut letters = letters(name).peekable();
    let _plural = letters.next_if_eq(&b's');
    letters
}

fn begins(mut letters: impl Iterator<Item = u8>, mut wanted: impl Iterator<Item = u8>) -> bool {
    wanted.all(|letter| letters.next() == Some(letter))
}

/// A bit that names of the same last two letters share, and few others.
fn mark(letters: &mut impl Iterator<Item = u8>) -> u64 {
    let last = letters.next().unwrap_or_default();
    let former = letters.next().unwrap_or_default();
    1 << ((former.wrapping_mul(5) ^ last) % 64)
}
