//! The configuration file and its environment.

use super::assert_shown;
use crate::audit::redact::{Redacted, Redaction};
use crate::base::key::{DigestScope, Key};
use crate::config::check::check_text;

/// Any text gives a configuration, or complaints of which one forbids it; each names its line.
///
/// A line `#env NAME=VALUE` sets a variable, as in `tests/data/config`.
///
/// # Panics
/// Where that does not hold.
pub fn config(text: &[u8]) {
    let Ok(text) = str::from_utf8(text) else { return };
    // A file of these might never end.
    if ["/dev", "/proc", "/sys"].iter().any(|folder| text.contains(folder)) {
        return;
    }
    let variables = text.lines().filter_map(|line| line.strip_prefix("#env ")?.split_once('='));
    let environment: Vec<_> =
        variables.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let path = std::env::temp_dir().join("changegate.toml");
    let checked = check_text(&path, text, &environment);

    let lines = text.split('\n').count();
    let mut forbidden = false;
    for complaint in &checked.complaints {
        assert_shown(&complaint.message);
        let within = complaint.line.is_none_or(|line| (1..=lines).contains(&line));
        assert!(within || complaint.file != path, "{complaint:?}");
        forbidden |= !complaint.warning;
    }
    assert_eq!(checked.config.is_none(), forbidden, "{:?}", checked.complaints);
    if let Some(config) = checked.config {
        let open = !config.listen.admin.is_local();
        assert!(!open || config.asks_who_comes(), "{:?}", config.listen);
        assert!((1..=128).contains(&config.limits.json_depth));
        let budgets = config.rate_limit.map_or(vec![], |limit| vec![limit.read, limit.write]);
        assert!(budgets.iter().all(|budget| budget.rate.count() > 0 && budget.burst > 0));
        let key = Key::from_bytes([7; 32]);
        let redaction = Redaction::new(key, config.upstream.provider, &config.redact);
        let redactor = redaction.within(DigestScope::Gateway);
        redactor.conceal(&mut serde_json::json!({"metadata": [{}]}), "", &mut Redacted::default());
    }
}
