//! Texts of documents, unpacked for one question: neighbours share their bases.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::audit::document::unpack;
use crate::audit::question::{BodyTexts, Text, parse};
use crate::audit::record::Change;
use crate::audit::store::Boxed;

/// The most bytes of text that are kept while one question is answered.
const KEPT_BYTES_MAX: usize = 32 << 20;

/// The texts that are at hand, by the numbers of their snapshots.
#[derive(Default)]
pub(super) struct Texts {
    kept: HashMap<i64, Text>,
    kept_bytes: usize,
    /// The bytes of text of all that was read so far.
    pub(super) read_bytes: usize,
}

/// A snapshot that does not hold what was written.
#[derive(Debug, thiserror::Error)]
#[error("snapshot {0} of the log is damaged: restore the database from a backup")]
pub(super) struct Damaged(pub(super) i64);

impl Texts {
    /// The text of a snapshot, where it is at hand.
    pub(super) fn find(&self, number: i64) -> Option<Text> {
        self.kept.get(&number).cloned()
    }

    /// The text of a snapshot, unpacked beside the text that it is built on and kept for its
    /// neighbours.
    pub(super) fn unpack(
        &mut self,
        number: i64,
        (former, digest, body): (Option<&Text>, &[u8], &[u8]),
    ) -> Result<Text, Boxed> {
        if let Some(text) = self.find(number) {
            return Ok(text);
        }
        let text = unpack(body, former.map(|text| text.as_slice()))?;
        if Sha256::digest(&text)[..] != *digest {
            return Err(Damaged(number).into());
        }
        let text = Arc::new(text);
        self.keep(number, &text);
        Ok(text)
    }

    /// The text of a patch, which stands alone.
    pub(super) fn patch(&mut self, body: Option<&[u8]>) -> Result<Option<Text>, Boxed> {
        let text = body.map(|body| unpack(body, None)).transpose()?.map(Arc::new);
        self.read_bytes += text.as_ref().map_or(0, |text| text.len());
        Ok(text)
    }

    /// Keeps a text for its neighbours. Where that would be too much, they start anew: a chain of
    /// large documents is never held whole.
    fn keep(&mut self, number: i64, text: &Text) {
        if self.kept_bytes + text.len() > KEPT_BYTES_MAX {
            self.kept.clear();
            self.kept_bytes = 0;
        }
        self.kept_bytes += text.len();
        self.kept.insert(number, Arc::clone(text));
    }
}

/// A change with what its texts say.
pub(super) fn show(change: &mut Change, texts: &BodyTexts) -> Result<(), Boxed> {
    change.bodies = Some(texts.values(change)?);
    Ok(())
}

/// The name in a deployment's text. The rest of it may be megabytes, and is passed over. A document
/// that can't be told is told of in the gateway's own log; where the store itself does not answer,
/// nothing is told.
pub(super) fn name_in(
    text: Result<Option<Text>, Boxed>,
    deployment: &str,
) -> Result<Option<String>, Boxed> {
    #[derive(serde::Deserialize)]
    struct Newest {
        name: Option<Value>,
    }
    let read = |text: Text| -> Result<Option<String>, Boxed> {
        let newest: Newest = parse(&text)?;
        Ok(newest.name.as_ref().and_then(Value::as_str).map(str::to_owned))
    };
    let name = text.and_then(|text| text.map_or(Ok(None), read));
    name.or_else(|error| {
        let is_of_the_text = error.is::<Damaged>()
            || error.is::<std::io::Error>()
            || error.is::<serde_json::Error>();
        if !is_of_the_text {
            return Err(error);
        }
        tracing::error!(deployment, error, "a deployment's newest snapshot can't be read");
        Ok(None)
    })
}
