//! The places of connections: a bound on all, and one on those of one address. Who comes is always
//! taken. Where there are too many, those that have been open longest go first, of the address that
//! has the most, so that a probe has its answer long before its turn to go comes; a question that
//! was allowed keeps its connection to the end of its answer.

use std::cmp::Reverse;
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
pub(super) struct Place {
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
    pub(super) fn take(&self, network: IpAddr) -> Place {
        let mut taken = self.lock();
        taken.make_room(network);
        let number = taken.next;
        taken.next += 1;
        let presence = Presence::default();
        let guest = Guest { network, presence: presence.clone(), task: None };
        taken.guests.insert(number, guest);
        Place { places: self.clone(), number, presence }
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
            let largest = self.largest();
            leaves = self
                .longest_open(|guest| Some(guest.network) == largest)
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

    /// The network with the most connections.
    fn largest(&self) -> Option<IpAddr> {
        let mut counts: HashMap<IpAddr, usize> = HashMap::new();
        for guest in self.guests.values() {
            *counts.entry(guest.network).or_default() += 1;
        }
        let largest = counts.into_iter().max_by_key(|(network, count)| (*count, Reverse(*network)));
        largest.map(|(network, _)| network)
    }
}

impl Guest {
    fn can_go(&self) -> bool {
        self.presence.0.load(Ordering::Relaxed) == 0
    }
}

impl Place {
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn presence(&self) -> &Presence {
        &self.presence
    }
}

impl Drop for Place {
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
    fn of_all_the_address_with_the_most_makes_room_and_who_just_came_stays() {
        let places = Places::default();
        let mut held: Vec<_> = (0..CONNECTIONS_MAX)
            .map(|n| places.take(network(if n % 4 == 0 { 1 } else { u8::try_from(n).unwrap() })))
            .collect();
        for _ in 0..1_000 {
            held.push(places.take(network(250)));
            let newest = held.last().unwrap().number();
            assert!(open(&places).contains(&newest));
            assert!(open(&places).len() <= CONNECTIONS_MAX);
        }
        // Those who have one connection each keep it.
        assert!(
            held.iter().take(CONNECTIONS_MAX).any(|place| open(&places).contains(&place.number))
        );
    }

    #[test]
    fn a_place_that_is_left_is_free() {
        let places = Places::default();
        drop(places.take(network(1)));
        assert!(open(&places).is_empty());
    }
}
