//! A witness asked for its signature, as the protocol has it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use tokio::time::timeout;

use super::trouble::Trouble;
use crate::audit::Audit;
use crate::audit::witness::{OwnCheckpoint, seen_size};
use crate::base::verifier::VerifierKey;
use crate::config::WitnessConfig;
use crate::outgoing::client::{Answer, Client};
use crate::upstream::trust::TrustError;

/// How long one answer may take, from the connection to its last byte.
const ANSWERS_WITHIN: Duration = Duration::from_secs(5);

/// How often a witness is asked about one checkpoint that names the size that it has seen: once to
/// learn that, and once from there.
const ASKED_MAX: usize = 2;

/// The type of a size in an answer.
const SIZE: &str = "text/x.tlog.size";

/// The way to one witness, and what it is known to have seen.
pub(super) struct Asking {
    audit: Audit,
    number: usize,
    client: Client,
    keys: Arc<[VerifierKey]>,
    /// The size of the largest tree that it has seen, as far as it has told.
    seen: u64,
}

/// Something to go on with that a witness has answered.
enum Said {
    Signatures(Bytes),
    /// It has seen a tree of another size than it was told.
    Seen(u64),
}

impl Asking {
    pub(super) fn new(
        audit: Audit,
        (number, config): (usize, &WitnessConfig),
        keys: Arc<[VerifierKey]>,
    ) -> Result<Self, TrustError> {
        Ok(Self { audit, number, client: Client::new(&config.to)?, keys, seen: 0 })
    }

    /// Has it sign a checkpoint; tells whether it did. It did not where another gateway of the log
    /// has shown it a larger tree meanwhile, and is not asked about a tree without leaves.
    pub(super) async fn ask(&mut self, checkpoint: &OwnCheckpoint) -> Result<bool, Trouble> {
        if checkpoint.size == 0 || self.seen > checkpoint.size {
            return Ok(false);
        }
        for _ in 0..ASKED_MAX {
            let seen = match self.said(checkpoint).await? {
                Said::Signatures(answer) => {
                    let answered = (checkpoint, &*answer);
                    self.audit.take_cosignatures(self.number, answered, &self.keys)?;
                    self.seen = checkpoint.size;
                    return Ok(true);
                }
                Said::Seen(seen) => seen,
            };
            if seen > checkpoint.size {
                return self.overtaken(seen).await;
            }
            if seen == self.seen {
                // Of the same size, and another tree.
                let is_fork = seen == checkpoint.size;
                return Err(if is_fork { Trouble::Fork { seen } } else { Trouble::Confused });
            }
            self.seen = seen;
        }
        Err(Trouble::Confused)
    }

    /// What it means that a witness has seen a larger tree than the one that it is shown.
    async fn overtaken(&mut self, seen: u64) -> Result<bool, Trouble> {
        let held = self.audit.tree_size().await?;
        if held < seen {
            return Err(Trouble::Ahead { seen, held });
        }
        self.seen = seen;
        Ok(false)
    }

    /// Asks once, from the size that it is taken to have seen.
    async fn said(&mut self, checkpoint: &OwnCheckpoint) -> Result<Said, Trouble> {
        let question = self.audit.witness_question(checkpoint, self.seen).await?;
        let mut fields = HeaderMap::new();
        let plain = HeaderValue::from_static("text/plain; charset=utf-8");
        fields.insert(header::CONTENT_TYPE, plain);
        let question = Bytes::from(question);
        let asked = timeout(ANSWERS_WITHIN, self.client.post(&fields, &question)).await;
        let answer = asked.map_err(|_elapsed| Trouble::Late(ANSWERS_WITHIN))??;
        self.meant(answer, checkpoint.size)
    }

    fn meant(&self, answer: Answer, size: u64) -> Result<Said, Trouble> {
        let Answer { status, content_type, body, .. } = answer;
        let is_size = content_type.is_some_and(|found| {
            let found = found.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default();
            found.trim_ascii().eq_ignore_ascii_case(SIZE.as_bytes())
        });
        match status {
            StatusCode::OK => Ok(Said::Signatures(body)),
            StatusCode::CONFLICT if is_size => {
                seen_size(&body).map(Said::Seen).ok_or(Trouble::Confused)
            }
            // Of two trees of one size it need not tell the size.
            StatusCode::CONFLICT if self.seen == size => Err(Trouble::Fork { seen: size }),
            StatusCode::CONFLICT => Err(Trouble::Confused),
            StatusCode::UNPROCESSABLE_ENTITY => Err(Trouble::Fork { seen: self.seen }),
            StatusCode::FORBIDDEN => Err(Trouble::KeyUnknown),
            StatusCode::NOT_FOUND => Err(Trouble::OriginUnknown),
            StatusCode::BAD_REQUEST => Err(Trouble::Malformed),
            status if status.is_redirection() => Err(Trouble::Redirect(status)),
            status => Err(Trouble::Status(status)),
        }
    }
}
