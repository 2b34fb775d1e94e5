//! The one who renews this gateway's lease and takes turns under it, for all calls together.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Connection as _, Error, PgConnection, Row as _};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::desk::{Desk, Given, turn_of};
use super::error::{LEASE_OVER, UnfitServer, code, is_lost, is_overtaken, silent, told};
use super::link::connect;
use super::literal::text;
use super::writer::Writer;
use crate::audit::lease::{Fence, Gateways, Lease, Taken};
use crate::audit::store::turn_name::TurnName;
use crate::audit::store::turns::NoTurn;
use crate::audit::store::{Boxed, StoreError};
use crate::base::clock::Clock;
use crate::base::ids::{Hex, random};
use crate::base::visible::chain;
use crate::deployment::key::DeploymentKey;
use crate::net::thread::spawn;

/// How long a lease lasts, by the server's clock.
const LEASE: Duration = Duration::from_secs(10);

/// How long it is trusted, from before it was asked for: what is sent by then is with upstream
/// before somebody else has the turn.
const TRUSTED: Duration = Duration::from_secs(7);

/// How often the lease is renewed.
const BEAT: Duration = Duration::from_secs(2);

/// The longest that a call of a function may take; a beat that takes longer is as good as none.
const CALL_MAX: Duration = Duration::from_secs(2);

/// How many turns are asked for at a time.
const ASKED_MAX: usize = 256;

/// The pauses between two attempts to reach the server: from, to.
const PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// How many changes that others have left open are ended at a time: as many as the function takes.
const SWEPT_MAX: i64 = 1_000;

/// The way to the one who takes turns.
#[derive(Debug)]
pub(in crate::audit) struct Turns {
    desk: Arc<Desk>,
    ended: Mutex<Option<oneshot::Receiver<()>>>,
}

struct Keeper {
    writer: Writer,
    desk: Arc<Desk>,
    clock: Clock,
    connection: Option<PgConnection>,
    next_beat: Instant,
    pause: Duration,
    /// The facts that this gateway last told of itself, so that each is told once.
    told: Told,
}

#[derive(Default)]
struct Told {
    is_away: bool,
    has_namesake: bool,
}

/// The log's functions were closed to a call that waited for its turn.
#[derive(Debug, thiserror::Error)]
#[error("the log is closed")]
struct DeskClosed;

impl Turns {
    /// Takes a lease, and starts the thread that renews it.
    pub(in crate::audit) async fn start(
        writer: Writer,
        policy_digest: &str,
        clock: Clock,
    ) -> Result<Self, Boxed> {
        let lease = Lease::new(random(), clock.instant());
        let desk = Arc::new(Desk::new(lease, policy_digest.to_owned()));
        let keeper = Keeper {
            writer,
            desk: Arc::clone(&desk),
            clock,
            connection: None,
            next_beat: Instant::now(),
            pause: PAUSES.0,
            told: Told::default(),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (begun, begins) = oneshot::channel();
        let (ends, ended) = oneshot::channel();
        spawn("changegate-turns", runtime, |runtime| {
            runtime.block_on(keeper.run(begun));
            drop(ends);
        })?;
        let begun = begins.await.map_err(|_ended| "the thread that takes turns has ended")?;
        begun.map_err(told)?;
        Ok(Self { desk, ended: Mutex::new(Some(ended)) })
    }

    /// Waits at most `wait` for the turn of a deployment.
    pub(in crate::audit) async fn take(
        &self,
        deployment: &DeploymentKey,
        wait: Duration,
    ) -> Result<Taken, NoTurn> {
        match timeout(wait, self.desk.take(turn_of(deployment))).await {
            Ok(Some(taken)) => Ok(taken),
            Ok(None) => Err(NoTurn::Unavailable(StoreError::Unavailable(Arc::new(DeskClosed)))),
            Err(_elapsed) => Err(self.desk.fault().map_or(NoTurn::Late, NoTurn::Unavailable)),
        }
    }

    /// The gateways of the log, as they stand `now`.
    pub(in crate::audit) fn gateways(&self, now: std::time::Instant) -> Gateways {
        let lease = Some(self.desk.lease().standing(now));
        Gateways { nodes: self.desk.nodes(), lease }
    }

    /// Gives a turn on, in its time.
    pub(in crate::audit) fn give(&self, fence: &Fence) {
        self.desk.give(fence.turn, fence.token);
    }

    /// Tells the other gateways which policy is in force here.
    pub(in crate::audit) fn tell_policy(&self, digest: &str) {
        self.desk.tell_policy(digest);
    }

    /// Where calls ask for turns.
    #[cfg(test)]
    pub(super) fn desk(&self) -> Arc<Desk> {
        Arc::clone(&self.desk)
    }

    /// Ends the lease, and gives on what was taken under it.
    pub(in crate::audit) async fn close(&self) {
        self.desk.close();
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(ended) = ended {
            let _ended = timeout(2 * CALL_MAX, ended).await;
        }
    }
}

impl Drop for Turns {
    fn drop(&mut self) {
        self.desk.close();
    }
}

impl Keeper {
    async fn run(mut self, begun: oneshot::Sender<Result<(), Error>>) {
        let first = self.beat().await;
        let is_begun = first.is_ok();
        if begun.send(first).is_err() || !is_begun {
            return self.desk.closed();
        }
        while !self.desk.is_closing() {
            if let Err(error) = self.work().await {
                self.fail(&error).await;
            }
        }
        // Nobody waits for it any more: what could not be given on is free once the lease is over.
        let ended = format!("SELECT changegate.end_lease_v1('{}')", self.lease());
        let _ended = self.call(&ended).await;
        if let Some(connection) = self.connection.take() {
            let _closed = timeout(CALL_MAX, connection.close()).await;
        }
        self.desk.closed();
    }

