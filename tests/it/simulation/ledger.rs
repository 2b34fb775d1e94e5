//! The truth: what clients sent and were told, what reached upstream and was applied there. And
//! the invariants that the log is held against.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{Mutex, MutexGuard};

use serde_json::Value;

/// The kind of a call, which decides its possible outcomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A governed call that the policy lets pass.
    Governed,
    /// A governed call that is denied, unfit or on a false condition: it never reaches upstream.
    Barred,
    /// A read, or a write to something else: nothing is recorded of it as a change.
    Harmless,
}

/// The history of one write at upstream.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Fate {
    /// How often upstream saw it, if only its head.
    pub(super) seen: u32,
    /// How often it was applied.
    pub(super) applied: u32,
    /// Upstream said 2xx to what it did not carry out; that is not a fault of the gateway.
    pub(super) lied: bool,
}

/// A call as its client knows it.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub(super) kind: Kind,
    /// The key that it shares with those that repeat it.
    key: Option<String>,
    /// Whether all of it was sent.
    pub(super) whole: bool,
    /// How its client left, where it did once all was sent.
    pub(super) left: Option<&'static str>,
    pub(super) told: Option<Told>,
}

/// The gateway's answer.
#[derive(Clone, Debug)]
pub(super) struct Told {
    pub(super) status: u16,
    /// Whether it was another call's before.
    pub(super) is_replayed: bool,
    pub(super) change: Option<String>,
    pub(super) text: String,
}

/// Everything that happened, by request id.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    fates: Mutex<HashMap<String, Fate>>,
    sent: Mutex<HashMap<String, Sent>>,
}

/// The findings of a check.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) broken: Vec<String>,
    counts: HashMap<String, usize>,
}

impl Findings {
    fn count(&mut self, what: &str) {
        *self.counts.entry(what.to_owned()).or_default() += 1;
    }

    fn require(&mut self, holds: bool, rule: &str, what: impl FnOnce() -> String) {
        if !holds {
            self.broken.push(format!("{rule}: {}", what()));
        }
    }

    pub(super) fn shown(&self) -> String {
        let mut counts: Vec<_> = self.counts.iter().collect();
        counts.sort();
        counts.iter().fold(String::new(), |mut line, (what, count)| {
            let _infallible = write!(line, "{count} {what}, ");
            line
        })
    }
}

impl Ledger {
    pub(super) fn fates(&self) -> MutexGuard<'_, HashMap<String, Fate>> {
        self.fates.lock().unwrap()
    }

    pub(super) fn has_reached_upstream(&self, id: &str) -> bool {
        self.fates().contains_key(id)
    }

    pub(super) fn send(&self, id: &str, kind: Kind, key: Option<&str>) {
        let key = key.map(str::to_owned);
        let sent = Sent { kind, key, whole: false, left: None, told: None };
        self.sent.lock().unwrap().insert(id.to_owned(), sent);
    }

    pub(super) fn sent_whole(&self, id: &str) {
        self.sent.lock().unwrap().get_mut(id).unwrap().whole = true;
    }

    pub(super) fn left(&self, id: &str, how: &'static str) {
        self.sent.lock().unwrap().get_mut(id).unwrap().left = Some(how);
    }

    pub(super) fn tell(&self, id: &str, told: Told) {
        if let Some(sent) = self.sent.lock().unwrap().get_mut(id) {
            sent.told = Some(told);
        }
    }

    /// Holds the log against the truth. Nothing may be under way. Of calls whose id starts with
    /// `fair` all that was sent is on record, whoever left: nothing else went wrong.
    pub(super) fn check(&self, changes: &[Value], fair: Option<&str>) -> Findings {
        let mut findings = Findings::default();
        let mut records: HashMap<&str, &Value> = HashMap::new();
        for change in changes {
            let id = change["request_id"].as_str().unwrap();
            let former = records.insert(id, change);
            findings.require(former.is_none(), "one record for each call", || change.to_string());
        }
        let (fates, sent) = (self.fates(), self.sent.lock().unwrap());
        for (id, fate) in fates.iter() {
            upstream_is_on_record(&mut findings, id, *fate, records.get(id.as_str()).copied());
            let sent = sent.get(id);
            findings.require(
                sent.is_some_and(|sent| sent.whole && sent.kind != Kind::Barred),
                "only what was sent whole and is not barred reaches upstream",
                || format!("{id} {sent:?}"),
            );
        }
        for (id, change) in &records {
            record_is_true(&mut findings, id, change, fates.get(*id).copied());
        }
        repeated_calls_are_one(&mut findings, &sent, &fates, &records);
        for (id, sent) in sent.iter() {
            // What is told of another call is held against that one's end.
            if sent.told.as_ref().is_some_and(|told| is_of_another(sent, told)) {
                continue;
            }
            let fate = fates.get(id).copied();
            answer_is_true(&mut findings, (id, sent), records.get(id.as_str()).copied(), fate);
            if let (Kind::Governed, Some(how)) = (sent.kind, sent.left) {
                let recorded = records.contains_key(id.as_str());
                findings.count(&format!("{how} and {}", if recorded { "kept" } else { "lost" }));
                // A reset that comes with its request may be seen first: then nothing is begun.
                let is_fair = fair.is_some_and(|fair| id.starts_with(fair));
                let is_first = sent.key.as_deref().is_none_or(|key| key == id);
                let expected = is_fair && is_first && how != "RST_STREAM";
                findings.require(recorded || !expected, "what was sent is on record", || {
                    format!("{id} {sent:?}")
                });
            }
        }
        findings
    }
}

