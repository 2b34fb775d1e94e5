//! Pages of changes: what a filter asks for, newest first, within bounds on what is searched and on
//! what is shown.

use futures_util::TryStreamExt as _;
use sqlx::{QueryBuilder, Sqlite};

use super::asking::Asking;
use super::documents::Documents;
use super::filter::{Sought, push_filter};
use super::rows;
use super::searched::{IndexedChanges, bottom};
use super::select::{Reads, with_bodies};
use crate::audit::question::{Filter, FoundChanges};
use crate::audit::record::Change;
use crate::audit::store::Boxed;

/// The bytes of text after which a page of changes with bodies ends: each may be megabytes.
const PAGE_BYTES_MAX: usize = 32 << 20;

/// The bytes of lists after which a page of changes without bodies ends: each change may have
/// hundreds of findings and concealed places.
const LISTS_BYTES_MAX: usize = 8 << 20;

/// A page that is being filled.
struct PageBuilder {
    limit: usize,
    changes: Vec<Change>,
    list_bytes: usize,
    /// The place before which the next page begins; `None` where there is none, as far as is
    /// known.
    next: Option<i64>,
}

impl Reads {
    /// Up to `limit` changes before the place `before`, the newest first. Where they are long, or
    /// shown with their bodies, or hard to find, they may be fewer.
    pub(in crate::audit) async fn changes(
        &self,
        filter: &Filter,
        before: i64,
        limit: u16,
        bodies: bool,
    ) -> Result<FoundChanges, Boxed> {
        let pool = if filter.scans() { &self.scans } else { &self.pool };
        let mut asking = Asking::on(pool).await?;
        let sought = Sought::by(&mut asking, filter).await?;
        let mut page =
            PageBuilder { limit: limit.into(), changes: Vec::new(), list_bytes: 0, next: None };
        if let Some(mut named) = IndexedChanges::by(filter, before, limit) {
            loop {
                let places = named.next(&mut asking).await?;
                let mut query = sought.select();
                query.push(" WHERE c.seq IN (SELECT value FROM json_each(");
                query.push_bind(serde_json::to_string(&places)?).push("))");
                page.fill(&mut asking, query, &sought).await?;
                let goes_on = named.goes_on_before();
                if page.next.is_some() || goes_on.is_none() {
                    break;
                }
                if named.is_spent() {
                    page.next = goes_on;
                    break;
                }
            }
        } else {
            let bottom = match filter.q {
                Some(_) => bottom(&mut asking, &sought, before).await?,
                None => None,
            };
            let mut query = sought.select();
            query.push(" WHERE c.seq < ").push_bind(before);
            query.push(" AND c.seq >= ").push_bind(bottom.unwrap_or(0));
            page.fill(&mut asking, query, &sought).await?;
            page.next = page.next.or(bottom);
        }
        if bodies {
            page.show(&mut Documents::by(asking)).await?;
        }
        Ok(FoundChanges { changes: page.changes, next: page.next })
    }
}

impl PageBuilder {
    /// Adds what `query` finds of what is sought, until the page is full.
    async fn fill(
        &mut self,
        asking: &mut Asking,
        mut query: QueryBuilder<Sqlite>,
        sought: &Sought,
    ) -> Result<(), Boxed> {
        push_filter(&mut query, sought);
        query.push(" ORDER BY c.seq DESC");
        // Of those that may have a text, some do not.
        if sought.search.is_none() {
            let left = i64::try_from(self.limit - self.changes.len()).unwrap_or(i64::MAX);
            query.push(" LIMIT ").push_bind(left.saturating_add(1));
        }
        let mut found = query.build().fetch(&mut **asking);
        while let Some(row) = found.try_next().await? {
            let change = rows::change(&row)?;
            if let Some(search) = &sought.search
                && !search.fits(&row, &change)?
            {
                continue;
            }
            if self.changes.len() == self.limit || self.list_bytes > LISTS_BYTES_MAX {
                self.next = self.changes.last().map(|change| change.seq);
                break;
            }
            self.list_bytes += rows::list_bytes(&row)?;
            self.changes.push(change);
        }
        Ok(())
    }

    /// Reads the bodies of as many changes as fit a page.
    async fn show(&mut self, documents: &mut Documents) -> Result<(), Boxed> {
        for number in 0..self.changes.len() {
            if documents.read_bytes > PAGE_BYTES_MAX {
                self.changes.truncate(number);
                self.next = self.changes.last().map(|change| change.seq);
                break;
            }
            if let Some(change) = self.changes.get_mut(number) {
                with_bodies(change, documents).await?;
            }
        }
        Ok(())
    }
}
