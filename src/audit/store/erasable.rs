//! What may be erased, and what repeats it: found by the same statements in every kind of store.

use std::fmt;

use serde_json::json;

use super::Boxed;
use super::leaves::owned::owned;
use super::leaves::{facts, select};
use super::owned_row::OwnedRow;
use super::prunable::{FromRow, list};
use super::rows::{Bytes, Row, cell, maybe};
use crate::audit::evidence::leaf::{Facts, LeafKind, Salt};
use crate::audit::evidence::tree::Hash;
use crate::audit::record::Event;
use crate::base::ids::{ChangeId, Hex};
use crate::base::key::KeyId;
use crate::provider::Provider;

/// The text in place of a reason that was erased; the tables say so too.
pub(in crate::audit) const ERASED: &str = "erased";

/// Where a change's documents lie.
#[derive(Clone, Debug)]
pub(in crate::audit) struct Halves {
    pub(in crate::audit) seq: i64,
    pub(in crate::audit) id: ChangeId,
    pub(in crate::audit) before: Option<i64>,
    pub(in crate::audit) after: Option<i64>,
    /// Of its end that came late.
    pub(in crate::audit) late_after: Option<i64>,
}

/// A record in the tree.
#[derive(Clone, Debug)]
pub(in crate::audit) struct SealedRecord {
    pub(in crate::audit) position: u64,
    pub(in crate::audit) kind: LeafKind,
    /// Its row.
    pub(in crate::audit) reference: i64,
    pub(in crate::audit) hash: Hash,
    pub(in crate::audit) salt: Salt,
    /// What its leaf is made of, where a part of it was erased before.
    pub(in crate::audit) entry: Option<Vec<u8>>,
    pub(in crate::audit) row: OwnedRow,
}

/// A leaf of which a part of the record goes.
#[derive(Clone, Debug)]
pub(in crate::audit) struct ErasedLeaf {
    pub(in crate::audit) position: u64,
    pub(in crate::audit) entry: Vec<u8>,
    /// The salt by which it is known that nobody has altered it meanwhile.
    pub(in crate::audit) former: Salt,
    /// The one that what is left is committed to under.
    pub(in crate::audit) salt: Salt,
}

/// Records of which parts go together, in one transaction, and what is left of them.
#[derive(Clone, Debug)]
pub(in crate::audit) struct EraseStep {
    /// The newest word on holds that is known: where there is a newer one, nothing is done.
    pub(in crate::audit) holds: i64,
    /// Records as they are from then on. Of a document nothing but whether it stays counts.
    pub(in crate::audit) records: Vec<SealedRecord>,
    pub(in crate::audit) leaves: Vec<ErasedLeaf>,
    /// Halves of changes of which the sealed originals go.
    pub(in crate::audit) originals: Vec<(i64, u8)>,
    /// Rows of `touched`: place, kind and change.
    pub(in crate::audit) touched: Vec<(i64, i64, i64)>,
    /// Documents that nothing names any more.
    pub(in crate::audit) snapshots: Vec<i64>,
    /// Documents that stay and stand alone from now on, by their frames.
    pub(in crate::audit) repacked: Vec<(i64, Vec<u8>)>,
    pub(in crate::audit) event: Event,
}

impl SealedRecord {
    /// The record as it is made a leaf.
    pub(in crate::audit) fn facts(&self) -> Result<Facts, Boxed> {
        facts(self.kind, &self.row)
    }
}

impl EraseStep {
    /// The records of a kind.
    pub(super) fn of(&self, kind: LeafKind) -> impl Iterator<Item = &SealedRecord> {
        self.records.iter().filter(move |record| record.kind == kind)
    }

    /// The places that rows of `touched` name which go.
    pub(super) fn places(&self) -> Vec<i64> {
        let mut places: Vec<i64> = self.touched.iter().map(|(place, ..)| *place).collect();
        places.sort_unstable();
        places.dedup();
        places
    }
}

/// Bytes as an expression of SQL.
struct Blob<'b>(&'b [u8], bool);

impl fmt::Display for Blob<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(bytes, is_shared) = *self;
        if is_shared {
            return write!(f, "decode('{}', 'hex')", Hex(bytes));
        }
        write!(f, "x'{}'", Hex(bytes))
    }
}

