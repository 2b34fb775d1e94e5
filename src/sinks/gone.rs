//! Records that were pruned before a sink came to them, told in one line.

/// How many positions without any of them end what is told together.
const APART: u64 = 1_024;

/// What is not told yet.
#[derive(Debug, Default)]
pub(super) struct Gone {
    count: u64,
    last: u64,
}

impl Gone {
    /// Adds records; `last` is the position of the last of them.
    pub(super) fn add(&mut self, count: u64, last: u64) {
        self.count += count;
        self.last = last;
    }

    /// How many there were, where the sink is beyond them at `next`, or at the end of all: `None`.
    pub(super) fn told(&mut self, next: Option<u64>) -> Option<u64> {
        let is_beyond = next.is_none_or(|next| next.saturating_sub(self.last) > APART);
        (self.count > 0 && is_beyond).then(|| std::mem::take(&mut self.count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_close_together_is_told_once() {
        let mut gone = Gone::default();
        assert_eq!(gone.told(None), None);
        for last in [100, 300, 900] {
            gone.add(50, last);
            assert_eq!(gone.told(Some(last + 10)), None);
        }
        assert_eq!(gone.told(Some(900 + APART + 1)), Some(150));
        assert_eq!(gone.told(None), None, "once");
        gone.add(1, 5);
        assert_eq!(gone.told(None), Some(1));
    }
}
