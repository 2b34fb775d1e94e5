//! Deployments asked for by a part of their names.

use caseless::default_case_fold_str;

use super::{Cursor, DeploymentSummary, Filter, LIMIT_MAX, PageRequest, QueryError, Reader};

/// The most deployments that one name may stand for: as many are gone through side by side.
pub const NAMED_MAX: usize = 64;

impl Reader {
    /// A filter with the deployments that its name stands for now, in place of the name. Who asks
    /// for several pages of one answer does so once; else each page is asked for as names are then.
    pub async fn with_named(&self, filter: Filter, most: usize) -> Result<Filter, QueryError> {
        let Some(name) = &filter.deployment_name else { return Ok(filter) };
        // What goes on in a store takes much room.
        let found = Box::pin(self.reads.deployments_named(name, most.saturating_add(1))).await;
        let mut named = found.map_err(QueryError::Store)?;
        if named.len() > most {
            return Err(QueryError::ManyNamed { most });
        }
        named.sort_unstable();
        named.dedup();
        if let Some(ids) = &filter.deployment_ids {
            named.retain(|id| ids.contains(id));
        }
        Ok(Filter { deployment_ids: Some(named), deployment_name: None, ..filter })
    }

    /// The deployments whose name contains `text` in any case, at most `most` of them and one more.
    pub async fn deployments_named(
        &self,
        text: &str,
        most: usize,
    ) -> Result<Vec<DeploymentSummary>, QueryError> {
        let wanted = default_case_fold_str(text);
        let has_it = |name: &String| default_case_fold_str(name).contains(wanted.as_str());
        let mut found = Vec::new();
        let mut page = PageRequest { limit: LIMIT_MAX, cursor: None };
        loop {
            let part = self.deployments(page, true).await?;
            found.extend(part.data.into_iter().filter(|one| one.name.as_ref().is_some_and(has_it)));
            page.cursor = part.next_cursor.as_deref().map(Cursor::parse).transpose()?;
            if page.cursor.is_none() || found.len() > most {
                found.truncate(most.saturating_add(1));
                return Ok(found);
            }
        }
    }
}
