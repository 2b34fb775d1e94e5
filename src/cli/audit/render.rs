//! Changes and events as people read them. Pure: values in, lines out.

use serde::Serialize;
use serde_json::Value;

use super::approved;
use super::differences::{self, path};
use super::layout::{Layout, Spans};
use super::text::{json, plain};
use super::zone::Zone;
use crate::audit::query::DeploymentSummary;
use crate::audit::record::{Bodies, Change, Event, Outcome, Settlement, UpstreamCall};
use crate::base::count::counted;
use crate::cli::print::Shade;
use crate::deployment::diff::{Difference, asked_values};
use crate::deployment::patch::Patch;
use crate::deployment::predict::Omitted;
use crate::policy::{Actor, Decision, Violation};
use crate::provider::Provider;

/// The columns of a list of changes.
pub(super) const CHANGE_HEADINGS: [&str; 8] =
    ["RECEIVED", "CHANGE", "DEPLOYMENT", "ACTOR", "OPERATION", "DECISION", "OUTCOME", "RULES"];

/// The columns of a list of events.
pub(super) const EVENT_HEADINGS: [&str; 5] = ["AT", "KIND", "ACTOR", "FROM", "DETAIL"];

/// The columns of a list of deployments.
pub(super) const DEPLOYMENT_HEADINGS: [&str; 5] =
    ["DEPLOYMENT", "NAME", "CHANGES", "LAST CHANGED", "LAST CHANGE"];

/// The sign for nothing.
const NOTHING: &str = "-";

/// How wide the names before the facts are.
const LABEL_WIDTH: usize = 12;

/// A change in a list.
pub(super) fn change_row(change: &Change) -> [String; 8] {
    let mut rules: Vec<_> = change.violations.iter().map(|broken| plain(&broken.rule)).collect();
    rules.dedup();
    [
        Zone::utc().second(change.received_at),
        change.id.to_string(),
        change.deployment_id.as_deref().map_or(NOTHING.to_owned(), plain),
        short_actor(&change.actor),
        change.operation.to_string(),
        word(&change.decision),
        ending(change),
        rules.join(", "),
    ]
}

/// How a change's decision stands out.
pub(super) fn decision_shade(change: &Change) -> Shade {
    match change.decision {
        Decision::Deny | Decision::Refuse => Shade::Stopped,
        Decision::Allow | Decision::Warn => Shade::Plain,
    }
}

/// How a change's outcome stands out.
pub(super) fn outcome_shade(change: &Change) -> Shade {
    match change.outcome {
        Outcome::Denied | Outcome::Refused => Shade::Stopped,
        Outcome::Unknown => Shade::Unclear,
        Outcome::Pending | Outcome::Applied | Outcome::Rejected | Outcome::Failed => Shade::Plain,
    }
}

/// An event in a list.
pub(super) fn event_row(event: &Event) -> [String; 5] {
    [
        Zone::utc().second(event.at),
        word(&event.kind),
        event.actor.as_ref().map_or(NOTHING.to_owned(), short_actor),
        event.client_ip.as_deref().map_or(NOTHING.to_owned(), plain),
        detail(&event.detail),
    ]
}

/// A deployment in a list.
pub(super) fn deployment_row(found: &DeploymentSummary) -> [String; 5] {
    [
        plain(&found.id),
        found.name.as_deref().map_or(NOTHING.to_owned(), plain),
        found.changes.to_string(),
        Zone::utc().second(found.last_changed_at),
        found.last_change.to_string(),
    ]
}

/// A whole change: first who, from where, when and what came of it, then where it differs.
pub(super) fn change(change: &Change, zone: &Zone, layout: &Layout) -> Vec<Spans> {
    let mut page = Page { layout, lines: layout.text(&format!("change {}", change.id)) };
    for (label, fact) in facts(change, zone) {
        page.lines.extend(layout.text(&format!("{label:LABEL_WIDTH$}{fact}")));
    }
    page.rules("violations", &change.violations);
    page.rules("standing, broken before already", &change.standing);
    page.rules("broken after, though that was not predicted", &change.after_violations);
    if let Some(bodies) = &change.bodies {
        page.contents(change, bodies);
    }
    if !change.redacted.is_empty() {
        page.section("concealed", change.redacted.iter().map(|path| plain(path)));
    }
    page.lines
}

/// One step of a deployment's history: a line, and below it where it differs.
pub(super) fn step(change: &Change, zone: &Zone, layout: &Layout) -> Vec<Spans> {
    let head = format!(
        "{}  {}  {}  by {}  {}  {}",
        zone.second(change.received_at),
        change.id,
        change.operation,
        short_actor(&change.actor),
        word(&change.decision),
        ending(change),
    );
    let broken = change.violations.iter().map(|broken| format!("  ! {}", violation(broken)));
    let diff = change.bodies.iter().flat_map(|bodies| &bodies.diff);
    let moved = diff.filter(|place| !place.computed);
    let shade = match decision_shade(change) {
        Shade::Plain => Shade::Heading,
        shade => shade,
    };
    let mut lines = layout.shaded(&head, shade);
    lines.extend(broken.flat_map(|line| layout.text(&line)));
    lines.extend(moved.flat_map(|place| differences::lines(place, layout, 2)));
    lines
}

