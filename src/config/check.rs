//! What was typed → the checked [`Config`](super::Config), or every complaint at once.

use std::path::{Path, PathBuf};

use super::Config;

/// One thing that is wrong or doubtful, with its place and its fix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint {
    /// The file.
    pub file: PathBuf,
    /// Line in it, from 1; none where the file as a whole is meant.
    pub line: Option<usize>,
    /// Whether it only warns.
    pub warning: bool,
    /// What is wrong and how to mend it, in one sentence.
    pub message: String,
}

/// What a check found.
#[derive(Debug)]
pub struct Checked {
    /// The configuration, where no complaint forbids it.
    pub config: Option<Config>,
    /// Everything found, in the order of the files' lines.
    pub complaints: Vec<Complaint>,
}

/// Reads and checks a configuration, and all files it names. `environment` holds the process's
/// variables.
#[must_use]
pub fn check(path: &Path, environment: &[(String, String)]) -> Checked {
    let _ = (path, environment);
    todo!()
}
