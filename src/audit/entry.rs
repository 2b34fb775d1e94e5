//! Rows ready to be written: redacted, in canonical text, compressed. Made on the
//! caller's task, so that the writer only writes.

mod former;
mod named;

use std::collections::HashSet;
use std::io;
use std::sync::Arc;

use serde_json::Value;

pub(super) use self::former::Former;
use self::former::{Asked, Before};
use super::approval::{ApprovalPart, Decision as ApprovalDecision};
use super::call_facts::CallFacts;
use super::document::{SnapshotRef, Stored, seal};
use super::intent::{Completion, Intent};
use super::latest::Latest;
use super::lease::Fence;
use super::originals::{Half, SealedOriginals};
use super::question::Text;
use super::record::{Event, Outcome, Settlement, Unkept, signed};
use super::redact::{Redacted, Redactor};
use super::sealed::{Sealed, SignedTree};
use super::shown::Concealed;
use super::sink::SinkStep;
use super::touched::{Touched, TouchedDigest, touched};
use crate::base::canonical::canonical;
use crate::base::clock::Timestamp;
use crate::base::ids::ChangeId;
use crate::base::key::DigestScope;
use crate::deployment::Object;
use crate::deployment::diff::{self, ChangedPlace};
use crate::deployment::key::DeploymentKey;
use crate::policy::approvals::REASON_BYTES_MAX;
use crate::policy::{Decision, Violation};

/// The most of a `User-Agent` and of upstream's request id that is kept, in bytes. Both are cut
/// only when no credential is in them any longer.
const USER_AGENT_BYTES_MAX: usize = 256;
const REQUEST_ID_BYTES_MAX: usize = 128;

/// One thing to write.
#[derive(Debug)]
pub(super) enum Entry {
    /// An intent on its own: the call is on its way.
    Intent(Box<IntentRow>),
    /// The end of a change that was opened before. Ending it twice changes nothing.
    Completion(Box<CompletionRow>),
    /// A change that is opened and ended at once.
    Whole(Box<IntentRow>, Box<CompletionRow>),
    /// The word of a snapshot on the change at this place. The first word counts.
    Settling(i64, Settlement),
    /// Something that is not a governed call.
    Happening(Box<Event>),
    /// A decision on an approval.
    Decision(Box<ApprovalDecision>),
    /// The end of all approvals whose time is over.
    Expiry(Timestamp),
    /// Leaves that come into the tree. Where it has others by now, it is refused.
    Sealing(Box<Sealed>),
    /// A tree whose checkpoint was signed.
    Checkpoint(Box<SignedTree>),
    /// The keys by which trees are signed from now on.
    LogKeys(Vec<String>, Timestamp),
    /// A word of a sink. Where an operator has given it an order meanwhile, it is refused.
    Sink(Box<SinkStep>),
}

/// An [`Intent`] whose bodies are as they are stored.
#[derive(Debug)]
pub(super) struct IntentRow {
    pub(super) intent: Intent,
    /// The request's id, without a credential that a client may have put there.
    pub(super) request_id: String,
    /// The patch's canonical text, compressed by zstd.
    pub(super) patch: Option<Text>,
    pub(super) before: Option<SnapshotRef>,
    /// The document that `before` names by its number, in case the log does not have it any more.
    pub(super) named: Option<Arc<Concealed>>,
    pub(super) unkept: Unkept,
    pub(super) redacted: Vec<String>,
    /// The bodies as they were before anything was concealed, where they are kept.
    pub(super) originals: Option<SealedOriginals>,
}

/// A [`Completion`] whose body is as it is stored.
#[derive(Debug)]
pub(super) struct CompletionRow {
    pub(super) id: ChangeId,
    /// The deployment, by its id as it is stored; on a create only the completion knows.
    pub(super) deployment: Option<DeploymentKey>,
    pub(super) completion: Completion,
    /// The deployment that a create has made.
    pub(super) made: Option<DeploymentKey>,
    pub(super) after: Option<SnapshotRef>,
    pub(super) unkept: Unkept,
    /// Where the deployment changed, computed fields aside, or was asked to.
    pub(super) touched: Vec<Touched>,
    /// The digest of these.
    pub(super) touched_digest: Option<[u8; 16]>,
    /// The turn that ends with it, among the gateways of the log.
    pub(super) fence: Option<Fence>,
    pub(super) redacted: Vec<String>,
    /// The deployment after as it was before anything was concealed, where that is kept.
    pub(super) originals: Option<SealedOriginals>,
}

/// Where the documents of an entry lie, now that it is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) before: Option<Stored>,
    pub(super) after: Option<Stored>,
}

impl Entry {
    /// The change that it is about, where it is about one by name.
    pub(super) fn id(&self) -> Option<ChangeId> {
        match self {
            Self::Intent(opening) | Self::Whole(opening, _) => Some(opening.intent.id),
            Self::Completion(ending) => Some(ending.id),
            _beside => None,
        }
    }

