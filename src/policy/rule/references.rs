//! The built-in rule on what deployments refer to: agents, environments, vaults and resources.

mod glob;
mod places;
mod url;

use std::collections::HashMap;
use std::fmt::Display;

use serde_json::Value;

pub use self::glob::IdPattern;
use self::places::{Kind, Reference};
use self::url::Url;
pub use self::url::UrlPattern;
use super::{Context, Finding, RuleFindings};
use crate::base::excerpt::excerpt;
use crate::base::pointer::child;
use crate::deployment::diff::same;
use crate::deployment::members::Members;
use crate::deployment::name::is_taken_for;

/// The part of the rule that an agent is named with its version.
const PINNED_AGENT_VERSION: &str = "pinned_agent_version";

/// The most patterns that a message lists.
const PATTERNS_SHOWN_MAX: usize = 10;

/// The most characters of an id, and of a URL, that a message shows.
const CHARS_SHOWN_MAX: usize = 128;

/// `[references]`: what deployments may refer to. `None` is anything, an empty list nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReferencesRule {
    /// Agents, by id.
    pub agents: Option<Vec<IdPattern>>,
    /// Environments, by id.
    pub environments: Option<Vec<IdPattern>>,
    /// Vaults, by id.
    pub vaults: Option<Vec<IdPattern>>,
    /// Types of resources.
    pub resource_types: Option<Vec<IdPattern>>,
    /// URLs of resources.
    pub resource_urls: Option<Vec<UrlPattern>>,
    /// Whether an agent must be named with its version.
    pub pinned_agent_version: bool,
}

/// A reference that may not be.
struct Refused<'v> {
    reference: Reference<'v>,
    fault: String,
}

