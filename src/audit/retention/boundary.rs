//! The place beyond which there are as many changes as are kept, followed from pass to pass: what
//! has come since and what was pruned since tell how far it moves, so that no pass counts them all.

use std::time::Duration;

use crate::audit::pruned::taken;
use crate::audit::store::{Boxed, Reads};
use crate::base::clock::Timestamp;

/// How many changes are counted by one statement.
const PART: u64 = 65_536;

/// How long fewer changes may go than could, after a prune of which it is not known how much lay
/// beyond the place.
const UNSURE_MAX: Duration = Duration::from_hours(1);

/// The place, as far as it is known.
#[derive(Debug, Default)]
pub(super) struct Boundary(Option<Known>);

#[derive(Debug)]
struct Known {
    /// How many changes are to be kept.
    newest: u64,
    /// Beyond this place there are `count` changes, up to the place `until`: not more than are to
    /// be kept, and fewer only where nothing lies below.
    place: i64,
    count: u64,
    until: i64,
    /// The newest event of a prune that was heard.
    word: i64,
    counted_at: Timestamp,
    is_unsure: bool,
}

impl Boundary {
    /// The place of the newest change beyond which there are so many; 0 where there is none.
    pub(super) async fn find(
        &mut self,
        reads: &Reads,
        newest: u32,
        now: Timestamp,
    ) -> Result<i64, Boxed> {
        if !reads.are_shared() {
            return reads.changes_beyond(newest).await;
        }
        let known = self.0.take().filter(|known| known.newest == u64::from(newest));
        let mut known = match known {
            Some(known) => known.heard(reads).await?,
            None => Known::counted(reads, newest.into(), now).await?,
        };
        if known.is_unsure && known.counted_at.plus(UNSURE_MAX) <= now {
            known = Known::counted(reads, newest.into(), now).await?;
        }
        known.follow(reads).await?;
        let place = known.place;
        self.0 = Some(known);
        reads.change_up_to(place).await
    }
}

impl Known {
    /// Counts from the newest change on, part by part.
    async fn counted(reads: &Reads, newest: u64, now: Timestamp) -> Result<Self, Boxed> {
        let word = reads.newest_prune().await?;
        let until = reads.counted_until().await?;
        let (mut place, mut count) = (until, 0);
        while count < newest && place > 0 {
            let part = PART.min(newest - count);
            let (found, lowest) = reads.changes_down_from(place, part).await?;
            count += found;
            place = if found < part { 0 } else { lowest - 1 };
        }
        Ok(Self { newest, place, count, until, word, counted_at: now, is_unsure: false })
    }

    /// Heeds what was pruned since.
    async fn heard(mut self, reads: &Reads) -> Result<Self, Boxed> {
        loop {
            let words = reads.prune_words(self.word).await?;
            let Some(last) = words.last() else { return Ok(self) };
            self.word = last.seq;
            for (changes, (first, until)) in words.iter().filter_map(|word| taken(&word.detail)) {
                // One that went across took no more than that beyond.
                if until > self.place {
                    self.count = self.count.saturating_sub(changes);
                    self.is_unsure |= first <= self.place;
                }
            }
        }
    }

    /// Counts what has come since, and moves on by what is too much.
    async fn follow(&mut self, reads: &Reads) -> Result<(), Boxed> {
        let until = reads.counted_until().await?;
        while self.until < until {
            let (found, highest) = reads.changes_up_from(self.until, until, PART).await?;
            self.count += found;
            self.until = if found < PART { until } else { highest };
        }
        while self.count > self.newest {
            let part = PART.min(self.count - self.newest);
            let (found, highest) = reads.changes_up_from(self.place, self.until, part).await?;
            if found < part {
                // Fewer are there than was known: how many is found out by counting them.
                (self.count, self.is_unsure) = (0, true);
                return Ok(());
            }
            (self.place, self.count) = (highest, self.count - found);
        }
        Ok(())
    }
}
