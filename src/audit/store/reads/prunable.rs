//! Questions about what may be pruned, and what was.

use super::Reads;
use crate::audit::store::Boxed;
use crate::audit::store::prunable::{
    Candidate, Dependent, FromRow, OldEvent, PruneBounds, PruneStep, Pruned, Word, broken,
    candidates, dependents, leaves_of, old_events, touched, used,
};
use crate::base::clock::Timestamp;

/// The most words on holds that are read at once, and the most prunes.
const PART: usize = 1_000;

/// The last place of a change that came before a time, of an event likewise, and the like.
const NONE: i64 = 0;

impl Reads {
    pub(super) async fn found<T: FromRow>(&self, statement: &str) -> Result<Vec<T>, Boxed> {
        match self {
            Self::Sqlite(reads) => reads.found(statement).await,
            Self::Postgres(reads) => reads.found(statement).await,
        }
    }

    /// Carries out a step, in a log that several may write.
    pub(in crate::audit) async fn prune(&self, step: &PruneStep) -> Result<Pruned, Boxed> {
        match self {
            Self::Sqlite(_has_one_writer) => Ok(Pruned::Busy),
            Self::Postgres(reads) => reads.prune(step).await,
        }
    }

    pub(super) async fn number(&self, statement: &str) -> Result<i64, Boxed> {
        Ok(self.found::<i64>(statement).await?.first().copied().unwrap_or(NONE))
    }

    /// The place of the last change that came before a time, about; 0 where there is none.
    pub(in crate::audit) async fn changes_before(&self, time: Timestamp) -> Result<i64, Boxed> {
        let time = time.millis();
        self.number(&format!(
            "SELECT seq AS number FROM changes WHERE received_at < {time} \
             ORDER BY received_at DESC, seq DESC LIMIT 1"
        ))
        .await
    }

    /// The same of events.
    pub(in crate::audit) async fn events_before(&self, time: Timestamp) -> Result<i64, Boxed> {
        let time = time.millis();
        self.number(&format!(
            "SELECT seq AS number FROM events WHERE at < {time} ORDER BY at DESC, seq DESC LIMIT 1"
        ))
        .await
    }

    /// The place of the newest change behind which there are so many; 0 where there is none. Where
    /// places have no gaps, none is looked at.
    pub(in crate::audit) async fn changes_beyond(&self, newest: u32) -> Result<i64, Boxed> {
        let last = self.number("SELECT max(seq) AS number FROM changes").await?;
        Ok((last - i64::from(newest)).max(NONE))
    }

    /// The newest change up to a place; 0 where there is none.
    pub(in crate::audit) async fn change_up_to(&self, place: i64) -> Result<i64, Boxed> {
        self.number(&format!("SELECT max(seq) AS number FROM changes WHERE seq <= {place}")).await
    }

    /// How many changes there are from a place down, at most so many, and the lowest of them.
    pub(in crate::audit) async fn changes_down_from(
        &self,
        place: i64,
        most: u64,
    ) -> Result<(u64, i64), Boxed> {
        let which = format!("seq <= {place} ORDER BY seq DESC LIMIT {most}");
        self.counted_part(&which, "min").await
    }

    /// How many changes there are behind a place and up to another, at most so many, and the
    /// highest of them.
    pub(in crate::audit) async fn changes_up_from(
        &self,
        place: i64,
        until: i64,
        most: u64,
    ) -> Result<(u64, i64), Boxed> {
        let which = format!("seq > {place} AND seq <= {until} ORDER BY seq LIMIT {most}");
        self.counted_part(&which, "max").await
    }

    async fn counted_part(&self, which: &str, end: &str) -> Result<(u64, i64), Boxed> {
        let part = format!("FROM (SELECT seq FROM changes WHERE {which}) f");
        let statement = format!(
            "SELECT number FROM (SELECT 1 AS n, count(*) AS number {part} \
             UNION ALL SELECT 2, coalesce({end}(seq), 0) {part}) g ORDER BY n"
        );
        match self.found::<i64>(&statement).await?.as_slice() {
            &[count, place] => Ok((u64::try_from(count)?, place)),
            _torn => Err("a count of changes has no end: try it again".into()),
        }
    }

