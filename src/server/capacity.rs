//! How many client connections there may be: a bound on all, and one on those of one address.
//! Where all places are taken, connections on which nothing is asked make room, and then those
//! whose request waits for nobody but its client; of the address first that has the most.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::sync::Notify;
use tokio::sync::futures::Notified;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::guard::Requests;

/// How long a connection rests before it may have to make room: who has just connected, or has just
/// been answered, may be about to ask.
const RESTS_AT_LEAST: Duration = Duration::from_secs(1);

/// How long a request is kept waiting by its client before its connection may have to make room.
const HELD_UP_AT_LEAST: Duration = Duration::from_secs(2);

/// How long nobody is looked for again where nobody was found: looking takes time.
const LOOKS_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// Of those that may make room, one in so many does at once: looking for them takes time.
const AT_ONCE: usize = 64;

/// The open files that are not a client's: the log, the listeners, the admin API's connections.
/// Where few files are allowed at all, five in eight of them.
const FILES_BESIDE: u64 = 400;

/// The client connections of all workers together.
#[derive(Clone, Debug, Default)]
pub(super) struct Capacity(Arc<Connections>);

#[derive(Debug, Default)]
struct Connections {
    open: AtomicUsize,
    by_network: Mutex<HashMap<IpAddr, usize>>,
    freed: Notify,
}

/// The place of one connection, until it is dropped.
#[derive(Debug)]
pub(super) struct Slot {
    capacity: Capacity,
    network: IpAddr,
}

/// One worker's connections.
#[derive(Debug, Default)]
pub(super) struct ConnectionSet {
    all: Vec<Guest>,
    /// When none was found that could make room.
    in_vain_at: Option<Instant>,
}

#[derive(Debug)]
struct Guest {
    network: IpAddr,
    requests: Requests,
    task: AbortHandle,
}

impl Capacity {
    /// How many connections are open. Workers that ask at once may all be told that there is one
    /// place left, so a bound is kept to within their number.
    pub(super) fn open(&self) -> usize {
        self.0.open.load(Ordering::Relaxed)
    }

    /// Resolves once a place is given back, from this call on.
    pub(super) fn freed(&self) -> Notified<'_> {
        self.0.freed.notified()
    }

    /// A place for a connection from `network`; `None` where it has `most` of them.
    pub(super) fn occupy(&self, network: IpAddr, most: usize) -> Option<Slot> {
        let mut by_network = self.by_network();
        let own = by_network.entry(network).or_default();
        if *own >= most {
            return None;
        }
        *own += 1;
        drop(by_network);
        self.0.open.fetch_add(1, Ordering::Relaxed);
        Some(Slot { capacity: self.clone(), network })
    }

    /// The network that has the most connections.
    fn largest(&self) -> Option<IpAddr> {
        let by_network = self.by_network();
        by_network.iter().max_by_key(|(_, open)| **open).map(|(network, _)| *network)
    }

    fn by_network(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.0.by_network.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut by_network = self.capacity.by_network();
        if let Some(open) = by_network.get_mut(&self.network) {
            *open -= 1;
            if *open == 0 {
                by_network.remove(&self.network);
            }
        }
        drop(by_network);
        let Capacity(connections) = &self.capacity;
        connections.open.fetch_sub(1, Ordering::Relaxed);
        connections.freed.notify_waiters();
    }
}

impl ConnectionSet {
    /// Adds a connection.
    pub(super) fn welcome(&mut self, network: IpAddr, requests: Requests, task: AbortHandle) {
        if self.all.len() == self.all.capacity() {
            self.all.retain(|guest| !guest.task.is_finished());
            // As many may come again before all are looked through again.
            self.all.reserve(self.all.len());
        }
        self.all.push(Guest { network, requests, task });
    }

    /// Ends some connections on which nothing is asked, if there are any, else some whose request
    /// waits for nobody but its client: of the network first that has the most, and those first
    /// that have done so longest.
    pub(super) fn make_room(&mut self, capacity: &Capacity) {
        let now = Instant::now();
        if self.in_vain_at.is_some_and(|at| now.duration_since(at) < LOOKS_AGAIN_AFTER) {
            return;
        }
        self.all.retain(|guest| !guest.task.is_finished());
        let largest = capacity.largest();
        let dispensable = |guest: &Guest| {
            let resting_since = guest.requests.resting_since();
            let rests = resting_since.is_some();
            let since = resting_since.or_else(|| guest.requests.held_up_since())?;
            let at_least = if rests { RESTS_AT_LEAST } else { HELD_UP_AT_LEAST };
            let waited = now.duration_since(since);
            (waited >= at_least).then_some((rests, largest == Some(guest.network), waited))
        };
        let mut candidates: Vec<_> =
            self.all.iter().filter_map(|guest| Some((dispensable(guest)?, guest))).collect();
        if candidates.iter().any(|((rests, ..), _)| *rests) {
            candidates.retain(|((rests, ..), _)| *rests);
        }
        candidates.sort_unstable_by_key(|(dispensable, _)| Reverse(*dispensable));
        for (_, guest) in candidates.iter().take(candidates.len().div_ceil(AT_ONCE)) {
            guest.task.abort();
        }
        self.in_vain_at = candidates.is_empty().then_some(now);
    }
}

/// Raises the number of files that this process may have open as far as it may do so by itself, and
/// tells for how many client connections that is enough: each may take one to upstream.
pub(super) fn most_by_files() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, ..limit };
    let files = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    let files = files.unwrap_or(u64::MAX);
    let connections = files.saturating_sub(FILES_BESIDE.min(files / 8 * 5)) / 2;
    usize::try_from(connections).unwrap_or(usize::MAX).max(1)
}