/// The operation, and the method where that is not the usual one.
fn asked(change: &Change) -> String {
    match change.method.as_deref() {
        Some(method) if method != "POST" => format!("{} ({})", change.operation, plain(method)),
        _ => change.operation.to_string(),
    }
}

fn facts(change: &Change, zone: &Zone) -> Vec<(&'static str, String)> {
    let optional = |text: Option<&str>| text.map_or(NOTHING.to_owned(), plain);
    let agent = change.client.user_agent.as_deref();
    let agent = agent.map(|agent| format!(", {}", plain(agent))).unwrap_or_default();
    let mut facts = vec![
        ("who", whole_actor(&change.actor)),
        ("from", format!("{}{agent}", plain(&change.client.ip))),
        ("when", span(change, zone)),
        ("asked", asked(change)),
        ("deployment", optional(change.deployment_id.as_deref())),
        ("provider", plain(&change.provider)),
        ("request", plain(&change.request_id)),
        ("decision", word(&change.decision)),
        ("outcome", word(&change.outcome)),
    ];
    facts.extend(approved::facts(change, zone));
    if let Some(settled) = &change.settled {
        facts.push(("settled", settlement(settled, zone)));
    }
    if let Some(late) = &change.late {
        let (outcome, node, at) = (word(&late.outcome), plain(&late.node), zone.whole(late.at));
        facts.push(("too late", format!("{outcome}, as {node} knew it at {at}")));
    }
    let answer = change.upstream.as_ref().map_or(not_answered(change.outcome), |answer| {
        let status = answer.status.map_or("no answer".to_owned(), |status| status.to_string());
        let id = answer.request_id.as_deref();
        let id = id.map(|id| format!(", request {}", plain(id))).unwrap_or_default();
        match answer.call {
            UpstreamCall::Change => format!("{status}{id}"),
            UpstreamCall::Read => {
                format!("{status} to the read before{id}; the change was not forwarded")
            }
        }
    });
    facts.push(("upstream", answer));
    // What the policy denies for is listed rule by rule.
    if let Some(reason) = change.reason.as_ref().filter(|_| change.violations.is_empty()) {
        let said = [reason.kind.as_deref(), reason.message.as_deref()];
        let said: Vec<&str> = said.into_iter().flatten().filter(|text| !text.is_empty()).collect();
        facts.push(("reason", plain(format!("{} {}", reason.status, said.join(": ")).trim_end())));
    }
    if let Some(effect) = &change.effect {
        facts.push(("effect", word(effect)));
    }
    if let Some(body) = &change.body {
        let digest = body.digest.as_deref().map(|digest| format!(", {}", plain(digest)));
        let bytes = counted(body.bytes, "byte");
        facts.push(("body", format!("{bytes}{}", digest.unwrap_or_default())));
    }
    for (name, body) in [
        ("patch", &change.unkept.patch),
        ("before", &change.unkept.before),
        ("after", &change.unkept.after),
    ] {
        if let Some(body) = body {
            let digest = body.digest.as_deref().map(|digest| format!(", {}", plain(digest)));
            let digest = digest.unwrap_or_default();
            facts.push(("not kept", format!("{name}: {}{digest}", counted(body.bytes, "byte"))));
        }
    }
    if let Some(erased) = change.unkept.erased_words() {
        facts.push(("erased", erased));
    }
    if change.unkept.findings > 0 {
        facts.push(("not listed", counted(change.unkept.findings, "more finding")));
    }
    facts.push(("policy", plain(&change.policy_digest)));
    facts
}

/// The words for a call without an answer of upstream's.
fn not_answered(outcome: Outcome) -> String {
    let told = match outcome {
        Outcome::Denied | Outcome::Refused | Outcome::Failed | Outcome::Rejected => {
            "nothing was forwarded"
        }
        Outcome::Pending => "not known yet whether it was forwarded",
        Outcome::Applied | Outcome::Unknown => "not known whether it was forwarded",
    };
    told.to_owned()
}

/// The lines of a change, part by part.
struct Page<'l> {
    layout: &'l Layout,
    lines: Vec<Spans>,
}