    /// Does what is to be done now, and waits for the next time that there is something.
    async fn work(&mut self) -> Result<(), Error> {
        if Instant::now() >= self.next_beat {
            self.beat().await?;
            self.sweep().await?;
        }
        let round = self.desk.round();
        if !round.given.is_empty() {
            let given = self.give(&round.given).await;
            if given.is_err() {
                self.desk.keep(round.given);
                return given;
            }
        }
        for asked in round.asked.chunks(ASKED_MAX) {
            self.take(asked).await?;
        }
        if round.asked.is_empty() && round.given.is_empty() {
            let until = round.next.map_or(self.next_beat, |next| next.min(self.next_beat));
            let _due = timeout_at(until, self.desk.rang()).await;
        }
        Ok(())
    }

    /// Renews the lease, or begins another one where it is over.
    async fn beat(&mut self) -> Result<(), Error> {
        let lease = self.desk.lease();
        if self.renew(&lease).await? {
            return Ok(());
        }
        tracing::warn!(
            "the lease of this gateway was over before it was renewed: the turns that it had may \
             be others' by now"
        );
        let lease = Lease::new(random(), self.clock.instant());
        self.desk.begin_anew(lease.clone());
        self.renew(&lease).await.map(drop)
    }

    async fn renew(&mut self, lease: &Lease) -> Result<bool, Error> {
        let (process, node) = (&self.writer.process, text(self.writer.node.as_deref()));
        let policy = text(Some(&self.desk.policy()));
        let call = format!(
            "SELECT alive, nodes, namesakes FROM changegate.beat_v1('{}', '{process}', {node}, \
             {policy}, {})",
            Hex(&lease.id()),
            LEASE.as_millis()
        );
        let (asked, trusted_until) = (Instant::now(), self.clock.instant() + TRUSTED);
        let rows = self.call(&call).await?;
        let row = rows.first().ok_or(Error::RowNotFound)?;
        let is_alive: bool = row.try_get("alive")?;
        if is_alive {
            lease.extend(trusted_until);
            self.next_beat = asked + BEAT;
            self.desk.learn(u64::try_from(row.try_get::<i64, _>("nodes")?).unwrap_or(1));
            self.tell_of_namesakes(row.try_get("namesakes")?);
        }
        self.pause = PAUSES.0;
        if std::mem::take(&mut self.told.is_away) {
            tracing::info!("the server answers again: this gateway has a lease");
        }
        Ok(is_alive)
    }

    fn tell_of_namesakes(&mut self, namesakes: i64) {
        let has_namesake = namesakes > 0;
        if has_namesake && !self.told.has_namesake {
            tracing::warn!(
                node = self.writer.node.as_deref(),
                "another gateway on this log has this one's name, or it has just started anew: \
                 give each a `node.name` of its own"
            );
        }
        self.told.has_namesake = has_namesake;
    }

