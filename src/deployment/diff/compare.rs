//! Predicted against real: what a change did, and whether an unclear one was done.

use serde_json::Value;

use super::{Applied, Effect, computed_by, each_difference, each_difference_of_members, same};
use crate::deployment::members::Members;
use crate::deployment::pointer::{self, covers};
use crate::deployment::predict::Prediction;
use crate::provider::{Operation, Provider};

/// Compares what came with what was predicted, under the reading that fits best. Computed and
/// open places are left out; a field that is null, empty or absent is cleared in any spelling. On
/// create only what the body names is compared, since the server fills the rest.
#[must_use]
pub fn effect(
    provider: &Provider,
    operation: Operation,
    before: Option<&Value>,
    prediction: &Prediction<'_>,
    after: &Value,
) -> Effect {
    let lens = Lens { provider, operation, open: &prediction.open };
    if operation == Operation::Create {
        return created(&lens, prediction, after);
    }
    let archived = operation != Operation::Archive || is_archived(after);
    // Nearly every change is what was predicted: that is seen without copying anything.
    if archived && prediction.readings.iter().any(|reading| lens.hides_all(reading, after)) {
        return Effect::Exact;
    }
    let before = lens.view(&before.map(Members::of).unwrap_or_default());
    let after = lens.view(&Members::of(after));
    let readings: Vec<Value> = prediction.readings.iter().map(|r| lens.view(r)).collect();
    if archived && readings.iter().any(|reading| same(reading, &after)) {
        return Effect::Exact;
    }
    if same(&before, &after) {
        return Effect::None;
    }
    let asked: Vec<String> =
        readings.iter().flat_map(|reading| differing(&before, reading)).collect();
    let meant = |path: &String| asked.iter().any(|ask| covers(ask, path) || covers(path, ask));
    if differing(&before, &after).iter().all(meant) { Effect::Partial } else { Effect::Other }
}

/// Tells from a later `snapshot` whether a change with an unclear end was applied: `true` where
/// what it asked for is there and was not before, `false` where all of it is as before, none
/// where it can't be told.
#[must_use]
pub fn settle(
    provider: &Provider,
    operation: Operation,
    before: Option<&Value>,
    prediction: &Prediction<'_>,
    snapshot: &Value,
) -> Applied {
    match operation {
        Operation::Create | Operation::Run => return None,
        Operation::Archive if before.is_some_and(is_archived) => return None,
        Operation::Archive => return Some(is_archived(snapshot)),
        Operation::Update | Operation::Pause | Operation::Unpause => {}
    }
    let lens = Lens { provider, operation, open: &prediction.open };
    let before = lens.view(&Members::of(before?));
    let snapshot = lens.view(&Members::of(snapshot));
    let as_in = |document: &Value, paths: &[String]| {
        paths.iter().all(|path| match (document.pointer(path), snapshot.pointer(path)) {
            (Some(one), Some(other)) => same(one, other),
            (one, other) => one == other,
        })
    };
    let mut untouched = true;
    for reading in prediction.readings.iter().map(|reading| lens.view(reading)) {
        let paths = differing(&before, &reading);
        if !paths.is_empty() && as_in(&reading, &paths) {
            return Some(true);
        }
        untouched &= !paths.is_empty() && as_in(&before, &paths);
    }
    untouched.then_some(false)
}

/// What is compared of a document.
struct Lens<'a> {
    provider: &'a Provider,
    operation: Operation,
    open: &'a [String],
}

impl Lens<'_> {
    /// Whether every place where two documents differ is one that is not compared.
    fn hides_all(&self, one: &Members<'_>, other: &Value) -> bool {
        let Value::Object(other) = other else { return false };
        let mut all = true;
        each_difference_of_members(one, other, &mut |path, _, _| {
            let open = self.open.iter().map(String::as_str);
            let mut hidden = computed_by(self.provider, self.operation).chain(open);
            all &= hidden.any(|above| covers(above, path));
        });
        all
    }

    fn view(&self, document: &Members<'_>) -> Value {
        let mut view = document.to_value();
        let open = self.open.iter().map(String::as_str);
        for path in computed_by(self.provider, self.operation).chain(open) {
            pointer::remove(&mut view, path);
        }
        if let Value::Object(fields) = &mut view {
            fields.retain(|_, value| !is_empty(value));
        }
        view
    }
}

