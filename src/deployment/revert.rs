//! The change that takes another one back, as far as that can be done.

use serde_json::{Map, Value, json};

use super::Object;
use super::diff::{Difference, diff, same};
use crate::base::pointer::{self, covers, find, keys};
use crate::provider::{Operation, Provider, Update};

/// A change that is to be taken back.
#[derive(Clone, Copy, Debug)]
pub struct Former<'c> {
    /// The provider.
    pub provider: &'static Provider,
    /// The operation.
    pub operation: Operation,
    /// The body that was sent.
    pub patch: &'c Object,
    /// The deployment before, concealed values concealed.
    pub before: &'c Value,
    /// The deployment after, likewise.
    pub after: &'c Value,
    /// JSON Pointers of concealed values, below `/patch`, `/before` or `/after`.
    pub redacted: &'c [String],
}

/// The change that takes another one back.
#[derive(Clone, Debug, PartialEq)]
pub struct Reverting {
    /// What is to be asked for.
    pub operation: Operation,
    /// With this body.
    pub patch: Object,
    /// What can't be restored, and why.
    pub left: Vec<Left>,
    /// What was changed since, elsewhere.
    pub later: Vec<Difference>,
    /// Whether nothing is left to restore, so that nothing is to be asked for.
    pub is_done: bool,
}

/// A place that can't be restored.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Left {
    /// JSON Pointer of the place.
    pub path: String,
    /// Why.
    pub why: &'static str,
}

/// Why nothing takes a change back.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Irrevocable {
    /// There is no such operation.
    #[error("no call takes {0} back")]
    Operation(Operation),
    /// A later change has touched the same places.
    #[error("what it changed has been changed again since: {}", .0.join(", "))]
    ChangedAgain(Vec<String>),
}

const CONCEALED: &str = "the log holds no secrets: set it anew";
const WRITE_ONLY: &str = "upstream never shows it: set it anew";
const REPINNED: &str = "the version before is not known: the agent takes its latest one";
const REQUIRED: &str = "upstream can't do without it, and before there was none";

/// Finds the change that takes `former` back, of the deployment as it is `now`. What was
/// changed since elsewhere is left as it is, and told.
pub fn revert(former: &Former<'_>, now: &Value) -> Result<Reverting, Irrevocable> {
    let mut reverting = Reverting {
        operation: Operation::Update,
        patch: Object::new(),
        left: Vec::new(),
        later: later(former, now),
        is_done: true,
    };
    // Where it was paused before already, there is nothing to unpause.
    let status = former.before.get("status");
    let is_done = status.is_some() && alike(now.get("status"), status);
    match former.operation {
        Operation::Update => {}
        Operation::Pause => {
            return Ok(Reverting { operation: Operation::Unpause, is_done, ..reverting });
        }
        Operation::Unpause => {
            return Ok(Reverting { operation: Operation::Pause, is_done, ..reverting });
        }
        operation => return Err(Irrevocable::Operation(operation)),
    }
    let (mut wanted, mut again) = (now.clone(), Vec::new());
    for place in former.changes() {
        if let Some(why) = former.lost(&place) {
            reverting.left.push(Left { path: place.path, why });
            continue;
        }
        let standing = find(now, &place.path);
        if alike(standing, place.from.as_ref()) {
            continue;
        }
        if !alike(standing, place.to.as_ref()) {
            again.push(place.path);
            continue;
        }
        put(&mut wanted, &place.path, place.from);
    }
    if !again.is_empty() {
        return Err(Irrevocable::ChangedAgain(again));
    }
    let (Some(wanted), Some(standing)) = (wanted.as_object(), now.as_object()) else {
        return Ok(reverting);
    };
    for field in former.provider.fields.iter().map(|field| field.name).chain(others(former, now)) {
        let (to, from) = (wanted.get(field), standing.get(field));
        if !alike(to, from) {
            set(former.provider, &mut reverting, field, (from, to));
        }
    }
    reverting.is_done = reverting.patch.is_empty();
    Ok(reverting)
}

impl Former<'_> {
    /// The places that it has changed, the server's own aside.
    fn changes(&self) -> Vec<Difference> {
        let (before, after) = (Some(self.before), Some(self.after));
        let mut all = diff(self.provider, self.operation, self.patch, before, after);
        all.retain(|place| {
            let is_own = self.provider.update_of(&member(&place.path)) == Update::Computed;
            !place.computed && !is_own
        });
        all
    }

    /// Why a place can't be restored, if it can't.
    fn lost(&self, place: &Difference) -> Option<&'static str> {
        if place.write_only {
            return Some(WRITE_ONLY);
        }
        let before = self.redacted.iter().filter_map(|path| path.strip_prefix("/before"));
        let after = self.redacted.iter().filter_map(|path| path.strip_prefix("/after"));
        let touches = |path: &str| covers(&place.path, path) || covers(path, &place.path);
        before.chain(after).any(touches).then_some(CONCEALED)
    }
}

