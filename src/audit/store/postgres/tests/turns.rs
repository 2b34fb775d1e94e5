//! Turns of several gateways on one log.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::*;
use crate::audit::lease::Taken;
use crate::audit::store::postgres::desk::Desk;
use crate::audit::store::turn_name::TurnName;
use crate::base::clock::Clock;

const SOON: Duration = Duration::from_secs(20);

/// A gateway: its writer, and who takes its turns.
struct Node {
    writes: Writes,
    turns: Turns,
}

impl Node {
    async fn new(log: &Log, name: &str) -> Self {
        let writer = log.writer_of(name);
        let turns = Turns::start(writer.clone(), "p", Clock::System).await.unwrap();
        Self { writes: Writes::open(writer, PREPARATION).await.unwrap(), turns }
    }

    fn desk(&self) -> Arc<Desk> {
        self.turns.desk()
    }

    async fn take(&self, turn: TurnName) -> Taken {
        take(&self.desk(), turn).await
    }

    fn is_leased(&self) -> bool {
        self.desk().lease().is_trusted(Clock::System.instant())
    }

    async fn write(&mut self, entry: &Entry) -> Result<(), StoreError> {
        self.writes.write(&[entry]).await.unwrap().remove(0).map(drop)
    }
}

async fn take(desk: &Arc<Desk>, turn: TurnName) -> Taken {
    timeout(SOON, desk.take(turn)).await.expect("the turn comes").unwrap()
}

/// An intent under a turn.
fn intent_under(taken: &Taken) -> Entry {
    let Entry::Intent(mut opening) = intent() else { panic!() };
    opening.intent.fence = Some(taken.fence.clone());
    Entry::Intent(opening)
}

/// The end of one that was opened under a turn.
fn end_under(taken: &Taken, opened: &Entry, outcome: Outcome) -> Entry {
    let Entry::Completion(mut ending) = end_of(opened, outcome) else { panic!() };
    ending.fence = Some(taken.fence.clone());
    Entry::Completion(ending)
}

/// Waits until the log says so.
async fn until(log: &Log, question: &str) {
    let since = Instant::now();
    while log.database.sql(question) != "t" {
        assert!(since.elapsed() < SOON, "{question}");
        sleep(Duration::from_millis(2)).await;
    }
}

