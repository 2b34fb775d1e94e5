//! Pages of changes: what a filter asks for, newest first, within bounds on what is searched and on
//! what is shown.

use super::asking::{Asking, Documents};
use super::columns::list;
use super::filter::Sought;
use super::searched::{indexed, next_of};
use super::select::Reads;
use crate::audit::question::{Filter, FoundChanges};
use crate::audit::store::page::PageBuilder;
use crate::audit::store::{Boxed, rows};

/// The most changes that are read at once: the lists of each may be long.
const PART_MAX: i64 = 128;

impl Reads {
    /// Up to `limit` changes before the place `before`, the newest first. Where they are long, or
    /// shown with their bodies, or hard to find, they may be fewer.
    pub(in crate::audit::store) async fn changes(
        &self,
        filter: &Filter,
        before: i64,
        limit: u16,
        bodies: bool,
    ) -> Result<FoundChanges, Boxed> {
        let mut asking = self.operators.ask().await?;
        let before = self.horizon.before(&mut asking, before).await?;
        let sought = Sought::by(&mut asking, &self.names, filter).await?;
        let mut page = PageBuilder::new(limit);
        let (mut named, rest) = indexed(&mut asking, &sought, before, limit).await?;
        while let (Some((_from, goes_on)), None) = (named.stretch(), page.next) {
            if named.is_spent() {
                page.next = Some(goes_on);
                break;
            }
            let places = next_of(&mut named, &mut asking).await?;
            if !places.is_empty() {
                let condition = format!("c.seq IN {}", list(&places));
                fill(&mut page, &mut asking, &condition, (&rest, before)).await?;
            }
        }
        if bodies {
            page.show_bodies(&mut Documents::by(asking)).await?;
        }
        Ok(page.finish())
    }
}

/// Adds what is sought before a place and fits a condition, until the page is full.
async fn fill(
    page: &mut PageBuilder,
    asking: &mut Asking,
    condition: &str,
    (sought, mut before): (&Sought, i64),
) -> Result<(), Boxed> {
    let (select, conditions) = (sought.select(), sought.conditions());
    loop {
        // Of those that may have a text, some do not.
        let part = if sought.search.is_some() { PART_MAX } else { page.wanted().min(PART_MAX) };
        let query = format!(
            "{select} WHERE {condition} AND c.seq < {before}{conditions} \
             ORDER BY c.seq DESC LIMIT {part}"
        );
        let found = asking.rows(&query).await?;
        let is_last = i64::try_from(found.len())? < part;
        for row in &found {
            let change = rows::change(row)?;
            before = change.seq;
            if let Some(search) = &sought.search
                && !search.fits(row, &change)?
            {
                continue;
            }
            if !page.add(change, rows::list_bytes(row)?) {
                return Ok(());
            }
        }
        if is_last {
            return Ok(());
        }
    }
}
