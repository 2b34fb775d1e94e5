//! `[references]`.

use super::built_in;
use crate::policy::Mention;
use crate::policy::rule::references::{IdPattern, ReferencesRule, UrlPattern};
use crate::policy::rule::{Rule, RuleKind};
use crate::settings::raw::Node;
use crate::settings::reader::Reader;
use crate::settings::value::{Meant, flag, text};

/// Reads `[references]`. A list that is absent allows anything, one that is empty nothing.
pub(super) fn rule(reader: &mut Reader<'_>, mentions: &mut Vec<Mention>) -> Option<Rule> {
    let section = reader.typed.section("references")?.clone();
    let rule = ReferencesRule {
        agents: list(reader, "references.agents", id),
        environments: list(reader, "references.environments", id),
        vaults: list(reader, "references.vaults", id),
        resource_types: list(reader, "references.resource_types", id),
        resource_urls: list(reader, "references.resource_urls", url),
        pinned_agent_version: reader.value("references.pinned_agent_version", flag),
    };
    if rule.parts().next().is_none() {
        let message = "[references] holds nothing to anything: add a list such as `agents`, or \
            remove the section";
        reader.complaints.error(&section, message);
    }
    Some(built_in(reader, "references", RuleKind::References(rule), mentions))
}

fn list<P>(
    reader: &mut Reader<'_>,
    path: &str,
    meaning: impl Fn(&Node) -> Meant<P>,
) -> Option<Vec<P>> {
    reader.place(path)?;
    Some(reader.each(path, meaning).into_iter().map(|(pattern, _place)| pattern).collect())
}

fn id(node: &Node) -> Meant<IdPattern> {
    IdPattern::parse(&text(node)?).map_err(str::to_owned)
}

fn url(node: &Node) -> Meant<UrlPattern> {
    UrlPattern::parse(&text(node)?)
}