    /// Ends what gateways that have gone have left open.
    async fn sweep(&mut self) -> Result<(), Error> {
        let node = text(self.writer.node.as_deref());
        let call = format!(
            "SELECT changegate.sweep_v1('{}', '{}', {node}, {}) AS ended",
            self.writer.process,
            self.lease(),
            LEASE.as_millis()
        );
        loop {
            let rows = match self.call(&call).await {
                // Others do the same at this moment.
                Err(error) if is_overtaken(&error) => return Ok(()),
                rows => rows?,
            };
            let ended = rows.first().map(|row| row.try_get::<i64, _>("ended")).transpose()?;
            let ended = ended.unwrap_or(0);
            if ended > 0 {
                tracing::warn!(
                    changes = ended,
                    "a gateway that has gone has left changes open: whether they were applied is \
                     unknown"
                );
            }
            if ended < SWEPT_MAX {
                return Ok(());
            }
        }
    }

    async fn give(&mut self, given: &[Given]) -> Result<(), Error> {
        let names = list(given.iter().map(|(turn, _token)| Hex(turn).to_string()));
        let tokens = given.iter().map(|(_turn, token)| {
            token.map_or_else(|| "NULL".to_owned(), |token| token.to_string())
        });
        let call =
            format!("SELECT changegate.give_v1('{}', '{names}', '{}')", self.lease(), list(tokens));
        self.call(&call).await.map(drop)
    }

    async fn take(&mut self, asked: &[TurnName]) -> Result<(), Error> {
        let lease = self.desk.lease();
        let names = list(asked.iter().map(|turn| Hex(turn).to_string()));
        let call = format!(
            "SELECT uuid_send(turn) AS turn, token, place, rested, unclear \
             FROM changegate.take_v1('{}', '{}', '{names}')",
            self.writer.process,
            Hex(&lease.id())
        );
        let rows = self.call(&call).await?;
        let at = self.clock.instant();
        for row in rows {
            let turn: Vec<u8> = row.try_get("turn")?;
            let Ok(turn) = TurnName::try_from(turn) else { continue };
            let Some(token) = row.try_get("token")? else {
                let place: Option<i32> = row.try_get("place")?;
                self.desk.waits(turn, place.and_then(|place| place.try_into().ok()).unwrap_or(1));
                continue;
            };
            let rested: Option<i64> = row.try_get("rested")?;
            let rested = rested.map(|millis| Duration::from_millis(millis.try_into().unwrap_or(0)));
            let unclear: i64 = row.try_get("unclear")?;
            let fence = Fence { turn, token, lease: lease.clone() };
            let unclear = unclear.try_into().unwrap_or(usize::MAX);
            self.desk.came(turn, Taken { fence, at, rested, unclear });
        }
        Ok(())
    }

    /// The name of the lease.
    fn lease(&self) -> String {
        Hex(&self.desk.lease().id()).to_string()
    }

    /// Runs one statement, which is a transaction that nobody waits for to be on disk.
    async fn call(&mut self, statement: &str) -> Result<Vec<PgRow>, Error> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => connect(&self.writer.url).await?.0,
        };
        let ran = sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).fetch_all(&mut connection);
        let ran = timeout(CALL_MAX, ran).await;
        let ran = ran.unwrap_or_else(|_elapsed| Err(silent()));
        // Of one that did not answer in time nobody knows what it is at.
        let is_kept =
            ran.as_ref().err().is_none_or(|error| code(error).is_some() && !is_lost(error));
        self.connection = is_kept.then_some(connection);
        ran
    }

    /// After a call that failed: what was asked for is asked for again.
    async fn fail(&mut self, error: &Error) {
        match code(error).as_deref() {
            // Another one is begun.
            Some(LEASE_OVER) => self.next_beat = Instant::now(),
            _other if is_overtaken(error) => {}
            _other => {
                let fault = UnfitServer::Unanswered(chain(error));
                self.desk.fail(StoreError::Unavailable(Arc::new(fault)));
                if !std::mem::replace(&mut self.told.is_away, true) {
                    tracing::error!(
                        error = %chain(error),
                        "no turn can be taken: no change is sent once the lease is over"
                    );
                }
                self.next_beat = Instant::now();
                sleep(self.pause).await;
                self.pause = PAUSES.1.min(self.pause * 2);
            }
        }
    }
}

/// A literal's list.
fn list(items: impl Iterator<Item = String>) -> String {
    let items: Vec<String> = items.collect();
    format!("{{{}}}", items.join(","))
}
