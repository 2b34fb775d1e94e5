//! One governed write at a time per deployment. Callers take turns: whoever has the turn next is
//! the longest waiting call of the caller whose last turn lies furthest back, so that no caller
//! keeps another one from a deployment by the number of its calls.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::audit::LogTurn;
use crate::base::ids::Fingerprint;
use crate::deployment::key::DeploymentKey;

/// The most calls that wait for one deployment's turn.
const WAITING_MAX: usize = 256;

/// The most calls of one caller that wait for one deployment's turn.
const WAITING_OF_ONE_MAX: usize = 32;

/// Every deployment whose turn is held, waited for or watched. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Turns {
    lines: Arc<Mutex<HashMap<DeploymentKey, WaitingLine>>>,
}

/// The calls that concern one deployment.
#[derive(Debug, Default)]
struct WaitingLine {
    is_held: bool,
    /// How many turns were taken since the line came to be.
    turns: u64,
    watches: usize,
    waiting: usize,
    /// The callers with waiting calls, the next one first; each with its calls, the oldest first.
    callers: VecDeque<(Fingerprint, VecDeque<Waiting>)>,
}

/// A call that waits. Its turn is handed to it while it listens; a call that has given up does
/// not.
type Waiting = oneshot::Sender<HeldTurn>;

/// A call's right to go on to its change. An intent is opened within one alone.
#[derive(Debug)]
pub(super) enum Turn {
    /// That of a deployment: among all gateways of the log, and among the calls of this one. It is
    /// given back in that order.
    Held(LogTurn, HeldTurn),
    /// That of a create: there is no deployment yet that another call could change.
    Create,
}

/// A deployment's turn: until it is dropped, nobody else has it.
#[derive(Debug)]
pub(super) struct HeldTurn {
    turns: Turns,
    deployment: DeploymentKey,
    number: u64,
}

/// A look at a line that tells later whether anybody had the turn meanwhile.
#[derive(Debug)]
pub(super) struct TurnWatch {
    turns: Turns,
    deployment: DeploymentKey,
    /// The number of the next turn, where the line was at rest.
    next: Option<u64>,
}

/// The turn did not come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TurnError {
    /// Too many calls wait already.
    Crowded,
    /// Too many calls of the same caller wait already.
    CrowdedByCaller,
    /// The calls before took too long.
    Late,
}

impl Turns {
    /// Waits at most `wait_max` for the turn of `deployment`.
    pub(super) async fn take(
        &self,
        deployment: &DeploymentKey,
        caller: Fingerprint,
        wait_max: Duration,
    ) -> Result<HeldTurn, TurnError> {
        let mut handed_over = match self.line_up(deployment, caller)? {
            LinedUp::First(turn) => return Ok(turn),
            LinedUp::Behind(handed_over) => handed_over,
        };
        if let Ok(Ok(turn)) = timeout(wait_max, &mut handed_over).await {
            return Ok(turn);
        }
        // It may have come just now. Closing makes sure that it does not come later.
        handed_over.close();
        let came = handed_over.try_recv().map_err(|_none| TurnError::Late);
        self.forget_who_left(deployment);
        came
    }

    /// Begins to watch the line of `deployment`.
    pub(super) fn watch(&self, deployment: &DeploymentKey) -> TurnWatch {
        let mut lines = self.lines();
        let line = lines.entry(deployment.clone()).or_default();
        line.watches += 1;
        let next = (!line.is_held).then_some(line.turns + 1);
        TurnWatch { turns: self.clone(), deployment: deployment.clone(), next }
    }

