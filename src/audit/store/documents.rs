//! Documents read back: each from the snapshot that stands alone, through those built on it.

use std::collections::{BTreeSet, HashMap};

use serde_json::Value;

use super::prunable::list;
use super::rows::{Bytes, Row, cell, maybe};
use super::texts::{Damaged, Texts};
use crate::audit::document::text_bytes;
use crate::audit::question::{BodyTexts, Text, parse};
use crate::audit::store::Boxed;

/// How many changes are read ahead together.
pub(in crate::audit) const AHEAD: usize = 32;

/// The most bytes, packed, of one body that is read ahead: of longer ones a few would take much
/// room, and no time that is worth saving.
const AHEAD_BYTES_MAX: i64 = 16 << 10;

/// The same of its text, and of all texts that are unpacked ahead together.
const AHEAD_TEXT_BYTES_MAX: usize = 64 << 10;
const AHEAD_TEXTS_BYTES_MAX: usize = 4 << 20;

/// A connection that one question has for itself.
pub(in crate::audit) trait Ask {
    /// A row of an answer.
    type Row: Row;

    /// The rows that a statement finds.
    async fn found(&mut self, statement: &str) -> Result<Vec<Self::Row>, Boxed>;
}

/// One that the question goes on with afterwards.
impl<A: Ask> Ask for &mut A {
    type Row = A::Row;

    async fn found(&mut self, statement: &str) -> Result<Vec<A::Row>, Boxed> {
        (**self).found(statement).await
    }
}

/// The documents of one question.
pub(in crate::audit) struct Documents<A> {
    asking: A,
    texts: Texts,
    /// Of changes that were read ahead; `None` of one that is read by itself.
    ahead: HashMap<i64, Option<Packed>>,
}

/// The bodies of a change, as its row has them.
struct Packed {
    patch: Option<Vec<u8>>,
    before: Option<i64>,
    after: Option<i64>,
}

impl<A: Ask> Documents<A> {
    pub(super) fn by(asking: A) -> Self {
        Self { asking, texts: Texts::default(), ahead: HashMap::new() }
    }

    /// The document of the snapshot `number`; `None` where there is no number.
    pub(super) async fn read(&mut self, number: Option<i64>) -> Result<Option<Value>, Boxed> {
        let text = self.text(number).await?;
        Ok(text.map(|text| parse(&text)).transpose()?)
    }

    /// The text of the snapshot `number`, likewise.
    pub(in crate::audit::store) async fn text(
        &mut self,
        number: Option<i64>,
    ) -> Result<Option<Text>, Boxed> {
        let Some(number) = number else { return Ok(None) };
        let text = match self.texts.find(number) {
            Some(text) => text,
            None => self.unpack_chain(number).await?,
        };
        self.texts.read_bytes += text.len();
        Ok(Some(text))
    }

    /// The bytes of text of all that was read so far.
    pub(in crate::audit) fn read_bytes(&self) -> usize {
        self.texts.read_bytes
    }

    /// The connection, for what is asked between documents.
    pub(super) fn asking(&mut self) -> &mut A {
        &mut self.asking
    }

    /// The text of a snapshot that was read with its change: its base, digest and body. Where its
    /// base is not at hand, its whole chain is read.
    pub(super) async fn text_of(
        &mut self,
        number: i64,
        (base, digest, body): (Option<i64>, &[u8], &[u8]),
    ) -> Result<Text, Boxed> {
        let former = base.and_then(|base| self.texts.find(base));
        if base.is_some() && former.is_none() {
            return self.unpack_chain(number).await;
        }
        self.texts.unpack(number, (former.as_ref(), digest, body))
    }

    /// The patch of the change at this place, where there was one.
    pub(super) async fn patch(&mut self, seq: i64) -> Result<Option<Value>, Boxed> {
        let rows = self.asking.found(&bodies_of(&[seq], i64::MAX)).await?;
        let packed = rows.first().map(Packed::of).transpose()?;
        let text = self.texts.patch(packed.and_then(|packed| packed.patch).as_deref())?;
        Ok(text.map(|text| parse(&text)).transpose()?)
    }

    /// The bodies of the change at this place, as the log holds them; `None` where there is no such
    /// change.
    pub(in crate::audit) async fn bodies(&mut self, seq: i64) -> Result<Option<BodyTexts>, Boxed> {
        let packed = match self.ahead.remove(&seq).flatten() {
            Some(packed) => packed,
            None => match self.asking.found(&bodies_of(&[seq], i64::MAX)).await?.first() {
                Some(row) => Packed::of(row)?,
                None => return Ok(None),
            },
        };
        let patch = self.texts.patch(packed.patch.as_deref())?;
        let before = self.text(packed.before).await?;
        let after = self.text(packed.after).await?;
        Ok(Some(BodyTexts { patch, before, after }))
    }

