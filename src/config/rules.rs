//! The policy file that a configuration names.

use std::path::PathBuf;

use crate::policy::Policy;
use crate::policy::load::{LoadError, load};
use crate::provider::Provider;
use crate::settings::complaint::Complaint;
use crate::settings::complaint::Location;
use crate::settings::reader::{Reader, read_text};

/// Reads `policy.file`, for deployments of a provider.
pub(super) fn read(
    reader: &mut Reader<'_>,
    provider: &'static Provider,
    files: &mut Vec<PathBuf>,
) -> Option<Policy> {
    if reader.place("policy.file").is_none() {
        let message = "no `policy.file`: every change is recorded and none is forbidden";
        reader.complaints.warn(&Location::File, message);
        return Some(Policy::default());
    }
    let (path, place) = reader.path("policy.file")?;
    files.push(path.clone());
    let text = match read_text(&path) {
        Ok(text) => text,
        Err(why) => {
            let message = format!("`policy.file`: {why}: name a readable file");
            reader.complaints.error(&place, &message);
            return None;
        }
    };
    let loaded = load(&text, provider).and_then(|policy| {
        // A file that is being written is empty for a moment, and forbids nothing then.
        let message =
            "the policy has no rule: write one, or remove `policy.file` to forbid nothing";
        let error = LoadError { line: None, message: message.to_owned() };
        if policy.rules.is_empty() { Err(vec![error]) } else { Ok(policy) }
    });
    let complaint = |LoadError { line, message }| Complaint {
        file: path.clone(),
        line,
        column: None,
        warning: false,
        message,
    };
    let complain = |error| reader.complaints.add_whole(complaint(error));
    loaded.map_err(|errors| errors.into_iter().for_each(complain)).ok()
}
