//! The statements about sealed originals.

use serde::Serialize;

use super::error::{of_batch, unavailable};
use super::literal::{Bytes, json};
use super::select::Reads;
use super::writes::Writes;
use crate::audit::store::originals::{
    NEWEST, OriginalRow, Rewrapped, behind, of_change, original, sealed_under,
};
use crate::audit::store::{Boxed, StoreError};
use crate::base::key::KeyId;

#[derive(Serialize)]
struct RewrappedRow<'r> {
    seq: i64,
    half: u8,
    key: Bytes<'r>,
    wrapped: Bytes<'r>,
}

impl Reads {
    /// The sealed originals of a change, by its place.
    pub(in crate::audit::store) async fn originals(
        &self,
        seq: i64,
    ) -> Result<Vec<OriginalRow>, Boxed> {
        self.original_rows(&of_change(seq)).await
    }

    /// Sealed originals of changes behind the place `after`, in their order.
    pub(in crate::audit::store) async fn originals_behind(
        &self,
        after: i64,
        limit: u16,
    ) -> Result<Vec<OriginalRow>, Boxed> {
        self.original_rows(&behind(after, limit)).await
    }

    /// The key that the newest originals were sealed under.
    pub(in crate::audit::store) async fn sealed_under(&self) -> Result<Option<KeyId>, Boxed> {
        let row = self.evidence.ask().await?.row(NEWEST).await?;
        row.as_ref().map(sealed_under).transpose()
    }

    async fn original_rows(&self, query: &str) -> Result<Vec<OriginalRow>, Boxed> {
        let rows = self.evidence.ask().await?.rows(query).await?;
        rows.iter().map(original).collect()
    }
}

impl Writes {
    /// Holds that no gateway has a lease.
    pub(in crate::audit::store) async fn begin_seal_rotation(&mut self) -> Result<(), StoreError> {
        let call = "SELECT changegate.hold_that_none_runs_v1()";
        self.attempt(call).await.map(drop).map_err(|(error, _was_sent)| of_batch(error))
    }

    /// Puts data keys that are wrapped anew in the place of the former ones. Twice is as good as
    /// once.
    pub(in crate::audit::store) async fn rewrap(
        &mut self,
        rows: &[Rewrapped],
    ) -> Result<(), StoreError> {
        let rows: Vec<RewrappedRow<'_>> = rows
            .iter()
            .map(|row| RewrappedRow {
                seq: row.seq,
                half: row.half.number(),
                key: Bytes(row.key.as_bytes()),
                wrapped: Bytes(&row.wrapped),
            })
            .collect();
        let rows = json(&rows).map_err(|error| unavailable(sqlx::Error::Encode(error.into())))?;
        let call = format!("SELECT changegate.rewrap_v1({rows}::jsonb)");
        self.attempt(&call).await.map(drop).map_err(|(error, _was_sent)| of_batch(error))
    }
}
