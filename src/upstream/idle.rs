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
const IDLE_SWEEPS_MAX: u64 = 3;

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
            let fresh = self.sweeps.load(Ordering::Relaxed) - line.kept_at_sweep < IDLE_SWEEPS_MAX;
            let useful = fresh && Arc::ptr_eq(&line.dialer, dialer) && dialer.trusts(line.address);
            if useful && line.is_ready().await {
                return Some(line);
            }
        }
    }

    /// Takes back a connection whose call is over.
    pub(crate) fn give_back(&self, mut line: Box<Http1Connection>) {
        line.kept_at_sweep = self.sweeps.load(Ordering::Relaxed);
        let mut idle = self.connections();
        if line.is_open() && idle.len() < IDLE_MAX {
            idle.push(line);
        }
    }

    /// Closes what has been idle for too long, and what upstream has closed. For every
    /// [`SWEEP_EVERY`].
    pub(crate) fn sweep(&self) {
        let sweeps = self.sweeps.fetch_add(1, Ordering::Relaxed) + 1;
        self.connections().retain_mut(|line| {
            line.look();
            line.is_open() && sweeps - line.kept_at_sweep < IDLE_SWEEPS_MAX
        });
    }

    fn connections(&self) -> MutexGuard<'_, Connections> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
