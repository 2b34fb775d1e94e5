//! Steps that evaluations take, and the bounds that end them.
//!
//! The functions of the interpreter are plain ones, so what they draw on lies beside them, one
//! meter a thread. What is charged depends on the expression and the documents alone, so that the
//! same change is judged alike whenever it is judged; the deadline is a second fence, for what is
//! charged too little, which nothing comes near whose steps are as long as they should be.

use std::cell::RefCell;
use std::time::Duration;

use cel::ExecutionError;
use serde_json::Value;

use crate::base::clock::Clock;
use crate::policy::gap::{Gap, Missing};

/// The most steps of one rule on one reading.
pub(super) const RULE_STEPS_MAX: u64 = 50_000;

/// The most steps of all rules on all readings of one change.
pub(super) const DECISION_STEPS_MAX: u64 = 500_000;

/// The longest text, and the longest list, that a rule may make.
pub(super) const MADE_MAX: usize = 1 << 20;

/// Bytes of a text that is made which cost nothing beyond the step itself.
const FREE_BYTES: usize = 64;

/// Bytes of a text that are read for one step.
const READ_BYTES: usize = 1_024;

/// The longest that one rule may take on one reading, of the processor's time: a busy machine makes
/// no rule slower. All its steps take some ten milliseconds, without optimization many times that.
const RULE_TIME_MAX: Duration =
    Duration::from_millis(if cfg!(debug_assertions) { 5_000 } else { 50 });

/// Steps between two looks at the clock.
const STEPS_PER_LOOK: u64 = 256;

/// The bound that an evaluation went past.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Overrun {
    /// The steps of a rule, or of a decision.
    Steps,
    /// The length of a text or list.
    Length,
    /// The time.
    Time,
}

/// The steps that are left to a decision.
#[derive(Debug)]
pub(crate) struct Budget {
    left: u64,
    clock: Clock,
    /// What the documents do not tell, and the first of it that was looked at.
    missing: Missing,
    gap: Option<Gap>,
}

/// The meter of the evaluation that runs on this thread.
#[derive(Debug)]
struct Meter {
    left: u64,
    to_look: u64,
    overrun: Option<Overrun>,
    clock: Clock,
    /// The thread's time at which the rule ends; `None` before the first look at the clock.
    ends: Option<Duration>,
    missing: Missing,
    gap: Option<Gap>,
}

thread_local! {
    static METER: RefCell<Option<Meter>> = const { RefCell::new(None) };
}

impl Budget {
    /// The budget of one decision. The clock is for the second fence alone.
    pub(crate) fn new(clock: Clock) -> Self {
        Self { left: DECISION_STEPS_MAX, clock, missing: Missing::default(), gap: None }
    }

    /// This one, for documents that do not tell all.
    pub(crate) fn beside(self, missing: Missing) -> Self {
        Self { missing, ..self }
    }

    /// Takes what was looked at and is missing, since it was last taken.
    pub(crate) fn take_gap(&mut self) -> Option<Gap> {
        self.gap.take()
    }

    /// Notes a look at a body outside of an expression.
    pub(super) fn look_at_body(&mut self) {
        self.gap = self.gap.or(self.missing.in_body());
    }

    /// Notes a comparison with a value from before, outside of an expression.
    pub(super) fn look_at_comparison(&mut self, before: Option<&Value>) {
        self.gap = self.gap.or_else(|| self.missing.in_comparison(before));
    }

    /// Does `work` whose looks at what is missing decide nothing.
    pub(super) fn aside<T>(&mut self, work: impl FnOnce(&mut Self) -> T) -> T {
        let gap = self.gap;
        let done = work(self);
        self.gap = gap;
        done
    }

    /// How many steps were taken so far.
    #[cfg(test)]
    pub(super) fn spent(&self) -> u64 {
        DECISION_STEPS_MAX - self.left
    }

    /// Does `work` within the bounds of a rule and what is left to the decision; tells the bound
    /// that it went past. Whatever `work` made of that is void: an error may have been absorbed.
    pub(super) fn spend<T>(&mut self, work: impl FnOnce() -> T) -> (T, Option<Overrun>) {
        let steps = RULE_STEPS_MAX.min(self.left);
        let clock = self.clock.clone();
        let (missing, gap) = (self.missing, None);
        let (to_look, ends) = (STEPS_PER_LOOK, None);
        let meter = Meter { left: steps, to_look, overrun: None, clock, ends, missing, gap };
        METER.set(Some(meter));
        // A meter that a panic left behind is laid over by the next one.
        let done = work();
        let meter = METER.take();
        if let Some(meter) = &meter {
            self.gap = self.gap.or(meter.gap);
        }
        let (left, overrun) = meter.map_or((0, None), |meter| (meter.left, meter.overrun));
        self.left -= steps - left.min(steps);
        (done, overrun)
    }
}

