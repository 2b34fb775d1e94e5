//! Who let a change pass that a rule holds up, as people read it.

use super::text::plain;
use super::zone::Zone;
use crate::audit::approval::Decided;
use crate::audit::record::Change;

/// The facts about a change's approval, or about how it passed by break-glass, with their labels.
pub(super) fn facts(change: &Change, zone: &Zone) -> Vec<(&'static str, String)> {
    let mut facts = Vec::new();
    facts.extend(change.reverts.map(|reverts| ("reverts", reverts.to_string())));
    if let Some(approval) = &change.approval {
        let (by, at) = (plain(&approval.asked_by), zone.second(approval.asked_at));
        let place = if approval.change == change.id {
            "here".to_owned()
        } else {
            approval.change.to_string()
        };
        facts.push(("approval", format!("{}, asked by {by} at {at} in {place}", approval.id)));
        facts.extend(approval.decided.as_ref().map(|decided| told(decided, zone)));
    }
    if let Some(glass) = &change.break_glass {
        let (person, reason) = (plain(&glass.person), plain(&glass.reason));
        facts.push(("break-glass", format!("by {person}: {reason}")));
        facts.push(("review", glass.approval.to_string()));
        facts.extend(glass.decided.as_ref().map(|decided| told(decided, zone)));
    }
    facts
}

fn told(decided: &Decided, zone: &Zone) -> (&'static str, String) {
    let Decided { verdict, by, token, reason, at } = decided;
    let [by, token, reason] = [by, token, reason].map(|text| plain(text));
    (verdict.name(), format!("by {by} ({token}) at {}: {reason}", zone.second(*at)))
}
