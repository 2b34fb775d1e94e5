//! Predicted against real: what a change did, and whether an unclear one was done.

use serde_json::Value;

use super::places::{Any, differ};
use super::walk::{Location, Mark, Visit, members, named, walk};
use super::{Applied, Effect, computed_by};
use crate::deployment::Object;
use crate::deployment::members::Members;
use crate::deployment::predict::Prediction;
use crate::provider::{Operation, Provider, ShownAs};

/// Compares what came with what was predicted, under the reading that fits best. Computed and
/// open places are left out, as is what upstream never shows; a field that is null, empty or absent
/// is cleared in any spelling. On create only what the body names is compared, since the server
/// fills the rest.
#[must_use]
pub fn effect(
    provider: &Provider,
    operation: Operation,
    before: Option<&Value>,
    prediction: &Prediction<'_>,
    after: &Value,
) -> Effect {
    let lens = Lens::of(provider, operation, prediction);
    let nothing = Object::new();
    let after_members = after.as_object().unwrap_or(&nothing);
    if operation == Operation::Create {
        return created(&lens, prediction, after);
    }
    let archived = operation != Operation::Archive || is_archived(after);
    if archived && prediction.readings.iter().any(|reading| lens.alike(reading, after_members)) {
        return Effect::Exact;
    }
    let before = before.map(Members::of).unwrap_or_default();
    let mut meant = Meant::default();
    members(&mut meant, &lens.root(), before.iter(), named(after_members), |_, place| {
        let mut beside = [Reading::None; READINGS_MAX];
        for (beside, reading) in beside.iter_mut().zip(&prediction.readings) {
            let value = place.name().and_then(|name| reading.get(name));
            *beside = Reading::At(place.unless_blank(value));
        }
        beside
    });
    match meant {
        Meant { any: false, .. } => Effect::None,
        Meant { other: false, .. } => Effect::Partial,
        Meant { other: true, .. } => Effect::Other,
    }
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
    let lens = Lens::of(provider, operation, prediction);
    let (before, snapshot) = (Members::of(before?), Members::of(snapshot));
    let mut untouched = true;
    for reading in &prediction.readings {
        let mut told = Told { any: false, as_asked: true, as_before: true };
        members(&mut told, &lens.root(), before.iter(), reading.iter(), |_, place| {
            place.unless_blank(place.name().and_then(|name| snapshot.get(name)))
        });
        if told.any && told.as_asked {
            return Some(true);
        }
        untouched &= told.any && told.as_before;
    }
    untouched.then_some(false)
}

/// The most readings that a prediction has.
const READINGS_MAX: usize = 6;

/// The part of a document that is compared: all but what the server computes, what it never shows,
/// and what is open.
struct Lens<'a> {
    marks: Vec<(&'a str, Mark)>,
}

impl<'a> Lens<'a> {
    fn of(provider: &'a Provider, operation: Operation, prediction: &'a Prediction<'_>) -> Self {
        let open = prediction.open.iter().map(String::as_str);
        let own = computed_by(provider, operation).chain(open).map(|path| (path, Mark::Own));
        let shown = provider.shown_as.iter().map(|(path, shown)| {
            let mark = match shown {
                ShownAs::Nothing => Mark::Own,
                ShownAs::Default => Mark::Filled,
                ShownAs::TextBlock => Mark::Text,
            };
            (*path, mark)
        });
        Self { marks: own.chain(shown).collect() }
    }

    fn root(&self) -> Location<'_> {
        Location::root(self.marks.iter().copied())
    }

    /// Whether every place where two documents differ is one that is not compared.
    fn alike(&self, one: &Members<'_>, other: &Object) -> bool {
        let mut any = Any(false);
        members(&mut any, &self.root(), one.iter(), named(other), |_, _| ());
        !any.0
    }
}

/// The value that a reading has at a place.
#[derive(Clone, Copy)]
enum Reading<'v> {
    /// There is no such reading.
    None,
    At(Option<&'v Value>),
    /// A place around is another one already than it was before.
    Apart,
}

/// Whether all that differs was asked for: some reading differs there, inside or around.
#[derive(Default)]
struct Meant {
    any: bool,
    other: bool,
}

