//! A copy of the log in another file.

use std::path::{Path, absolute};

use super::select::Reads;
use crate::audit::store::Boxed;

impl Reads {
    /// Copies the log into `target`, an empty file or none. The copy is what one reading
    /// transaction sees: a gateway may write meanwhile.
    pub(in crate::audit) async fn copy_to(&self, target: &Path) -> Result<(), Boxed> {
        // SQLite takes a name that begins with `file:` for a URI.
        let target = absolute(target)?;
        let target = target.to_str().ok_or("its path is not UTF-8 text: name another file")?;
        let mut connection = self.pool.acquire().await?;
        sqlx::query("VACUUM INTO ?").bind(target).execute(&mut *connection).await?;
        Ok(())
    }
}