/// What was changed since the change, where it left alone what now differs.
fn later(former: &Former<'_>, now: &Value) -> Vec<Difference> {
    let (after, nothing) = (Some(former.after), Object::new());
    let mut all = diff(former.provider, Operation::Update, &nothing, after, Some(now));
    let hidden: Vec<&str> =
        former.redacted.iter().filter_map(|path| path.strip_prefix("/after")).collect();
    let own = former.changes();
    all.retain(|place| {
        let meets = |other: &str| covers(&place.path, other) || covers(other, &place.path);
        !place.computed
            && !hidden.iter().any(|path| meets(path))
            && !own.iter().any(|own| meets(&own.path))
            && former.provider.update_of(&member(&place.path)) != Update::Computed
    });
    all
}

/// Members that the provider's table does not list.
fn others<'v>(former: &Former<'_>, now: &'v Value) -> impl Iterator<Item = &'v str> {
    let provider = former.provider;
    let listed = move |name: &&str| !provider.fields.iter().any(|field| field.name == *name);
    now.as_object().into_iter().flatten().map(|(name, _)| name.as_str()).filter(listed)
}

/// Asks for a field to become what it was.
fn set(
    provider: &Provider,
    reverting: &mut Reverting,
    field: &str,
    (from, to): (Option<&Value>, Option<&Value>),
) {
    let place = pointer::child("", field);
    let bare = |value: &Value| {
        super::predict::without_computed_below(provider, &place, value).into_owned()
    };
    let to = to.filter(|value| !value.is_null()).map(bare);
    let value = match (provider.update_of(field), to) {
        (Update::Computed, _) => return,
        (Update::Required | Update::AgentReference, None) => {
            reverting.left.push(Left { path: place, why: REQUIRED });
            return;
        }
        (Update::AgentReference, Some(agent)) => {
            if agent.get("version").is_none_or(Value::is_null) {
                reverting
                    .left
                    .push(Left { path: pointer::child(&place, "version"), why: REPINNED });
            }
            agent
        }
        (Update::PerKey, to) => per_key(from.map(bare).as_ref(), to.as_ref()),
        (Update::Replace, None) => Value::Null,
        (Update::Replace | Update::Required, Some(value)) => value,
    };
    let is_list_of = |path: &&str| path.starts_with(&format!("{place}/*/"));
    if value.is_array() && !value.as_array().is_some_and(Vec::is_empty) {
        let hidden = provider.write_only().filter(is_list_of);
        let hidden = hidden.map(|path| Left { path: path.to_owned(), why: WRITE_ONLY });
        reverting.left.extend(hidden);
    }
    reverting.patch.insert(field.to_owned(), value);
}

/// The keys that are to become others, and those that are to go.
fn per_key(from: Option<&Value>, to: Option<&Value>) -> Value {
    let (from, to) = (from.and_then(Value::as_object), to.and_then(Value::as_object));
    let mut keys = Map::new();
    for (key, value) in to.into_iter().flatten() {
        if !alike(from.and_then(|from| from.get(key)), Some(value)) {
            keys.insert(key.clone(), value.clone());
        }
    }
    for (key, _) in from.into_iter().flatten() {
        if to.is_none_or(|to| !to.contains_key(key)) {
            keys.insert(key.clone(), Value::Null);
        }
    }
    keys.into()
}

/// The member that a place stands in.
fn member(path: &str) -> String {
    keys(path).next().map(std::borrow::Cow::into_owned).unwrap_or_default()
}

fn alike(one: Option<&Value>, other: Option<&Value>) -> bool {
    match (one, other) {
        (None, None) => true,
        (Some(one), Some(other)) => same(one, other),
        _ => false,
    }
}

