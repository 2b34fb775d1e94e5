//! A timer for what seldom happens: setting it later costs nothing.
//!
//! Nearly every call is over long before its time is. A timer that is made, entered and taken out
//! again for each would be most of what waiting costs. A [`LazyTimer`] stays set as it is while the
//! moment that is waited for moves on, and is set anew only where it fires too early.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::task::coop::unconstrained;
use tokio::time::{Instant, Sleep, sleep_until};

/// A timer that is kept from one wait to the next.
#[derive(Debug, Default)]
pub(crate) struct LazyTimer(Option<Pin<Box<Sleep>>>);

impl LazyTimer {
    /// Ready once `due` has come.
    pub(crate) fn poll(&mut self, due: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let sleep = self.0.get_or_insert_with(|| Box::pin(sleep_until(due)));
        if due < sleep.deadline() {
            sleep.as_mut().reset(due);
        }
        // Without a budget: a timer that is not asked again must have heard who waits.
        ready!(Pin::new(&mut unconstrained(sleep.as_mut())).poll(cx));
        if sleep.deadline() < due {
            sleep.as_mut().reset(due);
            ready!(Pin::new(&mut unconstrained(sleep.as_mut())).poll(cx));
        }
        Poll::Ready(())
    }

    /// Wakes the task some time within `period`, if it is always the same task that asks.
    pub(crate) fn wake_within(&mut self, period: Duration, cx: &mut Context<'_>) {
        let set = self.0.as_ref().is_some_and(|sleep| !sleep.is_elapsed());
        if !set && self.poll(Instant::now() + period, cx).is_ready() {
            cx.waker().wake_by_ref();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    #[tokio::test]
    async fn an_alarm_rings_when_it_is_due_whatever_it_was_set_to_before() {
        let mut alarm = LazyTimer::default();
        let started = Instant::now();
        for (first, then) in [(10, 40), (1_000, 50), (0, 60)] {
            let first = started + Duration::from_millis(first);
            let due = started + Duration::from_millis(then);
            poll_fn(|cx| Poll::Ready(alarm.poll(first, cx).is_ready())).await;
            poll_fn(|cx| alarm.poll(due, cx)).await;
            assert!(Instant::now() >= due);
            assert!(started.elapsed() < Duration::from_millis(900));
        }
    }
}
