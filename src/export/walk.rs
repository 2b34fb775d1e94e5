//! The changes of an export, newest first, page by page.

use std::collections::VecDeque;

use crate::audit::query::{
    BodyTexts, Cursor, Filter, LIMIT_MAX, PageRequest, QueryError, Reader, Texts,
};
use crate::audit::record::Change;

/// A walk through the changes that a filter finds. It remembers where it is, and holds nothing of
/// the log between its steps.
#[derive(Debug)]
pub struct ExportWalk {
    filter: Filter,
    cursor: Option<Cursor>,
    waiting: VecDeque<Change>,
    is_over: bool,
}

impl ExportWalk {
    /// A walk from the newest change on, or from the one before the place `before`.
    #[must_use]
    pub fn new(filter: Filter, before: Option<i64>) -> Self {
        let cursor = before.map(|seq| Cursor { seq, until: None });
        Self { filter, cursor, waiting: VecDeque::new(), is_over: false }
    }

    /// Whether changes may have to be looked through one by one.
    #[must_use]
    pub fn scans(&self) -> bool {
        self.filter.scans()
    }

    /// Sees to it that changes wait to be taken. Returns `false` where there are no more.
    pub async fn fill(&mut self, reader: &Reader) -> Result<bool, QueryError> {
        // A page may be empty where enough was looked through.
        while self.waiting.is_empty() && !self.is_over {
            let page = PageRequest { limit: LIMIT_MAX, cursor: self.cursor };
            let part = reader.changes(&self.filter, page, false).await?;
            self.cursor = part.next_cursor.as_deref().map(Cursor::parse).transpose()?;
            self.is_over = self.cursor.is_none();
            self.waiting = part.data.into();
        }
        Ok(!self.waiting.is_empty())
    }

    /// The next of those that wait, with its bodies.
    pub async fn take(
        &mut self,
        texts: &mut Texts,
    ) -> Result<Option<(Change, BodyTexts)>, QueryError> {
        texts.next(&mut self.waiting).await
    }
}
