//! The statements about sealed originals.

use sqlx::{AssertSqlSafe, Error, SqliteConnection};

use super::asking::Asking;
use super::error::ambiguous;
use super::select::Reads;
use super::{Writes, begin};
use crate::audit::store::originals::{
    NEWEST, OriginalRow, Rewrapped, behind, of_change, original, sealed_under,
};
use crate::audit::store::{Boxed, StoreError};
use crate::base::key::KeyId;

const REWRAP: &str = "UPDATE originals SET key = ?, wrapped = ? WHERE seq = ? AND half = ?";

impl Reads {
    /// The sealed originals of a change, by its place.
    pub(in crate::audit) async fn originals(&self, seq: i64) -> Result<Vec<OriginalRow>, Boxed> {
        self.original_rows(of_change(seq)).await
    }

    /// Sealed originals of changes behind the place `after`, in their order.
    pub(in crate::audit) async fn originals_behind(
        &self,
        after: i64,
        limit: u16,
    ) -> Result<Vec<OriginalRow>, Boxed> {
        self.original_rows(behind(after, limit)).await
    }

    /// The key that the newest originals were sealed under.
    pub(in crate::audit) async fn sealed_under(&self) -> Result<Option<KeyId>, Boxed> {
        let mut asking = Asking::on(&self.evidence).await?;
        let row = sqlx::query(NEWEST).fetch_optional(&mut *asking).await?;
        row.as_ref().map(sealed_under).transpose()
    }

    async fn original_rows(&self, query: String) -> Result<Vec<OriginalRow>, Boxed> {
        let mut asking = Asking::on(&self.evidence).await?;
        let rows = sqlx::query(AssertSqlSafe(query)).fetch_all(&mut *asking).await?;
        rows.iter().map(original).collect()
    }
}

impl Writes {
    /// Puts data keys that are wrapped anew in the place of the former ones.
    pub(in crate::audit) async fn rewrap(&mut self, rows: &[Rewrapped]) -> Result<(), StoreError> {
        let mut connection = self.ready().await?;
        let done = rewrap(&mut connection, rows).await;
        self.keep(connection, done)
    }
}

async fn rewrap(connection: &mut SqliteConnection, rows: &[Rewrapped]) -> Result<(), StoreError> {
    let mut transaction = begin(connection).await?;
    let mut all = async || -> Result<(), Error> {
        for row in rows {
            let update = sqlx::query(REWRAP).bind(row.key.as_bytes().to_vec());
            let update = update.bind(row.wrapped.clone()).bind(row.seq).bind(row.half.number());
            update.execute(&mut *transaction).await?;
        }
        Ok(())
    };
    all().await.map_err(ambiguous)?;
    transaction.commit().await.map_err(ambiguous)
}