/// Ends every lease now, as its time does.
fn end_leases(log: &Log, node: &str) {
    log.database.sql(&format!(
        "UPDATE changegate.leases SET until_at = clock_timestamp() WHERE node = '{node}'"
    ));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_those_who_race_for_a_turn_one_has_it() {
    const TURNS: usize = 100;
    let Some(log) = Log::new().await else { return };
    let (one, other) = (Node::new(&log, "one").await, Node::new(&log, "other").await);
    assert_eq!(other.desk().nodes(), 2);
    let is_held = Arc::new(AtomicBool::new(false));
    let [here, there] = [&one, &other].map(|node| {
        let (desk, is_held) = (node.desk(), Arc::clone(&is_held));
        tokio::spawn(async move {
            let mut tokens = Vec::new();
            for _ in 0..TURNS / 2 {
                let taken = take(&desk, [7; 16]).await;
                assert!(!is_held.swap(true, Ordering::SeqCst), "two have the turn");
                tokio::task::yield_now().await;
                tokens.push(taken.fence.token);
                is_held.store(false, Ordering::SeqCst);
                desk.give([7; 16], taken.fence.token);
            }
            tokens
        })
    });
    let (here, there) = (here.await.unwrap(), there.await.unwrap());
    assert!([&here, &there].iter().all(|all| all.is_sorted()), "{here:?} {there:?}");
    // Who comes first is served first: nobody has it often while the other one waits.
    let mut all: Vec<_> = here.iter().map(|token| (*token, 1)).collect();
    all.extend(there.iter().map(|token| (*token, 2)));
    all.sort_unstable();
    let handed_over = all.windows(2).filter(|pair| pair[0].1 < pair[1].1).count();
    assert!(handed_over > TURNS / 10, "{here:?} {there:?}");
    one.turns.close().await;
    other.turns.close().await;
    let left = "SELECT count(*) FROM changegate.turns WHERE holder IS NOT NULL OR waiting <> '{}'";
    assert_eq!(log.database.sql(left), "0");
}

#[tokio::test]
async fn the_end_of_a_change_gives_its_turn_on() {
    let Some(log) = Log::new().await else { return };
    let mut one = Node::new(&log, "one").await;
    let other = Node::new(&log, "other").await;
    let first = one.take([1; 16]).await;
    assert_eq!((first.rested, first.unclear), (None, 0));
    let opened = intent_under(&first);
    one.write(&opened).await.unwrap();
    let waiting = other.desk();
    let waits = tokio::spawn(async move { take(&waiting, [1; 16]).await });
    until(&log, "SELECT waiting <> '{}' FROM changegate.turns").await;
    one.write(&end_under(&first, &opened, Outcome::Applied)).await.unwrap();
    let next = waits.await.unwrap();
    assert!(next.fence.token > first.fence.token && next.rested.unwrap() < SOON);
    // Under the former token nothing is opened any more.
    let refused = one.write(&intent_under(&first)).await.unwrap_err();
    assert!(matches!(refused, StoreError::Refused(_)), "{refused:?}");
    // Nor is the turn given on by it.
    one.write(&end_under(&first, &intent(), Outcome::Failed)).await.unwrap();
    let held = format!("SELECT token = {} FROM changegate.turns", next.fence.token);
    assert_eq!(log.database.sql(&held), "t");
    assert_eq!(log.database.sql("SELECT count(*) FROM changegate.changes"), "1");
}

#[tokio::test]
async fn the_end_of_a_change_that_was_never_opened_gives_its_turn_on() {
    let Some(log) = Log::new().await else { return };
    let mut one = Node::new(&log, "one").await;
    let taken = one.take([1; 16]).await;
    one.write(&end_under(&taken, &intent(), Outcome::Failed)).await.unwrap();
    assert_eq!(log.database.sql("SELECT holder IS NULL FROM changegate.turns"), "t");
}

/// A crash of the server may take back that a turn was taken, for nothing flushes that by itself.
#[tokio::test]
async fn a_turn_whose_taking_was_lost_is_given_on_by_nobody_else() {
    let Some(log) = Log::new().await else { return };
    let mut one = Node::new(&log, "one").await;
    let other = Node::new(&log, "other").await;
    let lost = one.take([1; 16]).await;
    log.database.sql("UPDATE changegate.turns SET holder = NULL, token = 0, waiting = '{}'");
    let next = other.take([1; 16]).await;
    assert!(next.fence.token > lost.fence.token);
    // Even under the same token, it is another process's.
    log.database.sql(&format!("UPDATE changegate.turns SET token = {}", lost.fence.token));
    one.write(&end_under(&lost, &intent(), Outcome::Failed)).await.unwrap();
    assert_eq!(log.database.sql("SELECT holder IS NOT NULL FROM changegate.turns"), "t");
}

#[tokio::test]
async fn what_a_dead_gateway_left_open_is_unknown_and_its_own_end_comes_late() {
    let Some(log) = Log::new().await else { return };
    let mut one = Node::new(&log, "one").await;
    let taken = one.take([2; 16]).await;
    let opened = intent_under(&taken);
    one.write(&opened).await.unwrap();
    end_leases(&log, "one");
    let other = Node::new(&log, "other").await;
    let next = other.take([2; 16]).await;
    assert!(next.fence.token > taken.fence.token);
    assert_eq!(next.unclear, 1);
    let ends = "SELECT outcome, swept FROM changegate.ends";
    assert_eq!(log.database.sql(ends), "unknown|t");
    let refused = one.write(&intent_under(&taken)).await.unwrap_err();
    assert!(matches!(refused, StoreError::Refused(_)), "{refused:?}");
    for _again in 0..2 {
        one.write(&end_under(&taken, &opened, Outcome::Applied)).await.unwrap();
    }
    assert_eq!(log.database.sql(ends), "unknown|t");
    let late = "SELECT l.outcome, n.name FROM changegate.late l \
        JOIN changegate.nodes n ON n.number = l.node";
    assert_eq!(log.database.sql(late), "applied|one");
    let held = format!("SELECT token = {} FROM changegate.turns", next.fence.token);
    assert_eq!(log.database.sql(&held), "t");
}

#[tokio::test]
async fn a_gateway_that_starts_again_ends_what_it_left_open() {
    let Some(log) = Log::new().await else { return };
    let mut one = Node::new(&log, "one").await;
    one.write(&intent()).await.unwrap();
    let mut other = Node::new(&log, "other").await;
    other.write(&intent()).await.unwrap();
    // Both are gone; only the one comes back.
    for node in [one, other] {
        node.turns.close().await;
    }
    let again = Node::new(&log, "one").await;
    until(&log, "SELECT count(*) = 1 FROM changegate.ends WHERE swept").await;
    assert!(again.is_leased());
}

#[tokio::test]
async fn a_lease_that_was_over_is_begun_anew() {
    let Some(log) = Log::new().await else { return };
    let one = Node::new(&log, "one").await;
    let (taken, former) = (one.take([3; 16]).await, one.desk().lease());
    end_leases(&log, "one");
    let since = Instant::now();
    let is_over = |one: &Node| one.desk().lease().id() == former.id() || !one.is_leased();
    while is_over(&one) && since.elapsed() < SOON {
        sleep(Duration::from_millis(10)).await;
    }
    assert!(one.is_leased());
    let again = one.take([3; 16]).await;
    assert!(again.fence.token > taken.fence.token && again.rested < Some(SOON));
}

#[tokio::test]
async fn who_no_longer_waits_leaves_the_line() {
    let Some(log) = Log::new().await else { return };
    let (one, other) = (Node::new(&log, "one").await, Node::new(&log, "other").await);
    let taken = one.take([4; 16]).await;
    let gone = timeout(Duration::from_millis(100), other.desk().take([4; 16])).await;
    assert!(gone.is_err());
    until(&log, "SELECT waiting = '{}' FROM changegate.turns").await;
    one.desk().give([4; 16], taken.fence.token);
    one.take([4; 16]).await;
    until(&log, "SELECT last = holder FROM changegate.turns").await;
}

#[tokio::test]
async fn a_turn_that_is_given_to_who_does_not_ask_again_goes_on() {
    let Some(log) = Log::new().await else { return };
    let (one, other) = (Node::new(&log, "one").await, Node::new(&log, "other").await);
    one.take([6; 16]).await;
    log.database.sql(
        "UPDATE changegate.turns SET is_known = false, given_at = clock_timestamp(), \
         token = token + 1",
    );
    let began = Instant::now();
    other.take([6; 16]).await;
    assert!(began.elapsed() > Duration::from_millis(500));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn turns_go_on_when_the_server_ends_its_sessions() {
    let Some(log) = Log::new().await else { return };
    let (one, other) = (Node::new(&log, "one").await, Node::new(&log, "other").await);
    let held = Arc::new(AtomicUsize::new(0));
    let tasks: Vec<_> = [&one, &other]
        .iter()
        .map(|node| {
            let (desk, held) = (node.desk(), Arc::clone(&held));
            tokio::spawn(async move {
                for _ in 0..30 {
                    let taken = take(&desk, [5; 16]).await;
                    assert_eq!(held.fetch_add(1, Ordering::SeqCst), 0);
                    tokio::task::yield_now().await;
                    held.fetch_sub(1, Ordering::SeqCst);
                    desk.give([5; 16], taken.fence.token);
                }
            })
        })
        .collect();
    for _ in 0..5 {
        log.end_sessions();
        sleep(Duration::from_millis(20)).await;
    }
    for task in tasks {
        task.await.unwrap();
    }
}
