//! The open loop: requests at moments that are fixed beforehand.

use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::caller::{Caller, Tally};
use super::{now, sum};

/// How precisely a sleeping thread is woken, in nanoseconds. Linux' own 50 µs would be counted
/// as latency.
const SLACK_NANOS: &str = "1";

/// Sends `rate` requests a second, each connection in its turn.
pub(super) async fn run(callers: Vec<Caller>, rate: u32, seconds: f64) -> std::io::Result<Tally> {
    let mut running = JoinSet::new();
    let mut dues = Vec::with_capacity(callers.len());
    for mut caller in callers {
        let (due, mut coming) = mpsc::unbounded_channel();
        dues.push(due);
        running.spawn(async move {
            while let Some(due) = coming.recv().await {
                if caller.exchange(1, due).await.is_err() {
                    break;
                }
            }
            caller.tally
        });
    }
    // The runtime's timers are in whole milliseconds; a thread that sleeps is more precise. Its
    // slack is inherited from the main thread. Where it can't be set, all rivals suffer alike.
    drop(std::fs::write("/proc/self/timerslack_ns", SLACK_NANOS));
    let every = Duration::from_secs(1) / rate.max(1);
    let end = now() + Duration::from_secs_f64(seconds);
    let clock = std::thread::Builder::new().spawn(move || tick(&dues, every, end))?;
    let tallies = running.join_all().await;
    drop(clock.join());
    Ok(sum(tallies))
}

/// Tells each connection in its turn when its request is due.
fn tick(dues: &[mpsc::UnboundedSender<Instant>], every: Duration, end: Instant) {
    let mut due = now() + every;
    for caller in dues.iter().cycle() {
        if due >= end {
            break;
        }
        std::thread::sleep(due.saturating_duration_since(now()));
        // A connection that broke has counted that; the others go on.
        let _ = caller.send(due);
        due += every;
    }
}