fn created(lens: &Lens<'_>, prediction: &Prediction<'_>, after: &Value) -> Effect {
    let Some(Value::Object(asked)) = prediction.readings.first().map(|first| lens.view(first))
    else {
        return Effect::Exact;
    };
    let after = lens.view(&Members::of(after));
    let missed = asked.iter().filter(|(name, value)| !holds(after.get(*name), value)).count();
    match missed {
        0 => Effect::Exact,
        some if some < asked.len() => Effect::Partial,
        _ => Effect::Other,
    }
}

/// Whether `shown` is what was `asked`, members that the server adds aside.
fn holds(shown: Option<&Value>, asked: &Value) -> bool {
    match (shown, asked) {
        (Some(Value::Object(shown)), Value::Object(asked)) => {
            asked.iter().all(|(key, asked)| holds(shown.get(key), asked))
        }
        (Some(Value::Array(shown)), Value::Array(asked)) => {
            shown.len() == asked.len()
                && shown.iter().zip(asked).all(|(shown, asked)| holds(Some(shown), asked))
        }
        (Some(shown), asked) => same(shown, asked),
        (None, asked) => is_empty(asked),
    }
}

fn differing(before: &Value, after: &Value) -> Vec<String> {
    let mut paths = Vec::new();
    each_difference(before, after, &mut |path, _, _| paths.push(path.to_owned()));
    paths.sort();
    paths
}

fn is_archived(deployment: &Value) -> bool {
    deployment.get("archived_at").is_some_and(|at| !at.is_null())
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(elements) => elements.is_empty(),
        Value::Object(members) => members.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cases::cases;
    use crate::deployment::diff::{DifferenceOp, diff};
    use crate::deployment::patch::Patch;
    use crate::deployment::predict::{Omitted, predict};

    #[test]
    fn every_case_compares_as_its_file_says() {
        for case in cases("diff") {
            let [input, expected] = case.parts.as_slice() else { panic!("{}", case.title) };
            let input: Value = serde_json::from_str(input).expect(&case.title);
            let provider = Provider::named("qoder-cn").unwrap();
            let operation = Operation::named(input["operation"].as_str().unwrap()).unwrap();
            let (before, after) = (input.get("before"), input.get("after"));
            let omitted = match input.get("put") {
                Some(_) => Omitted::Open,
                None => Omitted::Preserved,
            };
            let object = input.get("patch").and_then(Value::as_object).cloned();
            let patch = Patch { object: object.unwrap_or_default() };
            let prediction = predict(provider, operation, omitted, before, &patch);

            let mut found = Vec::new();
            for difference in diff(provider, operation, before, after) {
                let op = match difference.op {
                    DifferenceOp::Add => '+',
                    DifferenceOp::Remove => '-',
                    DifferenceOp::Replace => '~',
                };
                let mark = if difference.computed { " computed" } else { "" };
                found.push(format!("{op} {}{mark}", difference.path));
            }
            if let Some(after) = after {
                let effect = effect(provider, operation, before, &prediction, after);
                let settled = settle(provider, operation, before, &prediction, after);
                found.push(format!("effect {effect:?}, applied {settled:?}"));
            }
            assert_eq!(found.join("\n"), *expected, "{}", case.title);
        }
    }

    #[test]
    fn what_was_predicted_is_exact_under_every_reading() {
        let provider = Provider::named("qoder-cn").unwrap();
        for case in cases("predict") {
            let input: Value = serde_json::from_str(&case.parts[0]).expect(&case.title);
            let operation = Operation::named(input["operation"].as_str().unwrap()).unwrap();
            let before = input.get("before");
            let object = input.get("patch").and_then(Value::as_object).cloned();
            let patch = Patch { object: object.unwrap_or_default() };
            let prediction = predict(provider, operation, Omitted::Open, before, &patch);
            for reading in &prediction.readings {
                let mut after = reading.to_value();
                if operation == Operation::Archive {
                    after["archived_at"] = "2026-01-01T00:00:00Z".into();
                }
                let found = effect(provider, operation, before, &prediction, &after);
                assert_eq!(found, Effect::Exact, "{}", case.title);
                let settled = settle(provider, operation, before, &prediction, &after);
                assert!(settled != Some(false) || before == Some(&after), "{}", case.title);
            }
        }
    }
}
