//! The places of connections: a bound on all, and one on those of one address. Who comes is always
//! taken. Where there are too many, those that have been open longest go first, of the address that
//! has the most, so that a probe has its answer long before its turn to go comes; a question that
//! was allowed keeps its connection to the end of its answer.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::task::AbortHandle;

/// The most connections. Questions hold few of them ([`super::share::QUESTIONS_MAX`]): there are
/// always some that can go.
pub(super) const CONNECTIONS_MAX: usize = 256;

/// The most connections of one address, or of one /64 of IPv6, while others of it can go.
pub(super) const PER_NETWORK_MAX: usize = 128;

/// All connections. Clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct Places(Arc<Mutex<Taken>>);

#[derive(Debug, Default)]
struct Taken {
    /// By their order of arrival.
    guests: HashMap<u64, Guest>,
    next: u64,
}

#[derive(Debug)]
struct Guest {
    network: IpAddr,
    presence: Presence,
    task: Option<AbortHandle>,
}

/// The place of one connection, until it is dropped.
#[derive(Debug)]
pub(super) struct ConnectionSlot {
    places: Places,
    number: u64,
    presence: Presence,
}

/// How many allowed questions a connection has on their way, their answers included.
#[derive(Clone, Debug, Default)]
pub(super) struct Presence(Arc<AtomicUsize>);

/// One of them, until it is dropped.
#[derive(Debug)]
pub(super) struct Answering(Presence);

impl Places {
    /// A place for a connection from `network`; others make room for it.
    pub(super) fn take(&self, network: IpAddr) -> ConnectionSlot {
        let mut taken = self.lock();
        taken.make_room(network);
        let number = taken.next;
        taken.next += 1;
        let presence = Presence::default();
        let guest = Guest { network, presence: presence.clone(), task: None };
        taken.guests.insert(number, guest);
        ConnectionSlot { places: self.clone(), number, presence }
    }

    /// Knows which task to end when the connection of this place has to go.
    pub(super) fn settle(&self, number: u64, task: AbortHandle) {
        if let Some(guest) = self.lock().guests.get_mut(&number) {
            guest.task = Some(task);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    fn make_room(&mut self, network: IpAddr) {
        let own = self.guests.values().filter(|guest| guest.network == network).count();
        let mut leaves = None;
        if own >= PER_NETWORK_MAX {
            leaves = self.longest_open(|guest| guest.network == network);
        }
        if leaves.is_none() && self.guests.len() >= CONNECTIONS_MAX {
            let counts = self.counts();
            let most = counts.values().max();
            leaves = self
                .longest_open(|guest| counts.get(&guest.network) == most)
                .or_else(|| self.longest_open(|_any| true));
        }
        let guest = leaves.and_then(|number| self.guests.remove(&number));
        if let Some(task) = guest.and_then(|guest| guest.task) {
            task.abort();
        }
    }

    fn longest_open(&self, fits: impl Fn(&Guest) -> bool) -> Option<u64> {
        let can_go = self.guests.iter().filter(|(_, guest)| guest.can_go() && fits(guest));
        can_go.map(|(number, _)| *number).min()
    }

    /// How many connections each network has.
    fn counts(&self) -> HashMap<IpAddr, usize> {
        let mut counts = HashMap::new();
        for guest in self.guests.values() {
            *counts.entry(guest.network).or_default() += 1;
        }
        counts
    }
}

impl Guest {
    fn can_go(&self) -> bool {
        self.presence.0.load(Ordering::Relaxed) == 0
    }
}

impl ConnectionSlot {
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn presence(&self) -> &Presence {
        &self.presence
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        self.places.lock().guests.remove(&self.number);
    }
}

impl Presence {
    /// An allowed question begins.
    pub(super) fn begin(&self) -> Answering {
        self.0.fetch_add(1, Ordering::Relaxed);
        Answering(self.clone())
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        let Presence(answering) = &self.0;
        answering.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    fn open(places: &Places) -> Vec<u64> {
        let mut open: Vec<_> = places.lock().guests.keys().copied().collect();
        open.sort_unstable();
        open
    }

    #[test]
    fn of_one_address_the_longest_open_goes() {
        let places = Places::default();
        let held: Vec<_> = (0..PER_NETWORK_MAX).map(|_| places.take(network(1))).collect();
        let first = held.first().unwrap().presence().begin();
        places.take(network(2));
        let _new = places.take(network(1));
        let open = open(&places);
        assert_eq!(open.len(), PER_NETWORK_MAX);
        // The first has a question on its way; the second is the one that went.
        assert_eq!(open.get(..2), Some(&[0, 2][..]));
        drop(first);
    }

    #[test]
    fn of_all_the_address_with_the_most_makes_room() {
        let places = Places::default();
        let alone: Vec<_> = (1..=100).map(|n| places.take(network(n))).collect();
        let many: Vec<_> = (0..1_000).map(|_| places.take(network(250))).collect();
        let open = open(&places);
        assert_eq!(open.len(), 100 + PER_NETWORK_MAX);
        assert!(alone.iter().all(|place| open.contains(&place.number)));
        assert!(open.contains(&many.last().unwrap().number));
    }

    #[test]
    fn of_many_addresses_with_one_each_who_just_came_stays() {
        let places = Places::default();
        let each = |n: u32| IpAddr::from(n.to_be_bytes());
        let _others: Vec<_> = (1_000..3_000).map(|n| places.take(each(n))).collect();
        // The lowest address of all, and the highest.
        let probes = [places.take(each(1)), places.take(each(u32::MAX))];
        let later = u32::try_from(CONNECTIONS_MAX).unwrap() - 2;
        let _later: Vec<_> = (3_000..3_000 + later).map(|n| places.take(each(n))).collect();
        let open = open(&places);
        assert_eq!(open.len(), CONNECTIONS_MAX);
        assert!(probes.iter().all(|place| open.contains(&place.number)));
    }

    #[test]
    fn a_place_that_is_left_is_free() {
        let places = Places::default();
        drop(places.take(network(1)));
        assert!(open(&places).is_empty());
    }
}
