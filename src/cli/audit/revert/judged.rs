//! The policy's word on a call that is not made yet.

use serde_json::{Value, json};

use super::super::layout::{Layout, Spans};
use super::super::render::{violation, word};
use super::Work;
use crate::base::clock::Clock;
use crate::base::ids::Fingerprint;
use crate::cli::Environment;
use crate::cli::log::LogFile;
use crate::cli::print::Shade;
use crate::config::policy_file;
use crate::deployment::diff::{Difference, asked_values};
use crate::deployment::patch::Patch;
use crate::deployment::predict::Omitted;
use crate::policy::recorded::{Recorded, rejudge};
use crate::policy::subject::Subject;
use crate::policy::{Actor, Decision, Policy, Violation};
use crate::provider::Provider;

/// The word, as far as a policy could be asked.
pub(super) struct Judged {
    decision: Option<Decision>,
    violations: Vec<Violation>,
    /// Why there is no word.
    fault: Option<String>,
    /// Where the deployment would become another one.
    pub(super) diff: Vec<Difference>,
}

/// The word of the configuration's policy. Who will make the call is not known here: it is judged
/// as that of an actor without a name.
pub(super) fn by_policy(work: &Work, file: &LogFile, environment: &Environment) -> Judged {
    let patch = Patch { object: work.reverting.patch.clone() };
    let (operation, before) = (work.reverting.operation, &work.now.document);
    let omitted = Omitted::Preserved;
    let mut diff = asked_values(work.provider, operation, omitted, Some(before), &patch);
    diff.retain(|place| !place.computed);
    let policy = match policy(file, environment, work.provider) {
        Ok(policy) => policy,
        Err(fault) => {
            let (decision, violations) = (None, Vec::new());
            return Judged { decision, violations, fault: Some(fault), diff };
        }
    };
    let clock = Clock::System;
    let actor = Actor {
        fingerprint: Fingerprint::from_bytes([0; 8]),
        name: None,
        team: None,
        person: None,
    };
    let subject = Subject {
        provider: work.provider,
        operation,
        omitted,
        before: Some(before),
        patch: &patch,
        actor: &actor,
        now: clock.now(),
        clock: &clock,
    };
    let recorded = Recorded { subject, redacted: &[], lacks_body: false, is_plain: true };
    let rejudged = rejudge(&policy, &recorded);
    let violations = rejudged.findings.violations;
    Judged { decision: rejudged.decision, violations, fault: None, diff }
}

/// The policy of the configuration, or why there is none.
fn policy(
    file: &LogFile,
    environment: &Environment,
    provider: &'static Provider,
) -> Result<Policy, String> {
    let config = file.config().ok_or("--database names no policy: give --config FILE")?;
    let path = config.path(environment);
    let unnamed = || format!("{} names no policy", path.display());
    let source = policy_file::read(path, environment.variables()).map_err(|_bad| unnamed())?;
    let file = source.file.ok_or_else(unnamed)?;
    policy_file::load(&file, provider)
        .map_err(|_bad| format!("{} is not valid: see `changegate check`", file.display()))
}

impl Judged {
    pub(super) fn told(&self) -> Value {
        json!({
            "decision": self.decision,
            "violations": self.violations,
            "error": self.fault,
            "diff": self.diff,
        })
    }

    pub(super) fn lines(&self, layout: &Layout) -> Vec<Spans> {
        if let Some(fault) = &self.fault {
            return layout.shaded(&format!("the decision is not known: {fault}"), Shade::Unclear);
        }
        let decision = self.decision.as_ref().map_or("not known".to_owned(), word);
        let shade =
            if self.decision == Some(Decision::Allow) { Shade::Plain } else { Shade::Stopped };
        let note = "by the configuration's policy, for an actor without a name";
        let mut lines = layout.shaded(&format!("decision: {decision} ({note})"), shade);
        let broken = self.violations.iter().map(|broken| format!("  {}", violation(broken)));
        lines.extend(broken.flat_map(|line| layout.text(&line)));
        lines
    }
}
