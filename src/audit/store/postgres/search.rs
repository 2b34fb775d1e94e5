//! A text that is looked for in everything that a person may remember of a change.

use sqlx::postgres::PgRow;

use super::asking::Asking;
use super::columns::{CHANGE, list};
use super::literal;
use crate::audit::record::Change;
use crate::audit::store::Boxed;
use crate::audit::store::documents::Documents;
use crate::audit::store::folded::Folded;
use crate::audit::store::named::{BESIDE, KnownNames};
use crate::audit::store::rows::cell;
use crate::audit::touched::Touch;

/// The most places that a text is looked for in, the newest of those whose paths hold it.
const PLACES_MAX: usize = 64;

/// The most paths that are read at once.
const PART_MAX: usize = 512;

/// A text, and where deployments have it, or which.
#[derive(Clone, Debug)]
pub(super) struct Search {
    text: Folded,
    /// Whether it is looked for in ids and the names of actors alone.
    in_ids: bool,
    /// The numbers of the places whose paths hold it.
    places: Vec<i64>,
    /// The numbers of the deployments whose names hold it.
    deployments: Vec<i64>,
}

impl Search {
    pub(super) async fn of(
        asking: &mut Asking,
        names: &KnownNames,
        text: &str,
        in_ids: bool,
    ) -> Result<Self, Boxed> {
        let text = Folded::of(text);
        if in_ids {
            return Ok(Self { text, in_ids, places: Vec::new(), deployments: Vec::new() });
        }
        let places = places(asking, &text).await?;
        let named = Documents::by(&mut *asking).named(names, &text, BESIDE).await?;
        let deployments = named.iter().map(|one| one.number).collect();
        Ok(Self { text, in_ids, places, deployments })
    }

    /// The beginning of a query over changes that tells which of them have it by their place or
    /// their deployment.
    pub(super) fn select(&self) -> String {
        let rest = CHANGE.strip_prefix("SELECT ").unwrap_or(CHANGE);
        format!("SELECT {} AS elsewhere, {rest}", self.is_elsewhere())
    }

    /// Adds the condition that a change may fit.
    pub(super) fn push_may(&self, query: &mut String) {
        let ids = [
            "'chg_' || encode(c.id, 'hex')",
            "d.id",
            "c.request_id",
            "e.upstream_request_id",
            "'pat_' || encode(c.actor_fingerprint, 'hex')",
            "c.actor_name",
            "c.actor_team",
        ];
        query.push_str(" AND (");
        for column in ids.into_iter().chain((!self.in_ids).then_some("c.user_agent")) {
            query.push_str(&may(&self.text, column));
            query.push_str(" OR ");
        }
        if !self.in_ids {
            query.push_str(&may_in_json(&self.text, "c.violations"));
            query.push_str(" OR ");
        }
        query.push_str(&self.is_elsewhere());
        query.push(')');
    }

    /// Whether a change that may fit does.
    pub(super) fn fits(&self, row: &PgRow, change: &Change) -> Result<bool, Boxed> {
        Ok(cell(row, "elsewhere")? || self.text.fits(change, self.in_ids))
    }

    /// The condition that a change touched such a place, or is of such a deployment.
    fn is_elsewhere(&self) -> String {
        let touched = self.is_touched();
        if self.deployments.is_empty() {
            return touched;
        }
        // What made no deployment has none of them.
        let deployments = list(&self.deployments);
        format!("({touched} OR coalesce(c.deployment IN {deployments}, false))")
    }

    /// With every column of the index named, each place that fits is one look.
    fn is_touched(&self) -> String {
        if self.places.is_empty() {
            return "false".to_owned();
        }
        let kinds = Touch::CHANGED.map(|touch| [touch.kind(false), touch.kind(true)]).concat();
        let (kinds, places) = (list(&kinds), list(&self.places));
        format!(
            "EXISTS (SELECT FROM touched t \
             WHERE t.seq = c.seq AND t.kind IN {kinds} AND t.place IN {places})"
        )
    }
}

/// The newest places whose paths hold a text.
async fn places(asking: &mut Asking, text: &Folded) -> Result<Vec<i64>, Boxed> {
    let (mut places, mut before) = (Vec::new(), i64::MAX);
    let may = may(text, "path");
    loop {
        let part = format!(
            "SELECT number, path FROM places WHERE number < {before} AND {may} \
             ORDER BY number DESC LIMIT {PART_MAX}"
        );
        let found = asking.rows(&part).await?;
        for row in &found {
            before = cell(row, "number")?;
            if text.is_in(cell(row, "path")?) {
                places.push(before);
            }
            if places.len() == PLACES_MAX {
                return Ok(places);
            }
        }
        if found.len() < PART_MAX {
            return Ok(places);
        }
    }
}

/// The condition that a column may hold a text: it does, or it has more than ASCII.
pub(super) fn may(text: &Folded, column: &str) -> String {
    let like = literal::text(Some(&text.like()));
    format!("(lower({column} COLLATE \"C\") LIKE {like} OR {column} COLLATE \"C\" ~ '[^ -~]')")
}

/// The same of a column with JSON, which may spell a letter as an escape.
pub(super) fn may_in_json(text: &Folded, column: &str) -> String {
    format!("({} OR strpos({column}, '\\') > 0)", may(text, column))
}
