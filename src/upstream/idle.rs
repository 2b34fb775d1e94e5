//! Connections of HTTP/1.1 that wait for their next call.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::endpoint::Dialer;
use super::http1::Http1Connection;

/// The most idle connections kept by one worker.
const IDLE_MAX: usize = 256;

/// How often idle connections are looked through.
pub(crate) const SWEEP_EVERY: Duration = Duration::from_secs(5);

/// The sweep at which an idle connection is closed. It was idle for ten to fifteen seconds then:
/// less than servers usually keep theirs.
pub(crate) const IDLE_SWEEPS_MAX: u64 = 3;

/// The sweep from which on a connection gets no new call, five minutes after it was made: a name
/// that moves is followed, and so are certificates that are renewed.
pub(crate) const AGE_SWEEPS_MAX: u64 = 60;

/// One worker's idle connections.
#[derive(Debug, Default)]
pub(crate) struct Idle {
    connections: Mutex<Connections>,
    sweeps: AtomicU64,
}

/// Boxed: a connection moves with each call's answer, many times.
type Connections = Vec<Box<Http1Connection>>;

impl Idle {
    /// The connection used last: the others may then grow old together.
    pub(crate) async fn pop(&self, dialer: &Arc<Dialer>) -> Option<Box<Http1Connection>> {
        loop {
            let last = self.connections().pop();
            let mut line = last?;
            let fresh = is_fresh(&line, self.sweeps());
            let useful = fresh && Arc::ptr_eq(&line.dialer, dialer) && dialer.trusts(line.address);
            if useful && line.is_ready().await {
                return Some(line);
            }
        }
    }

    /// Notes that a connection is new.
    pub(crate) fn begin(&self, line: &mut Http1Connection) {
        line.made_at_sweep = self.sweeps();
    }

    /// Takes back a connection whose call is over.
    pub(crate) fn give_back(&self, mut line: Box<Http1Connection>) {
        line.kept_at_sweep = self.sweeps();
        let mut idle = self.connections();
        if line.is_open() && idle.len() < IDLE_MAX {
            idle.push(line);
        }
    }

    /// Closes what has been idle for too long or is too old, and what upstream has closed. For
    /// every [`SWEEP_EVERY`].
    pub(crate) fn sweep(&self) {
        let sweeps = self.sweeps.fetch_add(1, Ordering::Relaxed) + 1;
        self.connections().retain_mut(|line| {
            line.look();
            line.is_open() && is_fresh(line, sweeps)
        });
    }

    fn sweeps(&self) -> u64 {
        self.sweeps.load(Ordering::Relaxed)
    }

    fn connections(&self) -> MutexGuard<'_, Connections> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_fresh(line: &Http1Connection, sweeps: u64) -> bool {
    sweeps - line.kept_at_sweep < IDLE_SWEEPS_MAX && sweeps - line.made_at_sweep < AGE_SWEEPS_MAX
}
