//! How much memory governed calls may hold: from a body's first bytes to the end of its exchange,
//! which goes on when its client has gone, and of an answer until its client has taken it. What is
//! counted is what a call's documents take in memory, text and parsed values together.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;

use crate::base::ids::Fingerprint;
use crate::deployment::Object;

/// The bytes that all calls may hold.
const BYTES_MAX: usize = 512 << 20;

/// The bytes that are left for calls that hold little: long bodies, which may come at the pace of
/// their clients, take the rest at most.
const BYTES_FOR_SMALL: usize = BYTES_MAX / 4;

/// The bytes up to which answers are held that could be passed on as they come as well.
const BYTES_FOR_SPARE: usize = BYTES_MAX / 2;

/// The bytes of an answer that is not counted: one that is passed on as it comes holds as many.
const PASSED_BYTES: usize = 32 << 10;

/// The bytes that the calls of one token may hold.
const TOKEN_BYTES_MAX: usize = BYTES_MAX / 4;

/// The bytes that the calls of one address may hold: of all that may come from an office, some is
/// left for others.
const ADDRESS_BYTES_MAX: usize = BYTES_MAX / 2;

/// The bytes that calls may hold whose callers upstream has not taken yet: the rest is for those
/// that it has.
const STRANGERS_BYTES_MAX: usize = BYTES_MAX / 4;

/// The bytes that such calls of one address may hold: the longest bodies there are.
const STRANGERS_ADDRESS_BYTES_MAX: usize = STRANGERS_BYTES_MAX / 2;

/// A call that holds little, in bytes: most bodies are shorter by far.
const SMALL_BYTES_MAX: usize = 256 << 10;

/// The bytes that a call counts for beside its documents: its header, its task, its connection.
const CALL_BYTES: usize = 16 << 10;

/// The bytes that a parsed value takes beside its text: itself, its place in a list or map, what
/// the allocator adds.
const VALUE_BYTES: usize = 80;

/// The memory that governed calls hold. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct MemoryBudget(Arc<Mutex<Shares>>);

#[derive(Debug, Default)]
struct Shares {
    all: usize,
    by_token: HashMap<Fingerprint, usize>,
    by_address: HashMap<IpAddr, usize>,
    /// The part of all that is held for callers whom upstream has not taken yet.
    strangers: usize,
    strangers_by_address: HashMap<IpAddr, usize>,
}

/// The caller and the network that memory is counted for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Holder {
    pub(super) token: Fingerprint,
    /// An address of IPv4, or a /64 of IPv6.
    pub(super) address: IpAddr,
}

/// One call's share, until it is dropped. It is empty until the first bytes are there.
#[derive(Debug)]
pub(super) struct MemoryShare {
    room: MemoryBudget,
    holder: Holder,
    bytes: usize,
    is_vouched_for: bool,
    /// Whether it grows even beyond the budget.
    has_no_bound: bool,
}

impl MemoryBudget {
    /// The share of a call whose body is about to come; `is_vouched_for` where upstream has taken
    /// the caller's token.
    pub(super) fn enter(&self, holder: Holder, is_vouched_for: bool) -> MemoryShare {
        let (room, has_no_bound) = (self.clone(), false);
        MemoryShare { room, holder, bytes: 0, is_vouched_for, has_no_bound }
    }

    /// The share of what a change that was forwarded brings back: it is needed for the record, and
    /// counted even beyond the memory budget.
    pub(super) fn enter_beyond(&self, holder: Holder) -> MemoryShare {
        let mut share = self.enter(holder, true);
        share.has_no_bound = true;
        share
    }

    /// Whether bodies of callers whom upstream has not taken yet fill half of what there is for
    /// them, of all or of this address: then nobody's is read before upstream was asked.
    pub(super) fn is_crowded(&self, address: IpAddr) -> bool {
        let shares = self.shares();
        let of_address = shares.strangers_by_address.get(&address).copied().unwrap_or(0);
        shares.strangers >= STRANGERS_BYTES_MAX / 2 || of_address >= STRANGERS_ADDRESS_BYTES_MAX / 2
    }

    fn shares(&self) -> MutexGuard<'_, Shares> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MemoryShare {
    /// Draws so many bytes more on the memory budget; `false` where too few are left.
    pub(super) fn grow(&mut self, bytes: usize) -> bool {
        if self.has_no_bound {
            self.grow_beyond(bytes);
            return true;
        }
        let is_small = self.bytes.saturating_add(bytes) + CALL_BYTES <= SMALL_BYTES_MAX;
        self.grow_within(bytes, if is_small { BYTES_MAX } else { BYTES_MAX - BYTES_FOR_SMALL })
    }

    /// The same for an answer that need not be held: calls that hold what they need come first.
    pub(super) fn grow_by_spare(&mut self, bytes: usize) -> bool {
        bytes <= PASSED_BYTES || self.grow_within(bytes, BYTES_FOR_SPARE)
    }

