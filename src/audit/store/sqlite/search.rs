//! A text that is looked for in everything that a person may remember of a change.

use futures_util::TryStreamExt as _;
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row as _, Sqlite};

use super::asking::Asking;
use super::columns::CHANGE;
use crate::audit::record::Change;
use crate::audit::store::Boxed;
use crate::audit::store::documents::Documents;
use crate::audit::store::folded::Folded;
use crate::audit::store::named::{BESIDE, KnownNames};
use crate::audit::touched::Touch;

/// The most places that a text is looked for in, the newest of those whose paths hold it.
const PLACES_MAX: usize = 64;

/// A text, and where deployments have it, or which.
#[derive(Clone, Debug)]
pub(super) struct Search {
    text: Folded,
    /// Whether it is looked for in ids and the names of actors alone.
    in_ids: bool,
    /// The numbers of the places whose paths hold it.
    places: Vec<String>,
    /// The numbers of the deployments whose names hold it.
    deployments: Vec<String>,
}

impl Search {
    pub(super) async fn of(
        asking: &mut Asking,
        names: &KnownNames,
        text: &str,
        in_ids: bool,
    ) -> Result<Self, Boxed> {
        let text = Folded::of(text);
        let (mut places, mut deployments) = (Vec::new(), Vec::new());
        if !in_ids {
            let mut query = QueryBuilder::new("SELECT number, path FROM places WHERE ");
            push_may(&mut query, &text, "path");
            query.push(" ORDER BY number DESC");
            let mut found = query.build_query_as::<(i64, String)>().fetch(&mut **asking);
            while let Some((number, path)) = found.try_next().await? {
                if text.is_in(&path) {
                    places.push(number.to_string());
                }
                if places.len() == PLACES_MAX {
                    break;
                }
            }
            drop(found);
            let named = Documents::by(&mut *asking).named(names, &text, BESIDE).await?;
            deployments.extend(named.iter().map(|one| one.number.to_string()));
        }
        Ok(Self { text, in_ids, places, deployments })
    }

    /// The beginning of a query over changes that tells which of them have it by their place or
    /// their deployment.
    pub(super) fn select(&self) -> QueryBuilder<Sqlite> {
        let mut query = QueryBuilder::new("SELECT ");
        self.push_elsewhere(&mut query);
        query.push(" AS elsewhere, ").push(CHANGE.strip_prefix("SELECT ").unwrap_or(CHANGE));
        query
    }

    /// Adds the condition that a change may fit. Its texts are looked through as one: what only two
    /// of them together hold is left out later.
    pub(super) fn push_may(&self, query: &mut QueryBuilder<Sqlite>) {
        let ids = [
            "'chg_' || lower(hex(c.id))",
            "d.id",
            "c.request_id",
            "e.upstream_request_id",
            "'pat_' || lower(hex(c.actor_fingerprint))",
            "c.actor_name",
            "c.actor_team",
        ];
        let inside = ["c.user_agent", "c.violations"];
        // The limit has SQLite put them together once, and not at each look.
        query.push(" AND (EXISTS (SELECT 1 FROM (SELECT concat_ws(' '");
        for column in ids.into_iter().chain(inside.into_iter().filter(|_| !self.in_ids)) {
            query.push(", ").push(column);
        }
        query.push(") AS texts LIMIT 1) WHERE ");
        push_may(query, &self.text, "texts");
        if !self.in_ids {
            // JSON may spell a letter as an escape.
            query.push(" OR instr(texts, '\\') > 0");
        }
        query.push(") OR ");
        self.push_elsewhere(query);
        query.push(")");
    }

    /// Whether a change that may fit does.
    pub(super) fn fits(&self, row: &SqliteRow, change: &Change) -> Result<bool, Boxed> {
        if row.try_get("elsewhere")? {
            return Ok(true);
        }
        Ok(self.text.fits(change, self.in_ids))
    }

    /// Adds the condition that a change touched such a place, or is of such a deployment.
    fn push_elsewhere(&self, query: &mut QueryBuilder<Sqlite>) {
        query.push("(");
        self.push_touched(query);
        if !self.deployments.is_empty() {
            // What made no deployment has none of them.
            let numbers = self.deployments.join(", ");
            query.push(format_args!(" OR coalesce(c.deployment IN ({numbers}), 0)"));
        }
        query.push(")");
    }

    /// With every column of the index named, each place that fits is one look.
    fn push_touched(&self, query: &mut QueryBuilder<Sqlite>) {
        if self.places.is_empty() {
            query.push("0");
            return;
        }
        query.push("EXISTS (SELECT 1 FROM touched t WHERE t.seq = c.seq ");
        let kinds = Touch::CHANGED.map(|touch| [touch.kind(false), touch.kind(true)]).concat();
        let kinds: Vec<String> = kinds.iter().map(i64::to_string).collect();
        query.push(format_args!(" AND t.kind IN ({}) ", kinds.join(", ")));
        let places = format!("[{}]", self.places.join(","));
        query.push("AND t.place IN (SELECT value FROM json_each(").push_bind(places);
        query.push(")))");
    }
}

/// Adds the condition that `column` may hold a text: it does, or it has more than ASCII, or a NUL,
/// behind which neither LIKE nor `length()` looks.
pub(super) fn push_may(query: &mut QueryBuilder<Sqlite>, text: &Folded, column: &str) {
    query.push("(").push(column).push(" LIKE ").push_bind(text.like());
    query.push(" ESCAPE '\\' OR length(").push(column).push(") < octet_length(");
    query.push(column).push("))");
}
