//! Questions about what may be erased, and what was.

use super::Reads;
use crate::audit::evidence::leaf::LeafKind;
use crate::audit::store::erasable::{
    EraseStep, Halves, SealedRecord, approval_steps, approvals, halves, late, named, naming,
    of_deployment, originals, records, repeating, sealing_keys, touched_inside, twins,
};
use crate::audit::store::prunable::{Candidate, PruneBounds, Pruned, candidates, list};
use crate::audit::store::{Boxed, Word};
use crate::base::clock::Timestamp;
use crate::base::ids::ChangeId;
use crate::base::key::KeyId;

/// Everything that has ended may be erased, however young.
const NO_BOUNDS: PruneBounds = PruneBounds {
    by_count: i64::MAX,
    by_age: Timestamp::from_millis(i64::MAX),
    settled: Timestamp::from_millis(i64::MAX),
    now: Timestamp::from_millis(i64::MAX),
    spared: None,
};

impl Reads {
    /// A change, by its name.
    pub(in crate::audit) async fn halves_of(&self, id: ChangeId) -> Result<Option<Halves>, Boxed> {
        let is_shared = self.are_shared();
        let found = self.found(&halves(&named(id, is_shared), is_shared, 1)).await?;
        Ok(found.into_iter().next())
    }

    /// The changes of a deployment behind one place up to another, in their order.
    pub(in crate::audit) async fn halves_of_deployment(
        &self,
        id: &str,
        span: (i64, i64),
        limit: usize,
    ) -> Result<Vec<Halves>, Boxed> {
        let is_shared = self.are_shared();
        self.found(&halves(&of_deployment(id, span, is_shared), is_shared, limit)).await
    }

    /// Changes behind a place that name one of some documents, beside one, in their order.
    pub(in crate::audit) async fn halves_naming(
        &self,
        documents: &[i64],
        (beside, after): (i64, i64),
        limit: usize,
    ) -> Result<Vec<Halves>, Boxed> {
        let is_shared = self.are_shared();
        let which = naming(documents, (beside, after), is_shared);
        self.found(&halves(&which, is_shared, limit)).await
    }

    /// Documents of the same deployment with the same text as some of a change, these among them.
    pub(in crate::audit) async fn twins(
        &self,
        seq: i64,
        documents: &[i64],
    ) -> Result<Vec<i64>, Boxed> {
        self.found(&twins(seq, documents, self.are_shared())).await
    }

    /// Changes, each with what keeps it, whatever its age.
    pub(in crate::audit) async fn keepers(&self, changes: &[i64]) -> Result<Vec<Candidate>, Boxed> {
        let which = format!("c.seq IN ({})", list(changes));
        self.found(&candidates(&NO_BOUNDS, self.are_shared(), &which)).await
    }

    /// The records of a kind at these rows that are in the tree.
    pub(in crate::audit) async fn sealed_records(
        &self,
        kind: LeafKind,
        references: &[i64],
    ) -> Result<Vec<SealedRecord>, Boxed> {
        if references.is_empty() {
            return Ok(Vec::new());
        }
        self.found(&records(kind, references, self.are_shared())).await
    }

    /// Which of these changes have an end that came late: only gateways that share a log do.
    pub(in crate::audit) async fn late(&self, changes: &[i64]) -> Result<Vec<i64>, Boxed> {
        if !self.are_shared() {
            return Ok(Vec::new());
        }
        self.found(&late(changes)).await
    }

    /// The rows of approvals that changes asked for with a reason, and of such steps of them.
    pub(in crate::audit) async fn reasons_of(
        &self,
        changes: &[ChangeId],
    ) -> Result<(Vec<i64>, Vec<i64>), Boxed> {
        let is_shared = self.are_shared();
        let asked = self.found(&approvals(changes, is_shared)).await?;
        Ok((asked, self.found(&approval_steps(changes, is_shared)).await?))
    }

    /// Events behind a place that name something and may repeat what a change shows.
    pub(in crate::audit) async fn repeating(
        &self,
        name: &str,
        after: i64,
        limit: usize,
    ) -> Result<Vec<Word>, Boxed> {
        self.found(&repeating(name, after, self.are_shared(), limit)).await
    }

    /// The places inside members of deployments that changes touched: place, kind and change.
    pub(in crate::audit) async fn touched_inside(
        &self,
        changes: &[i64],
    ) -> Result<Vec<(i64, i64, i64)>, Boxed> {
        self.found(&touched_inside(changes)).await
    }

    /// The halves of changes that have sealed originals, and the keys that these are under.
    pub(in crate::audit) async fn originals_of(
        &self,
        changes: &[i64],
    ) -> Result<(Vec<(i64, u8)>, Vec<KeyId>), Boxed> {
        let halves = self.found(&originals(changes)).await?;
        Ok((halves, self.found(&sealing_keys(changes)).await?))
    }

    /// Carries out a step, in a log that several may write.
    pub(in crate::audit) async fn erase(&self, step: &EraseStep) -> Result<Pruned, Boxed> {
        match self {
            Self::Sqlite(_has_one_writer) => Ok(Pruned::Busy),
            Self::Postgres(reads) => reads.erase(step).await,
        }
    }

    /// The place of the newest event of an erasure; 0 where nothing was erased.
    pub(in crate::audit) async fn newest_erasure(&self) -> Result<i64, Boxed> {
        self.number("SELECT max(seq) AS number FROM events WHERE kind = 'erase'").await
    }

    /// What erasures tell behind a place, the oldest first; nothing at the end.
    pub(in crate::audit) async fn erase_words(&self, after: i64) -> Result<Vec<Word>, Boxed> {
        self.words("erase", after).await
    }

    /// What changes of the sealing key tell, likewise.
    pub(in crate::audit) async fn seal_words(&self, after: i64) -> Result<Vec<Word>, Boxed> {
        self.words("seal_rotation", after).await
    }
}
