//! A policy held against the newest changes of the log: what it would have decided. Bounded in
//! changes and in time, and one at a time, since each change takes its documents and a judgement.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::spawn_blocking;

use super::Api;
use super::access::Asker;
use super::answer::Problem;
use super::api::{QUESTION_MAX, within};
use super::evaluate::{POLICY_BYTES_MAX, policy_of};
use crate::audit::judged::ReadyChange;
use crate::audit::query::{Filter, RecordedChange, Walk};
use crate::audit::record::{Event, EventKind};
use crate::base::clock::Clock;
use crate::policy::Policy;
use crate::policy::replay::Replay;

/// How many of the newest changes may be judged.
pub(crate) const COUNTS: [u64; 3] = [256, 1_024, 4_096];

/// How long judging goes on: what was judged by then is told.
const JUDGING_MAX: Duration = Duration::from_secs(7);

/// The most changes that are named of each kind of change of mind.
const NAMED_MAX: usize = 20;

/// The decisions that a policy would have made.
pub(crate) struct Backtest {
    pub(crate) policy: Arc<Policy>,
    pub(crate) replay: Replay,
    /// Whether the time was over before all were judged.
    pub(crate) is_cut: bool,
}

/// A back-test on its way.
struct Judging {
    policy: Arc<Policy>,
    replay: Replay,
    clock: Clock,
    /// When it is to end.
    until: Instant,
    /// Held until a part is judged, whether anybody still waits for it or not.
    _turn: Arc<OwnedSemaphorePermit>,
}

impl Api {
    /// Judges the newest `count` changes by the policy of that text, and leaves a word of it in the
    /// log.
    pub(crate) async fn backtest(
        &self,
        asker: &Asker,
        text: String,
        count: u64,
    ) -> Result<Backtest, Problem> {
        asker.may_look_inside()?;
        if text.len() > POLICY_BYTES_MAX {
            let message = format!("policy: it is longer than {POLICY_BYTES_MAX} bytes: send less");
            return Err(Problem::invalid("policy", message));
        }
        let clock = self.state.clock.clone();
        let tested = within(QUESTION_MAX, async {
            let _scan =
                asker.share.scanning.acquire().await.map_err(|_closed| Problem::no_room())?;
            let turn = Arc::clone(&self.bodies).acquire_owned().await;
            let turn = Arc::new(turn.map_err(|_closed| Problem::no_room())?);
            let provider = (self.state.provider)();
            let policy = spawn_blocking(move || policy_of(&text, provider)).await;
            let policy = policy.map_err(|broken| Problem::broke_off(&broken))?.map(Arc::new)?;
            let until = clock.instant() + JUDGING_MAX;
            let replay = Replay::new(&policy, NAMED_MAX);
            let judging = Judging { policy, replay, clock, until, _turn: turn };
            let walk = self.reader().walk(&Filter::default()).await?.newest_first();
            judging.lead(walk, count).await
        });
        let tested = tested.await?;
        self.note_backtest(asker, &tested);
        Ok(tested)
    }

    fn note_backtest(&self, asker: &Asker, tested: &Backtest) {
        let by = asker.holder.as_ref().map(|holder| holder.name.clone());
        let detail = json!({
            "operation": "replay",
            "changes": tested.replay.count,
            "decided_otherwise": tested.replay.moved(),
            "policy_digest": tested.policy.digest,
            "by": by,
        });
        self.state.audit.note(Event {
            at: self.state.clock.now(),
            kind: EventKind::Evaluation,
            actor: None,
            client_ip: None,
            request_id: None,
            detail,
        });
    }
}

impl Judging {
    /// Judges page by page until there are `count`, or the time is over.
    async fn lead(mut self, mut walk: Walk, count: u64) -> Result<Backtest, Problem> {
        let mut seen = 0;
        let mut is_cut = false;
        while seen < count && !is_cut {
            let part = walk.next().await?;
            if part.is_empty() {
                break;
            }
            let room = usize::try_from(count.saturating_sub(seen)).unwrap_or(usize::MAX);
            seen = seen.saturating_add(part.len().min(room).try_into().unwrap_or(u64::MAX));
            // Not among the work of governed calls, which must not wait for it.
            let judged = spawn_blocking(move || {
                let is_whole = self.judge(part.into_iter().take(room));
                (self, is_whole)
            });
            let (judging, is_whole) = judged.await.map_err(|broken| Problem::broke_off(&broken))?;
            (self, is_cut) = (judging, !is_whole);
        }
        Ok(Backtest { policy: self.policy, replay: self.replay, is_cut })
    }

    /// Judges these changes; tells whether there was time for all.
    fn judge(&mut self, changes: impl Iterator<Item = RecordedChange>) -> bool {
        for change in changes {
            if self.clock.instant() > self.until {
                return false;
            }
            let Ok(change) = ReadyChange::of(change) else {
                self.replay.not_asked += 1;
                continue;
            };
            let rejudged = change.judged(&self.policy, &self.clock);
            let _moved = self.replay.add(&rejudged, || change.moved(&self.policy, &rejudged));
        }
        true
    }
}
