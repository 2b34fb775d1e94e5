//! Predictions of a deployment, and differences between two.

use serde_json::{Value, json};

use super::source::Source;
use crate::base::key::Key;
use crate::base::pointer::{self, covers};
use crate::deployment::diff::{
    Difference, DifferenceOp, Effect, changed, diff, effect, same, settle,
};
use crate::deployment::digest::etag;
use crate::deployment::members::Members;
use crate::deployment::patch::Patch;
use crate::deployment::predict::{
    Omitted, Prediction, predict as predicted, without_computed_below,
};
use crate::provider::{Operation, Provider, Update};

/// A call on a deployment, and what the deployment became.
struct Case {
    provider: &'static Provider,
    operation: Operation,
    omitted: Omitted,
    before: Option<Value>,
    patch: Patch,
    after: Value,
}

/// Of any two deployments, what differs makes the one into the other; and what is predicted of a
/// call is a few different deployments, each of them exactly what was predicted.
///
/// The bytes are a case as in `tests/data/predict` and `tests/data/diff`, or else one is grown
/// from them.
///
/// # Panics
/// Where that does not hold.
pub fn predict(bytes: &[u8]) {
    let case = Case::read(bytes).unwrap_or_else(|| Case::grow(&mut Source::new(bytes)));
    case.assert_differences();
    case.assert_prediction();
}

impl Case {
    fn read(bytes: &[u8]) -> Option<Self> {
        let case: Value = serde_json::from_slice(bytes).ok()?;
        let named = |name: &str| case.get(name).and_then(Value::as_str);
        let object = case.get("patch").and_then(Value::as_object).cloned();
        Some(Self {
            provider: Provider::named(named("provider").unwrap_or("qoder-cn"))?,
            operation: Operation::named(named("operation")?)?,
            omitted: case.get("put").map_or(Omitted::Preserved, |_| Omitted::Open),
            before: case.get("before").cloned(),
            patch: Patch { object: object.unwrap_or_default() },
            after: case.get("after").cloned().unwrap_or_default(),
        })
    }

    fn grow(source: &mut Source<'_>) -> Self {
        let provider = source.pick(&Provider::ALL);
        let operation = source.pick(&Operation::ALL);
        let omitted = if source.flip() { Omitted::Open } else { Omitted::Preserved };
        let before =
            (operation != Operation::Create).then(|| Value::Object(source.deployment(provider)));
        let patch = Patch { object: source.deployment(provider) };
        // Near to what was before, as deployments are, or anything.
        let mut after = before.clone().filter(|_| source.flip()).unwrap_or_default();
        match &mut after {
            Value::Object(members) => members.extend(source.deployment(provider)),
            nothing => *nothing = source.value(),
        }
        Self { provider, operation, omitted, before, patch, after }
    }

    fn assert_differences(&self) {
        let before = self.before.clone().unwrap_or_else(|| json!({}));
        let differ = |a: &Value, b: &Value| {
            diff(self.provider, self.operation, &self.patch.object, Some(a), Some(b))
        };
        for (from, to) in [(&before, &self.after), (&self.after, &before)] {
            let differences = differ(from, to);
            let moved = apply(from.clone(), &differences);
            assert!(same(&moved, to), "{differences:?} makes {moved} of {from}, not {to}");
            assert_eq!(differences.is_empty(), same(from, to), "{from} {to}");
            let paths: Vec<&str> = differences.iter().map(|d| d.path.as_str()).collect();
            assert!(paths.is_sorted_by(|one, next| one < next), "{paths:?}");
            self.assert_changed(&differences, from, to);
        }
        assert_eq!(differ(&before, &before), []);
        let lasting = [&before, &self.after].map(|d| without_computed_below(self.provider, "", d));
        let tags = [&before, &self.after]
            .map(|document| etag(&Key::from_bytes([7; 32]), self.provider, document));
        assert_eq!(lasting[0] == lasting[1], tags[0] == tags[1], "{lasting:?} {tags:?}");
    }