impl<'v> Visit<'v> for Meant {
    type Beside = [Reading<'v>; READINGS_MAX];
    const BLANKS_ARE_ABSENT: bool = true;

    fn enter(&mut self, place: &Location<'_>) -> bool {
        !self.other && !place.is_marked
    }

    fn beside(
        &self,
        beside: Self::Beside,
        former: Option<&'v Value>,
        inner: &Location<'_>,
    ) -> Self::Beside {
        beside.map(|reading| match (reading, former) {
            (Reading::At(Some(value @ Value::Object(_))), Some(Value::Object(_))) => {
                Reading::At(inner.inside(value))
            }
            (Reading::At(Some(value @ Value::Array(all))), Some(Value::Array(former)))
                if all.len() == former.len() =>
            {
                Reading::At(inner.inside(value))
            }
            (Reading::None, _) => Reading::None,
            _ => Reading::Apart,
        })
    }

    fn differ(
        &mut self,
        place: &Location<'_>,
        from: Option<&'v Value>,
        _to: Option<&'v Value>,
        beside: Self::Beside,
    ) -> bool {
        self.any = true;
        self.other |= !beside.into_iter().any(|reading| match reading {
            Reading::None => false,
            Reading::At(value) => differ(place, value, from),
            Reading::Apart => true,
        });
        false
    }
}

/// How a snapshot compares at the places where a reading differs from the deployment before.
struct Told {
    any: bool,
    as_asked: bool,
    as_before: bool,
}

impl<'v> Visit<'v> for Told {
    /// The value that the snapshot has there.
    type Beside = Option<&'v Value>;
    const BLANKS_ARE_ABSENT: bool = true;

    fn enter(&mut self, place: &Location<'_>) -> bool {
        !place.is_marked
    }

    fn beside(
        &self,
        beside: Self::Beside,
        _former: Option<&'v Value>,
        inner: &Location<'_>,
    ) -> Self::Beside {
        inner.inside(beside?)
    }

    fn differ(
        &mut self,
        place: &Location<'_>,
        from: Option<&'v Value>,
        to: Option<&'v Value>,
        beside: Self::Beside,
    ) -> bool {
        if place.is_filled && to.is_none() {
            return false;
        }
        self.any = true;
        self.as_asked &= !differ(place, to, beside);
        self.as_before &= !differ(place, from, beside);
        false
    }
}

/// How much of what a create asked for is shown, each member for itself.
fn created(lens: &Lens<'_>, prediction: &Prediction<'_>, after: &Value) -> Effect {
    let root = lens.root();
    let asked = prediction.readings.iter().take(1).flat_map(Members::iter);
    let (mut members, mut missed) = (0, 0);
    for (name, value) in asked {
        let place = root.member(name);
        if place.is_marked || place.unless_blank(Some(value)).is_none() {
            continue;
        }
        let mut any = Missing(false);
        walk(&mut any, &place, Some(value), after.get(name), ());
        members += 1;
        missed += usize::from(any.0);
    }
    match missed {
        0 => Effect::Exact,
        some if some < members => Effect::Partial,
        _ => Effect::Other,
    }
}

/// Whether anything that was asked is not shown. What is shown beside it was filled in.
struct Missing(bool);

impl<'v> Visit<'v> for Missing {
    type Beside = ();
    const BLANKS_ARE_ABSENT: bool = true;

    fn enter(&mut self, place: &Location<'_>) -> bool {
        !self.0 && !place.is_marked
    }

    fn beside(&self, (): (), _former: Option<&'v Value>, _inner: &Location<'_>) {}

    fn differ(
        &mut self,
        _place: &Location<'_>,
        asked: Option<&'v Value>,
        shown: Option<&'v Value>,
        (): (),
    ) -> bool {
        self.0 |= asked.is_some_and(|asked| shown.is_some() || !is_empty(asked));
        false
    }
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
    use crate::deployment::diff::{Difference, DifferenceOp, diff};
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
            for difference in diff(provider, operation, &patch.object, before, after) {
                let op = match difference.op {
                    DifferenceOp::Add => '+',
                    DifferenceOp::Remove => '-',
                    DifferenceOp::Replace => '~',
                };
                let mark = match difference {
                    Difference { computed: true, .. } => " computed",
                    Difference { write_only: true, .. } => " write-only",
                    _ => "",
                };
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
