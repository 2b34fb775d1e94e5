//! Counts of changes over time, made from those that have ended, in times without work.

use sqlx::Row as _;

use super::error::unavailable;
use super::select::Reads;
use super::writes::Writes;
use crate::audit::count::{CountRow, Counting};
use crate::audit::store::counted::{COUNTED_AT_ONCE, UNCOUNTED_MAX, statement};
use crate::audit::store::rows::{cell, maybe};
use crate::audit::store::{Boxed, StoreError};

impl Writes {
    /// Counts some of the changes that are not counted yet. Tells whether there are more.
    pub(in crate::audit::store) async fn count(&mut self) -> Result<bool, StoreError> {
        if self.uncounted == 0 {
            return Ok(false);
        }
        let row = self.ask("SELECT changes FROM changegate.horizon()").await?;
        let decided: i64 = row.try_get("changes").map_err(unavailable)?;
        let count = format!("SELECT changegate.count_v1({COUNTED_AT_ONCE}, {decided}) AS has_more");
        let has_more: bool = self.ask(&count).await?.try_get("has_more").map_err(unavailable)?;
        if !has_more {
            self.uncounted = 0;
        }
        Ok(has_more)
    }

    /// Whether so many changes wait to be counted that this is not put off any more.
    pub(in crate::audit::store) fn is_behind(&self) -> bool {
        self.uncounted > UNCOUNTED_MAX
    }
}

impl Reads {
    /// The rows of an answer, the oldest first.
    pub(in crate::audit::store) async fn counts(
        &self,
        counting: &Counting,
    ) -> Result<Vec<CountRow>, Boxed> {
        let statement = statement(counting, "encode(c.actor_fingerprint, 'hex')");
        let found = self.operators.ask().await?.rows(&statement).await?;
        let row = |row| {
            Ok(CountRow {
                at: cell(row, "at")?,
                value: maybe(row, "value")?,
                changes: cell(row, "changes")?,
            })
        };
        found.iter().map(row).collect()
    }
}