    fn grow_within(&mut self, bytes: usize, all_max: usize) -> bool {
        let bytes = if self.bytes == 0 { bytes.saturating_add(CALL_BYTES) } else { bytes };
        let mut shares = self.room.shares();
        if !shares.has_room(self.holder, bytes, all_max)
            || !(self.is_vouched_for || shares.has_room_for_strangers(self.holder, bytes))
        {
            return false;
        }
        shares.add(self.holder, bytes, self.is_vouched_for);
        drop(shares);
        self.bytes += bytes;
        true
    }

    /// Upstream has taken the caller's token: what is held is a known caller's from now on.
    pub(super) fn vouch(&mut self) {
        if !self.is_vouched_for {
            self.is_vouched_for = true;
            self.room.shares().know(self.holder, self.bytes);
        }
    }

    /// This share, for an answer of so many bytes that its client is still to take; `None` where
    /// that holds no more than one that is passed on.
    pub(super) fn of_answer(mut self, bytes: usize) -> Option<Self> {
        if bytes <= PASSED_BYTES {
            return None;
        }
        match bytes.checked_sub(self.bytes) {
            Some(more) => self.grow_beyond(more),
            None => self.give_back(self.bytes - bytes),
        }
        Some(self)
    }

    /// Counts bytes that are held already, even beyond the memory budget: what a change that was
    /// forwarded brings back is needed for its record.
    pub(super) fn grow_beyond(&mut self, bytes: usize) {
        self.room.shares().add(self.holder, bytes, self.is_vouched_for);
        self.bytes += bytes;
    }

    fn give_back(&mut self, bytes: usize) {
        let mut shares = self.room.shares();
        shares.all = shares.all.saturating_sub(bytes);
        if !self.is_vouched_for {
            shares.know(self.holder, bytes);
        }
        give_back(&mut shares.by_token, &self.holder.token, bytes);
        give_back(&mut shares.by_address, &self.holder.address, bytes);
        drop(shares);
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}

impl Shares {
    fn has_room(&self, holder: Holder, bytes: usize, all_max: usize) -> bool {
        let within = |held: usize, max: usize| held.saturating_add(bytes) <= max;
        within(self.all, all_max)
            && within(self.by_token.get(&holder.token).copied().unwrap_or(0), TOKEN_BYTES_MAX)
            && within(self.by_address.get(&holder.address).copied().unwrap_or(0), ADDRESS_BYTES_MAX)
    }

    fn has_room_for_strangers(&self, holder: Holder, bytes: usize) -> bool {
        let of_address = self.strangers_by_address.get(&holder.address).copied().unwrap_or(0);
        self.strangers.saturating_add(bytes) <= STRANGERS_BYTES_MAX
            && of_address.saturating_add(bytes) <= STRANGERS_ADDRESS_BYTES_MAX
    }

    /// Takes bytes off the strangers' part.
    fn know(&mut self, holder: Holder, bytes: usize) {
        self.strangers = self.strangers.saturating_sub(bytes);
        give_back(&mut self.strangers_by_address, &holder.address, bytes);
    }

    fn add(&mut self, holder: Holder, bytes: usize, is_vouched_for: bool) {
        self.all += bytes;
        *self.by_token.entry(holder.token).or_default() += bytes;
        *self.by_address.entry(holder.address).or_default() += bytes;
        if !is_vouched_for {
            self.strangers += bytes;
            *self.strangers_by_address.entry(holder.address).or_default() += bytes;
        }
    }
}

impl Drop for MemoryShare {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.give_back(self.bytes);
        }
    }
}

fn give_back<K: Eq + Hash>(shares: &mut HashMap<K, usize>, key: &K, bytes: usize) {
    if let Some(held) = shares.get_mut(key) {
        *held = held.saturating_sub(bytes);
        if *held == 0 {
            shares.remove(key);
        }
    }
}

/// The bytes that a parsed document takes in memory, about.
pub(super) fn parsed_bytes(value: &Value) -> usize {
    VALUE_BYTES
        + match value {
            Value::Null | Value::Bool(_) | Value::Number(_) => 0,
            Value::String(text) => text.len(),
            Value::Array(items) => items.iter().map(parsed_bytes).sum(),
            Value::Object(members) => members_bytes(members),
        }
}

