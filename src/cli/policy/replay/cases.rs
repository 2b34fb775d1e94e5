//! Changes that are decided otherwise, as cases for `policy test`.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::Value;

use crate::audit::judged::ReadyChange;
use crate::base::count::counted;
use crate::base::visible::plain;
use crate::cli::{Failure, print};
use crate::policy::recorded::Rejudged;
use crate::policy::replay::Moved;

/// The most cases that are written: as many as a file of cases may have.
const CASES_MAX: usize = 10_000;

/// The most bytes of documents that are written: a file of cases may have a few more.
const DOCUMENTS_BYTES_MAX: usize = 60 << 20;

/// The most characters of a case's name.
const NAME_CHARS_MAX: usize = 200;

/// A file of cases on its way.
pub(super) struct CaseWriter {
    path: PathBuf,
    file: BufWriter<File>,
    cases: usize,
    bytes: usize,
    left_out: usize,
}

impl CaseWriter {
    /// Begins a file, in place of what may be there.
    pub(super) fn create(path: &Path, policy: &Path) -> Result<Self, Failure> {
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create(true).truncate(true);
        // The inside of deployments is for those who may read the log.
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(path).with_context(|| format!("can't write {}", path.display()));
        let file = BufWriter::new(file.map_err(Failure::NotCarriedOut)?);
        let mut cases = Self { path: path.to_owned(), file, cases: 0, bytes: 0, left_out: 0 };
        let policy = std::path::absolute(policy).unwrap_or_else(|_| policy.to_owned());
        let head = format!(
            "# Recorded changes that this policy decides otherwise. Each case expects what it \
             says now.\npolicy = {}\n",
            text(&policy.to_string_lossy())
        );
        cases.put(&head)?;
        Ok(cases)
    }

    /// Adds a change. One that can't be judged anew is no case.
    pub(super) fn write(
        &mut self,
        change: &ReadyChange,
        rejudged: &Rejudged,
        moved: &Moved,
    ) -> Result<(), Failure> {
        if rejudged.decision.is_none() || !rejudged.gaps.is_empty() {
            self.left_out += 1;
            return Ok(());
        }
        let before = change.change.before.as_deref().map(document);
        let patch = document(&Value::Object(change.patch().object.clone()));
        let bytes = before.as_ref().map_or(0, String::len) + patch.len();
        if self.cases == CASES_MAX || self.bytes + bytes > DOCUMENTS_BYTES_MAX {
            self.left_out += 1;
            return Ok(());
        }
        self.cases += 1;
        self.bytes += bytes;
        let mut case = format!("\n[[case]] # recorded: {}\n", moved.old.name());
        for (key, value) in facts(change) {
            // Writing into memory does not fail.
            let _written = writeln!(case, "{key} = {}", text(&value));
        }
        for (key, document) in [("before", before), ("patch", Some(patch))] {
            if let Some(document) = document {
                let _written = writeln!(case, "{key} = {document}");
            }
        }
        case.push_str(&expected(rejudged));
        self.put(&case)
    }

    /// Ends the file, and says what it has.
    pub(super) fn finish(mut self) -> Result<(), Failure> {
        let named = || format!("can't write {}", self.path.display());
        let written = self.file.flush().and_then(|()| self.file.get_ref().sync_all());
        written.with_context(named).map_err(Failure::NotCarriedOut)?;
        let left_out = match self.left_out {
            0 => String::new(),
            count => format!("; {count} left out that can't be judged anew or are too many"),
        };
        let path = self.path.display();
        print::error_line(&format!("{path}: {}{left_out}", counted(self.cases, "case")));
        Ok(())
    }

    fn put(&mut self, text: &str) -> Result<(), Failure> {
        let written = self.file.write_all(text.as_bytes());
        let named = || format!("can't write {}", self.path.display());
        written.with_context(named).map_err(Failure::NotCarriedOut)
    }
}

/// The facts of a change in a case, beside its documents.
fn facts(change: &ReadyChange) -> Vec<(&'static str, String)> {
    let change = &change.change;
    let deployment = change.deployment_id.as_deref().map(plain).unwrap_or_default();
    let operation = change.operation.name();
    let name = format!("{} {operation} {deployment}", change.id);
    let name: String = name.trim_end().chars().take(NAME_CHARS_MAX).collect();
    let mut facts = vec![("name", name), ("operation", operation.to_owned())];
    if change.method.as_deref() == Some("PUT") {
        facts.push(("method", "PUT".to_owned()));
    }
    facts.push(("at", change.decided_at.unwrap_or(change.received_at).to_string()));
    let actor = &change.actor;
    facts.push(("actor.fingerprint", actor.fingerprint.to_string()));
    let named =
        [("actor.name", &actor.name), ("actor.team", &actor.team), ("actor.person", &actor.person)];
    facts.extend(named.into_iter().filter_map(|(key, value)| Some((key, value.clone()?))));
    facts
}

/// The expectation of a case: what the policy says now.
fn expected(rejudged: &Rejudged) -> String {
    let decision = rejudged.decision.map_or("", |decision| decision.name());
    let violations = rejudged.findings.violations.iter();
    let rules: BTreeSet<&str> = violations.map(|found| found.rule.as_str()).collect();
    let rules: Vec<String> = rules.into_iter().map(text).collect();
    let rules = rules.join(", ");
    format!("expect.decision = {}\nexpect.rules = [{rules}]\n", text(decision))
}

/// A document as TOML: its JSON as it is where that can stand so, else in escapes.
fn document(value: &Value) -> String {
    let json = serde_json::to_string_pretty(value).unwrap_or_default();
    let is_plain = |c: char| c == '\n' || !c.is_control();
    if json.chars().all(is_plain) && !json.contains("'''") {
        return format!("'''\n{json}\n'''");
    }
    text(&json)
}

/// A text as TOML.
fn text(text: &str) -> String {
    let mut told = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => told.push_str("\\\""),
            '\\' => told.push_str("\\\\"),
            c if c.is_control() => {
                let _written = write!(told, "\\u{:04x}", u32::from(c));
            }
            c => told.push(c),
        }
    }
    told.push('"');
    told
}
