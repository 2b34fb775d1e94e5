//! The first answers to calls with a key, as long as there is memory for them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::Response;

use crate::audit::idempotency::{IN_FORCE, IdempotencyKey};
use crate::base::clock::Timestamp;
use crate::base::ids::{ChangeId, Fingerprint};

/// The most answers that are held, and those of one actor.
const ANSWERS_MAX: usize = 16_384;
const ACTOR_ANSWERS_MAX: usize = 1_024;

/// The bytes that they may take in memory, and those of one actor.
const BYTES_MAX: usize = 64 << 20;
const ACTOR_BYTES_MAX: usize = BYTES_MAX / 16;

/// The bytes that an answer takes beside its header and its body: itself and its places in the
/// tables.
const ANSWER_BYTES: usize = 512;

/// The bytes that a header field takes beside its name and its value.
const FIELD_BYTES: usize = 96;

/// The calls with a key that are on their way, and the answers to those that have ended. Clones
/// share them.
#[derive(Clone, Debug, Default)]
pub(in crate::gateway) struct FirstAnswers(Arc<Mutex<Answers>>);

#[derive(Debug, Default)]
struct Answers {
    calls: HashMap<[u8; 16], FirstCall>,
    /// The digests of those that have ended, in the order in which they did.
    ended: BTreeMap<u64, [u8; 16]>,
    next: u64,
    bytes: usize,
    by_actor: HashMap<Fingerprint, ActorShare>,
}

/// The part of one actor.
#[derive(Debug, Default)]
struct ActorShare {
    ended: BTreeSet<u64>,
    bytes: usize,
}

/// The call that came first with a key.
#[derive(Debug)]
struct FirstCall {
    request: [u8; 16],
    actor: Fingerprint,
    received_at: Timestamp,
    /// The answer and its number; `None` while the call is on its way.
    answered: Option<(FirstAnswer, u64)>,
}

/// The answer to it. Clones share the body.
#[derive(Clone, Debug)]
pub(in crate::gateway) struct FirstAnswer {
    pub(super) change: ChangeId,
    pub(super) answer: Response<Bytes>,
}

/// A key that is claimed for a call on its way, until this is dropped.
#[derive(Debug)]
pub(super) struct Claimed {
    answers: FirstAnswers,
    pub(super) key: IdempotencyKey,
}

/// The call that is there under a key.
#[derive(Debug)]
pub(super) enum Found {
    /// None: the key is claimed.
    Nothing(Claimed),
    /// One on its way.
    Running,
    /// One that was answered.
    Answered(FirstAnswer),
    /// One that asked something else, and its change, once it was answered.
    Other(Option<ChangeId>),
}

impl FirstAnswers {
    /// Claims a key for a call of `actor`, or tells which call has it.
    pub(super) fn claim(&self, key: IdempotencyKey, actor: Fingerprint, at: Timestamp) -> Found {
        let mut answers = self.answers();
        if answers.calls.get(&key.digest).is_some_and(|first| first.is_forgotten(at)) {
            answers.forget(key.digest);
        }
        let Some(first) = answers.calls.get(&key.digest) else {
            let (request, received_at, answered) = (key.request, at, None);
            let first = FirstCall { request, actor, received_at, answered };
            answers.calls.insert(key.digest, first);
            return Found::Nothing(Claimed { answers: self.clone(), key });
        };
        match &first.answered {
            answered if first.request != key.request => {
                Found::Other(answered.as_ref().map(|(answer, _)| answer.change))
            }
            None => Found::Running,
            Some((answer, _)) => Found::Answered(answer.clone()),
        }
    }

    fn answers(&self) -> MutexGuard<'_, Answers> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FirstCall {
    /// Whether its key is no longer in force. One on its way is not forgotten.
    fn is_forgotten(&self, now: Timestamp) -> bool {
        self.answered.is_some() && self.received_at.plus(IN_FORCE) <= now
    }
}

impl Claimed {
    /// Keeps the answer to the call in place of the claim; one that is too long is not kept.
    pub(super) fn keep(self, answer: FirstAnswer) {
        let mut answers = self.answers.answers();
        answers.keep(self.key.digest, answer);
    }
}

impl Drop for Claimed {
    fn drop(&mut self) {
        let mut answers = self.answers.answers();
        let digest = self.key.digest;
        if answers.calls.get(&digest).is_some_and(|first| first.answered.is_none()) {
            answers.calls.remove(&digest);
        }
    }
}

impl Answers {
    fn keep(&mut self, digest: [u8; 16], answer: FirstAnswer) {
        let bytes = answer.bytes();
        if bytes > ACTOR_BYTES_MAX {
            return;
        }
        let number = self.next;
        let Some(first) = self.calls.get_mut(&digest) else { return };
        first.answered = Some((answer, number));
        let actor = first.actor;
        self.next += 1;
        self.bytes += bytes;
        self.ended.insert(number, digest);
        let share = self.by_actor.entry(actor).or_default();
        share.bytes += bytes;
        share.ended.insert(number);
        // The oldest go first, those of the actor before those of others.
        while let Some(oldest) = self.one_too_many(actor) {
            self.forget(oldest);
        }
    }

    /// The answer to forget, where there are too many.
    fn one_too_many(&self, actor: Fingerprint) -> Option<[u8; 16]> {
        let share = self.by_actor.get(&actor);
        let crowded = share
            .filter(|share| share.ended.len() > ACTOR_ANSWERS_MAX || share.bytes > ACTOR_BYTES_MAX);
        if let Some(number) = crowded.and_then(|share| share.ended.first()) {
            return self.ended.get(number).copied();
        }
        let is_full = self.ended.len() > ANSWERS_MAX || self.bytes > BYTES_MAX;
        self.ended.first_key_value().filter(|_| is_full).map(|(_, digest)| *digest)
    }