/// The bytes that an object's members take in memory, about.
pub(super) fn members_bytes(members: &Object) -> usize {
    members.iter().map(|(name, value)| name.len() + parsed_bytes(value)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holder(n: u8) -> Holder {
        Holder { token: Fingerprint::from_bytes([n; 8]), address: IpAddr::from([192, 0, 2, n]) }
    }

    #[test]
    fn what_a_change_brings_back_is_counted_beyond_the_bounds_and_given_back() {
        let room = MemoryBudget::default();
        let mut back = room.enter_beyond(holder(1));
        assert!(back.grow(TOKEN_BYTES_MAX) && back.grow(BYTES_MAX));
        assert!(!room.enter(holder(1), true).grow(SMALL_BYTES_MAX));
        assert!(!room.enter(holder(2), true).grow(SMALL_BYTES_MAX));
        drop(back);
        assert!(room.enter(holder(1), true).grow(SMALL_BYTES_MAX));
        assert_eq!(room.shares().all, 0);
    }

    #[test]
    fn a_call_holds_nothing_before_its_first_bytes() {
        let room = MemoryBudget::default();
        let calls: Vec<_> = (0..100_000).map(|_| room.enter(holder(1), true)).collect();
        assert_eq!(room.shares().all, 0);
        drop(calls);
    }

    #[test]
    fn room_is_bounded_and_given_back() {
        let room = MemoryBudget::default();
        let mut held: Vec<_> = (0..3).map(|n| room.enter(holder(n), true)).collect();
        assert!(held.iter_mut().all(|held| held.grow(120 << 20)));
        let mut late = room.enter(holder(9), true);
        assert!(!late.grow(40 << 20));
        assert!(late.grow(200 << 10), "there is room for what is small");
        held[0].grow_beyond(300 << 20);
        assert!(!late.grow(1 << 10), "what is beyond counts too");
        drop(held);
        assert!(late.grow(100 << 20));
        drop(late);
        let shares = room.shares();
        assert!(shares.all == 0 && shares.by_token.is_empty() && shares.by_address.is_empty());
    }

    #[test]
    fn no_token_and_no_address_takes_it_all() {
        let room = MemoryBudget::default();
        let mut one = room.enter(holder(1), true);
        assert!(one.grow(TOKEN_BYTES_MAX - CALL_BYTES) && !one.grow(1));
        let office = |n| Holder { token: Fingerprint::from_bytes([n; 8]), ..holder(1) };
        let mut colleague = room.enter(office(2), true);
        assert!(colleague.grow(TOKEN_BYTES_MAX - CALL_BYTES));
        assert!(!room.enter(office(3), true).grow(1), "the office has its half");
        assert!(room.enter(holder(4), true).grow(1 << 20), "others have theirs");
    }

    #[test]
    fn strangers_have_a_part_and_leave_the_rest() {
        let room = MemoryBudget::default();
        let strangers: Vec<_> = (0..=u8::MAX)
            .map(|n| room.enter(holder(n), false))
            .filter_map(|mut held| held.grow(1 << 20).then_some(held))
            .collect();
        assert!(strangers.len() > 100 && strangers.len() <= STRANGERS_BYTES_MAX >> 20);
        assert!(!room.enter(holder(200), false).grow(2 << 20));
        assert!(room.enter(holder(200), true).grow(100 << 20));
        drop(strangers);
        let mut newcomer = room.enter(holder(7), false);
        assert!(!room.is_crowded(holder(7).address));
        assert!(newcomer.grow(STRANGERS_ADDRESS_BYTES_MAX - CALL_BYTES));
        assert!(!room.enter(holder(7), false).grow(1), "an address has half of it");
        assert!(room.is_crowded(holder(7).address) && room.is_crowded(holder(8).address));
        newcomer.vouch();
        assert!(room.enter(holder(7), false).grow(1));
        drop(newcomer);
        let shares = room.shares();
        assert!(shares.all == 0 && shares.strangers == 0 && shares.by_address.is_empty());
    }

    #[test]
    fn an_answer_is_held_until_it_is_taken_and_gives_way_to_calls() {
        let room = MemoryBudget::default();
        let mut call = room.enter(holder(1), true);
        assert!(call.grow(8 << 20));
        assert!(call.of_answer(PASSED_BYTES).is_none() && room.shares().all == 0);
        let mut call = room.enter(holder(1), true);
        assert!(call.grow(8 << 20));
        let answer = call.of_answer(1 << 20);
        assert_eq!(room.shares().all, 1 << 20);
        let mut others: Vec<_> = (2..4).map(|n| room.enter(holder(n), true)).collect();
        assert!(others.iter_mut().all(|read| read.grow_by_spare(120 << 20)));
        let mut read = room.enter(holder(5), true);
        assert!(!read.grow_by_spare(20 << 20) && read.grow_by_spare(PASSED_BYTES));
        assert!(room.enter(holder(5), true).grow(20 << 20), "a call may have what a read may not");
        drop((answer, others, read));
        let shares = room.shares();
        assert!(shares.all == 0 && shares.by_token.is_empty() && shares.by_address.is_empty());
    }

    #[test]
    fn a_document_counts_for_its_values_and_its_text() {
        let nested = serde_json::json!([{"": 0}, {"": 0}]);
        assert_eq!(parsed_bytes(&nested), 5 * VALUE_BYTES);
        assert_eq!(parsed_bytes(&serde_json::json!({"ab": "cde"})), 2 * VALUE_BYTES + 5);
    }
}
