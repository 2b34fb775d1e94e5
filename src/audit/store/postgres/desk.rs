//! Where a gateway's calls ask for turns, and the one who takes them from the log finds who asks.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use crate::audit::lease::{Lease, Taken};
use crate::audit::store::StoreError;
use crate::audit::store::turn_name::{TurnName, name_of};
use crate::deployment::key::DeploymentKey;

/// How often who is next in the line of all gateways looks whether the turn has come: a part of the
/// time that it has waited, within bounds. Who is further behind looks less often.
const LOOK_PART: u32 = 50;
const LOOK_LEAST: Duration = Duration::from_millis(2);
const LOOK_MOST: Duration = Duration::from_millis(5);
const LOOK_BEHIND_MOST: Duration = Duration::from_millis(50);

/// A turn that is given on, by its token, or a place in line that is left (`None`).
pub(super) type Given = (TurnName, Option<i64>);

/// The turns that calls ask for and give on. It is as large as the number of calls under way.
#[derive(Debug)]
pub(super) struct Desk {
    state: Mutex<State>,
    bell: Notify,
}

#[derive(Debug)]
struct State {
    lines: HashMap<TurnName, Line>,
    given: Vec<Given>,
    asks: u64,
    lease: Lease,
    nodes: u64,
    policy: String,
    /// Why the log does not answer.
    fault: Option<StoreError>,
    is_closing: bool,
    is_closed: bool,
}

/// The calls of this gateway that ask for one turn: one after another, but for those that leave.
#[derive(Debug)]
struct Line {
    asks: VecDeque<Ask>,
    since: Instant,
    /// When the log is asked next.
    due: Instant,
    was_asked: bool,
}

#[derive(Debug)]
struct Ask {
    number: u64,
    answer: oneshot::Sender<Held>,
}

/// A turn on its way to who asked for it. Where nobody takes it, it is given on.
#[derive(Debug)]
struct Held {
    desk: Arc<Desk>,
    turn: TurnName,
    taken: Option<Taken>,
}

/// The work of one moment: what is to be given on, and after that what is to be asked for.
#[derive(Debug, Default)]
pub(super) struct Round {
    pub(super) given: Vec<Given>,
    pub(super) asked: Vec<TurnName>,
    /// When there is more to ask for.
    pub(super) next: Option<Instant>,
}

/// The name of a deployment's turn.
pub(super) fn turn_of(deployment: &DeploymentKey) -> TurnName {
    name_of([deployment.upstream.as_bytes(), &[0], deployment.id.as_bytes()])
}

impl Desk {
    pub(super) fn new(lease: Lease, policy: String) -> Self {
        let state = State {
            lines: HashMap::new(),
            given: Vec::new(),
            asks: 0,
            lease,
            nodes: 1,
            policy,
            fault: None,
            is_closing: false,
            is_closed: false,
        };
        Self { state: Mutex::new(state), bell: Notify::new() }
    }

    /// Waits for a turn; `None` where the desk is closed. Who no longer waits leaves the line.
    pub(super) async fn take(self: &Arc<Self>, turn: TurnName) -> Option<Taken> {
        let (answer, answered) = oneshot::channel();
        let number = self.line_up(turn, answer)?;
        let _place = InLine { desk: self, turn, number };
        answered.await.ok()?.taken.take()
    }

    fn line_up(&self, turn: TurnName, answer: oneshot::Sender<Held>) -> Option<u64> {
        let mut state = self.state();
        if state.is_closed {
            return None;
        }
        state.asks += 1;
        let (number, now) = (state.asks, Instant::now());
        // Who asks again keeps the place.
        state.given.retain(|given| *given != (turn, None));
        let line = state.lines.entry(turn).or_insert_with(|| Line::new(now));
        line.asks.push_back(Ask { number, answer });
        drop(state);
        self.bell.notify_one();
        Some(number)
    }

    /// Leaves the line, where the ask is still in it.
    fn leave(&self, turn: TurnName, number: u64) {
        let mut state = self.state();
        let Some(line) = state.lines.get_mut(&turn) else { return };
        line.asks.retain(|ask| ask.number != number);
        if line.asks.is_empty() {
            let was_asked = line.was_asked;
            state.lines.remove(&turn);
            if was_asked {
                state.given.push((turn, None));
                drop(state);
                self.bell.notify_one();
            }
        }
    }

