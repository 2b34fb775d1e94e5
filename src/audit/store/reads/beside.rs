//! Questions about the rows beside records, which are held against those.

use super::Reads;
use crate::audit::store::beside::{SAME_PLACES, STILL_PENDING, originals, salts, spans, touched};
use crate::audit::store::indexed::BLOCK_BITS;
use crate::audit::store::{Boxed, OriginalBody, SpanRow, TouchedRows};

impl Reads {
    /// The next places that changes of a span touched, behind the path `behind`.
    pub(in crate::audit) async fn touched_places(
        &self,
        span: (i64, i64),
        behind: Option<&str>,
    ) -> Result<Vec<TouchedRows>, Boxed> {
        self.found(&touched(span, behind, self.are_shared())).await
    }

    /// The blocks in which the changes of a span lie, as far as they are counted.
    pub(in crate::audit) async fn spans(&self, span: (i64, i64)) -> Result<Vec<SpanRow>, Boxed> {
        self.found(&spans(span, BLOCK_BITS)).await
    }

    /// The next originals of the changes of a span, behind that half of a change.
    pub(in crate::audit) async fn original_bodies(
        &self,
        span: (i64, i64),
        behind: (i64, i64),
    ) -> Result<Vec<OriginalBody>, Boxed> {
        self.found(&originals(span, behind)).await
    }

    /// The salts of leaves that have one, with their positions.
    pub(in crate::audit) async fn salts(
        &self,
        positions: &[i64],
    ) -> Result<Vec<(i64, Option<Vec<u8>>)>, Boxed> {
        self.found(&salts(positions)).await
    }

    /// Changes that have ended and are told to be open.
    pub(in crate::audit) async fn still_pending(&self) -> Result<Vec<i64>, Boxed> {
        self.found(STILL_PENDING).await
    }

    /// Places that have their path in common with another one.
    pub(in crate::audit) async fn same_places(&self) -> Result<Vec<i64>, Boxed> {
        self.found(SAME_PLACES).await
    }
}
