//! The tools that the machine has beside this program.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use super::table::note;

/// Tools of which a line has said that they are not there.
static MISSED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// Where a tool is, if it is there; else a line says how to get it.
pub(crate) fn tool(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let also = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    let found = std::env::split_paths(&path)
        .chain(also)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file());
    let mut missed = MISSED.lock().unwrap_or_else(PoisonError::into_inner);
    if found.is_none() && missed.insert(name.to_owned()) {
        note(&format!("no {name}, skipped: apt-get install {}", package(name)));
    }
    found
}

/// Debian's package that holds a tool.
fn package(tool: &str) -> &str {
    match tool {
        "h2load" => "nghttp2-client",
        "taskset" => "util-linux",
        other => other,
    }
}
