//! Pages of changes: what a filter asks for, newest first, within bounds on what is searched and on
//! what is shown.

use futures_util::TryStreamExt as _;
use sqlx::{QueryBuilder, Sqlite};

use super::asking::{Asking, Documents};
use super::filter::{Sought, push_filter};
use super::searched::{indexed, next_of};
use super::select::Reads;
use crate::audit::question::{Filter, FoundChanges};
use crate::audit::store::page::PageBuilder;
use crate::audit::store::{Boxed, rows};

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
        let sought = Sought::by(&mut asking, &self.names, filter).await?;
        let mut page = PageBuilder::new(limit);
        let (mut named, rest) = indexed(&mut asking, &sought, before, limit).await?;
        while let (Some((_from, before)), None) = (named.stretch(), page.next) {
            if named.is_spent() {
                page.next = Some(before);
                break;
            }
            let places = next_of(&mut named, &mut asking).await?;
            if !places.is_empty() {
                let mut query = rest.select();
                query.push(" WHERE c.seq IN (SELECT value FROM json_each(");
                query.push_bind(serde_json::to_string(&places)?).push("))");
                fill(&mut page, &mut asking, query, &rest).await?;
            }
        }
        if bodies {
            page.show_bodies(&mut Documents::by(asking)).await?;
        }
        Ok(page.finish())
    }
}

/// Adds what `query` finds of what is sought, until the page is full.
async fn fill(
    page: &mut PageBuilder,
    asking: &mut Asking,
    mut query: QueryBuilder<Sqlite>,
    sought: &Sought,
) -> Result<(), Boxed> {
    push_filter(&mut query, sought);
    query.push(" ORDER BY c.seq DESC");
    // Of those that may have a text, some do not.
    if sought.search.is_none() {
        query.push(" LIMIT ").push_bind(page.wanted());
    }
    let mut found = query.build().fetch(&mut **asking);
    while let Some(row) = found.try_next().await? {
        let change = rows::change(&row)?;
        if let Some(search) = &sought.search
            && !search.fits(&row, &change)?
        {
            continue;
        }
        if !page.add(change, rows::list_bytes(&row)?) {
            break;
        }
    }
    Ok(())
}
