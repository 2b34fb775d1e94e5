//! Every key that may be typed, with its default: the one list from which unknown keys, names of
//! variables, defaults and the reference file are judged.

use std::collections::BTreeSet;

/// One key of the configuration file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key {
    /// Its dotted path; `[]` stands after an array of tables.
    pub(super) path: &'static str,
    /// The default, as TOML; `None` where nothing can be guessed.
    pub(super) default: Option<&'static str>,
}

const fn with(path: &'static str, default: &'static str) -> Key {
    Key { path, default: Some(default) }
}

const fn bare(path: &'static str) -> Key {
    Key { path, default: None }
}

/// All keys, in the reference file's order.
pub(super) const KEYS: [Key; 50] = [
    with("listen.proxy", "'127.0.0.1:8080'"),
    with("listen.admin", "'127.0.0.1:8081'"),
    with("listen.trusted_proxies", "[]"),
    bare("listen.tls.cert"),
    bare("listen.tls.key"),
    bare("listen.admin_tls.cert"),
    bare("listen.admin_tls.key"),
    with("upstream.name", "'main'"),
    bare("upstream.provider"),
    bare("upstream.url"),
    bare("upstream.ca_file"),
    with("upstream.connect_timeout", "'5s'"),
    with("upstream.response_timeout", "'60s'"),
    with("upstream.allow_writes", "[]"),
    with("node.name", "'main'"),
    bare("policy.file"),
    with("rate_limit.enabled", "true"),
    with("rate_limit.read.per_second", "50"),
    with("rate_limit.read.burst", "100"),
    with("rate_limit.write.per_second", "20"),
    with("rate_limit.write.burst", "40"),
    with("audit.database", "'sqlite://changegate.db'"),
    with("audit.key_file", "'changegate.key'"),
    with("audit.other_writes", "'metadata'"),
    with("audit.finish_timeout", "'5s'"),
    bare("limits.body_bytes"),
    with("limits.answer_bytes", "'32 MiB'"),
    with("limits.header_bytes", "'64 KiB'"),
    with("limits.header_count", "100"),
    with("limits.json_depth", "64"),
    with("limits.kept_bytes_per_minute", "'64 MiB'"),
    with("limits.header_timeout", "'10s'"),
    with("limits.body_timeout", "'30s'"),
    with("limits.write_timeout", "'30s'"),
    with("limits.pace_timeout", "'20s'"),
    with("limits.idle_timeout", "'75s'"),
    with("limits.connections", "10000"),
    with("limits.connections_per_address", "1000000"),
    with("limits.turn_timeout", "'30s'"),
    with("limits.drain_timeout", "'8s'"),
    with("actors.unknown", "'allow'"),
    bare("actor"),
    bare("actor[].fingerprint"),
    bare("actor[].name"),
    bare("actor[].team"),
    bare("admin.token"),
    bare("admin.token[].name"),
    bare("admin.token[].role"),
    bare("admin.token[].sha256"),
    with("redact.pointers", "[]"),
];

/// Keys whose value may hold a secret, also where it was typed there by mistake: no complaint
/// repeats it.
const HIDDEN: [&str; 4] =
    ["upstream.url", "audit.database", "actor[].fingerprint", "admin.token[].sha256"];

/// The key at a path.
pub(super) fn named(path: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.path == path)
}

/// Whether keys lie below the path.
pub(super) fn is_section(path: &str) -> bool {
    KEYS.iter().any(|key| below(path, key.path).is_some())
}

/// Whether complaints keep the value to themselves.
pub(super) fn hidden(path: &str) -> bool {
    HIDDEN.contains(&path)
}

/// The text to write in place of the unknown key `name` of `section` (empty at the top).
pub(super) fn fix(section: &str, name: &str) -> String {
    let siblings = siblings(section);
    let near = siblings
        .iter()
        .map(|sibling| (strsim::damerau_levenshtein(sibling, &name.to_lowercase()), sibling))
        .filter(|(distance, sibling)| *distance <= 1.max(sibling.len() / 3))
        .min();
    if let Some((_, sibling)) = near {
        return format!("did you mean `{sibling}`?");
    }
    let elsewhere = KEYS.iter().filter_map(|key| key.path.rsplit_once('.'));
    if let Some((home, _)) = elsewhere.clone().find(|(_, last)| *last == name) {
        return match home.strip_suffix("[]") {
            Some(home) => format!("it belongs in [[{home}]]"),
            None => format!("it belongs in [{home}]"),
        };
    }
    let known: Vec<&str> = siblings.into_iter().collect();
    format!("remove it; known here: {}", known.join(", "))
}

/// The names that may stand directly in a section.
fn siblings(section: &str) -> BTreeSet<&'static str> {
    let names = KEYS.iter().filter_map(|key| below(section, key.path));
    names.filter_map(|rest| rest.split(['.', '[']).next()).collect()
}

/// The part of `path` below `section`.
fn below(section: &str, path: &'static str) -> Option<&'static str> {
    if section.is_empty() { Some(path) } else { path.strip_prefix(section)?.strip_prefix('.') }
}
