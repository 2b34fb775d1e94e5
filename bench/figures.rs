//! Summaries of many figures.

/// The least, the middle and the most of some figures.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spread {
    pub(crate) min: f64,
    pub(crate) median: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// None where there are no figures.
    pub(crate) fn of(figures: &[f64]) -> Option<Self> {
        let mut sorted = figures.to_vec();
        sorted.sort_unstable_by(f64::total_cmp);
        Some(Self { min: *sorted.first()?, median: nearest(&sorted, 0.5)?, max: *sorted.last()? })
    }

    /// `min–median–max`.
    pub(crate) fn shown(self, digits: usize) -> String {
        let Self { min, median, max } = self;
        format!("{min:.digits$}–{median:.digits$}–{max:.digits$}")
    }
}

/// The figure below which so great a share of the sorted figures lies.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share of a length is a length"
)]
pub(crate) fn nearest<T: Copy>(sorted: &[T], share: f64) -> Option<T> {
    let rank = (float(sorted.len().try_into().ok()?) * share).ceil() as usize;
    sorted.get(rank.clamp(1, sorted.len().max(1)) - 1).copied()
}

/// The number as a figure.
#[expect(clippy::cast_precision_loss, reason = "no figure here has 53 bits that count")]
pub(crate) fn float(number: u64) -> f64 {
    number as f64
}
