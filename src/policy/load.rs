//! The policy file (TOML) → [`Policy`](super::Policy), or every complaint about it.

use super::Policy;

/// One thing that is wrong in the policy file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadError {
    /// Line in the file, from 1, where it can be told.
    pub line: Option<usize>,
    /// What is wrong and how to mend it.
    pub message: String,
}

/// Reads the text of a policy file.
pub fn load(text: &str) -> Result<Policy, Vec<LoadError>> {
    let failed = |error: toml::de::Error| {
        let line = error.span().and_then(|span| text.get(..span.start));
        let line = line.map(|before| before.matches('\n').count() + 1);
        vec![LoadError { line, message: error.message().to_owned() }]
    };
    text.parse::<toml::Table>().map_err(failed)?;
    Ok(Policy::default())
}
