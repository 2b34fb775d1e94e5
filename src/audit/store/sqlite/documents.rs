//! Documents read back: each from the snapshot that stands alone, through those built on it.

use serde_json::Value;
use sqlx::{Row as _, SqliteConnection};

use super::asking::Asking;
use crate::audit::question::{BodyTexts, Text, parse};
use crate::audit::store::Boxed;
use crate::audit::store::texts::{Damaged, Texts};

const CHAIN: &str = "WITH RECURSIVE chain (number, digest, base, depth, body) AS (\
    SELECT number, digest, base, depth, body FROM snapshots WHERE number = ? \
    UNION ALL \
    SELECT s.number, s.digest, s.base, s.depth, s.body \
    FROM chain c JOIN snapshots s ON s.number = c.base) \
    SELECT number, digest, body FROM chain ORDER BY depth";

const BODIES: &str = "SELECT c.patch, c.before, e.after FROM changes c \
    LEFT JOIN ends e ON e.seq = c.seq WHERE c.seq = ?";

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
    pub(in crate::audit) fn read_bytes(&self) -> usize {
        self.texts.read_bytes
    }

    /// The connection, for what is asked between documents.
    pub(super) fn asking(&mut self) -> &mut SqliteConnection {
        &mut self.asking
    }

    /// The text of a snapshot that was read with its change: its base, digest and body. Where its
    /// base is not at hand, its whole chain is read.
    pub(super) async fn text_of(
        &mut self,
        number: i64,
        (base, digest, body): (Option<i64>, &[u8], &[u8]),
    ) -> Result<Text, Boxed> {
        let former = match base {
            None => None,
            Some(base) => match self.texts.find(base) {
                Some(former) => Some(former),
                None => return self.unpack_chain(number).await,
            },
        };
        self.texts.unpack(number, (former.as_ref(), digest, body))
    }

    /// The patch of the change at this place, where there was one.
    pub(super) async fn patch(&mut self, seq: i64) -> Result<Option<Value>, Boxed> {
        let patch = sqlx::query_scalar("SELECT patch FROM changes WHERE seq = ?").bind(seq);
        let body: Option<Option<Vec<u8>>> = patch.fetch_optional(&mut *self.asking).await?;
        let text = self.texts.patch(body.flatten().as_deref())?;
        Ok(text.map(|text| parse(&text)).transpose()?)
    }

    /// The bodies of the change at this place, as the log holds them.
    pub(in crate::audit) async fn bodies(&mut self, seq: i64) -> Result<BodyTexts, Boxed> {
        let row = sqlx::query(BODIES).bind(seq).fetch_one(&mut *self.asking).await?;
        let patch = self.texts.patch(row.try_get("patch")?)?;
        let before = self.text(row.try_get("before")?).await?;
        let after = self.text(row.try_get("after")?).await?;
        Ok(BodyTexts { patch, before, after })
    }

    async fn unpack_chain(&mut self, number: i64) -> Result<Text, Boxed> {
        let chain = sqlx::query(CHAIN).bind(number).fetch_all(&mut *self.asking).await?;
        let mut former: Option<Text> = None;
        for link in chain {
            let packed = (former.as_ref(), link.try_get("digest")?, link.try_get("body")?);
            former = Some(self.texts.unpack(link.try_get("number")?, packed)?);
        }
        former.ok_or_else(|| Damaged(number).into())
    }
}