impl Meter {
    fn charge(&mut self, steps: u64) -> Option<Overrun> {
        if self.overrun.is_some() {
            return self.overrun;
        }
        let Some(left) = self.left.checked_sub(steps) else {
            self.left = 0;
            self.overrun = Some(Overrun::Steps);
            return self.overrun;
        };
        self.left = left;
        if let Some(to_look) = self.to_look.checked_sub(steps) {
            self.to_look = to_look;
        } else {
            self.to_look = STEPS_PER_LOOK;
            let now = self.clock.thread_time();
            let ends = *self.ends.get_or_insert(now + RULE_TIME_MAX);
            self.overrun = (now > ends).then_some(Overrun::Time);
        }
        self.overrun
    }
}

/// Takes steps. Without a meter there is nothing to take them from, so that nothing is evaluated.
pub(super) fn charge(steps: u64) -> Result<(), ExecutionError> {
    let overrun = METER.with_borrow_mut(|meter| match meter {
        Some(meter) => meter.charge(steps),
        None => Some(Overrun::Steps),
    });
    overrun.map_or(Ok(()), |overrun| Err(error(overrun)))
}

/// Notes a look at a text of a document.
pub(super) fn look_at_text(text: &str) {
    look(|missing| missing.in_text(text));
}

/// Notes a look at the names of an object's members.
pub(super) fn look_at_names<'n>(names: impl Iterator<Item = &'n str>) {
    look(|missing| {
        let mut names = names.take_while(|_| missing.values);
        names.find_map(|name| missing.in_text(name))
    });
}

/// Notes a comparison with a value from before.
pub(super) fn look_at_comparison(before: Option<&Value>) {
    look(|missing| missing.in_comparison(before));
}

/// Notes a look at a document.
pub(super) fn look_at_body() {
    look(Missing::in_body);
}

fn look(find: impl FnOnce(Missing) -> Option<Gap>) {
    METER.with_borrow_mut(|meter| {
        if let Some(meter) = meter
            && meter.missing != Missing::default()
            && meter.gap.is_none()
        {
            meter.gap = find(meter.missing);
        }
    });
}

/// Takes the steps of looking at `elements`, one each.
pub(super) fn visit(elements: usize) -> Result<(), ExecutionError> {
    charge(steps(elements))
}

/// Takes the steps of reading a text.
pub(super) fn read(bytes: usize) -> Result<(), ExecutionError> {
    charge(steps(bytes / READ_BYTES))
}

/// Takes the steps of a text to be made.
pub(super) fn make(bytes: usize) -> Result<(), ExecutionError> {
    if bytes > MADE_MAX {
        METER.with_borrow_mut(|meter| {
            if let Some(meter) = meter {
                meter.overrun.get_or_insert(Overrun::Length);
            }
        });
        return Err(error(Overrun::Length));
    }
    charge(1 + steps(bytes.saturating_sub(FREE_BYTES)))
}

fn steps(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

fn error(overrun: Overrun) -> ExecutionError {
    ExecutionError::function_error("budget", overrun.what())
}

impl Overrun {
    /// What is too much, in words.
    pub(super) const fn what(self) -> &'static str {
        match self {
            Self::Steps => "it takes too many steps on this change",
            Self::Length => "it makes a text or list that is too long",
            Self::Time => "it takes too long on this change",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::{ManualClock, Timestamp};

    #[test]
    fn steps_are_counted_and_an_overrun_stays() {
        let mut budget = Budget::new(Clock::System);
        let (done, overrun) = budget.spend(|| (charge(49_999).is_ok(), charge(1).is_ok()));
        assert_eq!((done, overrun), ((true, true), None));
        let (done, overrun) = budget.spend(|| (charge(50_001).is_ok(), charge(0).is_ok()));
        assert_eq!((done, overrun), ((false, false), Some(Overrun::Steps)));
        let (done, overrun) = budget.spend(|| make(MADE_MAX + 1).is_ok());
        assert_eq!((done, overrun), (false, Some(Overrun::Length)));
        assert!(charge(0).is_err(), "nothing is evaluated without a meter");
    }

    #[test]
    fn a_rule_whose_steps_take_too_long_is_ended() {
        let manual = ManualClock::at(Timestamp::from_millis(0));
        let mut budget = Budget::new(Clock::Manual(manual.clone()));
        let (done, overrun) = budget.spend(|| {
            let began = charge(STEPS_PER_LOOK + 1).is_ok();
            manual.advance(RULE_TIME_MAX);
            let in_time = charge(STEPS_PER_LOOK + 1).is_ok();
            manual.advance(Duration::from_millis(1));
            (began, in_time, charge(STEPS_PER_LOOK + 1).is_ok())
        });
        assert_eq!((done, overrun), ((true, true, false), Some(Overrun::Time)));
    }

    #[test]
    fn a_decision_has_its_own_bound() {
        let mut budget = Budget::new(Clock::System);
        for _ in 0..10 {
            assert_eq!(budget.spend(|| charge(50_000).is_ok()), (true, None));
        }
        assert_eq!(budget.spend(|| charge(1).is_ok()), (false, Some(Overrun::Steps)));
    }
}
