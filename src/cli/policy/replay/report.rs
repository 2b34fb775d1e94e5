//! A replay as another program reads it.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::Replayed;
use crate::policy::gap::Gap;
use crate::policy::replay::{DECISIONS, Moved, Replay};
use crate::policy::{Decision, Policy};

/// The result of it all; with the changes that are decided otherwise, unless they were told before.
pub(super) fn whole(
    replayed: &Replayed,
    policy: Option<&Policy>,
    path: Option<&Path>,
    told_before: bool,
) -> Value {
    let replay = &replayed.replay;
    let named = |policy: &Policy| {
        let file = path.map(|path| path.to_string_lossy().into_owned());
        json!({"file": file, "digest": policy.digest})
    };
    let whole = json!({
        "policy": policy.map(named),
        "changes": replay.count,
        "not_asked": replay.not_asked,
        "policy_unreadable": replayed.unreadable,
        "decided_otherwise": replay.moved(),
        "not_replayable": replay.untold(),
        "newly_denied": replay.newly_denied(),
        "seconds": replayed.took.as_secs_f64(),
        "matrix": DECISIONS.map(|old| row(replay, old)),
    });
    let Value::Object(mut whole) = whole else { return whole };
    if let Some(policy) = policy {
        whole.insert("rules".to_owned(), rules(replay, policy));
    }
    if !told_before {
        whole.insert("moved".to_owned(), listed(replay));
    }
    whole.into()
}

/// The changes that are remembered, cell by cell.
fn listed(replay: &Replay) -> Value {
    let mut listed = Vec::new();
    for old in DECISIONS {
        for new in DECISIONS.into_iter().map(Some).chain([None]) {
            listed.extend(replay.cell(old, new).newest().map(moved));
        }
    }
    listed.into()
}

/// A change that is decided otherwise.
pub(super) fn moved(moved: &Moved) -> Value {
    json!({
        "id": moved.id,
        "seq": moved.seq,
        "received_at": moved.received_at,
        "deployment_id": moved.deployment_id,
        "actor": moved.actor,
        "recorded": moved.old,
        "now": moved.new.map_or("not_replayable", Decision::name),
        "rules": moved.rules,
    })
}

fn row(replay: &Replay, old: Decision) -> Value {
    let mut row = Map::new();
    row.insert("recorded".to_owned(), old.name().into());
    for new in DECISIONS {
        row.insert(new.name().to_owned(), replay.cell(old, Some(new)).count.into());
    }
    row.insert("not_replayable".to_owned(), replay.cell(old, None).count.into());
    row.into()
}

fn rules(replay: &Replay, policy: &Policy) -> Value {
    let rules = policy.rules.iter().zip(&replay.rules);
    let rule = rules.map(|(rule, count)| {
        let gaps = Gap::ALL.iter().zip(count.gaps);
        let gaps: Map<String, Value> =
            gaps.map(|(gap, count)| (gap.name().to_owned(), count.into())).collect();
        json!({
            "rule": rule.name,
            "enforcement": rule.enforcement,
            "violated": count.violated,
            "standing": count.standing,
            "not_replayable": gaps,
        })
    });
    rule.collect()
}