impl Page<'_> {
    /// Adds the difference where there is an after, else what was asked for.
    fn contents(&mut self, change: &Change, bodies: &Bodies) {
        if let Some(erased) = change.unkept.erased_clause() {
            let erased = format!("not told: {erased}, `audit erase --status` tells why");
            return self.section("changed", [erased]);
        }
        if bodies.after.is_none() {
            if let Some(patch) = &bodies.patch {
                match asked_for(change, patch, bodies.before.as_ref()) {
                    Asked::Places(places) => self.places("asked for", places.iter()),
                    Asked::Body(lines) => self.section("asked for", lines),
                }
            }
            return;
        }
        self.places("changed", bodies.diff.iter().filter(|place| !place.computed));
        if bodies.diff.iter().any(|place| place.computed) {
            self.places("changed by the server", bodies.diff.iter().filter(|place| place.computed));
        }
    }

    fn rules(&mut self, title: &str, broken: &[Violation]) {
        if !broken.is_empty() {
            self.section(title, broken.iter().map(violation));
        }
    }

    fn places<'d>(&mut self, title: &str, places: impl Iterator<Item = &'d Difference>) {
        let mut places = places.peekable();
        if places.peek().is_none() {
            return self.section(title, ["nothing".to_owned()]);
        }
        self.section(title, []);
        self.lines.extend(places.flat_map(|place| differences::lines(place, self.layout, 2)));
    }

    fn section(&mut self, title: &str, content: impl IntoIterator<Item = String>) {
        self.lines.push(Vec::new());
        self.lines.extend(self.layout.shaded(&format!("{title}:"), Shade::Heading));
        let content = content.into_iter().map(|line| format!("  {line}"));
        self.lines.extend(content.flat_map(|line| self.layout.text(&line)));
    }
}

/// `rule (enforcement) at path: message (found …)`. A message that begins with its rule's name, as
/// clients read it, does not say it twice here.
pub(super) fn violation(broken: &Violation) -> String {
    let named = broken.message.strip_prefix(broken.rule.as_str());
    let message = named.and_then(|rest| rest.strip_prefix(": ")).unwrap_or(&broken.message);
    let (rule, message) = (plain(&broken.rule), plain(message));
    let actual = broken.actual.as_ref().map(|actual| format!(" (found {})", json(actual)));
    let actual = actual.unwrap_or_default();
    format!("{rule} ({}) at {}: {message}{actual}", word(&broken.enforcement), path(&broken.path))
}

/// What a change asked for.
enum Asked {
    /// Where the deployment would have become another one, each place with what it had.
    Places(Vec<Difference>),
    /// The body, as far as it says anything, where that can't be told.
    Body(Vec<String>),
}

fn asked_for(change: &Change, patch: &Value, before: Option<&Value>) -> Asked {
    let Value::Object(object) = patch else { return Asked::Body(vec![json(patch)]) };
    if let (Some(before), Some(provider)) = (before, Provider::named(&change.provider)) {
        let patch = Patch { object: object.clone() };
        // The documented reading is the same one for each method.
        let (operation, omitted) = (change.operation, Omitted::Preserved);
        let mut places = asked_values(provider, operation, omitted, Some(before), &patch);
        places.retain(|place| !place.computed);
        return Asked::Places(places);
    }
    let told = object.iter().map(|(name, value)| format!("/{}: {}", plain(name), json(value)));
    let told: Vec<String> = told.collect();
    Asked::Body(if told.is_empty() { vec!["nothing".to_owned()] } else { told })
}

fn settlement(settled: &Settlement, zone: &Zone) -> String {
    let told = match settled.applied {
        Some(true) => "it was applied",
        Some(false) => "it was not applied",
        None => "it can't be told",
    };
    format!("{told}, by {} at {}", plain(&settled.by), zone.whole(settled.at))
}

/// The outcome, and where it was unclear, what was found out.
fn ending(change: &Change) -> String {
    let outcome = word(&change.outcome);
    match change.settled.as_ref().map(|settled| settled.applied) {
        Some(Some(true)) => format!("{outcome}: applied"),
        Some(Some(false)) => format!("{outcome}: not applied"),
        Some(None) | None => outcome,
    }
}

fn span(change: &Change, zone: &Zone) -> String {
    let begin = zone.whole(change.received_at);
    match change.completed_at {
        Some(end) => {
            let millis = end.millis().saturating_sub(change.received_at.millis());
            format!("{begin}, took {millis} ms")
        }
        None => format!("{begin}, not finished"),
    }
}

/// The name of an actor, or the token's fingerprint where it has none.
pub(super) fn short_actor(actor: &Actor) -> String {
    actor.name.as_deref().map_or_else(|| actor.fingerprint.to_string(), plain)
}

fn whole_actor(actor: &Actor) -> String {
    let mut whole = actor.fingerprint.to_string();
    for part in [&actor.name, &actor.team].into_iter().flatten() {
        whole.push_str(", ");
        whole.push_str(&plain(part));
    }
    whole
}

/// The flat detail of an event as `name=value`; a text of several words stands in quotes, so that
/// it shows where it ends.
fn detail(detail: &Value) -> String {
    let Some(object) = detail.as_object() else { return json(detail) };
    let one_word = |text: &&str| !text.is_empty() && !text.contains([' ', '"', '=']);
    let shown = |value: &Value| value.as_str().filter(one_word).map_or_else(|| json(value), plain);
    let pairs = object.iter().map(|(name, value)| format!("{}={}", plain(name), shown(value)));
    pairs.collect::<Vec<_>>().join(" ")
}

/// The word that records use for a value.
pub(super) fn word(value: &impl Serialize) -> String {
    let word = serde_json::to_value(value).ok();
    word.as_ref().and_then(Value::as_str).unwrap_or(NOTHING).to_owned()
}