    /// The place of the newest event of a prune.
    pub(in crate::audit) async fn newest_prune(&self) -> Result<i64, Boxed> {
        self.number("SELECT max(seq) AS number FROM events WHERE kind = 'prune'").await
    }

    /// When the change at a place came, in milliseconds; 0 where there is none.
    pub(in crate::audit) async fn came_at(&self, seq: i64) -> Result<i64, Boxed> {
        self.number(&format!("SELECT received_at AS number FROM changes WHERE seq = {seq}")).await
    }

    /// The place up to which all changes are counted.
    pub(in crate::audit) async fn counted_until(&self) -> Result<i64, Boxed> {
        self.number("SELECT max(seq) AS number FROM counted").await
    }

    /// Changes behind one place up to another that are old enough, in order.
    pub(in crate::audit) async fn prune_candidates(
        &self,
        bounds: &PruneBounds,
        (after, until): (i64, i64),
        limit: usize,
    ) -> Result<Vec<Candidate>, Boxed> {
        let which = format!("c.seq > {after} AND c.seq <= {until} ORDER BY c.seq LIMIT {limit}");
        self.found(&candidates(bounds, self.are_shared(), &which)).await
    }

    /// Events behind one place up to another that came before a time, in order.
    pub(in crate::audit) async fn old_events(
        &self,
        bounds: &PruneBounds,
        before: Timestamp,
        (after, until): (i64, i64),
        limit: usize,
    ) -> Result<Vec<OldEvent>, Boxed> {
        let which = format!("v.seq > {after} AND v.seq <= {until} ORDER BY v.seq LIMIT {limit}");
        self.found(&old_events(bounds, before, &which)).await
    }

    /// The places that the changes of a span touched: place, kind and change.
    pub(in crate::audit) async fn touched_within(
        &self,
        (first, last): (i64, i64),
    ) -> Result<Vec<(i64, i64, i64)>, Boxed> {
        self.found(&touched(first, last)).await
    }

    /// The rules that the changes of a span broke.
    pub(in crate::audit) async fn broken_within(
        &self,
        (first, last): (i64, i64),
    ) -> Result<Vec<(String, i64)>, Boxed> {
        self.found(&broken(first, last)).await
    }

    /// The positions of the leaves of changes, with all that followed on them, and of events.
    pub(in crate::audit) async fn leaves_of(
        &self,
        changes: &[i64],
        events: &[i64],
    ) -> Result<Vec<i64>, Boxed> {
        self.found(&leaves_of(changes, events)).await
    }

    /// Which of some documents changes name beside those.
    pub(in crate::audit) async fn used(
        &self,
        documents: &[i64],
        beside: &[i64],
    ) -> Result<Vec<i64>, Boxed> {
        self.found(&used(documents, beside, self.are_shared())).await
    }

    /// The documents that are built upon some of those.
    pub(in crate::audit) async fn dependents(
        &self,
        documents: &[i64],
        beside: &[i64],
    ) -> Result<Vec<Dependent>, Boxed> {
        self.found(&dependents(documents, beside, self.are_shared())).await
    }

    /// What was said of holds behind a place, the oldest first; nothing at the end.
    pub(in crate::audit) async fn hold_words(&self, after: i64) -> Result<Vec<Word>, Boxed> {
        self.words("hold", after).await
    }

    /// What prunes tell, likewise.
    pub(in crate::audit) async fn prune_words(&self, after: i64) -> Result<Vec<Word>, Boxed> {
        self.words("prune", after).await
    }

    /// The word of the newest verification.
    pub(in crate::audit) async fn newest_verification(&self) -> Result<Option<Word>, Boxed> {
        let found = self.found(
            "SELECT seq, at, detail FROM events WHERE kind = 'verification' \
             ORDER BY seq DESC LIMIT 1",
        );
        Ok(found.await?.pop())
    }

    pub(super) async fn words(&self, kind: &str, after: i64) -> Result<Vec<Word>, Boxed> {
        self.found(&format!(
            "SELECT seq, at, detail FROM events WHERE kind = '{kind}' AND seq > {after} \
             ORDER BY seq LIMIT {PART}"
        ))
        .await
    }
}