impl ReferencesRule {
    /// The parts that the policy has, by the names of their keys in its file.
    pub(crate) fn parts(&self) -> impl Iterator<Item = &'static str> {
        let parts = [
            (Kind::Agents.part(), self.agents.is_some()),
            (Kind::Environments.part(), self.environments.is_some()),
            (Kind::Vaults.part(), self.vaults.is_some()),
            (Kind::ResourceTypes.part(), self.resource_types.is_some()),
            (Kind::ResourceUrls.part(), self.resource_urls.is_some()),
            (PINNED_AGENT_VERSION, self.pinned_agent_version),
        ];
        parts.into_iter().filter_map(|(part, is_there)| is_there.then_some(part))
    }

    /// Notes every reference of `reading` that may not be.
    pub(super) fn check(
        &self,
        context: &Context<'_>,
        reading: &Members<'_>,
        found: &mut RuleFindings<'_>,
    ) {
        for (kind, patterns) in [
            (Kind::Agents, &self.agents),
            (Kind::Environments, &self.environments),
            (Kind::Vaults, &self.vaults),
            (Kind::ResourceTypes, &self.resource_types),
        ] {
            let Some(patterns) = patterns else { continue };
            let is_allowed = |id: &str| {
                if patterns.iter().any(|pattern| pattern.names(id)) {
                    return Ok(());
                }
                Err(format!("`{}` is not allowed", excerpt(id, CHARS_SHOWN_MAX)))
            };
            check_kind(context, reading, (kind, &allowed(patterns)), is_allowed, found);
        }
        if let Some(patterns) = &self.resource_urls {
            let is_allowed = |text: &str| match Url::read(text) {
                Ok(url) if patterns.iter().any(|pattern| pattern.names(&url)) => Ok(()),
                Ok(url) => {
                    let url = excerpt(&url.to_string(), CHARS_SHOWN_MAX);
                    Err(format!("`{url}` is not allowed"))
                }
                Err(why) => Err(format!("the URL is not allowed, since {why}")),
            };
            let kind = (Kind::ResourceUrls, &*allowed(patterns));
            check_kind(context, reading, kind, is_allowed, found);
        }
        if self.pinned_agent_version {
            check_version(context, reading, found);
        }
    }

    /// The meaning, in words.
    pub(super) fn words(&self) -> Vec<String> {
        fn told<P: Display>(what: &str, patterns: Option<&Vec<P>>) -> Option<String> {
            let patterns: Vec<String> = patterns?.iter().map(|p| format!("`{p}`")).collect();
            Some(match patterns.as_slice() {
                [] => format!("No {what} may be referred to."),
                _ => format!("Only these {what} may be referred to: {}.", patterns.join(", ")),
            })
        }
        let pinned = "An agent is named with its version: by its id alone it would be pinned anew.";
        [
            told("agents", self.agents.as_ref()),
            told("environments", self.environments.as_ref()),
            told("vaults", self.vaults.as_ref()),
            told("types of resources", self.resource_types.as_ref()),
            told("URLs of resources", self.resource_urls.as_ref()),
            self.pinned_agent_version.then(|| pinned.to_owned()),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

/// Notes the references of a kind that are not allowed.
fn check_kind(
    context: &Context<'_>,
    reading: &Members<'_>,
    (kind, allowed): (Kind, &str),
    is_allowed: impl Fn(&str) -> Result<(), String>,
    found: &mut RuleFindings<'_>,
) {
    let mut refused = Vec::new();
    kind.each(reading, &mut |reference| {
        let fault = match reference.id {
            Ok(id) => is_allowed(id).err(),
            Err(fault) => Some(fault.to_owned()),
        };
        refused.extend(fault.map(|fault| Refused { reference, fault }));
    });
    if refused.is_empty() {
        return;
    }
    // Each that was there before is left as it was once; one more of it is new.
    let mut standing: HashMap<&str, usize> = HashMap::new();
    kind.each(&context.before, &mut |reference| {
        if let Ok(id) = reference.id {
            *standing.entry(id).or_default() += 1;
        }
    });
    for Refused { reference, fault } in refused {
        let path = reference.pointer();
        let is_standing = match reference.id {
            Ok(id) => standing.get_mut(id).is_some_and(|left| {
                let is_left = *left > 0;
                *left = left.saturating_sub(1);
                is_left
            }),
            Err(_) => context.before.pointer(&path).is_some_and(|it| same(it, reference.value)),
        };
        let fault = format!("{fault} as {}: {allowed}", reference.dotted());
        let actual = Some(reference.value.clone());
        found.add(!is_standing, Finding { part: Some(kind.part()), path, fault, actual });
    }
}

/// Notes an agent that is named without its version: it takes the latest one.
fn check_version(context: &Context<'_>, reading: &Members<'_>, found: &mut RuleFindings<'_>) {
    for (name, agent) in reading.taken_for("agent") {
        if agent.is_null() {
            continue;
        }
        let members = agent.as_object();
        let version = members.and_then(|members| members.get("version"));
        let is_number = |version: &Value| version.as_u64().is_some_and(|version| version > 0);
        let mut others = members.into_iter().flatten();
        let is_pinned = version.is_some_and(is_number)
            && others.all(|(name, value)| !is_taken_for(name, "version") || is_number(value));
        if is_pinned {
            continue;
        }
        let touched = !context.before.get(name).is_some_and(|before| same(before, agent));
        let fault = "the agent is named without its version, so that it would be pinned to the \
            latest one: send `agent` with `id` and `version`, a number from 1 on, or leave it out";
        let path = child(&child("", name), "version");
        let (part, fault) = (Some(PINNED_AGENT_VERSION), fault.to_owned());
        found.add(touched, Finding { part, path, fault, actual: version.cloned() });
    }
}

/// The fix: what is allowed instead.
fn allowed<P: Display>(patterns: &[P]) -> String {
    if patterns.is_empty() {
        return "leave it out, none is allowed".to_owned();
    }
    let shown: Vec<String> =
        patterns.iter().take(PATTERNS_SHOWN_MAX).map(ToString::to_string).collect();
    let more = match patterns.len().saturating_sub(shown.len()) {
        0 => String::new(),
        more => format!(" ({more} more are allowed)"),
    };
    format!("use {}{more}", shown.join(" or "))
}