    /// Whether that the tables refuse it is no fault: of many that want to use or decide the same
    /// approval, one does.
    pub(super) fn contends(&self) -> bool {
        match self {
            Self::Intent(opening) | Self::Whole(opening, _) => opening.intent.approval.is_some(),
            // Of these, another gateway may be faster.
            Self::Decision(_) | Self::Sealing(_) | Self::Checkpoint(_) | Self::Sink(_) => true,
            _alone => false,
        }
    }
}

impl IntentRow {
    /// The intent without its secrets, and what the deployment after is compared with.
    pub(super) fn of(
        mut intent: Intent,
        redactor: &Redactor,
        latest: &Latest,
    ) -> io::Result<(Self, Former)> {
        let mut redacted = Redacted::default();
        let is_kept = intent.is_kept;
        let mut unkept = Unkept { findings: intent.findings_omitted, ..Unkept::default() };
        let mut told_by_patch = Object::new();
        let call = CallFacts::by(&intent);
        let is_told_now = !is_kept || matches!(intent.decision, Decision::Deny | Decision::Refuse);
        let mut asked = None;
        let (seals, mut originals) = (is_kept && redactor.seals(), Object::new());
        let patch = intent.patch.take().map(|patch| {
            let mut patch = Value::Object(Arc::unwrap_or_clone(patch).object);
            let original = seals.then(|| patch.clone());
            let broken = intent.violations.iter().chain(&intent.standing);
            redactor.conceal_patch(&mut patch, broken, "/patch", &mut redacted);
            let is_concealed = !redacted.paths().is_empty();
            originals
                .extend(original.filter(|_| is_concealed).map(|patch| ("patch".into(), patch)));
            if let Value::Object(patch) = &patch {
                told_by_patch = diff::told_by_patch(intent.provider, patch);
            }
            let text = canonical(&patch);
            asked = is_told_now.then_some(patch);
            text
        });
        let conceals_patch = !redacted.paths().is_empty();
        let patch = match patch {
            Some(text) if is_kept => Some(seal(&text).map(Arc::new)),
            Some(text) => {
                unkept.patch = Some(redactor.digested(&text));
                None
            }
            None => None,
        };
        let before = intent.before.take().map(|shown| {
            let concealed = shown.concealed(redactor, None);
            redacted.add_below("/before", &concealed.redacted);
            if seals && !concealed.redacted.paths().is_empty() {
                originals.insert("before".to_owned(), shown.value().clone());
            }
            Before { concealed, stored: None }
        });
        unkept.findings += conceal_findings(&mut intent, redactor);
        conceal_words(&mut intent, redactor);
        let received_at = intent.received_at;
        let filed = before.as_ref().map(|before| {
            let (deployment, document) = (intent.deployment(), &before.concealed.document);
            match deployment.and_then(|deployment| latest.find(&deployment, document, received_at))
            {
                Some(stored) => Ok(Some(SnapshotRef::Already(stored))),
                None if is_kept => document.file(None).map(Some),
                None => {
                    unkept.before = Some(redactor.digested(&document.text));
                    Ok(None)
                }
            }
        });
        let request_id = redactor.scrub(intent.request_id.as_str()).into_owned();
        let (patch, filed) = (patch.transpose()?, filed.transpose()?.flatten());
        let named = before.as_ref().and_then(|before| before.named(filed.as_ref(), is_kept));
        let redacted = redacted.into_paths();
        let asked = match asked {
            Some(patch) => {
                let before = before.as_ref().map(|before| &*before.concealed.value);
                Asked::Places(call.asked(before, patch))
            }
            None => Asked::Unread(patch.clone()),
        };
        let originals = redactor.sealed(originals, intent.id, Half::Intent)?;
        let opening =
            Self { intent, request_id, patch, before: filed, named, unkept, redacted, originals };
        Ok((opening, Former { before, told_by_patch, asked, conceals_patch }))
    }
}

