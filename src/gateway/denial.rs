//! A change that nothing lets pass: what it waits for, and what its caller is told of that.

use tokio::sync::OwnedMutexGuard;

use super::call::Decided;
use crate::audit::approval::ApprovalPart;
use crate::audit::intent::Intent;
use crate::base::ids::ApprovalId;

/// A denied change.
#[derive(Debug)]
pub(super) struct Denial {
    pub(super) decided: Decided,
    /// The sentence about its approval.
    told: Option<String>,
    /// The sentence about break-glass, where that was tried.
    glass: Option<String>,
    /// Held until the record is durable: the actor's next call finds what this one asks for.
    _turn: Option<OwnedMutexGuard<()>>,
}

impl Denial {
    pub(super) fn new(
        decided: Decided,
        (told, glass): (Option<String>, Option<String>),
        turn: Option<OwnedMutexGuard<()>>,
    ) -> Self {
        Self { decided, told, glass, _turn: turn }
    }

    /// Puts what it waits for into its record, and adds to the message what its caller may do.
    pub(super) fn settle(&self, intent: &mut Intent, message: &mut String) -> Option<ApprovalId> {
        let mut told = self.told.clone();
        let asks = matches!(intent.approval, Some(ApprovalPart::Asks(_)));
        if asks && !intent.is_kept {
            intent.approval = None;
            told = Some(
                "no approval is asked for, since the log keeps no more bodies of this token for \
                 now (limits.kept_bytes_per_minute): send the call again in a minute"
                    .to_owned(),
            );
        }
        for sentence in told.iter().chain(&self.glass) {
            message.push_str("; ");
            message.push_str(sentence);
        }
        intent.approval.as_ref().map(ApprovalPart::id)
    }
}
