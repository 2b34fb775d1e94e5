//! What became of an attempt to deliver.

use std::time::Duration;

use http::StatusCode;

/// The fate of messages that were sent together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Delivery {
    /// All of them were taken.
    Taken,
    /// One of them, or some, were refused for themselves; another attempt brings nothing.
    Refused(String),
    /// They were not taken now.
    Failed(Failure),
    /// The receiver wants no more, ever.
    Gone,
}

/// Why messages were not taken now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) why: String,
    /// How long the receiver asks to wait.
    pub(super) after: Option<Duration>,
    /// The position to go on from, where what was sent before may be lost.
    pub(super) back_to: Option<u64>,
}

impl Delivery {
    /// A failure of which nothing more is known.
    pub(super) fn failed(why: impl Into<String>) -> Self {
        Self::Failed(Failure { why: why.into(), ..Failure::default() })
    }

    /// The meaning of an answer's status; `said` is the receiver's own word.
    pub(super) fn by_status(
        status: StatusCode,
        after: Option<Duration>,
        said: Option<String>,
    ) -> Self {
        let said = said.map(|said| format!(": {said}")).unwrap_or_default();
        let why = format!("answered {status}{said}");
        match status.as_u16() {
            200..=299 => Self::Taken,
            400 | 413 | 422 => Self::Refused(why),
            300..=399 => {
                Self::failed(format!("{why}: redirects are not followed, so fix the sink's url"))
            }
            _ => Self::Failed(Failure { why, after, back_to: None }),
        }
    }
}