impl CompletionRow {
    /// The completion without its secrets, of a change that was `asked` of the `former`
    /// deployment. It never fails: what can't be stored is left out, for the end itself must be
    /// known.
    pub(super) fn of(
        id: ChangeId,
        mut completion: Completion,
        redactor: &Redactor,
        asked: &CallFacts,
        former: &Former,
    ) -> Self {
        let before = former.before.as_ref();
        // A deployment that was made has a history of its own from here on.
        let created = completion.deployment_id.as_deref();
        let created = created.map(|id| redactor.within(DigestScope::Deployment(id.into())));
        let redactor = created.as_ref().unwrap_or(redactor);
        let mut redacted = Redacted::default();
        let after = completion.after.take();
        let shown = before.map(|before| &*before.concealed.value);
        let mut originals = Object::new();
        let after = after.map(|after| {
            let concealed = after.concealed(redactor, shown);
            redacted.add_below("/after", &concealed.redacted);
            if asked.is_kept && redactor.seals() && !concealed.redacted.paths().is_empty() {
                originals.insert("after".to_owned(), after.value().clone());
            }
            concealed
        });
        let originals = seal_end(originals, id, redactor);
        let lies = before.and_then(|before| Some((&before.concealed.document, before.stored?)));
        let mut unkept = Unkept::default();
        let filed = after.as_ref().map(|after| {
            let document = &after.document;
            if asked.is_kept {
                return document.file(lies).map(Some);
            }
            unkept.after = Some(redactor.digested(&document.text));
            Ok(None)
        });
        let filed = filed.transpose().unwrap_or_else(|error| {
            tracing::error!(change = %id, %error, "the deployment after can't be stored");
            None
        });
        let filed = filed.flatten();
        if let Some(reason) = &mut completion.reason {
            redactor.conceal_reason(reason, former.conceals_patch);
            if let Some(message) = reason.message.as_mut().filter(|_| reason.is_own) {
                *message = signed(message, &id);
            }
        }
        for violation in &mut completion.after_violations {
            redactor.conceal_violation(violation);
        }
        if let Some(id) = completion.upstream.as_mut().and_then(|answer| answer.request_id.as_mut())
        {
            *id = redactor.scrub_and_cut(id, REQUEST_ID_BYTES_MAX);
        }
        if let Some(id) = &mut completion.deployment_id {
            *id = redactor.deployment_id(id);
        }
        let part = &former.told_by_patch;
        let places = after.map(|after| changed(asked, part, shown, &after.value));
        let places = places.unwrap_or_default();
        let beside = former.asked.beside(asked, shown, completion.effect);
        let redacted = redacted.into_paths();
        let made = completion.deployment_id.clone();
        let made = made.map(|id| DeploymentKey::new(&asked.upstream, id));
        let bare = Self::bare(id, completion.outcome, completion.completed_at);
        let mut ending =
            Self { completion, made, after: filed, unkept, redacted, originals, ..bare };
        ending.touch(touched(&places, beside.as_deref()));
        ending
    }

    /// Notes where the deployment changed, or was asked to.
    pub(super) fn touch(&mut self, touched: Vec<Touched>) {
        self.touched_digest = TouchedDigest::of(&touched).half();
        self.touched = touched;
    }

    /// An end of which nothing but its outcome is known.
    pub(super) fn bare(id: ChangeId, outcome: Outcome, completed_at: Timestamp) -> Self {
        let completion = Completion {
            completed_at,
            outcome,
            upstream: None,
            reason: None,
            deployment_id: None,
            after: None,
            effect: None,
            after_violations: Vec::new(),
        };
        let (unkept, redacted) = (Unkept::default(), Vec::new());
        let (touched, touched_digest) = (Vec::new(), None);
        let (deployment, made, after, fence, originals) = (None, None, None, None, None);
        Self {
            id,
            deployment,
            completion,
            made,
            after,
            unkept,
            touched,
            touched_digest,
            fence,
            redacted,
            originals,
        }
    }

    /// This end reduced to what every table takes; `None` where it is that already.
    pub(super) fn reduced(&self) -> Option<Self> {
        let said_more = self.after.is_some()
            || self.completion.upstream.is_some()
            || self.completion.deployment_id.is_some();
        let Completion { outcome, completed_at, .. } = self.completion;
        let fence = self.fence.clone();
        said_more.then(|| Self { fence, ..Self::bare(self.id, outcome, completed_at) })
    }
}

/// Seals the original deployment after; where that fails, it is left out.
fn seal_end(originals: Object, id: ChangeId, redactor: &Redactor) -> Option<SealedOriginals> {
    redactor.sealed(originals, id, Half::End).unwrap_or_else(|error| {
        tracing::error!(change = %id, %error, "the original deployment after can't be sealed");
        None
    })
}

/// Conceals the secrets in what rules have found, and leaves one finding of each rule where bodies
/// are not kept. Returns how many others there were.
fn conceal_findings(intent: &mut Intent, redactor: &Redactor) -> usize {
    let mut left_out = 0;
    for findings in [&mut intent.violations, &mut intent.standing] {
        if !intent.is_kept {
            left_out += leave_one_of_each_rule(findings);
        }
        for violation in findings.iter_mut() {
            redactor.conceal_violation(violation);
        }
    }
    left_out
}

/// Conceals the secrets in what the caller says beside the body.
fn conceal_words(intent: &mut Intent, redactor: &Redactor) {
    if let Some(text) = &mut intent.client.user_agent {
        *text = redactor.scrub_and_cut(text, USER_AGENT_BYTES_MAX);
    }
    if let Some(id) = &mut intent.deployment_id {
        *id = redactor.deployment_id(id);
    }
    if let Some(reason) = intent.approval.as_mut().and_then(ApprovalPart::reason) {
        *reason = redactor.scrub_and_cut(reason, REASON_BYTES_MAX);
    }
}

/// Leaves the first finding of each rule. Returns how many others there were.
fn leave_one_of_each_rule(findings: &mut Vec<Violation>) -> usize {
    let (all, mut rules) = (findings.len(), HashSet::new());
    findings.retain(|finding| rules.insert((finding.rule.clone(), finding.enforcement)));
    all - findings.len()
}

/// Where a deployment changed, computed fields aside. One that was not there before changed in
/// each of its members.
fn changed(
    asked: &CallFacts,
    told_by_patch: &Object,
    before: Option<&Value>,
    after: &Value,
) -> Vec<ChangedPlace> {
    let CallFacts { provider, operation, .. } = *asked;
    diff::changed(provider, operation, told_by_patch, before, after)
}
