//! Rules in CEL, case by case.

use serde_json::{Value, json};

use super::*;
use crate::base::clock::{Clock, ManualClock, Timestamp};
use crate::cases::cases;
use crate::deployment::patch::{Patch, parse};
use crate::provider::Provider;

/// The deployment that expressions are run on.
fn deployment() -> Value {
    json!({
        "id": "dep_1", "name": "nightly", "description": null,
        "agent": {"id": "agent_1", "type": "agent", "version": 3},
        "environment_id": "env_prod_1",
        "schedule": {"type": "cron", "expression": "30 9 * * 1-5", "timezone": "Asia/Shanghai"},
        "initial_events": [{"type": "user.message", "content": "look"}, {"type": "system.message"}],
        "resources": [{"type": "file", "file_id": "file_1"}],
        "vault_ids": ["vlt_1", "vlt_2"],
        "metadata": {"team": "data", "代": "理", "cas_config": {"config": {"max_retries": 3}}},
        "budget": {"type": "limit", "max_credit_cost": 12.5},
    })
}

pub(super) fn source(require: &str) -> CelSource {
    CelSource {
        provider: Provider::named("qoder-cn").unwrap(),
        operations: vec![Operation::Create, Operation::Update],
        description: None,
        when: None,
        require: require.to_owned(),
        message: None,
        about: None,
    }
}

pub(super) fn made(source: CelSource) -> Result<CelRule, Vec<CelError>> {
    on_a_large_stack(|| CelRule::of(source)).expect("there is a thread")
}

/// A budget on a clock that stands still: what a rule comes to is its steps' doing alone.
fn budget() -> Budget {
    Budget::new(Clock::Manual(ManualClock::at(Timestamp::from_millis(0))))
}

/// What comes of a rule on a change of `before`, in words, and the steps that it took.
pub(super) fn run(rule: &CelRule, before: Option<&Value>, patch: &Value) -> (String, u64) {
    let provider = Provider::named("qoder-cn").unwrap();
    let patch: Patch = parse(provider, patch.to_string().as_bytes(), 64).unwrap();
    let subject = Subject {
        now: Timestamp::parse("2026-03-27T08:30:00Z").unwrap(),
        ..Subject::of(provider, before, &patch)
    };
    let prediction = subject.predict();
    let standing = before.map(Members::of).unwrap_or_default();
    let bindings = Bindings::of(&subject, &standing, &prediction.readings[0]);
    let mut budget = budget();
    let told = match rule.ask(&bindings, &mut budget) {
        Outcome::Skipped => "skipped".to_owned(),
        Outcome::Holds => "true".to_owned(),
        Outcome::Broken => "false".to_owned(),
        Outcome::Failed(_, error) => format!("error: {error}"),
    };
    (told, budget.spent())
}

fn told(errors: &[CelError]) -> String {
    let told = errors.iter().map(|error| {
        let CelError { key, line, column, message } = error;
        format!("{key} {line}:{column} {message}")
    });
    told.collect::<Vec<_>>().join("\n")
}

/// Compares all cases at once, so that a change of words is seen as a whole.
fn compare(all: Vec<(String, String, String)>) {
    let broken: Vec<String> = all
        .into_iter()
        .filter(|(_, found, expected)| found != expected)
        .map(|(title, found, expected)| format!("{title}\n{found}\n---- instead of\n{expected}"))
        .collect();
    assert!(broken.is_empty(), "\n{}", broken.join("\n====\n"));
}

#[test]
fn every_expression_is_typed_as_its_file_says() {
    let all = cases("cel-types").into_iter().map(|case| {
        let (texts, expected) = case.parts.split_at(case.parts.len() - 1);
        let mut rule = source(texts.last().unwrap());
        if let [when, _] = texts {
            rule.when = Some(when.clone());
        }
        if case.title.contains("(update)") {
            rule.operations = vec![Operation::Update];
        }
        let found = made(rule).map_or_else(|errors| told(&errors), |_rule| "sound".to_owned());
        (case.title, found, expected[0].clone())
    });
    compare(all.collect());
}

#[test]
fn every_expression_comes_out_as_its_file_says() {
    let before = deployment();
    let patch = json!({
        "name": "nightly-2", "vault_ids": ["vlt_2", "vlt_3"], "metadata": {"team": null, "x": "y"},
    });
    let all = cases("cel").into_iter().map(|case| {
        let [expression, expected] = case.parts.as_slice() else { panic!("{}", case.title) };
        let before = (!case.title.contains("(create)")).then_some(&before);
        let found = match made(source(expression)) {
            Ok(rule) => run(&rule, before, &patch).0,
            Err(errors) => told(&errors),
        };
        (case.title, found, expected.clone())
    });
    compare(all.collect());
}

