//! A log in SQLite, moved to PostgreSQL.

use std::path::Path;

use super::store;
pub use super::store::{Copied, CopyError, Part, Step};
use crate::base::clock::Timestamp;
use crate::base::database::PostgresUrl;

/// Copies the log at `from` to the empty tables at `to`, whose owner the URL names, compares every
/// row of both, and seals the former one: no gateway writes it again. Where this is broken off, the
/// next call goes on from there. `tell` hears how far it is.
pub async fn copy(
    from: &Path,
    to: &PostgresUrl,
    now: Timestamp,
    mut tell: impl FnMut(Step) + Send,
) -> Result<Copied, CopyError> {
    store::copy(from, to, now, &mut tell).await
}
