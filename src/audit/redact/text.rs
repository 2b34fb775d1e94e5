//! A text as the search for secrets sees it: every look at its bytes goes through here, so that a
//! test can count them.

use super::work::looked;

/// The bytes of a text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Text<'t>(pub(super) &'t [u8]);

impl<'t> Text<'t> {
    /// How many bytes there are.
    pub(super) const fn end(self) -> usize {
        self.0.len()
    }

    /// The byte at `at`; `None` beyond the end.
    pub(super) fn at(self, at: usize) -> Option<u8> {
        looked(1);
        self.0.get(at).copied()
    }

    /// The byte before `at`.
    pub(super) fn before(self, at: usize) -> Option<u8> {
        self.at(at.checked_sub(1)?)
    }

    /// The bytes of a range; none where it leaves the text.
    pub(super) fn part(self, start: usize, end: usize) -> &'t [u8] {
        self.0.get(start..end).unwrap_or_default()
    }

    /// Whether `word` stands at `at`.
    pub(super) fn has(self, at: usize, word: &str) -> bool {
        let has = self.0.get(at..).is_some_and(|rest| rest.starts_with(word.as_bytes()));
        looked(if has { word.len() } else { 4 });
        has
    }

    /// Whether `word` stands at `at`, in any case.
    pub(super) fn has_in_any_case(self, at: usize, word: &str) -> bool {
        let part = self.0.get(at..at + word.len());
        let has = part.is_some_and(|part| part.eq_ignore_ascii_case(word.as_bytes()));
        looked(if has { word.len() } else { 4 });
        has
    }

    /// The first place from `from` on whose byte is such a one; the end where there is none.
    pub(super) fn find(self, from: usize, is: impl Fn(u8) -> bool) -> usize {
        let rest = self.0.get(from..).unwrap_or_default();
        let steps = rest.iter().position(|byte| is(*byte)).unwrap_or(rest.len());
        looked(steps + 1);
        (from + steps).min(self.0.len())
    }

    /// The first place before `from`, but not before `floor`, from which on every byte is such a
    /// one.
    pub(super) fn back(self, from: usize, floor: usize, is: impl Fn(u8) -> bool) -> usize {
        let part = self.part(floor, from);
        let steps = part.iter().rev().position(|byte| !is(*byte)).unwrap_or(part.len());
        looked(steps + 1);
        from - steps
    }
}

/// The next place of one kind, remembered: asking again from a place before it costs nothing, so
/// that all questions together look at each byte once.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ahead {
    from: usize,
    found: Option<usize>,
}

impl Ahead {
    /// The first place from `from` on whose byte is such a one. The kind is the same every time.
    pub(super) fn find(&mut self, text: Text<'_>, from: usize, is: impl Fn(u8) -> bool) -> usize {
        let known = self.found.filter(|found| (self.from..=*found).contains(&from));
        known.unwrap_or_else(|| {
            let found = text.find(from, is);
            *self = Self { from, found: Some(found) };
            found
        })
    }
}
