//! Documents read back: each from the snapshot that stands alone, through those built on it.

use serde_json::Value;

use super::asking::Asking;
use crate::audit::question::{BodyTexts, Text, parse};
use crate::audit::store::Boxed;
use crate::audit::store::rows::{BadColumn, Bytes, cell, maybe};
use crate::audit::store::texts::{Damaged, Texts};

/// The documents of one question.
pub(in crate::audit) struct Documents {
    asking: Asking,
    texts: Texts,
}

impl Documents {
    pub(super) fn by(asking: Asking) -> Self {
        Self { asking, texts: Texts::default() }
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
    pub(in crate::audit::store) fn read_bytes(&self) -> usize {
        self.texts.read_bytes
    }

    /// The connection, for what is asked between documents.
    pub(super) fn asking(&mut self) -> &mut Asking {
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
        let query = format!("SELECT patch FROM changes WHERE seq = {seq}");
        let row = self.asking.row(&query).await?;
        let body: Option<Bytes<'_>> =
            row.as_ref().map(|row| maybe(row, "patch")).transpose()?.flatten();
        let text = self.texts.patch(body.as_deref())?;
        Ok(text.map(|text| parse(&text)).transpose()?)
    }

    /// The bodies of the change at this place, as the log holds them.
    pub(in crate::audit::store) async fn bodies(&mut self, seq: i64) -> Result<BodyTexts, Boxed> {
        let query = format!(
            "SELECT c.patch, c.before, e.after FROM changes c \
             LEFT JOIN ends e ON e.seq = c.seq WHERE c.seq = {seq}"
        );
        let row = self.asking.row(&query).await?.ok_or(BadColumn("seq"))?;
        let patch = self.texts.patch(maybe::<Bytes<'_>>(&row, "patch")?.as_deref())?;
        let before = self.text(maybe(&row, "before")?).await?;
        let after = self.text(maybe(&row, "after")?).await?;
        Ok(BodyTexts { patch, before, after })
    }

    async fn unpack_chain(&mut self, number: i64) -> Result<Text, Boxed> {
        let query = format!(
            "WITH RECURSIVE chain (number, digest, base, depth, body) AS (\
             SELECT number, digest, base, depth, body FROM snapshots WHERE number = {number} \
             UNION ALL SELECT s.number, s.digest, s.base, s.depth, s.body \
             FROM chain c JOIN snapshots s ON s.number = c.base) \
             SELECT number, digest, body FROM chain ORDER BY depth"
        );
        let mut former: Option<Text> = None;
        for link in &self.asking.rows(&query).await? {
            let (digest, body): (Bytes<'_>, Bytes<'_>) =
                (cell(link, "digest")?, cell(link, "body")?);
            let packed = (former.as_ref(), &*digest, &*body);
            former = Some(self.texts.unpack(cell(link, "number")?, packed)?);
        }
        former.ok_or_else(|| Damaged(number).into())
    }
}
