//! Pages of events: what a filter asks for, newest first, within a bound on what is searched.

use super::asking::Asking;
use super::columns::{add, list};
use super::filter::{deployments, push_actor, push_text, push_times};
use super::literal;
use super::search::{may, may_in_json};
use super::select::Reads;
use crate::audit::question::{EventFilter, FoundEvents};
use crate::audit::store::folded::Folded;
use crate::audit::store::page::SEARCHED_MAX;
use crate::audit::store::{Boxed, rows};

/// The most events that are read at once.
const PART_MAX: usize = 256;

impl Reads {
    /// Up to `limit` events before the place `before`, the newest first. Where 20,000 were looked
    /// through they may be fewer.
    pub(in crate::audit::store) async fn events(
        &self,
        filter: &EventFilter,
        before: i64,
        limit: u16,
    ) -> Result<FoundEvents, Boxed> {
        let mut asking = self.operators.ask().await?;
        let mut before = self.horizon.before_event(&mut asking, before).await?;
        let bottom = if filter.scans() { bottom(&mut asking, filter, before).await? } else { None };
        let text = filter.q.as_deref().map(Folded::of);
        let conditions = conditions(&mut asking, filter, text.as_ref()).await?;
        let lowest = bottom.unwrap_or(0);
        let mut found = FoundEvents { events: Vec::new(), next: bottom };
        loop {
            let part = format!(
                "SELECT v.* FROM events v WHERE v.seq < {before} AND v.seq >= {lowest}{conditions} \
                 ORDER BY v.seq DESC LIMIT {PART_MAX}"
            );
            let rows = asking.rows(&part).await?;
            for row in &rows {
                let (seq, event) = rows::event(row)?;
                before = seq;
                if !text.as_ref().is_none_or(|text| text.fits_event(&event)) {
                    continue;
                }
                if found.events.len() == usize::from(limit) {
                    found.next = found.events.last().map(|(seq, _event)| *seq);
                    return Ok(found);
                }
                found.events.push((seq, event));
            }
            if rows.len() < PART_MAX {
                return Ok(found);
            }
        }
    }
}

/// Where the search for a page ends: the lowest place, unless all is searched.
async fn bottom(
    asking: &mut Asking,
    filter: &EventFilter,
    before: i64,
) -> Result<Option<i64>, Boxed> {
    let mut times = String::new();
    push_times(&mut times, "v.at", (filter.since, filter.until));
    let lowest = format!(
        "SELECT v.seq FROM events v WHERE v.seq < {before}{times} \
         ORDER BY v.seq DESC LIMIT 1 OFFSET {}",
        SEARCHED_MAX - 1
    );
    asking.row(&lowest).await?.as_ref().map(|row| rows::cell(row, "seq")).transpose()
}

async fn conditions(
    asking: &mut Asking,
    filter: &EventFilter,
    text: Option<&Folded>,
) -> Result<String, Boxed> {
    let mut query = String::new();
    push_times(&mut query, "v.at", (filter.since, filter.until));
    push_actor(&mut query, "v", filter.actor.as_ref());
    push_text(&mut query, "v.actor_team", filter.team.as_deref());
    push_text(&mut query, "v.request_id", filter.request_id.as_deref());
    if let Some(id) = &filter.deployment_id {
        let numbers = deployments(asking, &[id]).await?;
        push_deployment(&mut query, id, &numbers);
    }
    if let Some(text) = text {
        let (kind, detail) = (may(text, "v.kind"), may_in_json(text, "v.detail"));
        add(&mut query, &format!(" AND ({kind} OR {detail})"));
    }
    Ok(query)
}

/// Adds the condition that an event is about a deployment: its path leads there, it names it, it
/// counts a change of it that was held up, or it names a change of it. What PostgreSQL can't read,
/// because of an escaped NUL, is about none.
fn push_deployment(query: &mut String, id: &str, numbers: &[i64]) {
    let path = literal::text(Some(&format!("/deployments/{id}/")));
    let id = literal::text(Some(id));
    let of_change = if numbers.is_empty() {
        "false".to_owned()
    } else {
        format!(
            "EXISTS (SELECT FROM changes c WHERE c.deployment IN {} AND c.id = \
             CASE WHEN v.detail::json ->> 'change' ~ '^chg_[0-9a-f]{{32}}$' \
             THEN decode(substr(v.detail::json ->> 'change', 5), 'hex') END)",
            list(numbers)
        )
    };
    add(
        query,
        &format!(
            " AND CASE WHEN strpos(v.detail, '\\u0000') > 0 THEN false ELSE \
         coalesce(strpos((v.detail::json ->> 'path') || '/', {path}) > 0, false) \
         OR coalesce(v.detail::json ->> 'deployment_id' = {id}, false) \
         OR jsonb_path_exists(v.detail::jsonb, '$.refusals[*].held_up[*].deployment_id ? \
         (@ == $id)', jsonb_build_object('id', {id})) OR {of_change} END"
        ),
    );
}
