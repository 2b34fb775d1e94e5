//! How much of what differs a page shows, and how much it leaves out.

use std::time::{Duration, Instant};

use maud::{Markup, html};

use super::text::grouped;
use crate::base::clock::Clock;
use crate::base::count::counted;

/// The most bytes of values that one page shows.
const BYTES_MAX: usize = 60 << 10;

/// How long the texts of a page are compared.
pub(super) const COMPARE_MAX: Duration = Duration::from_millis(200);

/// How differences are shown, how much more of them may be, and how much was left out.
pub(super) struct Shown {
    pub(super) side_by_side: bool,
    pub(super) bytes: usize,
    /// Until when texts are compared.
    pub(super) until: Instant,
    pub(super) left_out: LeftOut,
    /// The path of where all of it is; empty where there is none.
    whole: String,
}

/// How much of what differs a page does not show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct LeftOut {
    pub(super) places: usize,
    pub(super) lines: usize,
    pub(super) chars: usize,
}

impl Shown {
    /// As much as one page shows; `whole` is the path of where all of it is, empty where there is
    /// none.
    pub(super) fn new(side_by_side: bool, whole: String) -> Self {
        let until = Clock::System.instant() + COMPARE_MAX;
        Self { side_by_side, bytes: BYTES_MAX, until, left_out: LeftOut::default(), whole }
    }

    /// The way to all of it, behind the words of what is left out.
    pub(super) fn whole(&self) -> Markup {
        html! { @if !self.whole.is_empty() { ": " a href=(self.whole) { "read all of it" } } }
    }
}

impl LeftOut {
    /// Whether everything is shown.
    pub(super) fn is_nothing(self) -> bool {
        self == Self::default()
    }

    /// How much it is, in words.
    pub(super) fn told(self) -> String {
        let parts = [(self.places, "place"), (self.lines, "line"), (self.chars, "character")];
        let parts = parts.into_iter().filter(|(count, _noun)| *count > 0);
        let told: Vec<String> = parts.map(|(count, noun)| counted(grouped(count), noun)).collect();
        told.join(" and ")
    }
}