/// A text as an expression of SQL, which nothing in it can end.
fn text(text: &str, is_shared: bool) -> String {
    let blob = Blob(text.as_bytes(), is_shared);
    if is_shared {
        return format!("convert_from({blob}, 'UTF8')");
    }
    format!("CAST({blob} AS TEXT)")
}

fn ids(changes: &[ChangeId], is_shared: bool) -> String {
    let ids = changes.iter().map(|id| Blob(id.as_bytes(), is_shared).to_string());
    let ids: Vec<String> = ids.collect();
    if ids.is_empty() { "NULL".to_owned() } else { ids.join(",") }
}

/// The condition that a change is this one.
pub(super) fn named(id: ChangeId, is_shared: bool) -> String {
    format!("c.id = {}", Blob(id.as_bytes(), is_shared))
}

/// The condition that a change is of a deployment, behind one place up to another.
pub(super) fn of_deployment(id: &str, (after, until): (i64, i64), is_shared: bool) -> String {
    let id = text(id, is_shared);
    format!(
        "c.deployment IN (SELECT number FROM deployments WHERE id = {id}) \
         AND c.seq > {after} AND c.seq <= {until}"
    )
}

/// The condition that a change behind a place names one of some documents, beside one change.
pub(super) fn naming(documents: &[i64], (beside, after): (i64, i64), is_shared: bool) -> String {
    let documents = list(documents);
    let late = format!(" UNION SELECT seq FROM late WHERE after IN ({documents})");
    format!(
        "c.seq IN (SELECT seq FROM changes WHERE before IN ({documents}) \
         UNION SELECT seq FROM ends WHERE after IN ({documents}){}) \
         AND c.seq <> {beside} AND c.seq > {after}",
        if is_shared { &late } else { "" }
    )
}

/// Where the documents of changes lie, at most so many, in their order.
pub(super) fn halves(which: &str, is_shared: bool, limit: usize) -> String {
    let (late, late_after) = if is_shared {
        ("LEFT JOIN late z ON z.seq = c.seq", "z.after")
    } else {
        ("", "CAST(NULL AS bigint)")
    };
    format!(
        "SELECT c.seq, c.id, c.before, e.after, {late_after} AS late_after FROM changes c \
         LEFT JOIN ends e ON e.seq = c.seq {late} WHERE {which} ORDER BY c.seq LIMIT {limit}"
    )
}

/// Documents of the same deployment with the same text as some of a change.
pub(super) fn twins(seq: i64, documents: &[i64], is_shared: bool) -> String {
    let documents = list(documents);
    let of = format!("n.deployment = (SELECT deployment FROM changes WHERE seq = {seq})");
    let late =
        format!(" UNION SELECT z.after FROM changes n JOIN late z ON z.seq = n.seq WHERE {of}");
    format!(
        "SELECT s.number FROM (SELECT n.before AS number FROM changes n WHERE {of} \
         UNION SELECT e.after FROM changes n JOIN ends e ON e.seq = n.seq WHERE {of}{}) k \
         JOIN snapshots s ON s.number = k.number \
         WHERE s.digest IN (SELECT digest FROM snapshots WHERE number IN ({documents}))",
        if is_shared { &late } else { "" }
    )
}

/// Records of a kind, in the tree.
pub(super) fn records(kind: LeafKind, references: &[i64], is_shared: bool) -> String {
    let select = select(kind, "leaves", is_shared);
    let (number, references) = (kind.number(), list(references));
    let columns = select.strip_prefix("SELECT ").unwrap_or(&select);
    format!(
        "SELECT l.position, CAST(l.kind AS bigint) AS kind, l.hash, l.salt, l.entry, {columns} \
         WHERE l.kind = {number} AND l.ref IN ({references}) AND l.hash IS NOT NULL"
    )
}

/// The ends of changes that came late.
pub(super) fn late(changes: &[i64]) -> String {
    format!("SELECT seq AS number FROM late WHERE seq IN ({})", list(changes))
}

