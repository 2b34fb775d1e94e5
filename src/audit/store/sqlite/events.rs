//! Pages of events: what a filter asks for, newest first, within a bound on what is searched.

use futures_util::TryStreamExt as _;
use sqlx::{QueryBuilder, Sqlite};

use super::asking::Asking;
use super::filter::{deployments, push_actor, push_match};
use super::search::push_may;
use super::select::Reads;
use crate::audit::question::{EventFilter, FoundEvents};
use crate::audit::store::folded::Folded;
use crate::audit::store::page::SEARCHED_MAX;
use crate::audit::store::{Boxed, rows};
use crate::base::clock::Timestamp;

impl Reads {
    /// Up to `limit` events before the place `before`, the newest first. Where 20,000 were looked
    /// through they may be fewer.
    pub(in crate::audit) async fn events(
        &self,
        filter: &EventFilter,
        before: i64,
        limit: u16,
    ) -> Result<FoundEvents, Boxed> {
        let pool = if filter.scans() { &self.scans } else { &self.pool };
        let mut asking = Asking::on(pool).await?;
        let bottom = if filter.scans() { bottom(&mut asking, filter, before).await? } else { None };
        let text = filter.q.as_deref().map(Folded::of);
        let mut query = begin("SELECT *", filter, before);
        query.push(" AND v.seq >= ").push_bind(bottom.unwrap_or(0));
        push_actor(&mut query, "v", filter.actor.as_ref());
        push_match(&mut query, " AND v.actor_team = ", filter.team.clone());
        push_match(&mut query, " AND v.request_id = ", filter.request_id.clone());
        if let Some(id) = &filter.deployment_id {
            let numbers = deployments(&mut asking, &[id]).await?;
            push_deployment(&mut query, id, &numbers)?;
        }
        if let Some(text) = &text {
            query.push(" AND (");
            push_may(&mut query, text, "v.kind");
            query.push(" OR ");
            push_may(&mut query, text, "v.detail");
            query.push(")");
        }
        query.push(" ORDER BY v.seq DESC");
        let mut found = FoundEvents { events: Vec::new(), next: bottom };
        let mut rows = query.build().fetch(&mut *asking);
        while let Some(row) = rows.try_next().await? {
            let (seq, event) = rows::event(&row)?;
            if !text.as_ref().is_none_or(|text| text.fits_event(&event)) {
                continue;
            }
            if found.events.len() == usize::from(limit) {
                found.next = found.events.last().map(|(seq, _event)| *seq);
                break;
            }
            found.events.push((seq, event));
        }
        Ok(found)
    }
}

/// Where the search for a page ends: the lowest place, unless all is searched.
async fn bottom(
    asking: &mut Asking,
    filter: &EventFilter,
    before: i64,
) -> Result<Option<i64>, sqlx::Error> {
    let mut query = begin("SELECT v.seq", filter, before);
    query.push(" ORDER BY v.seq DESC LIMIT 1 OFFSET ").push_bind(SEARCHED_MAX - 1);
    query.build_query_scalar().fetch_optional(&mut **asking).await
}

fn begin(select: &str, filter: &EventFilter, before: i64) -> QueryBuilder<Sqlite> {
    let mut query = QueryBuilder::new(select);
    query.push(" FROM events v WHERE v.seq < ").push_bind(before);
    push_match(&mut query, " AND v.at >= ", filter.since.map(Timestamp::millis));
    push_match(&mut query, " AND v.at < ", filter.until.map(Timestamp::millis));
    query
}

/// Adds the condition that an event is about a deployment: its path leads there, it names it, it
/// counts a change of it that was held up, or it names a change of it.
fn push_deployment(
    query: &mut QueryBuilder<Sqlite>,
    id: &str,
    numbers: &[i64],
) -> Result<(), Boxed> {
    query.push(" AND (instr(json_extract(v.detail, '$.path') || '/', ");
    query.push_bind(format!("/deployments/{id}/"));
    query.push(") > 0 OR json_extract(v.detail, '$.deployment_id') = ").push_bind(id.to_owned());
    query.push(" OR EXISTS (SELECT 1 FROM json_each(v.detail, '$.refusals') r, ");
    query.push("json_each(r.value, '$.held_up') h WHERE ");
    query.push("json_extract(h.value, '$.deployment_id') = ").push_bind(id.to_owned());
    query.push(") OR EXISTS (SELECT 1 FROM changes c WHERE c.id = ");
    query.push("unhex(substr(json_extract(v.detail, '$.change'), 5)) AND c.deployment IN (");
    query.push("SELECT value FROM json_each(").push_bind(serde_json::to_string(numbers)?);
    query.push("))))");
    Ok(())
}