    fn line_up(
        &self,
        deployment: &DeploymentKey,
        caller: Fingerprint,
    ) -> Result<LinedUp, TurnError> {
        let mut lines = self.lines();
        let line = lines.entry(deployment.clone()).or_default();
        if !line.is_held {
            line.is_held = true;
            line.turns += 1;
            let (turns, number) = (self.clone(), line.turns);
            return Ok(LinedUp::First(HeldTurn { turns, number, deployment: deployment.clone() }));
        }
        if line.waiting >= WAITING_MAX {
            return Err(TurnError::Crowded);
        }
        let (handed, handed_over) = oneshot::channel();
        match line.callers.iter_mut().find(|(waiting, _)| *waiting == caller) {
            Some((_, calls)) if calls.len() >= WAITING_OF_ONE_MAX => {
                return Err(TurnError::CrowdedByCaller);
            }
            Some((_, calls)) => calls.push_back(handed),
            None => line.callers.push_back((caller, VecDeque::from([handed]))),
        }
        line.waiting += 1;
        Ok(LinedUp::Behind(handed_over))
    }

    /// Frees the places of calls that have given up.
    fn forget_who_left(&self, deployment: &DeploymentKey) {
        let mut lines = self.lines();
        let Some(line) = lines.get_mut(deployment) else { return };
        for (_, calls) in &mut line.callers {
            calls.retain(|waiting| !waiting.is_closed());
        }
        line.callers.retain(|(_, calls)| !calls.is_empty());
        line.waiting = line.callers.iter().map(|(_, calls)| calls.len()).sum();
    }

    fn lines(&self) -> MutexGuard<'_, HashMap<DeploymentKey, WaitingLine>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where a call stands that has just lined up.
enum LinedUp {
    First(HeldTurn),
    Behind(oneshot::Receiver<HeldTurn>),
}

impl Turn {
    /// The turn among the gateways of the log; `None` on a create.
    pub(super) fn in_log(&self) -> Option<&LogTurn> {
        match self {
            Self::Held(log, _) => Some(log),
            Self::Create => None,
        }
    }

    /// Whether nobody has had the turn since `watch` began, at the moment `then`.
    pub(super) fn follows(&self, watch: &TurnWatch, then: Instant) -> bool {
        matches!(self, Self::Held(log, turn) if turn.follows(watch) && log.rested_since(then))
    }
}

impl HeldTurn {
    /// Whether nobody has had the turn since `watch` began: what was seen of the deployment since
    /// then was seen while no other call was at work on it.
    fn follows(&self, watch: &TurnWatch) -> bool {
        watch.next == Some(self.number)
    }
}

impl TurnWatch {
    /// Whether nobody had the turn when the watch began.
    pub(super) fn may_be_followed(&self) -> bool {
        self.next.is_some()
    }
}

impl WaitingLine {
    /// Takes the next call out of the line: the callers in turn, the oldest call of each first.
    fn next(&mut self) -> Option<Waiting> {
        while let Some((caller, mut calls)) = self.callers.pop_front() {
            let next = calls.pop_front();
            self.waiting = self.waiting.saturating_sub(usize::from(next.is_some()));
            if !calls.is_empty() {
                self.callers.push_back((caller, calls));
            }
            if let Some(next) = next.filter(|waiting| !waiting.is_closed()) {
                return Some(next);
            }
        }
        None
    }