#[test]
fn no_text_breaks_the_reader_and_none_beyond_the_bounds_is_taken() {
    let chain = |start: &str, link: &str| {
        let links = (parse::TEXT_BYTES_MAX - start.len()) / link.len();
        format!("{start}{}", link.repeat(links))
    };
    let hostile = [
        chain("1", "+1"),
        chain("true", "?true:true"),
        chain("object", ".a"),
        chain("object", "[0]"),
        chain("object", ".?a"),
        chain("[1]", ".map(x,x)"),
        chain("", "("),
        chain("", "["),
        chain("", "{"),
        chain("", "!"),
        chain("", "-"),
        chain("", "has("),
        chain("", "a.all(x,"),
        chain("", "'"),
        chain("", "\u{1f980}"),
        "[1].all(a,".repeat(4) + "true" + &")".repeat(4),
        format!("'{}' == ''", "x".repeat(parse::TEXT_BYTES_MAX)),
    ];
    for text in hostile {
        let start: String = text.chars().take(24).collect();
        let errors = made(source(&text)).expect_err(&start);
        assert!(errors.iter().all(|error| error.message.len() < 600), "{start} {errors:?}");
    }
}

#[test]
fn steps_are_the_same_whenever_a_change_is_judged() {
    let before = deployment();
    let many: Vec<Value> = (0..20_000).map(|n| json!({"type": "file", "file_id": n})).collect();
    for (require, held) in [
        ("object.resources.all(resource, resource.type == 'file')", "true"),
        ("object.resources == oldObject.resources || true", "true"),
        ("object.resources.map(a, a).map(a, a).map(a, a) == []", "error: it takes too many"),
        ("object.resources.all(a, object.resources.all(b, a != b || true))", "error: it takes too"),
    ] {
        let rule = CelSource { operations: vec![Operation::Update], ..source(require) };
        let rule = made(rule).unwrap();
        let patch = json!({"resources": many});
        let (one, other) = (run(&rule, Some(&before), &patch), run(&rule, Some(&before), &patch));
        assert_eq!(one, other, "{require}");
        assert!(one.0.starts_with(held), "{require}: {one:?}");
    }
}

#[test]
fn a_message_shows_values_and_knows_what_the_rule_makes_sure_of() {
    let told = |message: &str| {
        let rule = CelSource {
            when: Some("object.schedule != null".to_owned()),
            message: Some(message.to_owned()),
            ..source("object.name == 'other'")
        };
        made(rule).map(|rule| {
            let (before, patch) = (deployment(), Patch::default());
            let subject = Subject::of(Provider::ALL[0], Some(&before), &patch);
            let standing = Members::of(&before);
            let bindings = Bindings::of(&subject, &standing, &standing);
            rule.message(&bindings, &mut budget())
        })
    };
    let message = "{{ object.name }} runs {{object.schedule.expression}} ({{size(object.name)}})";
    assert_eq!(told(message).unwrap(), "nightly runs 30 9 * * 1-5 (7)");
    assert_eq!(told("{{ object.vault_ids[9] }}!").unwrap(), "?!");
    for wrong in ["{{ object.nmae }}", "{{ object.vault_ids }}", "{{ object.name", "{{ 1 + }}"] {
        let errors = told(wrong).unwrap_err();
        assert!(errors.iter().all(|error| error.key == "message"), "{errors:?}");
    }
}

#[test]
fn what_is_as_deep_as_may_be_runs_on_a_workers_stack() {
    let lists = format!("{}1{} != []", "[".repeat(55), "]".repeat(55));
    let maps = format!("{}1{} != {{}}", "{'a':".repeat(28), "}".repeat(28));
    let sum = format!("1{} > object.vault_ids.size()", "+1".repeat(60));
    let texts = format!("''{} == ''", "+object.name".repeat(60));
    for require in [format!("{}true", "!".repeat(60)), lists, maps, sum, texts] {
        let rule = made(source(&require)).map_err(|errors| told(&errors)).unwrap();
        let worker = std::thread::Builder::new().stack_size(2 << 20);
        let run = move || run(&rule, None, &json!({"name": "a"})).0;
        let told = worker.spawn(run).unwrap().join().unwrap();
        assert!(!told.starts_with("error"), "{require}: {told}");
    }
}