/// Makes `value` stand at a place; nothing where there is none.
fn put(document: &mut Value, path: &str, value: Option<Value>) {
    let Some(value) = value else {
        pointer::remove(document, path);
        return;
    };
    if let Some(place) = pointer::find_mut(document, path) {
        *place = value;
        return;
    }
    let Some((around, _)) = path.rsplit_once('/') else { return };
    let Some(name) = keys(path).last() else { return };
    if pointer::find(document, around).is_none_or(|value| !value.is_object()) {
        put(document, around, Some(json!({})));
    }
    if let Some(Value::Object(members)) = pointer::find_mut(document, around) {
        members.insert(name.into_owned(), value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reverted(before: &Value, after: &Value, now: &Value) -> Result<Reverting, Irrevocable> {
        concealing(before, after, now, &[])
    }

    fn concealing(
        before: &Value,
        after: &Value,
        now: &Value,
        redacted: &[&str],
    ) -> Result<Reverting, Irrevocable> {
        let redacted: Vec<String> = redacted.iter().map(|path| (*path).to_owned()).collect();
        let former = Former {
            provider: Provider::named("qoder-cn").unwrap(),
            operation: Operation::Update,
            patch: &Object::new(),
            before,
            after,
            redacted: &redacted,
        };
        revert(&former, now)
    }

    fn patch(found: Result<Reverting, Irrevocable>) -> Value {
        let found = found.unwrap();
        assert_eq!(found.left, []);
        Value::Object(found.patch)
    }

    #[test]
    fn each_field_is_restored_as_its_update_allows() {
        for (before, after, expected) in [
            (json!({"name": "a"}), json!({"name": "b"}), json!({"name": "a"})),
            (
                json!({"description": null}),
                json!({"description": "x"}),
                json!({"description": null}),
            ),
            (json!({}), json!({"budget": {"type": "x"}}), json!({"budget": null})),
            (
                json!({"metadata": {"a": "1", "b": "2"}}),
                json!({"metadata": {"a": "3", "c": "4"}}),
                json!({"metadata": {"a": "1", "b": "2", "c": null}}),
            ),
            (
                json!({"schedule": {"expression": "1", "upcoming_runs_at": [1], "timezone": "X"}}),
                json!({"schedule": {"expression": "2", "upcoming_runs_at": [2], "timezone": "X"}}),
                json!({"schedule": {"expression": "1", "timezone": "X"}}),
            ),
            (
                json!({"schedule": {"expression": "1", "timezone": "UTC"}}),
                json!({"schedule": null}),
                json!({"schedule": {"expression": "1", "timezone": "UTC"}}),
            ),
            (
                json!({"agent": {"id": "a", "version": 1}, "updated_at": "1"}),
                json!({"agent": {"id": "a", "version": 2}, "updated_at": "2"}),
                json!({"agent": {"id": "a", "version": 1}}),
            ),
        ] {
            assert_eq!(patch(reverted(&before, &after, &after)), expected);
        }
    }

    #[test]
    fn later_changes_elsewhere_stay_and_those_of_the_same_place_stand_in_the_way() {
        let before = json!({"name": "a", "schedule": {"expression": "1", "timezone": "UTC"}});
        let after = json!({"name": "a", "schedule": {"expression": "2", "timezone": "UTC"}});
        let now =
            json!({"name": "z", "schedule": {"expression": "2", "timezone": "Asia/Shanghai"}});
        let found = reverted(&before, &after, &now).unwrap();
        let later: Vec<&str> = found.later.iter().map(|place| place.path.as_str()).collect();
        assert_eq!(later, ["/name", "/schedule/timezone"]);
        let expected = json!({"schedule": {"expression": "1", "timezone": "Asia/Shanghai"}});
        assert_eq!(Value::Object(found.patch), expected);
        let again = json!({"name": "a", "schedule": {"expression": "3", "timezone": "UTC"}});
        let error = reverted(&before, &after, &again).unwrap_err();
        assert_eq!(error, Irrevocable::ChangedAgain(vec!["/schedule/expression".to_owned()]));
        assert_eq!(patch(reverted(&before, &after, &before)), json!({}), "it is as it was");
    }

    #[test]
    fn a_pause_is_taken_back_where_it_changed_anything_that_still_stands() {
        let (active, paused) = (json!({"status": "active"}), json!({"status": "paused"}));
        let (pause, unpause) = (Operation::Pause, Operation::Unpause);
        for (operation, before, after, now, back, is_done) in [
            (pause, &active, &paused, &paused, unpause, false),
            (pause, &active, &paused, &active, unpause, true),
            (pause, &paused, &paused, &paused, unpause, true),
            (unpause, &paused, &active, &active, pause, false),
            (unpause, &paused, &active, &paused, pause, true),
        ] {
            let former = Former {
                provider: Provider::named("qoder-cn").unwrap(),
                operation,
                patch: &Object::new(),
                before,
                after,
                redacted: &[],
            };
            let found = revert(&former, now).unwrap();
            assert_eq!((found.operation, found.is_done), (back, is_done), "{before} {now}");
        }
    }

    #[test]
    fn what_cannot_be_restored_is_named() {
        let before = json!({"environment_variables": "A=hmac-sha256:1", "name": "a"});
        let after = json!({"environment_variables": "A=hmac-sha256:2", "name": "b"});
        let now = json!({"environment_variables": "A=secret", "name": "b"});
        let hidden = ["/before/environment_variables", "/after/environment_variables"];
        let found = concealing(&before, &after, &now, &hidden).unwrap();
        assert_eq!(Value::Object(found.patch), json!({"name": "a"}));
        assert_eq!(
            found.left,
            [Left { path: "/environment_variables".to_owned(), why: CONCEALED }]
        );
        assert_eq!(found.later, []);

        let before = json!({"agent": {"id": "a"}, "resources": [{"type": "git", "url": "u"}]});
        let after = json!({"agent": {"id": "b", "version": 1}, "resources": []});
        let found = reverted(&before, &after, &after).unwrap();
        let left: Vec<&str> = found.left.iter().map(|left| left.path.as_str()).collect();
        let hidden = ["/resources/*/authorization_token", "/resources/*/password"];
        assert_eq!(left, ["/agent/version", hidden[0], hidden[1]]);
        assert_eq!(found.patch["resources"], json!([{"type": "git", "url": "u"}]));
    }
}
