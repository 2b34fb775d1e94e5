//! The part of a configuration that tests of its policy need, and the policy itself. Nothing else
//! of it is looked at: policies are tested where neither the log nor certificates are.

use std::path::{Path, PathBuf};

use super::keys::KEYS;
use super::upstream;
use crate::policy::Policy;
use crate::policy::load::{LoadError, load as load_text};
use crate::provider::Provider;
use crate::settings::complaint::{Complaint, Complaints, Location};
use crate::settings::raw::Typed;
use crate::settings::reader::{Reader, read_text};

/// The policy that a configuration names, and whose deployments it is about.
#[derive(Clone, Debug)]
pub struct PolicySource {
    /// `policy.file`; `None` where there is none.
    pub file: Option<PathBuf>,
    /// `upstream.provider`; `None` where there is none that can be read.
    pub provider: Option<&'static Provider>,
}

/// Reads the configuration at `path` as far as its policy is concerned, or says why it can't be.
pub fn read(path: &Path, environment: &[(String, String)]) -> Result<PolicySource, Vec<Complaint>> {
    let mut complaints = Complaints::about(path.to_owned());
    let text = read_text(path).map_err(|why| {
        let mut complaints = Complaints::about(path.to_owned());
        complaints.error(&Location::File, &why);
        complaints.in_order()
    })?;
    let Some(typed) = Typed::read(&KEYS, &text, environment, &mut complaints) else {
        return Err(complaints.in_order());
    };
    // What is wrong elsewhere concerns the gateway.
    let mut complaints = Complaints::about(path.to_owned());
    let folder = path.parent().map(Path::to_owned).unwrap_or_default();
    let mut reader = Reader { typed, folder, complaints: &mut complaints };
    let file = reader.path("policy.file").map(|(path, _)| path);
    let provider = reader.read("upstream.provider", upstream::provider);
    let complaints = complaints.in_order();
    if !complaints.is_empty() {
        return Err(complaints);
    }
    Ok(PolicySource { file, provider: provider.map(|(provider, _)| provider) })
}

/// Reads the policy at `path`, for deployments of a provider, or says everything that is wrong.
pub fn load(path: &Path, provider: &'static Provider) -> Result<Policy, Vec<Complaint>> {
    let text = read_text(path).map_err(|message| vec![about(path, None, message)])?;
    of_text(path, &text, provider)
}

/// Reads the policy that a log serves, for deployments of a provider.
pub(crate) fn of_log(text: &str, provider: &'static Provider) -> Result<Policy, Vec<String>> {
    let read = of_text(Path::new("the log's policy"), text, provider);
    read.map_err(|complaints| complaints.iter().map(ToString::to_string).collect())
}

/// Reads the text of the policy at `path`.
pub(super) fn of_text(
    path: &Path,
    text: &str,
    provider: &'static Provider,
) -> Result<Policy, Vec<Complaint>> {
    let loaded = load_text(text, provider).and_then(|policy| {
        // A file that is being written is empty for a moment, and forbids nothing then.
        let message =
            "the policy has no rule: write one, or remove `policy.file` to forbid nothing";
        let error = LoadError { line: None, column: None, message: message.to_owned() };
        if policy.rules.is_empty() { Err(vec![error]) } else { Ok(policy) }
    });
    let complaint =
        |LoadError { line, column, message }| Complaint { column, ..about(path, line, message) };
    loaded.map_err(|errors| errors.into_iter().map(complaint).collect())
}

/// A complaint about the policy at `path`.
pub(super) fn about(path: &Path, line: Option<usize>, message: String) -> Complaint {
    Complaint { file: path.to_owned(), line, column: None, warning: false, message }
}
