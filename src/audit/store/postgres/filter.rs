//! Which changes a question is about, in SQL.

use super::asking::Asking;
use super::columns::{CHANGE, add, list};
use super::literal::{bytes, text};
use super::search::Search;
use crate::audit::question::{ActorFilter, Filter};
use crate::audit::record::Outcome;
use crate::audit::store::Boxed;
use crate::audit::store::named::KnownNames;
use crate::audit::store::page::SAME_ID_MAX;
use crate::audit::store::places::places;
use crate::audit::store::rows::{cell, word_of};
use crate::audit::touched::Touch;
use crate::base::clock::Timestamp;
use crate::policy::Decision;
use crate::provider::Operation;

/// A filter, with the numbers of the deployments that it asks for.
#[derive(Clone, Debug, Default)]
pub(super) struct Sought {
    pub(super) filter: Filter,
    pub(super) deployments: Option<Vec<i64>>,
    /// The text of `q`; `None` where none is looked for.
    pub(super) search: Option<Search>,
}

impl Sought {
    pub(super) async fn by(
        asking: &mut Asking,
        names: &KnownNames,
        filter: &Filter,
    ) -> Result<Self, Boxed> {
        let is_asked = |id: &&String| filter.deployment_id.as_ref().is_none_or(|only| only == *id);
        let ids: Option<Vec<&str>> = match (&filter.deployment_ids, &filter.deployment_id) {
            (Some(ids), _) => Some(ids.iter().filter(is_asked).map(String::as_str).collect()),
            (None, Some(id)) => Some(vec![id]),
            (None, None) => None,
        };
        let deployments = match ids {
            Some(ids) => Some(deployments(asking, &ids).await?),
            None => None,
        };
        let search = match &filter.q {
            Some(text) => Some(Search::of(asking, names, text, filter.q_in_ids).await?),
            None => None,
        };
        Ok(Self { filter: filter.clone(), deployments, search })
    }

    /// The beginning of a query over changes.
    pub(super) fn select(&self) -> String {
        self.search.as_ref().map_or_else(|| CHANGE.to_owned(), Search::select)
    }

    /// The same, of a filter that asks for less.
    pub(super) fn with(&self, filter: Filter) -> Self {
        Self { filter, deployments: self.deployments.clone(), search: self.search.clone() }
    }

    /// The conditions of a query over changes.
    pub(super) fn conditions(&self) -> String {
        let mut query = String::new();
        match self.deployments.as_deref() {
            None => {}
            Some([]) => query.push_str(" AND false"),
            Some([number]) => push_match(&mut query, "c.deployment", Some(number)),
            Some(numbers) => add(&mut query, &format!(" AND c.deployment IN {}", list(numbers))),
        }
        push_filter(&mut query, &self.filter);
        if let Some(search) = &self.search {
            search.push_may(&mut query);
        }
        query
    }
}

/// The numbers of the deployments of these ids: one for each upstream that has one.
pub(super) async fn deployments(asking: &mut Asking, ids: &[&str]) -> Result<Vec<i64>, Boxed> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let most = SAME_ID_MAX.saturating_mul(i64::try_from(ids.len()).unwrap_or(i64::MAX));
    let ids: Vec<String> = ids.iter().map(|id| text(Some(id))).collect();
    let numbers = format!(
        "SELECT number FROM deployments d WHERE id IN ({}) \
         AND EXISTS (SELECT FROM changes c WHERE c.deployment = d.number) \
         ORDER BY number DESC LIMIT {most}",
        ids.join(", ")
    );
    let found = asking.rows(&numbers).await?;
    found.iter().map(|row| cell(row, "number")).collect()
}

fn push_filter(query: &mut String, filter: &Filter) {
    push_actor(query, "c", filter.actor.as_ref());
    push_text(query, "c.actor_team", filter.team.as_deref());
    push_text(query, "c.operation", filter.operation.map(Operation::name));
    push_text(query, "c.decision", filter.decision.map(Decision::name));
    push_outcome(query, filter.outcome);
    push_text(query, "e.effect", filter.effect.as_ref().map(word_of).as_deref());
    push_text(query, "c.request_id", filter.request_id.as_deref());
    push_times(query, "c.received_at", (filter.since, filter.until));
    push_indexed(query, filter);
}

/// Adds the conditions on other tables: the path, the path that was asked for, the rule.
fn push_indexed(query: &mut String, filter: &Filter) {
    let changed = filter.path.as_deref().map(|path| (path, Touch::CHANGED));
    let asked = filter.asked_path.as_deref().map(|path| (path, Touch::ASKED));
    for (path, touches) in changed.into_iter().chain(asked) {
        query.push_str(" AND EXISTS (SELECT FROM touched t WHERE t.seq = c.seq AND (false");
        for (path, kind) in places(path, touches) {
            let path = text(Some(path));
            add(
                query,
                &format!(
                    " OR (t.kind = {kind} AND t.place = \
                     (SELECT number FROM places WHERE path = {path}))"
                ),
            );
        }
        query.push_str("))");
    }
    if let Some(rule) = &filter.rule {
        let rule = text(Some(rule));
        add(
            query,
            &format!(" AND EXISTS (SELECT FROM broken b WHERE b.seq = c.seq AND b.rule = {rule})"),
        );
    }
}

/// Adds the condition on who acted to a query of `table`.
pub(super) fn push_actor(query: &mut String, table: &str, wanted: Option<&ActorFilter>) {
    match wanted {
        None => {}
        Some(ActorFilter::Fingerprint(token)) => {
            let token = bytes(token.as_bytes());
            add(query, &format!(" AND {table}.actor_fingerprint = {token}"));
        }
        Some(ActorFilter::Name(name)) => {
            push_text(query, &format!("{table}.actor_name"), Some(name));
        }
        Some(ActorFilter::Holder { name, tokens }) => {
            let name = text(Some(name));
            add(query, &format!(" AND ({table}.actor_name = {name}"));
            for token in tokens {
                let token = bytes(token.as_bytes());
                add(query, &format!(" OR {table}.actor_fingerprint = {token}"));
            }
            query.push(')');
        }
    }
}

pub(super) fn push_text(query: &mut String, column: &str, wanted: Option<&str>) {
    push_match(query, column, wanted.map(|wanted| text(Some(wanted))));
}

fn push_match(query: &mut String, column: &str, wanted: Option<impl std::fmt::Display>) {
    if let Some(wanted) = wanted {
        add(query, &format!(" AND {column} = {wanted}"));
    }
}

/// Adds the condition that a time lies at or after one moment and before another.
pub(super) fn push_times(
    query: &mut String,
    column: &str,
    (since, until): (Option<Timestamp>, Option<Timestamp>),
) {
    if let Some(since) = since {
        add(query, &format!(" AND {column} >= {}", since.millis()));
    }
    if let Some(until) = until {
        add(query, &format!(" AND {column} < {}", until.millis()));
    }
}

fn push_outcome(query: &mut String, wanted: Option<Outcome>) {
    match wanted {
        None => {}
        // Few at a time, which the server does not know.
        Some(Outcome::Pending) => {
            query.push_str(" AND c.seq = ANY (ARRAY(SELECT seq FROM pending))");
        }
        Some(outcome) => push_text(query, "e.outcome", Some(outcome.name())),
    }
}
