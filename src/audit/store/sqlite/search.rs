//! A text that is looked for in everything that a person may remember of a change.

use futures_util::TryStreamExt as _;
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row as _, Sqlite, SqliteConnection};

use super::columns::CHANGE;
use crate::audit::record::Change;
use crate::audit::store::Boxed;
use crate::audit::store::folded::Folded;
use crate::audit::touched::Touch;

/// The most places that a text is looked for in, the newest of those whose paths hold it.
const PLACES_MAX: usize = 64;

/// A text, and where deployments have it.
#[derive(Clone, Debug)]
pub(super) struct Search {
    text: Folded,
    /// Whether it is looked for in ids and the names of actors alone.
    in_ids: bool,
    /// The numbers of the places whose paths hold it.
    places: Vec<String>,
}

impl Search {
    pub(super) async fn of(
        connection: &mut SqliteConnection,
        text: &str,
        in_ids: bool,
    ) -> Result<Self, sqlx::Error> {
        let text = Folded::of(text);
        let mut places = Vec::new();
        if !in_ids {
            let mut query = QueryBuilder::new("SELECT number, path FROM places WHERE ");
            push_may(&mut query, &text, "path");
            query.push(" ORDER BY number DESC");
            let mut found = query.build_query_as::<(i64, String)>().fetch(connection);
            while let Some((number, path)) = found.try_next().await? {
                if text.is_in(&path) {
                    places.push(number.to_string());
                }
                if places.len() == PLACES_MAX {
                    break;
                }
            }
        }
        Ok(Self { text, in_ids, places })
    }

    /// The beginning of a query over changes that tells which of them touched such a place.
    pub(super) fn select(&self) -> QueryBuilder<Sqlite> {
        let mut query = QueryBuilder::new("SELECT ");
        self.push_touched(&mut query);
        query.push(" AS by_place, ").push(CHANGE.strip_prefix("SELECT ").unwrap_or(CHANGE));
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
        self.push_touched(query);
        query.push(")");
    }

    /// Whether a change that may fit does.
    pub(super) fn fits(&self, row: &SqliteRow, change: &Change) -> Result<bool, Boxed> {
        if row.try_get("by_place")? {
            return Ok(true);
        }
        Ok(self.text.fits(change, self.in_ids))
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
