//! Rules in CEL: what one costs, what its documents cost to bind, and how long a policy takes to
//! load; all beside a parse of the same document by `serde_json`.

use std::hint::black_box;
use std::time::Duration;

use changegate::base::canonical::canonical;
use changegate::base::clock::{Clock, Timestamp};
use changegate::base::ids::Fingerprint;
use changegate::deployment::patch::{DEPTH_MAX, parse};
use changegate::deployment::predict::Omitted;
use changegate::policy::evaluate::evaluate;
use changegate::policy::load::load;
use changegate::policy::subject::Subject;
use changegate::policy::{Actor, Policy};
use changegate::provider::Operation;
use criterion::Criterion;
use serde_json::Value;

use crate::{PATCH, document, provider};

/// Rules as orgs write them: one comparison, a loop over a few keys, a loop in a loop.
const RULES: [(&str, &str); 3] = [
    ("a comparison", "object.name != 'x'"),
    ("a loop over metadata", "object.metadata.all(key, !key.startsWith('secret_'))"),
    ("a loop over events", "object.initial_events.all(e, e.type in ['user.message', 'x'])"),
];

/// How many simple rules a policy has where one is measured: the rest of an evaluation is shared.
const MANY: usize = 100;

/// How many rules a large policy has.
const LARGE: usize = 1_000;

/// How often each is run beside a parse, and in how many rounds, of which the fastest counts:
/// others may work on the machine.
const RUNS: u32 = 200;
const ROUNDS: u32 = 25;

/// The measurements by name.
pub(crate) fn rules(criterion: &mut Criterion) {
    let before = Value::Object(document::deployment(0));
    for (name, require) in RULES {
        let policy = policy(1, require);
        criterion.bench_function(&format!("rule, {name}"), |bencher| {
            bencher.iter(|| judge(&policy, &before));
        });
    }
    let text = text_of(LARGE, "object.name != 'x'");
    criterion.bench_function("load of 1,000 rules", |bencher| {
        bencher.iter(|| load(black_box(&text), provider()).is_ok());
    });
}

/// Prints what things cost beside a parse of the same document.
#[expect(clippy::print_stdout, reason = "a benchmark prints what it has measured")]
pub(crate) fn beside_a_parse() {
    let before = Value::Object(document::deployment(0));
    let text = canonical(&before);
    let parsed = fastest(|| {
        black_box(serde_json::from_slice::<Value>(black_box(&text)).is_ok());
    });
    let none = fastest(|| judge(&Policy::default(), &before));
    let beyond = |took: Duration| took.saturating_sub(none);
    let tell = |what: &str, took: Duration| {
        let ratio = took.as_secs_f64() / parsed.as_secs_f64();
        println!("{what:<48} {:>9.2} µs  {ratio:>6.2} of a parse", took.as_secs_f64() * 1e6);
    };
    println!();
    tell("serde_json parses the document", parsed);
    for (name, require) in RULES {
        let (one, many) = (policy(1, require), policy(MANY, require));
        let first = beyond(fastest(|| judge(&one, &before)));
        let all = beyond(fastest(|| judge(&many, &before)));
        tell(&format!("rule, {name}: the first of a call"), first);
        let more = u32::try_from(MANY - 1).unwrap_or(1);
        tell(&format!("rule, {name}: each one more"), all.saturating_sub(first) / more);
    }
    let whole = policy(1, "object == oldObject || true");
    tell("every value of both documents, and compared", beyond(fastest(|| judge(&whole, &before))));
    let text = text_of(LARGE, "object.name != 'x'");
    let loaded = (0..3).map(|_| timed(1, || _ = black_box(load(&text, provider()).is_ok())));
    tell("load of 1,000 rules", loaded.min().unwrap_or_default());
}

fn policy(rules: usize, require: &str) -> Policy {
    load(&text_of(rules, require), provider()).unwrap_or_default()
}

fn text_of(rules: usize, require: &str) -> String {
    let rule = |n: usize| {
        format!("[[rule]]\nname = \"r{n}\"\noperations = [\"update\"]\nrequire = \"{require}\"\n")
    };
    (0..rules).map(rule).collect()
}

fn judge(policy: &Policy, before: &Value) {
    let actor = Actor {
        fingerprint: Fingerprint::from_bytes([7; 8]),
        name: None,
        team: None,
        person: None,
    };
    let Ok(patch) = parse(provider(), PATCH, DEPTH_MAX) else { return };
    let subject = Subject {
        provider: provider(),
        operation: Operation::Update,
        omitted: Omitted::Preserved,
        before: Some(before),
        patch: &patch,
        actor: &actor,
        now: Timestamp::from_millis(1_800_000_000_000),
        clock: &Clock::System,
    };
    black_box(evaluate(policy, &subject).findings.decision());
}

/// How long one run takes, in the fastest of all rounds.
fn fastest(mut run: impl FnMut()) -> Duration {
    let rounds = (0..ROUNDS).map(|_| timed(RUNS, &mut run) / RUNS);
    rounds.min().unwrap_or_default()
}

fn timed(runs: u32, mut run: impl FnMut()) -> Duration {
    let began = Clock::System.instant();
    for _ in 0..runs {
        run();
    }
    began.elapsed()
}
