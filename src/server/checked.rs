//! The check of a configuration with all that is served by it.

use std::path::Path;

use crate::config::check::{Checked, check_with};
use crate::console;

/// Reads and checks a configuration, and all files it names, as a gateway does before it serves:
/// the queries of saved views too. `environment` holds the process's variables.
#[must_use]
pub fn check(path: &Path, environment: &[(String, String)]) -> Checked {
    check_with(path, environment, console::hold_view)
}
