//! What is written, ready to be written: redacted, in its canonical text, compressed. Made on the
//! caller's task, so that the writer only writes.

use std::io;

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::record::{Completion, Event, Intent, Outcome, Settlement};
use super::redact::Redactor;
use crate::clock::Timestamp;
use crate::deployment::Object;
use crate::deployment::diff::diff;
use crate::deployment::digest::canonical;
use crate::ids::ChangeId;
use crate::provider::{Operation, Provider};

/// The zstd level: 1 costs a fraction of the default's time, for a few per cent more bytes.
const LEVEL: i32 = 1;

/// The most changed places that are kept for the `path` filter; the diff itself knows them all.
const PATHS_MAX: usize = 256;

/// One thing to write.
#[derive(Debug)]
pub(super) enum Entry {
    /// An intent on its own: the call is on its way.
    Opening(Box<Opening>),
    /// The end of a change that was opened before. Ending it twice changes nothing.
    Ending(Box<Ending>),
    /// A change that is opened and ended at once.
    Whole(Box<Opening>, Box<Ending>),
    /// What a snapshot told of the change at this place. The first word counts.
    Settling(i64, Settlement),
    /// Something that is no governed call.
    Happening(Box<Event>),
}

/// An [`Intent`] whose bodies have moved into snapshots.
#[derive(Debug)]
pub(super) struct Opening {
    pub(super) intent: Intent,
    /// The request's id, without a credential that a client may have put there.
    pub(super) request_id: String,
    pub(super) patch: Option<Snapshot>,
    pub(super) before: Option<Snapshot>,
    pub(super) redacted: Vec<String>,
}

/// A [`Completion`] whose body has moved into a snapshot.
#[derive(Debug)]
pub(super) struct Ending {
    pub(super) id: ChangeId,
    pub(super) completion: Completion,
    pub(super) after: Option<Snapshot>,
    /// Where the deployment changed, computed fields aside.
    pub(super) paths: Vec<String>,
    pub(super) redacted: Vec<String>,
}

/// A document as it is stored.
#[derive(Debug)]
pub(super) struct Snapshot {
    /// SHA-256 of its canonical text.
    pub(super) digest: [u8; 32],
    /// Its canonical text, compressed by zstd.
    pub(super) body: Vec<u8>,
    /// How many bytes the text has.
    pub(super) bytes: i64,
}

impl Entry {
    /// The change that it is about, where it is about one by name.
    pub(super) fn id(&self) -> Option<ChangeId> {
        match self {
            Self::Opening(opening) | Self::Whole(opening, _) => Some(opening.intent.id),
            Self::Ending(ending) => Some(ending.id),
            Self::Settling(..) | Self::Happening(_) => None,
        }
    }
}

impl Snapshot {
    pub(super) fn of(document: &Value) -> io::Result<Self> {
        let text = canonical(document);
        Ok(Self {
            digest: Sha256::digest(&text).into(),
            body: zstd::bulk::compress(&text, LEVEL)?,
            bytes: i64::try_from(text.len()).unwrap_or(i64::MAX),
        })
    }

    /// The document that was stored as `body`, of `bytes` bytes.
    pub(super) fn read(body: &[u8], bytes: i64) -> io::Result<Value> {
        let text = zstd::bulk::decompress(body, usize::try_from(bytes).unwrap_or(0))?;
        Ok(serde_json::from_slice(&text)?)
    }
}

impl Opening {
    /// The intent without its secrets, and the redacted before for later comparison.
    pub(super) fn of(mut intent: Intent, redactor: &Redactor) -> io::Result<(Self, Option<Value>)> {
        let mut redacted = Vec::new();
        let mut patch = intent.patch.take();
        let mut before = intent.before.take();
        if let Some(patch) = &mut patch {
            redactor.conceal(patch, "/patch", &mut redacted);
        }
        if let Some(before) = &mut before {
            redactor.conceal(before, "/before", &mut redacted);
        }
        for violation in intent.violations.iter_mut().chain(&mut intent.standing) {
            redactor.conceal_violation(violation);
        }
        for text in intent.client.user_agent.iter_mut().chain(&mut intent.deployment_id) {
            redactor.scrub_in_place(text);
        }
        let snapshot = |document: &Option<Value>| document.as_ref().map(Snapshot::of).transpose();
        let (patch, snapshot_before) = (snapshot(&patch)?, snapshot(&before)?);
        let request_id = redactor.scrub(intent.request_id.as_str()).into_owned();
        Ok((Self { intent, request_id, patch, before: snapshot_before, redacted }, before))
    }
}

impl Ending {
    /// The completion without its secrets. `paths` tells where the redacted after differs. It
    /// never fails: what can't be stored is left out, for the end itself must be known.
    pub(super) fn of(
        id: ChangeId,
        mut completion: Completion,
        redactor: &Redactor,
        paths: impl FnOnce(&Value) -> Vec<String>,
    ) -> Self {
        let mut redacted = Vec::new();
        let mut after = completion.after.take();
        if let Some(after) = &mut after {
            redactor.conceal(after, "/after", &mut redacted);
        }
        let snapshot = after.as_ref().map(Snapshot::of).transpose().unwrap_or_else(|error| {
            tracing::error!(change = %id, %error, "the deployment after can't be stored");
            None
        });
        completion.effect = completion.effect.filter(|_effect| snapshot.is_some());
        let answered = completion.upstream.as_mut().and_then(|answer| answer.request_id.as_mut());
        for text in completion.deployment_id.iter_mut().chain(answered) {
            redactor.scrub_in_place(text);
        }
        let paths = after.as_ref().map(paths).unwrap_or_default();
        Self { id, completion, after: snapshot, paths, redacted }
    }

    /// An end of which nothing but its outcome is known.
    pub(super) fn bare(id: ChangeId, outcome: Outcome, completed_at: Timestamp) -> Self {
        let completion = Completion {
            completed_at,
            outcome,
            upstream: None,
            deployment_id: None,
            after: None,
            effect: None,
        };
        Self { id, completion, after: None, paths: Vec::new(), redacted: Vec::new() }
    }

    /// This end reduced to what every table takes; none where it is that already.
    pub(super) fn reduced(&self) -> Option<Self> {
        let said_more = self.after.is_some()
            || self.completion.upstream.is_some()
            || self.completion.deployment_id.is_some();
        let Completion { outcome, completed_at, .. } = self.completion;
        said_more.then(|| Self::bare(self.id, outcome, completed_at))
    }
}

/// Where a deployment changed, computed fields aside. One that was not there before changed in
/// each of its members.
pub(super) fn changed(
    provider: Option<&Provider>,
    operation: Operation,
    before: Option<&Value>,
    after: &Value,
) -> Vec<String> {
    let Some(provider) = provider else { return Vec::new() };
    let nothing = Value::Object(Object::new());
    let differences = diff(provider, operation, Some(before.unwrap_or(&nothing)), Some(after));
    let paths = differences.into_iter().filter(|place| !place.computed).map(|place| place.path);
    paths.take(PATHS_MAX).collect()
}