/// Whether the answer is that of another call with the same key, or tells of one.
fn is_of_another(sent: &Sent, told: &Told) -> bool {
    sent.key.is_some() && (told.is_replayed || told.text.contains("this Idempotency-Key"))
}

/// Of all calls with a key one is carried out at most, and each is told of that one.
fn repeated_calls_are_one(
    findings: &mut Findings,
    sent: &HashMap<String, Sent>,
    fates: &HashMap<String, Fate>,
    records: &HashMap<&str, &Value>,
) {
    let mut families: HashMap<&str, Vec<(&str, &Sent)>> = HashMap::new();
    for (id, sent) in sent {
        if let Some(key) = &sent.key {
            families.entry(key).or_default().push((id, sent));
        }
    }
    for family in families.values().filter(|family| family.len() > 1) {
        let fates: Vec<_> = family.iter().filter_map(|(id, _)| fates.get(*id)).collect();
        let applied: u32 = fates.iter().map(|fate| fate.applied).sum();
        findings.count("keys used again");
        findings.require(applied <= 1, "a key is used once", || format!("{family:?} {fates:?}"));
        let ids: Vec<_> = family.iter().filter_map(|(id, _)| records.get(id)).collect();
        for (id, sent) in family {
            let Some(told) = sent.told.as_ref().filter(|told| is_of_another(sent, told)) else {
                continue;
            };
            findings.count(if told.is_replayed { "replayed" } else { "told of another" });
            let shown = || format!("{id} {sent:?} of {ids:?}");
            // What is unknown may have been lost on its way.
            let may_be_lost = ids.iter().any(|change| outcome(change) == "unknown");
            let was_sent = !fates.is_empty() || may_be_lost;
            findings.require(was_sent || told.change.is_none(), "it was sent", shown);
            let named = told.change.as_deref();
            let is_one = named.is_none_or(|named| ids.iter().any(|change| change["id"] == named));
            findings.require(is_one, "a repeated call names the change of its key", shown);
            let is_done = applied == 1 || fates.iter().any(|fate| fate.lied);
            let is_yes = (200..300).contains(&told.status);
            findings.require(!is_yes || is_done, "a 2xx that is replayed is applied", shown);
        }
    }
}

fn outcome(change: &Value) -> &str {
    change["outcome"].as_str().unwrap()
}

/// Every call that reached upstream has one record, finished or unknown, and was sent once.
fn upstream_is_on_record(findings: &mut Findings, id: &str, fate: Fate, change: Option<&Value>) {
    findings.count("reached upstream");
    findings.require(fate.seen == 1 && fate.applied <= 1, "sent once", || format!("{id} {fate:?}"));
    let Some(change) = change else {
        return findings.require(false, "what reached upstream is on record", || id.to_owned());
    };
    let known = matches!(outcome(change), "applied" | "rejected" | "unknown");
    findings.require(known, "what reached upstream has such an outcome", || change.to_string());
    if fate.applied > 0 {
        findings.count("applied");
        let rejected = outcome(change) == "rejected";
        findings.require(!rejected, "what was applied is not rejected", || change.to_string());
    }
}

/// No record says more than what happened.
fn record_is_true(findings: &mut Findings, id: &str, change: &Value, fate: Option<Fate>) {
    let fate = fate.unwrap_or_default();
    findings.count(match outcome(change) {
        "unknown" => "unknown",
        "denied" => "denied",
        "failed" => "failed",
        _ => "other records",
    });
    findings.require(outcome(change) != "pending", "all has ended", || change.to_string());
    let claimed = outcome(change) == "applied" && !fate.lied;
    findings.require(!claimed || fate.applied == 1, "applied is applied", || change.to_string());
    let barred = matches!(change["decision"].as_str(), Some("deny" | "refuse"));
    findings.require(!barred || fate.seen == 0, "no denied call reaches upstream", || {
        change.to_string()
    });
    let settled = &change["settled"]["applied"];
    if let Some(applied) = settled.as_bool() {
        findings.count(if applied { "settled as applied" } else { "settled as undone" });
        findings.require((fate.applied == 1) == applied, "settled is true", || {
            format!("{id} {fate:?} {change}")
        });
    }
}

/// No client was told more than what happened.
fn answer_is_true(
    findings: &mut Findings,
    (id, sent): (&str, &Sent),
    change: Option<&Value>,
    fate: Option<Fate>,
) {
    let Some(told) = &sent.told else { return };
    let shown = || format!("{id} {sent:?} {fate:?} {change:?}");
    let named = change.and_then(|change| change["id"].as_str());
    if told.change.is_some() {
        let same = told.change.as_deref() == named;
        findings.require(same, "the change that an answer names is on record", shown);
    }
    if sent.kind == Kind::Harmless {
        return findings.require(change.is_none(), "no change where nothing is governed", shown);
    }
    let lied = fate.is_some_and(|fate| fate.lied);
    if (200..300).contains(&told.status) && !lied {
        let applied = fate.is_some_and(|fate| fate.applied == 1);
        findings.require(applied, "2xx is applied", shown);
        findings.require(change.is_some(), "2xx is on record", shown);
    }
    if told.text.contains("nothing was forwarded") {
        findings.count("refused for want of a record");
        findings.require(fate.is_none(), "what is said not to be forwarded is not", shown);
    }
    let undone = told.text.contains("the change was not applied")
        || told.text.contains("nothing was changed");
    if undone {
        let applied = fate.is_some_and(|fate| fate.applied > 0);
        findings.require(!applied, "what is said not to be applied is not", shown);
    }
}