/// The approvals that changes asked for.
pub(super) fn approvals(changes: &[ChangeId], is_shared: bool) -> String {
    let changes = ids(changes, is_shared);
    format!(
        "SELECT number FROM approvals WHERE change_id IN ({changes}) AND reason IS NOT NULL \
         AND reason <> '{ERASED}'"
    )
}

/// The steps of such, with a reason in words.
pub(super) fn approval_steps(changes: &[ChangeId], is_shared: bool) -> String {
    let changes = ids(changes, is_shared);
    format!(
        "SELECT t.number FROM approval_steps t JOIN approvals a ON a.number = t.approval \
         WHERE a.change_id IN ({changes}) AND t.person IS NOT NULL AND t.reason <> '{ERASED}'"
    )
}

/// Events that may repeat what a change shows, of those that name `name`, behind a place.
pub(super) fn repeating(name: &str, after: i64, is_shared: bool, limit: usize) -> String {
    // As JSON spells it, and with nothing in it that LIKE reads.
    let spelt = json!(name).to_string();
    let spelt = spelt.trim_matches('"');
    let spelt = spelt.replace('!', "!!").replace('%', "!%").replace('_', "!_");
    let pattern = text(&format!("%{spelt}%"), is_shared);
    format!(
        "SELECT seq, at, detail FROM events \
         WHERE (kind = 'drift' OR kind = 'approval' OR kind = 'break_glass') AND seq > {after} \
         AND detail LIKE {pattern} ESCAPE '!' ORDER BY seq LIMIT {limit}"
    )
}

/// The places that changes touched, but for those of the members that deployments have.
pub(super) fn touched_inside(changes: &[i64]) -> String {
    let members: Vec<String> = Provider::members().map(|name| format!("'/{name}'")).collect();
    format!(
        "SELECT t.place, CAST(t.kind AS bigint) AS kind, t.seq FROM touched t \
         WHERE t.place IN (SELECT number FROM places WHERE path NOT IN ('', {})) \
         AND t.kind IN (0, 1, 2, 3, 4, 5) AND t.seq IN ({})",
        members.join(", "),
        list(changes)
    )
}

/// The keys that the originals of changes are sealed under.
pub(super) fn sealing_keys(changes: &[i64]) -> String {
    format!("SELECT DISTINCT key FROM originals WHERE seq IN ({})", list(changes))
}

/// The halves of changes that have originals.
pub(super) fn originals(changes: &[i64]) -> String {
    format!(
        "SELECT seq AS number, CAST(half AS bigint) AS half FROM originals WHERE seq IN ({})",
        list(changes)
    )
}

impl FromRow for Halves {
    fn of(row: &impl Row) -> Result<Self, Boxed> {
        Ok(Self {
            seq: cell(row, "seq")?,
            id: super::rows::change_id(row)?,
            before: maybe(row, "before")?,
            after: maybe(row, "after")?,
            late_after: maybe(row, "late_after")?,
        })
    }
}

impl FromRow for SealedRecord {
    fn of(row: &impl Row) -> Result<Self, Boxed> {
        let kind = LeafKind::numbered(cell(row, "kind")?).ok_or("a kind of record is unknown")?;
        let salt: Option<Bytes<'_>> = maybe(row, "salt")?;
        let salt = salt.ok_or("the salt of a record is gone: `changegate audit verify` tells")?;
        Ok(Self {
            position: u64::try_from(cell::<i64>(row, "position")?)?,
            kind,
            reference: cell(row, "ref")?,
            hash: (&*cell::<Bytes<'_>>(row, "hash")?).try_into()?,
            salt: (&*salt).try_into()?,
            entry: maybe::<Bytes<'_>>(row, "entry")?.map(Bytes::into_owned),
            row: owned(kind, row)?,
        })
    }
}

impl FromRow for KeyId {
    fn of(row: &impl Row) -> Result<Self, Boxed> {
        Ok(Self::from_bytes((&*cell::<Bytes<'_>>(row, "key")?).try_into()?))
    }
}

/// A change and a half of it.
impl FromRow for (i64, u8) {
    fn of(row: &impl Row) -> Result<Self, Boxed> {
        Ok((cell(row, "number")?, u8::try_from(cell::<i64>(row, "half")?)?))
    }
}
