use super::*;
use crate::deployment::Object;
use crate::deployment::diff::{Effect, effect, settle};
use crate::deployment::patch::Patch;
use crate::deployment::predict::{Omitted, predict};
use crate::fuzzing::seeded;
use crate::fuzzing::source::Source;
use crate::provider::Operation;
use crate::simulator::catalog::Kind;
use crate::simulator::dialect::Dialect;
use crate::simulator::seed::plant_entry;

/// How many calls one deployment gets.
const CALLS: usize = 12;

/// A patch as clients write them, with a value now and then that the API refuses. What no table
/// knows (other fields) is left out.
fn any_patch(source: &mut Source<'_>) -> Object {
    let count = source.below(5);
    (0..count)
        .map(|_| {
            let (name, value) = any_member(source);
            (name.to_owned(), value)
        })
        .collect()
}

fn any_member(source: &mut Source<'_>) -> (&'static str, Value) {
    let nothing = source.below(4) == 0;
    let some = |value: Value| if nothing { Value::Null } else { value };
    match source.below(14) {
        0 => ("name", source.pick(&["a", "b", "\u{e9}", ""]).into()),
        1 => ("description", some("d".into())),
        2 => ("agent", any_agent(source)),
        3 => ("environment_id", source.pick(&[ENVIRONMENT_ID, "env_none"]).into()),
        4 | 5 => ("schedule", some(any_schedule(source))),
        6 => ("initial_events", json!([{"type": "user.message", "content": source.byte()}])),
        7 => ("resources", some(any_resources(source))),
        8 => ("vault_ids", some(vec!["vault_1"; source.below(3)].into())),
        9 | 10 => ("metadata", any_metadata(source).into()),
        11 => ("environment_variables", some("A=1;B=2".into())),
        12 => ("budget", some(json!({"tokens": source.byte()}))),
        _ => (source.pick(&["id", "status", "updated_at", "archived_at"]), "mine".into()),
    }
}

fn any_resources(source: &mut Source<'_>) -> Value {
    let resource = |source: &mut Source<'_>| match source.below(4) {
        0 => json!({"type": "file", "file_id": "f"}),
        1 => json!({"type": "file", "file_id": "f", "mount_path": "/m"}),
        2 => {
            json!({"type": "github_repository", "url": "https://h/o/r", "authorization_token": "t"})
        }
        _ => json!({"type": "git_repository", "url": "https://h/o/r.git", "password": "p"}),
    };
    let count = source.below(3);
    (0..count).map(|_| resource(source)).collect::<Vec<_>>().into()
}

fn any_agent(source: &mut Source<'_>) -> Value {
    match source.below(4) {
        0 => AGENT_ID.into(),
        1 => json!({"id": AGENT_ID, "type": "agent", "version": 1 + source.below(4)}),
        2 => json!({"id": AGENT_ID, "version": null}),
        _ => json!({ "id": AGENT_ID }),
    }
}

fn any_schedule(source: &mut Source<'_>) -> Value {
    let expression = source.pick(&["0 9 * * 1-5", "*/5 * * * *", "0 0 30 2 *"]);
    let zone = source.pick(&["UTC", "Asia/Shanghai", "America/New_York"]);
    let mut schedule = json!({"type": "cron", "expression": expression, "timezone": zone});
    if source.flip() {
        // As clients send it that send whole objects back.
        schedule["upcoming_runs_at"] = json!([]);
        schedule["last_run_at"] = "2026-01-01T00:00:00Z".into();
    }
    schedule
}

fn any_metadata(source: &mut Source<'_>) -> Object {
    let mut metadata = Object::new();
    for _ in 0..source.below(4) {
        let key = source.pick(&["a", "b", "a/b", "~0", "\u{8d1f}\u{8d23}\u{4eba}", "cas_config"]);
        let value = match (key, source.below(4)) {
            (_, 0) => Value::Null,
            ("cas_config", 1) => json!({"stats": {"total_runs": 9}, "config": {"x": null}}),
            ("cas_config", _) => json!({"config": {"max_concurrent": source.below(3)}}),
            _ => source.pick(&["1", "2", ""]).into(),
        };
        metadata.insert(key.to_owned(), value);
    }
    metadata
}

/// Whatever a call makes of a deployment is what was predicted, in one of the readings; a refused
/// call leaves the deployment alone.
#[test]
fn what_the_server_makes_of_any_call_was_predicted() {
    let mut applied = 0;
    seeded::each(40, 2 << 10, |source| {
        let provider = source.pick(&Provider::ALL);
        let clock = ManualClock::at(Timestamp::parse("2026-06-14T08:58:11Z").unwrap());
        let dialect = Dialect::of(provider, Vec::new());
        let state = State::seeded(dialect, Clock::Manual(clock.clone()), Vec::new());
        state.with(|world| plant_entry(world, Kind::Agent, AGENT_ID, 3));
        for _ in 0..CALLS {
            clock.advance(Duration::from_secs(u64::from(source.byte()) * 60));
            let before = state.deployment(DEPLOYMENT_ID).unwrap();
            let operation = source.pick(&[
                Operation::Update,
                Operation::Update,
                Operation::Update,
                Operation::Pause,
                Operation::Unpause,
                Operation::Run,
                Operation::Create,
            ]);
            let mut object = match operation {
                Operation::Update | Operation::Create => any_patch(source),
                _ => Object::new(),
            };
            if operation == Operation::Create {
                for needed in ["agent", "environment_id", "initial_events", "name"] {
                    object.entry(needed).or_insert_with(|| before[needed].clone());
                }
            }
            let patch = Patch { object };
            let before = (operation != Operation::Create).then_some(before);
            let prediction =
                predict(provider, operation, Omitted::Preserved, before.as_ref(), &patch);
            let answered = state.with(|world| match operation {
                Operation::Create => world.create(&patch.object),
                Operation::Update => world.update(DEPLOYMENT_ID, &patch.object),
                _ => world.act(DEPLOYMENT_ID, operation),
            });
            let shown = state.deployment(DEPLOYMENT_ID).unwrap();
            let after = match (answered, &before) {
                (Err(_refused), before) => {
                    assert!(before.as_ref().is_none_or(|before| *before == shown));
                    continue;
                }
                (Ok(made), None) => made,
                (Ok(_shown), Some(_before)) => shown,
            };
            applied += 1;
            let before = before.as_ref();
            let told = || format!("{operation} {:?}\n{before:?}\n{after}", patch.object);
            let effect = effect(provider, operation, before, &prediction, &after);
            assert_eq!(effect, Effect::Exact, "{}", told());
            let settled = settle(provider, operation, before, &prediction, &after);
            assert_ne!(settled, Some(false), "{}", told());
        }
    });
    assert!(applied > 0, "some calls are taken");
}