    /// Gives a turn on, in its time.
    pub(super) fn give(&self, turn: TurnName, token: i64) {
        self.state().given.push((turn, Some(token)));
        self.bell.notify_one();
    }

    /// The work that is to be done now.
    pub(super) fn round(&self) -> Round {
        let (mut state, now) = (self.state(), Instant::now());
        let mut round = Round { given: std::mem::take(&mut state.given), ..Round::default() };
        for (turn, line) in &mut state.lines {
            if line.due <= now {
                line.was_asked = true;
                round.asked.push(*turn);
            } else {
                round.next = Some(round.next.map_or(line.due, |next| next.min(line.due)));
            }
        }
        round
    }

    /// Keeps what could not be given on.
    pub(super) fn keep(&self, given: Vec<Given>) {
        self.state().given.extend(given);
    }

    /// Hands a turn to who asks for it first.
    pub(super) fn came(self: &Arc<Self>, turn: TurnName, taken: Taken) {
        let mut state = self.state();
        let ask = state.lines.get_mut(&turn).and_then(|line| line.asks.pop_front());
        let is_last = state.lines.get(&turn).is_some_and(|line| line.asks.is_empty());
        if is_last {
            state.lines.remove(&turn);
        }
        drop(state);
        let held = Held { desk: Arc::clone(self), turn, taken: Some(taken) };
        if let Some(ask) = ask {
            drop(ask.answer.send(held));
        }
    }

    /// Notes at which place in the line of all gateways a turn is waited for.
    pub(super) fn waits(&self, turn: TurnName, place: u32) {
        if let Some(line) = self.state().lines.get_mut(&turn) {
            line.due = Instant::now() + pause(line.since.elapsed(), place);
        }
    }

    /// Begins anew under another lease: every place in line was lost.
    pub(super) fn begin_anew(&self, lease: Lease) {
        let mut state = self.state();
        state.lease = lease;
        state.given.clear();
        let now = Instant::now();
        state.lines.values_mut().for_each(|line| line.due = now);
    }

    pub(super) fn lease(&self) -> Lease {
        self.state().lease.clone()
    }

    pub(super) fn policy(&self) -> String {
        self.state().policy.clone()
    }

    pub(super) fn tell_policy(&self, digest: &str) {
        digest.clone_into(&mut self.state().policy);
    }

    /// Notes that the log answers, and how many gateways live.
    pub(super) fn learn(&self, nodes: u64) {
        let mut state = self.state();
        (state.nodes, state.fault) = (nodes.max(1), None);
    }

    pub(super) fn nodes(&self) -> u64 {
        self.state().nodes
    }

    /// Notes that the log does not answer.
    pub(super) fn fail(&self, fault: StoreError) {
        self.state().fault = Some(fault);
    }

    pub(super) fn fault(&self) -> Option<StoreError> {
        self.state().fault.clone()
    }

    /// Waits until there is something to do.
    pub(super) async fn rang(&self) {
        self.bell.notified().await;
    }

    /// Asks for the end.
    pub(super) fn close(&self) {
        self.state().is_closing = true;
        self.bell.notify_one();
    }

    pub(super) fn is_closing(&self) -> bool {
        self.state().is_closing
    }

    /// Lets nobody wait any more.
    pub(super) fn closed(&self) {
        let mut state = self.state();
        state.is_closed = true;
        state.lines.clear();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Line {
    fn new(now: Instant) -> Self {
        Self { asks: VecDeque::new(), since: now, due: now, was_asked: false }
    }
}

/// How long until who has waited so long, at that place in line, looks again.
fn pause(waited: Duration, place: u32) -> Duration {
    let next = (waited / LOOK_PART).clamp(LOOK_LEAST, LOOK_MOST);
    (next * place.max(1)).min(LOOK_BEHIND_MOST)
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(taken) = &self.taken {
            self.desk.give(self.turn, taken.fence.token);
        }
    }
}

/// A place in line, which is left when this is dropped.
struct InLine<'d> {
    desk: &'d Arc<Desk>,
    turn: TurnName,
    number: u64,
}

impl Drop for InLine<'_> {
    fn drop(&mut self) {
        self.desk.leave(self.turn, self.number);
    }
}