    fn forget(&mut self, digest: [u8; 16]) {
        let Some(first) = self.calls.remove(&digest) else { return };
        let Some((answer, number)) = first.answered else { return };
        let bytes = answer.bytes();
        self.bytes = self.bytes.saturating_sub(bytes);
        self.ended.remove(&number);
        if let Some(share) = self.by_actor.get_mut(&first.actor) {
            share.bytes = share.bytes.saturating_sub(bytes);
            share.ended.remove(&number);
            if share.ended.is_empty() {
                self.by_actor.remove(&first.actor);
            }
        }
    }
}

impl FirstAnswer {
    fn bytes(&self) -> usize {
        let fields = self.answer.headers().iter();
        let fields = fields.map(|(name, value)| name.as_str().len() + value.len() + FIELD_BYTES);
        ANSWER_BYTES + fields.sum::<usize>() + self.answer.body().len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::Timestamp;

    const NOW: Timestamp = Timestamp::from_millis(1_000_000);

    fn key(n: u64) -> IdempotencyKey {
        let mut digest = [0; 16];
        digest[..8].copy_from_slice(&n.to_be_bytes());
        IdempotencyKey { digest, request: [1; 16] }
    }

    fn actor(n: u8) -> Fingerprint {
        Fingerprint::from_bytes([n; 8])
    }

    fn answer(bytes: usize) -> FirstAnswer {
        let answer = Response::new(Bytes::from(vec![b'x'; bytes]));
        FirstAnswer { change: ChangeId::new(NOW), answer }
    }

    fn keep(answers: &FirstAnswers, n: u64, of: u8, bytes: usize) {
        match answers.claim(key(n), actor(of), NOW) {
            Found::Nothing(claimed) => claimed.keep(answer(bytes)),
            found => panic!("{found:?}"),
        }
    }

    fn holds(answers: &FirstAnswers, n: u64) -> bool {
        matches!(answers.claim(key(n), actor(0), NOW), Found::Answered(_))
    }

    fn is_sound(answers: &FirstAnswers) {
        let answers = answers.answers();
        let bytes = |first: &FirstCall| first.answered.as_ref().map_or(0, |(a, _)| a.bytes());
        assert_eq!(answers.bytes, answers.calls.values().map(bytes).sum::<usize>());
        assert_eq!(
            answers.bytes,
            answers.by_actor.values().map(|share| share.bytes).sum::<usize>()
        );
        assert_eq!(answers.ended.len(), answers.calls.len());
        let ended: usize = answers.by_actor.values().map(|share| share.ended.len()).sum();
        assert_eq!(answers.ended.len(), ended);
        assert!(answers.bytes <= BYTES_MAX && ended <= ANSWERS_MAX);
        let within = |share: &ActorShare| {
            share.bytes <= ACTOR_BYTES_MAX && share.ended.len() <= ACTOR_ANSWERS_MAX
        };
        assert!(answers.by_actor.values().all(within));
    }

    #[test]
    fn a_claim_lasts_until_it_is_dropped_or_answered() {
        let answers = FirstAnswers::default();
        let other = IdempotencyKey { request: [2; 16], ..key(1) };
        let claim = |key| answers.claim(key, actor(1), NOW);
        let Found::Nothing(claimed) = claim(key(1)) else { panic!() };
        assert!(matches!(claim(key(1)), Found::Running));
        assert!(matches!(claim(other), Found::Other(None)));
        drop(claimed);
        let Found::Nothing(claimed) = claim(key(1)) else { panic!() };
        claimed.keep(answer(3));
        assert!(matches!(claim(other), Found::Other(Some(_))));
        let Found::Answered(first) = claim(key(1)) else { panic!() };
        assert_eq!(first.answer.body(), "xxx");
        assert!(matches!(answers.claim(key(1), actor(1), NOW.plus(IN_FORCE)), Found::Nothing(_)));
        assert!(answers.answers().calls.is_empty() && answers.answers().by_actor.is_empty());
    }

    #[test]
    fn the_number_of_answers_of_one_actor_and_of_all_is_bounded() {
        let answers = FirstAnswers::default();
        let mut n = 0;
        for of in 0..=20 {
            for _ in 0..=ACTOR_ANSWERS_MAX {
                keep(&answers, n, of, 1);
                n += 1;
            }
            is_sound(&answers);
        }
        assert_eq!(answers.answers().ended.len(), ANSWERS_MAX);
        assert!(holds(&answers, n - 1) && !holds(&answers, 0));
    }

    #[test]
    fn the_bytes_of_one_actor_and_of_all_are_bounded() {
        let answers = FirstAnswers::default();
        keep(&answers, 0, 0, 1);
        for n in 1..=10 {
            keep(&answers, n, 1, ACTOR_BYTES_MAX / 3);
            is_sound(&answers);
        }
        assert!(holds(&answers, 0), "of another actor");
        assert!(holds(&answers, 10) && holds(&answers, 9) && !holds(&answers, 8));
        keep(&answers, 11, 1, ACTOR_BYTES_MAX);
        assert!(!holds(&answers, 11) && holds(&answers, 10), "too long to be held");
        is_sound(&answers);
        for n in 100..150 {
            keep(&answers, n, u8::try_from(n).unwrap(), ACTOR_BYTES_MAX / 2);
            is_sound(&answers);
        }
        assert!(!holds(&answers, 0) && holds(&answers, 149));
    }
}
