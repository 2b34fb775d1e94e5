//! `sink.filter`: which records a sink is sent.

use super::SinkFormat;
use crate::provider::Operation;
use crate::settings::key::near;
use crate::settings::raw::{Node, Value};
use crate::settings::reader::{Reader, member};
use crate::settings::value::{Meant, flag, text};

/// The keys of a filter, each with the words that it may be; none where any text may be.
const KEYS: [(&str, &[&str]); 9] = [
    ("decision", &["allow", "warn", "deny", "refuse"]),
    ("outcome", &["applied", "denied", "refused", "rejected", "failed", "unknown"]),
    ("operation", &["create", "update", "archive", "pause", "unpause", "run"]),
    ("effect", &["exact", "partial", "none", "other"]),
    ("deployment_id", &[]),
    ("team", &[]),
    ("actor", &[]),
    ("rule", &[]),
    ("events", &[]),
];

/// Which records a sink is sent: changes of which all holds, and the rest or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SinkFilter {
    /// So decided.
    pub decision: Option<String>,
    /// So ended.
    pub outcome: Option<String>,
    /// Of this operation.
    pub operation: Option<Operation>,
    /// With this effect.
    pub effect: Option<String>,
    /// Of this deployment.
    pub deployment_id: Option<String>,
    /// By this team.
    pub team: Option<String>,
    /// By this actor: a name or a fingerprint.
    pub actor: Option<String>,
    /// Breaking this rule.
    pub rule: Option<String>,
    /// Whether what is no change is sent too.
    pub events: bool,
}

impl Default for SinkFilter {
    fn default() -> Self {
        let (decision, outcome, operation, effect) = (None, None, None, None);
        let (deployment_id, team, actor, rule) = (None, None, None, None);
        Self {
            decision,
            outcome,
            operation,
            effect,
            deployment_id,
            team,
            actor,
            rule,
            events: true,
        }
    }
}

/// Reads the filter of a `[[sink]]`. OCSF has a class for changes alone.
pub(super) fn read(reader: &mut Reader<'_>, table: &Node, format: SinkFormat) -> SinkFilter {
    let all = SinkFilter { events: format == SinkFormat::Change, ..SinkFilter::default() };
    let Some(node) = member(table, "sink[].filter").cloned() else { return all };
    let Value::Table(fields) = &node.value else {
        let message = "`sink.filter`: write a table, such as { decision = \"deny\" }";
        reader.complaints.error(&node.place, message);
        return all;
    };
    for (name, field) in fields {
        let names = || KEYS.iter().map(|(name, _)| *name);
        if !names().any(|known| known == name) {
            let fix = match near(name, names()) {
                Some(other) => format!("did you mean `{other}`?"),
                None => format!("known here: {}", names().collect::<Vec<_>>().join(", ")),
            };
            let message = format!("unknown key `sink.filter.{}`: {fix}", name.escape_debug());
            reader.complaints.error(&field.place, &message);
        }
    }
    let mut given = |name: &str| word(reader, &node, name);
    let filter = SinkFilter {
        decision: given("decision"),
        outcome: given("outcome"),
        operation: given("operation").and_then(|name| Operation::named(&name)),
        effect: given("effect"),
        deployment_id: given("deployment_id"),
        team: given("team"),
        actor: given("actor"),
        rule: given("rule"),
        events: true,
    };
    let events = reader.optional(&node, "sink[].filter.events", flag);
    if format == SinkFormat::Ocsf {
        if let Some((true, place)) = &events {
            let message = "`sink.filter.events` means nothing where `format` is \"ocsf\", which \
                tells of changes alone: remove it, or add a sink without `format` for the rest";
            reader.complaints.error(place, message);
        }
        return SinkFilter { events: false, ..filter };
    }
    let events = events.map_or(filter == SinkFilter::default(), |(events, _)| events);
    SinkFilter { events, ..filter }
}

/// The text that a key of the filter has, which must be one of its words.
fn word(reader: &mut Reader<'_>, node: &Node, name: &str) -> Option<String> {
    let words = KEYS.iter().find(|(known, _)| *known == name).map_or(&[][..], |(_, words)| *words);
    let meaning = |node: &Node| -> Meant<String> {
        let text = text(node)?;
        if words.is_empty() || words.contains(&text.as_str()) {
            return Ok(text);
        }
        Err(format!("write one of {}", words.join(", ")))
    };
    reader.optional(node, &format!("sink[].filter.{name}"), meaning).map(|(text, _)| text)
}