    /// Each changed place lies in a difference, and each difference that is not computed holds one.
    fn assert_changed(&self, differences: &[Difference], from: &Value, to: &Value) {
        let patch = &self.patch.object;
        let places = changed(self.provider, self.operation, patch, Some(from), to);
        for place in &places {
            let of = |d: &Difference| covers(&d.path, &place.path);
            assert!(differences.iter().any(of), "{place:?} of {differences:?}");
        }
        for Difference { path, computed, .. } in differences {
            let is_told = places.iter().any(|place| covers(path, &place.path));
            assert!(*computed || is_told || self.hides_all_below(path), "{path} in {places:?}");
        }
    }

    /// Whether what is new at a place may be nothing but computed.
    fn hides_all_below(&self, path: &str) -> bool {
        self.provider.computed.iter().any(|computed| covers(path, computed))
    }

    fn assert_prediction(&self) {
        let before = self.before.as_ref();
        let prediction =
            predicted(self.provider, self.operation, self.omitted, before, &self.patch);
        let readings = &prediction.readings;
        assert!((1..=4).contains(&readings.len()), "{readings:?}");
        for (place, reading) in readings.iter().enumerate() {
            assert!(!readings.iter().take(place).any(|former| former == reading), "{readings:?}");
            self.assert_reading(&reading.to_value());
            self.assert_compares(&prediction, reading);
        }
        // Whatever came, comparing it comes to an end.
        let _ = effect(self.provider, self.operation, before, &prediction, &self.after);
        let _ = settle(self.provider, self.operation, before, &prediction, &self.after);
    }

    /// A reading leaves alone what no client sets, and what the patch does not name.
    fn assert_reading(&self, reading: &Value) {
        let nothing = json!({});
        let before = self.before.as_ref().filter(|b| b.is_object()).unwrap_or(&nothing);
        let acts = matches!(self.operation, Operation::Pause | Operation::Unpause);
        let patch = &self.patch.object;
        let differences = diff(self.provider, self.operation, patch, Some(before), Some(reading));
        for Difference { path, .. } in differences {
            let field = path.split('/').nth(1).unwrap_or_default();
            let field = field.replace("~1", "/").replace("~0", "~");
            let computed = self.provider.update_of(&field) == Update::Computed;
            let own = acts && matches!(field.as_str(), "status" | "paused_reason");
            let asked = self.patch.object.contains_key(&field) || self.omitted == Omitted::Open;
            assert!(own || (asked && !computed), "{path} of {reading} was not asked of {before}");
        }
    }

    /// Asserts that what came as predicted is `exact`, and is not a sign that nothing was done.
    fn assert_compares(&self, prediction: &Prediction<'_>, reading: &Members<'_>) {
        let mut after = reading.to_value();
        if self.operation == Operation::Archive {
            let members = after.as_object_mut().expect("a reading is an object");
            members.insert("archived_at".to_owned(), "2026-01-01T00:00:00Z".into());
        }
        let before = self.before.as_ref();
        let effect = effect(self.provider, self.operation, before, prediction, &after);
        let is_first = prediction.readings.first() == Some(reading);
        assert!(effect == Effect::Exact || self.operation == Operation::Create && !is_first);
        let settled = settle(self.provider, self.operation, before, prediction, &after);
        assert_ne!(settled, Some(false), "{before:?} became {after}");
    }
}

/// Makes every difference in `document`, by its pointer alone.
fn apply(mut document: Value, differences: &[Difference]) -> Value {
    for Difference { op, path, to, .. } in differences {
        match (op, path.rsplit_once('/')) {
            (DifferenceOp::Remove, _) => pointer::remove(&mut document, path),
            (DifferenceOp::Replace, _) => {
                let place = document.pointer_mut(path).expect("what is replaced is there");
                *place = to.clone().expect("what replaces it");
            }
            (DifferenceOp::Add, Some((parent, name))) => {
                let parent = document.pointer_mut(parent).and_then(Value::as_object_mut);
                let name = name.replace("~1", "/").replace("~0", "~");
                let former = parent.expect("an object").insert(name, to.clone().expect("a value"));
                assert_eq!(former, None, "what is added was not there");
            }
            (DifferenceOp::Add, None) => unreachable!("a whole document is not added"),
        }
    }
    document
}
