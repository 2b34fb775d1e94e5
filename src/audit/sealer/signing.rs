//! Checkpoints: signed, put out, and put out anew once witnesses have signed them too.
//!
//! ```text
//! tree -> note (ours) -> published ----------------------> the next one
//!            \-> witnesses (each on a task of its own) -> signatures -> published again
//! ```

use super::Sealer;
use crate::audit::Audit;
use crate::audit::entry::Entry;
use crate::audit::evidence::cosigned::trusted;
use crate::audit::evidence::note::Note;
use crate::audit::sealed::SignedTree;
use crate::audit::store::{Boxed, Reads};
use crate::base::file::replace;

impl Sealer {
    /// Signs the tree as it is now. Of the same tree, what witnesses have signed stays below it.
    pub(super) async fn sign(&mut self) -> Result<(), Boxed> {
        let Some(begun) = &mut self.begun else { return Ok(()) };
        if let Some(refused) = begun.refused.take() {
            return Err(refused);
        }
        let (size, root) = (begun.frontier.size(), begun.frontier.root());
        let at = self.audit.shared.clock.now();
        let own = begun.signers.sign(size, root, at);
        self.gathered.begin(&own);
        let note = match self.stored_of(&own).await? {
            Some(stored) => own.clone().with_others_of(stored),
            None => own.clone(),
        };
        let note = self.gathered.below(note);
        self.publish(SignedTree { size, at, note: note.to_string() }).await?;
        self.newest = Some((size, own.clone()));
        self.audit.shared.witnesses.show(size, own);
        Ok(())
    }

    /// Puts the newest checkpoint out anew, where witnesses have signed it since.
    pub(super) async fn cosign(&mut self) -> Result<(), Boxed> {
        let Some((size, own)) = self.newest.clone() else { return Ok(()) };
        let mut is_newer = false;
        for answer in self.audit.shared.witnesses.taken() {
            is_newer |= self.gathered.add(answer.witness, &answer.text, answer.signatures);
        }
        if !is_newer {
            return Ok(());
        }
        let base = self.stored_of(&own).await?.unwrap_or(own);
        let (at, note) = (self.audit.shared.clock.now(), self.gathered.below(base).to_string());
        self.publish(SignedTree { size, at, note }).await
    }

    /// The checkpoint of the same tree that another gateway may have put out, as far as its
    /// signatures hold: it may be younger, and have more of them.
    async fn stored_of(&self, own: &Note) -> Result<Option<Note>, Boxed> {
        let Some(begun) = &self.begun else { return Ok(None) };
        if !self.settings.is_witnessed || !self.reads().are_shared() {
            return Ok(None);
        }
        let keys = [&begun.signers.keys().map(Clone::clone), &self.witness_keys[..]].concat();
        let stored = self.reads().checkpoint().await?;
        Ok(stored.and_then(|stored| trusted(&stored, own, &keys)))
    }

    async fn publish(&mut self, signed: SignedTree) -> Result<(), Boxed> {
        let note = signed.note.clone();
        // Remembered first: what was once published is never forgotten.
        if let Err(error) = replace(&self.settings.newest_file, &note, 0o600)
            && !std::mem::replace(&mut self.forgets, true)
        {
            let (error, file) = (&error as &dyn std::error::Error, &self.settings.newest_file);
            let file = file.display();
            tracing::warn!(error, %file, "the newest checkpoint is not remembered beside the key");
        }
        self.audit.keep_checkpoint(signed).await?;
        if let Some(file) = &self.settings.checkpoint_file {
            replace(file, &note, 0o644)?;
        }
        Ok(())
    }
}

impl Audit {
    async fn keep_checkpoint(&self, signed: SignedTree) -> Result<(), Boxed> {
        match self.shared.reader.reads() {
            Reads::Postgres(reads) => reads.sign(&signed).await,
            Reads::Sqlite(_) => {
                self.submit(Entry::Checkpoint(Box::new(signed))).await?;
                Ok(())
            }
        }
    }
}
