//! Which changes a question is about, in SQL.

use sqlx::{QueryBuilder, Sqlite, SqliteConnection};

use super::asking::Asking;
use super::columns::CHANGE;
use super::search::Search;
use crate::audit::question::{ActorFilter, Filter};
use crate::audit::record::Outcome;
use crate::audit::store::Boxed;
use crate::audit::store::named::KnownNames;
use crate::audit::store::page::SAME_ID_MAX;
use crate::audit::store::places::places;
use crate::audit::store::rows::word_of;
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
    pub(super) fn select(&self) -> QueryBuilder<Sqlite> {
        self.search.as_ref().map_or_else(|| QueryBuilder::new(CHANGE), Search::select)
    }

    /// The same, of a filter that asks for less.
    pub(super) fn with(&self, filter: Filter) -> Self {
        Self { filter, deployments: self.deployments.clone(), search: self.search.clone() }
    }
}

/// The numbers of the deployments of these ids: one for each upstream that has one.
pub(super) async fn deployments(
    connection: &mut SqliteConnection,
    ids: &[&str],
) -> Result<Vec<i64>, sqlx::Error> {
    let listed = serde_json::to_string(ids).map_err(|error| sqlx::Error::Encode(error.into()))?;
    let most = SAME_ID_MAX.saturating_mul(i64::try_from(ids.len()).unwrap_or(i64::MAX));
    // Each id is looked up in the index.
    let numbers = "SELECT d.number FROM json_each(?) i CROSS JOIN deployments d ON d.id = i.value \
        WHERE EXISTS (SELECT 1 FROM changes c WHERE c.deployment = d.number) \
        ORDER BY d.number DESC LIMIT ?";
    sqlx::query_scalar(numbers).bind(listed).bind(most).fetch_all(connection).await
}

/// Adds what is sought to the conditions of a query over changes, which finds them otherwise than
/// by these: the plus keeps SQLite from the indexes.
pub(super) fn push_filter(query: &mut QueryBuilder<Sqlite>, sought: &Sought) {
    let filter = &sought.filter;
    if let Some(numbers) = &sought.deployments {
        let mut listed = query.push(" AND +c.deployment IN (").separated(", ");
        for number in numbers {
            listed.push_bind(*number);
        }
        query.push(")");
    }
    push_actor(query, "+c", filter.actor.as_ref());
    push_match(query, " AND +c.actor_team = ", filter.team.clone());
    push_match(query, " AND +c.operation = ", filter.operation.map(Operation::name));
    push_match(query, " AND +c.decision = ", filter.decision.map(Decision::name));
    push_outcome(query, filter.outcome);
    push_match(query, " AND e.effect = ", filter.effect.as_ref().map(word_of));
    push_match(query, " AND +c.request_id = ", filter.request_id.clone());
    push_match(query, " AND +c.received_at >= ", filter.since.map(Timestamp::millis));
    push_match(query, " AND +c.received_at < ", filter.until.map(Timestamp::millis));
    push_indexed(query, filter);
    if let Some(search) = &sought.search {
        search.push_may(query);
    }
}

/// Adds the conditions on other tables: the path, the path that was asked for, the rule.
fn push_indexed(query: &mut QueryBuilder<Sqlite>, filter: &Filter) {
    let changed = filter.path.as_deref().map(|path| (path, Touch::CHANGED));
    let asked = filter.asked_path.as_deref().map(|path| (path, Touch::ASKED));
    for (path, touches) in changed.into_iter().chain(asked) {
        query.push(" AND EXISTS (SELECT 1 FROM touched t WHERE t.seq = c.seq AND (0");
        for (path, kind) in places(path, touches) {
            query.push(" OR (t.kind = ").push_bind(kind);
            query.push(" AND t.place = (SELECT number FROM places WHERE path = ");
            query.push_bind(path.to_owned()).push("))");
        }
        query.push("))");
    }
    if let Some(rule) = &filter.rule {
        query.push(" AND EXISTS (SELECT 1 FROM broken b WHERE b.seq = c.seq AND b.rule = ");
        query.push_bind(rule.clone()).push(")");
    }
}

/// Adds the condition on who acted to a query of `table`.
pub(super) fn push_actor(
    query: &mut QueryBuilder<Sqlite>,
    table: &str,
    wanted: Option<&ActorFilter>,
) {
    match wanted {
        Some(ActorFilter::Fingerprint(fingerprint)) => {
            let bytes = fingerprint.as_u64().to_be_bytes().to_vec();
            query.push(format_args!(" AND {table}.actor_fingerprint = ")).push_bind(bytes);
        }
        Some(ActorFilter::Name(name)) => {
            query.push(format_args!(" AND {table}.actor_name = ")).push_bind(name.clone());
        }
        Some(ActorFilter::Holder { name, tokens }) => {
            query.push(format_args!(" AND ({table}.actor_name = ")).push_bind(name.clone());
            let mut listed =
                query.push(format_args!(" OR {table}.actor_fingerprint IN (")).separated(", ");
            for token in tokens {
                listed.push_bind(token.as_u64().to_be_bytes().to_vec());
            }
            query.push("))");
        }
        None => {}
    }
}

pub(super) fn push_match<T>(query: &mut QueryBuilder<Sqlite>, condition: &str, wanted: Option<T>)
where
    T: for<'t> sqlx::Encode<'t, Sqlite> + sqlx::Type<Sqlite>,
{
    if let Some(wanted) = wanted {
        query.push(condition).push_bind(wanted);
    }
}

fn push_outcome(query: &mut QueryBuilder<Sqlite>, wanted: Option<Outcome>) {
    match wanted {
        None => {}
        Some(Outcome::Pending) => {
            query.push(" AND c.seq IN (SELECT seq FROM pending)");
        }
        Some(outcome) => push_match(query, " AND e.outcome = ", Some(outcome.name())),
    }
}
