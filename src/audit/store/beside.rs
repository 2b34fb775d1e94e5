//! Rows beside the records, by which questions are answered, read to be held against the records,
//! by every kind of store with the same words.

use super::Boxed;
use super::prunable::{FromRow, list};
use super::rows::{Bytes, Row, cell};
use crate::base::ids::Hex;

/// How many places are asked for at once.
const PLACES: usize = 16;

/// How many originals are asked for at once, at most.
const ORIGINALS: usize = 64;

/// How many bytes of originals are read at once, but for the last one.
const ORIGINAL_BYTES: usize = 4 << 20;

/// The numbers of kinds in `touched`.
const KINDS: &str = "(SELECT 0 AS kind UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3 \
    UNION ALL SELECT 4 UNION ALL SELECT 5)";

/// The changes of a span that touched a place in one way.
#[derive(Clone, Debug)]
pub(in crate::audit) struct TouchedRows {
    pub(in crate::audit) path: String,
    pub(in crate::audit) kind: i64,
    /// Their places, as a list in JSON; `None` where there are none.
    pub(in crate::audit) changes: Option<String>,
}

/// A block of places, and when its changes were received.
#[derive(Clone, Copy, Debug)]
pub(in crate::audit) struct SpanRow {
    pub(in crate::audit) block: i64,
    pub(in crate::audit) first_at: i64,
    pub(in crate::audit) last_at: i64,
}

/// The encrypted body of a sealed original.
#[derive(Clone, Debug)]
pub(in crate::audit) struct OriginalBody {
    pub(in crate::audit) seq: i64,
    pub(in crate::audit) half: i64,
    pub(in crate::audit) body: Vec<u8>,
}

/// The next places that changes of a span touched, behind a path, in the order of their paths'
/// bytes, then kinds.
pub(super) fn touched((first, last): (i64, i64), behind: Option<&str>, is_shared: bool) -> String {
    let group = if is_shared { "CAST(json_agg(t.seq) AS text)" } else { "json_group_array(t.seq)" };
    let behind = behind.map_or_else(String::new, |path| {
        let bytes = Hex(path.as_bytes());
        if is_shared {
            format!("q.path > convert_from('\\x{bytes}', 'UTF8') AND ")
        } else {
            format!("q.path > CAST(x'{bytes}' AS TEXT) AND ")
        }
    });
    let within = format!("t.seq >= {first} AND t.seq <= {last}");
    format!(
        "SELECT p.path, CAST(k.kind AS bigint) AS kind, \
            (SELECT {group} FROM touched t \
                WHERE t.place = p.number AND t.kind = k.kind AND {within}) AS changes \
        FROM (SELECT q.number, q.path FROM places q WHERE {behind}EXISTS (SELECT 1 FROM touched t \
                WHERE t.place = q.number AND t.kind IN (0, 1, 2, 3, 4, 5) AND {within}) \
            ORDER BY q.path LIMIT {PLACES}) p \
        CROSS JOIN {KINDS} k ORDER BY p.path, k.kind"
    )
}

/// A place of each path that more than one has.
pub(super) const SAME_PLACES: &str = "SELECT min(number) AS number FROM places \
    GROUP BY path HAVING count(*) > 1 ORDER BY 1 LIMIT 100";

/// The blocks in which the changes of a span lie.
pub(super) fn spans((first, last): (i64, i64), block_bits: i64) -> String {
    let (first, last) = (first >> block_bits, last >> block_bits);
    format!("SELECT block, first_at, last_at FROM spans WHERE block >= {first} AND block <= {last}")
}

/// Changes that have ended and still wait for it.
pub(super) const STILL_PENDING: &str = "SELECT p.seq AS number FROM pending p \
    JOIN ends e ON e.seq = p.seq ORDER BY 1 LIMIT 100";

/// The next originals of the changes of a span, behind a half of one: as many as are short
/// together, and one at least.
pub(super) fn originals((first, last): (i64, i64), (seq, half): (i64, i64)) -> String {
    format!(
        "WITH next AS (SELECT seq, half, length(body) AS bytes FROM originals \
            WHERE seq >= {first} AND seq <= {last} \
            AND (seq > {seq} OR (seq = {seq} AND half > {half})) \
            ORDER BY seq, half LIMIT {ORIGINALS}), \
        summed AS (SELECT seq, half, bytes, sum(bytes) OVER (ORDER BY seq, half) AS sum FROM next) \
        SELECT o.seq, CAST(o.half AS bigint) AS half, o.body FROM summed s \
        JOIN originals o ON o.seq = s.seq AND o.half = s.half \
        WHERE s.sum - s.bytes < {ORIGINAL_BYTES} ORDER BY o.seq, o.half"
    )
}

/// The salts of leaves, by their positions.
pub(super) fn salts(positions: &[i64]) -> String {
    format!("SELECT position, salt FROM leaves WHERE position IN ({})", list(positions))
}

impl FromRow for TouchedRows {
    fn of(row: &impl Row) -> Result<Self, Boxed> {
        Ok(Self {
            path: cell(row, "path")?,
            kind: cell(row, "kind")?,
            changes: row.text("changes")?.map(str::to_owned),
        })
    }
}

impl FromRow for SpanRow {
    fn of(row: &impl Row) -> Result<Self, Boxed> {
        let (first_at, last_at) = (cell(row, "first_at")?, cell(row, "last_at")?);
        Ok(Self { block: cell(row, "block")?, first_at, last_at })
    }
}

impl FromRow for (i64, Option<Vec<u8>>) {
    fn of(row: &impl Row) -> Result<Self, Boxed> {
        Ok((cell(row, "position")?, row.bytes("salt")?.map(Bytes::into_owned)))
    }
}

impl FromRow for OriginalBody {
    fn of(row: &impl Row) -> Result<Self, Boxed> {
        let body: Bytes<'_> = cell(row, "body")?;
        Ok(Self { seq: cell(row, "seq")?, half: cell(row, "half")?, body: body.into_owned() })
    }
}