    fn is_idle(&self) -> bool {
        !self.is_held && self.watches == 0 && self.callers.is_empty()
    }
}

impl Drop for HeldTurn {
    fn drop(&mut self) {
        let mut lines = self.turns.lines();
        let Some(line) = lines.get_mut(&self.deployment) else { return };
        let next = line.next();
        line.is_held = next.is_some();
        if let Some(next) = next {
            line.turns += 1;
            let (turns, number) = (self.turns.clone(), line.turns);
            let turn = HeldTurn { turns, number, deployment: self.deployment.clone() };
            drop(lines);
            // A call that has given up since gives its turn back here, by dropping it.
            drop(next.send(turn));
        } else if line.is_idle() {
            lines.remove(&self.deployment);
        }
    }
}

impl Drop for TurnWatch {
    fn drop(&mut self) {
        let mut lines = self.turns.lines();
        if let Some(line) = lines.get_mut(&self.deployment) {
            line.watches -= 1;
            if line.is_idle() {
                lines.remove(&self.deployment);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dep(id: &str) -> DeploymentKey {
        DeploymentKey::new(&"main".into(), id)
    }

    fn caller(n: u8) -> Fingerprint {
        Fingerprint::from_bytes([n; 8])
    }

    const NOW: Duration = Duration::ZERO;
    const SOON: Duration = Duration::from_secs(5);

    #[tokio::test]
    async fn a_line_is_bounded_and_leaves_nothing_behind() {
        let turns = Turns::default();
        let first = turns.take(&dep("dep_1"), caller(0), NOW).await.unwrap();
        assert_eq!(turns.take(&dep("dep_1"), caller(0), NOW).await.unwrap_err(), TurnError::Late);
        assert!(turns.take(&dep("dep_2"), caller(0), NOW).await.is_ok());
        let line_up = |n: u8| turns.line_up(&dep("dep_1"), caller(n));
        let mut waiting = Vec::new();
        for n in 0..8 {
            waiting.extend((0..WAITING_OF_ONE_MAX).map(|_| line_up(n).ok().unwrap()));
            let refused = line_up(n).err();
            assert!(
                matches!(refused, Some(TurnError::CrowdedByCaller | TurnError::Crowded)),
                "{n}"
            );
        }
        assert_eq!(waiting.len(), WAITING_MAX);
        assert_eq!(line_up(9).err(), Some(TurnError::Crowded));
        drop((waiting, first));
        assert!(turns.lines().is_empty());
    }

    #[tokio::test]
    async fn callers_take_turns_whatever_the_number_of_their_calls() {
        let turns = Turns::default();
        let held = turns.take(&dep("dep_1"), caller(9), NOW).await.unwrap();
        let (told, mut order) = tokio::sync::mpsc::unbounded_channel();
        for n in [1, 1, 1, 1, 2, 3, 2] {
            let (turns, told) = (turns.clone(), told.clone());
            let before = turns.clone();
            let waiting = move || before.lines().get(&dep("dep_1")).unwrap().waiting;
            let lined_up = waiting() + 1;
            tokio::spawn(async move {
                let turn = turns.take(&dep("dep_1"), caller(n), SOON).await.unwrap();
                told.send(n).unwrap();
                drop(turn);
            });
            while waiting() < lined_up {
                tokio::task::yield_now().await;
            }
        }
        drop((held, told));
        let mut came = Vec::new();
        while let Some(n) = order.recv().await {
            came.push(n);
        }
        assert_eq!(came, [1, 2, 3, 1, 2, 1, 1]);
    }

    #[tokio::test]
    async fn a_call_that_gives_up_frees_its_place() {
        let turns = Turns::default();
        let held = turns.take(&dep("dep_1"), caller(0), NOW).await.unwrap();
        for _ in 0..3 * WAITING_OF_ONE_MAX {
            assert_eq!(
                turns.take(&dep("dep_1"), caller(1), NOW).await.unwrap_err(),
                TurnError::Late
            );
        }
        // Some calls are dropped where they wait, as a task that is ended drops them.
        for _ in 0..WAITING_OF_ONE_MAX {
            drop(turns.line_up(&dep("dep_1"), caller(2)).ok().unwrap());
        }
        let waits = turns.clone();
        let next = tokio::spawn(async move { waits.take(&dep("dep_1"), caller(3), SOON).await });
        tokio::task::yield_now().await;
        drop(held);
        assert!(next.await.unwrap().is_ok());
        assert!(turns.lines().is_empty());
    }

    #[tokio::test]
    async fn a_watch_tells_whether_anybody_had_the_turn_meanwhile() {
        let turns = Turns::default();
        let dep = dep("dep_1");
        let take = || turns.take(&dep, caller(0), NOW);
        let watch = turns.watch(&dep);
        let turn = take().await.unwrap();
        assert!(turn.follows(&watch));
        let during = turns.watch(&dep);
        drop(turn);
        let turn = take().await.unwrap();
        assert!(!turn.follows(&watch) && !turn.follows(&during));
        drop((turn, watch, during));
        assert!(turns.lines().is_empty());
    }
}
