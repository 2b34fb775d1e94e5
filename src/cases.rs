//! Test cases kept as text, so that a new case is a few lines and no code.
//!
//! A file holds cases with a line `====` between them. A case is a title line, then its parts
//! with a line `----` between them; the last part is what is expected.

use std::fs;
use std::path::Path;

/// One case of one file.
pub(crate) struct Case {
    /// The file and the title, to name the case when it fails.
    pub(crate) title: String,
    /// Its parts, without the line breaks around them.
    pub(crate) parts: Vec<String>,
}

/// Every case below `tests/data/<folder>`, at least one.
pub(crate) fn cases(folder: &str) -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(folder);
    let mut files: Vec<_> =
        fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let all: Vec<Case> = files.iter().flat_map(|file| read(file)).collect();
    assert!(!all.is_empty(), "{} holds no case", folder.display());
    all
}

fn read(file: &Path) -> Vec<Case> {
    let text = fs::read_to_string(file).unwrap();
    let case = |text: &str| {
        let (title, rest) = text.trim_start_matches('\n').split_once('\n').unwrap();
        let parts = format!("\n{rest}\n");
        let parts = parts.split("\n----\n").map(|part| part.trim_matches('\n').to_owned());
        Case { title: format!("{}: {title}", file.display()), parts: parts.collect() }
    };
    format!("\n{text}").split("\n====\n").map(case).collect()
}
