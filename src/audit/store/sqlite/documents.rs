//! Documents read back: each from the snapshot that stands alone, through those built on it.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;
use sha2::{Digest as _, Sha256};
use sqlx::{Row as _, SqliteConnection};

use super::asking::Asking;
use crate::audit::document::unpack;
use crate::audit::question::{BodyTexts, Text, parse};
use crate::audit::store::Boxed;

const CHAIN: &str = "WITH RECURSIVE chain (number, digest, base, depth, body) AS (\
    SELECT number, digest, base, depth, body FROM snapshots WHERE number = ? \
    UNION ALL \
    SELECT s.number, s.digest, s.base, s.depth, s.body \
    FROM chain c JOIN snapshots s ON s.number = c.base) \
    SELECT number, digest, body FROM chain ORDER BY depth";

const BODIES: &str = "SELECT c.patch, c.before, e.after FROM changes c \
    LEFT JOIN ends e ON e.seq = c.seq WHERE c.seq = ?";

/// The most bytes of text that are kept while one question is answered.
const KEPT_BYTES_MAX: usize = 32 << 20;

/// The documents of one question: neighbours share their bases.
pub(in crate::audit) struct Documents {
    asking: Asking,
    texts: HashMap<i64, Arc<Vec<u8>>>,
    bytes: usize,
    /// The bytes of text of all that was read so far.
    pub(in crate::audit) read_bytes: usize,
}

/// A snapshot that does not hold what was written.
#[derive(Debug, thiserror::Error)]
#[error("snapshot {0} of the log is damaged: restore the database from a backup")]
struct Damaged(i64);

impl Documents {
    pub(super) fn by(asking: Asking) -> Self {
        Self { asking, texts: HashMap::new(), bytes: 0, read_bytes: 0 }
    }

    /// The document of the snapshot `number`; `None` where there is no number.
    pub(super) async fn read(&mut self, number: Option<i64>) -> Result<Option<Value>, Boxed> {
        let text = self.text(number).await?;
        Ok(text.map(|text| parse(&text)).transpose()?)
    }

    /// The text of the snapshot `number`, likewise.
    pub(super) async fn text(&mut self, number: Option<i64>) -> Result<Option<Text>, Boxed> {
        let Some(number) = number else { return Ok(None) };
        let text = match self.texts.get(&number) {
            Some(text) => Arc::clone(text),
            None => self.unpack_chain(number).await?,
        };
        self.read_bytes += text.len();
        Ok(Some(text))
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
        if let Some(text) = self.texts.get(&number) {
            return Ok(Arc::clone(text));
        }
        let former = base.map(|base| self.texts.get(&base).cloned());
        if let Some(None) = former {
            return self.unpack_chain(number).await;
        }
        let former = former.flatten();
        let text =
            sound(number, unpack(body, former.as_ref().map(|text| text.as_slice()))?, digest)?;
        let text = Arc::new(text);
        self.keep(number, &text);
        Ok(text)
    }

    /// The patch of the change at this place, where there was one.
    pub(super) async fn patch(&mut self, seq: i64) -> Result<Option<Value>, Boxed> {
        let patch = sqlx::query_scalar("SELECT patch FROM changes WHERE seq = ?").bind(seq);
        let body: Option<Option<Vec<u8>>> = patch.fetch_optional(&mut *self.asking).await?;
        let Some(body) = body.flatten() else { return Ok(None) };
        let text = unpack(&body, None)?;
        self.read_bytes += text.len();
        Ok(Some(parse(&text)?))
    }

    /// The bodies of the change at this place, as the log holds them.
    pub(in crate::audit) async fn bodies(&mut self, seq: i64) -> Result<BodyTexts, Boxed> {
        let row = sqlx::query(BODIES).bind(seq).fetch_one(&mut *self.asking).await?;
        let patch: Option<&[u8]> = row.try_get("patch")?;
        let patch = patch.map(|body| unpack(body, None)).transpose()?.map(Arc::new);
        self.read_bytes += patch.as_ref().map_or(0, |text| text.len());
        let before = self.text(row.try_get("before")?).await?;
        let after = self.text(row.try_get("after")?).await?;
        Ok(BodyTexts { patch, before, after })
    }

    async fn unpack_chain(&mut self, number: i64) -> Result<Text, Boxed> {
        let chain = sqlx::query(CHAIN).bind(number).fetch_all(&mut *self.asking).await?;
        let mut former: Option<Text> = None;
        for link in chain {
            let number: i64 = link.try_get("number")?;
            let text = if let Some(text) = self.texts.get(&number) {
                Arc::clone(text)
            } else {
                let base = former.as_ref().map(|text| text.as_slice());
                let text = unpack(link.try_get("body")?, base)?;
                let text = Arc::new(sound(number, text, link.try_get("digest")?)?);
                self.keep(number, &text);
                text
            };
            former = Some(text);
        }
        former.ok_or_else(|| Damaged(number).into())
    }

    /// Keeps a text for its neighbours. Where that would be too much, they start anew: a chain of
    /// large documents is never held whole.
    fn keep(&mut self, number: i64, text: &Text) {
        if self.bytes + text.len() > KEPT_BYTES_MAX {
            self.texts.clear();
            self.bytes = 0;
        }
        self.bytes += text.len();
        self.texts.insert(number, Arc::clone(text));
    }
}

/// A snapshot's text, where it is the one that was written.
fn sound(number: i64, text: Vec<u8>, digest: &[u8]) -> Result<Vec<u8>, Damaged> {
    if Sha256::digest(&text)[..] == *digest { Ok(text) } else { Err(Damaged(number)) }
}
