//! Documents read back: each from the snapshot that stands alone, through those built on it.

use std::collections::HashMap;

use serde_json::Value;
use sha2::{Digest as _, Sha256};
use sqlx::{Row as _, SqlitePool};

use crate::audit::document::unpack;
use crate::audit::store::Boxed;

const CHAIN: &str = "WITH RECURSIVE chain (number, digest, base, depth, body) AS (\
    SELECT number, digest, base, depth, body FROM snapshots WHERE number = ? \
    UNION ALL \
    SELECT s.number, s.digest, s.base, s.depth, s.body \
    FROM chain c JOIN snapshots s ON s.number = c.base) \
    SELECT number, digest, body FROM chain ORDER BY depth";

/// The most bytes of text that are kept while one question is answered.
const KEPT_BYTES_MAX: usize = 32 << 20;

/// The documents of one question: neighbours share their bases.
pub(super) struct Documents<'p> {
    pool: &'p SqlitePool,
    texts: HashMap<i64, Vec<u8>>,
    bytes: usize,
    /// The bytes of text of all that was read so far.
    pub(super) read_bytes: usize,
}

/// A snapshot that does not hold what was written.
#[derive(Debug, thiserror::Error)]
#[error("snapshot {0} of the log is damaged: restore the database from a backup")]
struct Damaged(i64);

impl<'p> Documents<'p> {
    pub(super) fn of(pool: &'p SqlitePool) -> Self {
        Self { pool, texts: HashMap::new(), bytes: 0, read_bytes: 0 }
    }

    /// The document of the snapshot `number`; none where there is no number.
    pub(super) async fn read(&mut self, number: Option<i64>) -> Result<Option<Value>, Boxed> {
        let Some(number) = number else { return Ok(None) };
        if !self.texts.contains_key(&number) {
            self.unpack_chain(number).await?;
        }
        let text = self.texts.get(&number).ok_or(Damaged(number))?;
        self.read_bytes += text.len();
        Ok(Some(parse(text)?))
    }

    /// The patch of the change at this place, where there was one.
    pub(super) async fn patch(&mut self, seq: i64) -> Result<Option<Value>, Boxed> {
        let patch = sqlx::query_scalar("SELECT patch FROM changes WHERE seq = ?").bind(seq);
        let body: Option<Option<Vec<u8>>> = patch.fetch_optional(self.pool).await?;
        let Some(body) = body.flatten() else { return Ok(None) };
        let text = unpack(&body, None)?;
        self.read_bytes += text.len();
        Ok(Some(parse(&text)?))
    }

    async fn unpack_chain(&mut self, number: i64) -> Result<(), Boxed> {
        if self.bytes > KEPT_BYTES_MAX {
            self.texts.clear();
            self.bytes = 0;
        }
        let chain = sqlx::query(CHAIN).bind(number).fetch_all(self.pool).await?;
        let mut base = None;
        for link in chain {
            let number: i64 = link.try_get("number")?;
            if !self.texts.contains_key(&number) {
                let former = base.and_then(|base| self.texts.get(&base)).map(Vec::as_slice);
                let text = unpack(link.try_get("body")?, former)?;
                let digest: &[u8] = link.try_get("digest")?;
                if Sha256::digest(&text)[..] != *digest {
                    return Err(Damaged(number).into());
                }
                self.bytes += text.len();
                self.texts.insert(number, text);
            }
            base = Some(number);
        }
        Ok(())
    }
}

/// A text that the log holds, as the value that it says.
fn parse(text: &[u8]) -> Result<Value, serde_json::Error> {
    let mut reader = serde_json::Deserializer::from_slice(text);
    // How deep a document may be was settled before it was written.
    reader.disable_recursion_limit();
    serde::Deserialize::deserialize(&mut reader)
}