    /// The bodies of the first of these changes, likewise. Those of the others are asked for next,
    /// and are read ahead.
    pub(in crate::audit) async fn bodies_of_first(
        &mut self,
        changes: &[i64],
    ) -> Result<Option<BodyTexts>, Boxed> {
        let Some(first) = changes.first().copied() else { return Ok(None) };
        if !self.ahead.contains_key(&first) {
            self.read_ahead(changes).await?;
        }
        match self.bodies(first).await {
            // It may have been pruned or erased since it was read ahead.
            Err(_not_any_more) => self.bodies(first).await,
            read => read,
        }
    }

    /// Reads what the bodies of these changes are made of, together, but for long ones. What is
    /// damaged is told of when it is asked for.
    async fn read_ahead(&mut self, changes: &[i64]) -> Result<(), Boxed> {
        self.ahead = changes.iter().map(|seq| (*seq, None)).collect();
        let mut numbers = BTreeSet::new();
        for row in &self.asking.found(&bodies_of(changes, AHEAD_BYTES_MAX)).await? {
            let packed = Packed::of(row)?;
            numbers.extend([packed.before, packed.after].into_iter().flatten());
            self.ahead.insert(cell(row, "seq")?, Some(packed));
        }
        self.read_texts_ahead(&Vec::from_iter(numbers)).await
    }

    /// Reads the texts of these snapshots, likewise.
    pub(super) async fn read_texts_ahead(&mut self, numbers: &[i64]) -> Result<(), Boxed> {
        let is_new = |number: &i64| self.texts.find(*number).is_none();
        let numbers: Vec<i64> = numbers.iter().copied().filter(is_new).collect();
        if numbers.is_empty() {
            return Ok(());
        }
        let mut bytes = 0;
        for link in &self.asking.found(&chain(&numbers, AHEAD_BYTES_MAX)).await? {
            let former = maybe(link, "base")?.map(|base| self.texts.find(base));
            let body: Bytes<'_> = cell(link, "body")?;
            let is_short = text_bytes(&body).is_some_and(|bytes| bytes <= AHEAD_TEXT_BYTES_MAX);
            if is_short && !matches!(former, Some(None)) {
                bytes += self.unpack(link, former.flatten().as_ref()).map_or(0, |text| text.len());
            }
            if bytes > AHEAD_TEXTS_BYTES_MAX {
                break;
            }
        }
        Ok(())
    }

    async fn unpack_chain(&mut self, number: i64) -> Result<Text, Boxed> {
        let mut former: Option<Text> = None;
        for link in &self.asking.found(&chain(&[number], i64::MAX)).await? {
            former = Some(self.unpack(link, former.as_ref())?);
        }
        former.ok_or_else(|| Damaged(number).into())
    }

    fn unpack(&mut self, link: &A::Row, former: Option<&Text>) -> Result<Text, Boxed> {
        let (digest, body): (Bytes<'_>, Bytes<'_>) = (cell(link, "digest")?, cell(link, "body")?);
        self.texts.unpack(cell(link, "number")?, (former, &digest, &body))
    }
}

impl Packed {
    fn of(row: &impl Row) -> Result<Self, Boxed> {
        Ok(Self {
            patch: maybe::<Bytes<'_>>(row, "patch")?.map(Bytes::into_owned),
            before: maybe(row, "before")?,
            after: maybe(row, "after")?,
        })
    }
}

/// The bodies of changes, but for those of which the patch has more than so many bytes.
fn bodies_of(changes: &[i64], most: i64) -> String {
    format!(
        "SELECT c.seq, c.patch, c.before, e.after FROM changes c \
         LEFT JOIN ends e ON e.seq = c.seq WHERE c.seq IN ({}) \
         AND (c.patch IS NULL OR length(c.patch) <= {most})",
        list(changes)
    )
}

/// Snapshots with all that they are built on, those first, but for bodies of more than so many
/// bytes. PostgreSQL expects ten times as many as there are: looked up once more by their numbers,
/// it would read the whole table for them.
fn chain(numbers: &[i64], most: i64) -> String {
    let body = format!("CASE WHEN length(s.body) <= {most} THEN s.body END");
    format!(
        "WITH RECURSIVE chain (number, base, depth, digest, body) AS (\
         SELECT s.number, s.base, s.depth, s.digest, {body} FROM snapshots s \
         WHERE s.number IN ({}) \
         UNION SELECT s.number, s.base, s.depth, s.digest, {body} \
         FROM chain c JOIN snapshots s ON s.number = c.base) \
         SELECT number, base, digest, body FROM chain WHERE body IS NOT NULL ORDER BY depth",
        list(numbers)
    )
}
