//! Reads a list page by page, so that the longest one needs no more memory than one page.

use super::{Failure, unanswered};
use crate::audit::query::{
    BODIES_LIMIT_MAX, Cursor, DeploymentSummary, EventFilter, Filter, LIMIT_MAX, Page, PageRequest,
    Reader,
};
use crate::audit::record::{Change, Event};

/// The part of a list that is still to be read.
#[derive(Debug)]
pub(super) struct Wanted {
    /// How many at most; `None` for all.
    left: Option<u32>,
    cursor: Option<Cursor>,
    done: bool,
    /// Whether it matters that the list goes on.
    may_go_on: bool,
}

impl Wanted {
    pub(super) fn new(items_max: Option<u32>) -> Self {
        Self { left: items_max, cursor: None, done: false, may_go_on: true }
    }

    /// The newest one for a program, which asks for it and for no list.
    pub(super) fn newest() -> Self {
        Self { may_go_on: false, ..Self::new(Some(1)) }
    }

    /// The next page of changes, with their bodies where `bodies`.
    pub(super) async fn next_changes(
        &mut self,
        reader: &Reader,
        filter: &Filter,
        bodies: bool,
    ) -> Result<Option<Vec<Change>>, Failure> {
        let Some(request) = self.request(if bodies { BODIES_LIMIT_MAX } else { LIMIT_MAX }) else {
            return Ok(None);
        };
        let page = reader.changes(filter, request, bodies).await.map_err(unanswered)?;
        self.taken(page).map(Some)
    }

    /// The next page of events.
    pub(super) async fn next_events(
        &mut self,
        reader: &Reader,
        filter: &EventFilter,
    ) -> Result<Option<Vec<Event>>, Failure> {
        let Some(request) = self.request(LIMIT_MAX) else { return Ok(None) };
        let page = reader.events(filter, request).await.map_err(unanswered)?;
        self.taken(page).map(Some)
    }

    /// The next page of changes made around the gateway.
    pub(super) async fn next_drifts(
        &mut self,
        reader: &Reader,
        filter: &EventFilter,
    ) -> Result<Option<Vec<Event>>, Failure> {
        let Some(request) = self.request(LIMIT_MAX) else { return Ok(None) };
        let page = reader.drifts(filter, request).await.map_err(unanswered)?;
        self.taken(page).map(Some)
    }

    /// The next page of deployments.
    pub(super) async fn next_deployments(
        &mut self,
        reader: &Reader,
    ) -> Result<Option<Vec<DeploymentSummary>>, Failure> {
        let Some(request) = self.request(LIMIT_MAX) else { return Ok(None) };
        let page = reader.deployments(request, true).await.map_err(unanswered)?;
        self.taken(page).map(Some)
    }

    /// Whether changes follow those that were wanted.
    pub(super) async fn more_changes(
        &mut self,
        reader: &Reader,
        filter: &Filter,
    ) -> Result<bool, Failure> {
        if !self.may_go_on {
            return Ok(false);
        }
        self.left = Some(1);
        // A page may end empty where enough was looked through.
        while let Some(page) = self.next_changes(reader, filter, false).await? {
            if !page.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether events follow those that were wanted.
    pub(super) async fn more_events(
        &mut self,
        reader: &Reader,
        filter: &EventFilter,
    ) -> Result<bool, Failure> {
        if !self.may_go_on {
            return Ok(false);
        }
        self.left = Some(1);
        while let Some(page) = self.next_events(reader, filter).await? {
            if !page.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether the list goes on behind the last page.
    pub(super) fn goes_on(&self) -> bool {
        self.may_go_on && !self.done
    }

    fn request(&self, page_max: u16) -> Option<PageRequest> {
        let left = self.left.map_or(page_max, |left| u16::try_from(left).unwrap_or(page_max));
        let limit = left.min(page_max);
        (!self.done && limit > 0).then_some(PageRequest { limit, cursor: self.cursor })
    }

    fn taken<T>(&mut self, page: Page<T>) -> Result<Vec<T>, Failure> {
        let taken = u32::try_from(page.data.len()).unwrap_or(u32::MAX);
        self.left = self.left.map(|left| left.saturating_sub(taken));
        let cursor = page.next_cursor.as_deref().map(Cursor::parse).transpose();
        self.cursor = cursor.map_err(unanswered)?;
        self.done = self.cursor.is_none();
        Ok(page.data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(items: usize, next: Option<i64>) -> Page<()> {
        let next_cursor = next.map(|seq| Cursor { seq, until: None }.to_string());
        Page { data: vec![(); items], has_more: next.is_some(), next_cursor }
    }

    #[test]
    fn reading_ends_with_what_was_wanted_or_with_the_list() {
        let mut some = Wanted::new(Some(1_500));
        assert_eq!(some.request(1_000), Some(PageRequest { limit: 1_000, cursor: None }));
        some.taken(page(1_000, Some(7))).unwrap();
        let cursor = Some(Cursor { seq: 7, until: None });
        assert_eq!(some.request(1_000), Some(PageRequest { limit: 500, cursor }));
        some.taken(page(500, Some(3))).unwrap();
        assert_eq!(some.request(1_000), None);
        let mut all = Wanted::new(None);
        assert_eq!(all.request(100).map(|request| request.limit), Some(100));
        all.taken(page(2, None)).unwrap();
        assert_eq!(all.request(100), None);
    }
}
