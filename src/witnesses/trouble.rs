//! Reasons why a witness does not sign, and how each is told: once, until it is another one.

use std::mem::{Discriminant, discriminant};
use std::time::Duration;

use http::StatusCode;
use tokio::time::Instant;

use crate::audit::Audit;
use crate::audit::query::QueryError;
use crate::audit::witness::UselessAnswer;
use crate::base::visible::chain;
use crate::outgoing::client::CallError;

/// How often it may come on record at most that a witness has seen another history: one that lies
/// says so each time, and something else between.
const RECORDED_EVERY: Duration = Duration::from_hours(1);

/// Why a witness does not sign.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    #[error(
        "it says that it has seen {seen} records of this log, which holds {held}: its end was \
         cut, or an older backup put back; compare with `changegate audit verify --checkpoint FILE`"
    )]
    Ahead { seen: u64, held: u64 },
    #[error(
        "it says that the {seen} records that it has seen are not the first ones of this log: the \
         log was written anew, or there are two of this origin; compare with `changegate audit \
         verify --checkpoint FILE`"
    )]
    Fork { seen: u64 },
    #[error("it does not know the origin of this log (404): have it added there, or fix the url")]
    OriginUnknown,
    #[error(
        "it does not take this log, or its key (403): have the first line of /api/v1/log/key added \
         there"
    )]
    KeyUnknown,
    #[error("it takes the question for malformed (400): fix the url in evidence.witness_urls")]
    Malformed,
    #[error("it redirects ({0}), which is not followed: fix the url in evidence.witness_urls")]
    Redirect(StatusCode),
    #[error("it answers {0}")]
    Status(StatusCode),
    #[error("it contradicts itself about what it has seen: ask who runs it")]
    Confused,
    #[error("no answer within {} s", .0.as_secs())]
    Late(Duration),
    #[error(transparent)]
    Useless(#[from] UselessAnswer),
    #[error(transparent)]
    Call(#[from] CallError),
    #[error("the proof for it can't be made of the log")]
    Log(#[from] QueryError),
}

impl Trouble {
    /// Whether it may pass without anybody's doing.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Status(status) => {
                status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS
            }
            Self::Late(_) | Self::Call(_) | Self::Log(_) => true,
            _ => false,
        }
    }

    /// The word of one that comes on record, and the size that the witness has seen.
    fn other_history(&self) -> Option<(&'static str, u64)> {
        match self {
            Self::Ahead { seen, .. } => Some(("ahead", *seen)),
            Self::Fork { seen } => Some(("fork", *seen)),
            _ => None,
        }
    }
}

/// What was told of a witness so far.
pub(super) struct Telling {
    audit: Audit,
    number: usize,
    name: String,
    /// The kind of the trouble that was told last, until it is over.
    told: Option<Discriminant<Trouble>>,
    /// When which other history came on record.
    recorded: Option<(&'static str, Instant)>,
}

impl Telling {
    pub(super) fn new(audit: Audit, number: usize, name: String) -> Self {
        Self { audit, number, name, told: None, recorded: None }
    }

    /// Tells what came of a question about a tree of that size.
    pub(super) fn tell(&mut self, asked: Result<bool, Trouble>, size: u64) {
        let witness = self.name.as_str();
        let trouble = match asked {
            Ok(false) => return,
            Ok(true) => {
                if self.told.take().is_some() {
                    tracing::info!(witness, "the witness signs checkpoints again");
                }
                return;
            }
            Err(trouble) => trouble,
        };
        let error = chain(&trouble);
        self.audit.witness_failed(self.number, &error);
        let history = trouble.other_history();
        let kind = discriminant(&trouble);
        if self.told.replace(kind) != Some(kind) {
            if history.is_some() {
                tracing::error!(witness, error, "a witness has seen another history of the log");
            } else {
                tracing::warn!(witness, error, "a witness does not sign checkpoints");
            }
        }
        let Some((what, seen)) = history else { return };
        let is_recorded = self
            .recorded
            .is_some_and(|(former, at)| former == what && at.elapsed() < RECORDED_EVERY);
        if !is_recorded {
            self.recorded = Some((what, Instant::now()));
            self.audit.note_other_history(witness, what, (seen, size));
        }
    }
}
