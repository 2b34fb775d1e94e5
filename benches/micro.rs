//! How long the gateway's pure parts take, one by one, in process: `cargo bench`.

use std::hint::black_box;

use changegate::audit::redact::{Redacted, Redaction};
use changegate::base::canonical::canonical;
use changegate::base::clock::Clock;
use changegate::base::ids::Fingerprint;
use changegate::base::key::{DigestScope, Key, Token};
use changegate::bench_api;
use changegate::config::{Budget, RateLimit};
use changegate::deployment::diff::diff;
use changegate::deployment::members::Members;
use changegate::deployment::patch::{DEPTH_MAX, parse};
use changegate::deployment::predict::{Omitted, predict};
use changegate::provider::{Operation, Provider};
use criterion::{BatchSize, Criterion};
use http::Method;
use serde_json::Value;

#[path = "../bench/document.rs"]
#[expect(dead_code, reason = "the side-by-side harness needs more of it")]
mod document;
#[path = "micro/rules.rs"]
mod rules;

/// A small patch, as in the measurements side by side.
const PATCH: &[u8] = br#"{"metadata":{"revision":"4711"}}"#;

/// How many tokens draw in turn.
const TOKENS: u64 = 64;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    first_steps(&mut criterion);
    deployment(&mut criterion);
    redaction(&mut criterion);
    rules::rules(&mut criterion);
    criterion.final_summary();
    rules::beside_a_parse();
}

/// The steps that every call passes.
fn first_steps(criterion: &mut Criterion) {
    let key = Key::from_bytes([7; 32]);
    let token = "pt-0123456789abcdef0123456789abcdef0123456789ab";
    criterion.bench_function("fingerprint of a token", |bencher| {
        bencher.iter(|| key.fingerprint(black_box(token.as_bytes())));
    });
    let budget = Budget::per_second(1_000_000_000, 1_000_000_000);
    let budgets =
        bench_api::Budgets::new(RateLimit { read: budget, write: budget }, &Clock::System);
    let mut n = 0_u64;
    criterion.bench_function("limiter, a draw of 64 tokens in turn", |bencher| {
        let now = Clock::System.moment();
        bencher.iter(|| {
            n = (n + 1) % TOKENS;
            let token = Fingerprint::from_bytes(black_box(n.to_be_bytes()));
            budgets.draw(token, &Method::GET, now)
        });
    });
    for (name, path) in [
        ("classification, a passthrough", "/api/v1/cloud/files/file_0123"),
        ("classification, a governed call", "/api/v1/cloud/deployments/dep_0123"),
    ] {
        criterion.bench_function(name, |bencher| {
            bencher.iter(|| bench_api::passes(provider(), &Method::POST, black_box(path)));
        });
    }
}

/// The steps of a governed call on its deployment.
fn deployment(criterion: &mut Criterion) {
    let before = Value::Object(document::deployment(0));
    let whole = canonical(&before);
    for (name, text) in
        [("strict parse, a small patch", PATCH), ("strict parse, 3 KB", whole.as_slice())]
    {
        criterion.bench_function(name, |bencher| {
            bencher.iter(|| parse(provider(), black_box(text), DEPTH_MAX));
        });
    }
    let Ok(patch) = parse(provider(), PATCH, DEPTH_MAX) else { return };
    let predicted = || {
        predict(provider(), Operation::Update, Omitted::Preserved, Some(black_box(&before)), &patch)
    };
    criterion.bench_function("predict", |bencher| bencher.iter(predicted));
    let prediction = predicted();
    let after = prediction.readings.first().map(Members::to_value);
    criterion.bench_function("diff", |bencher| {
        bencher.iter(|| {
            let before = Some(black_box(&before));
            diff(provider(), Operation::Update, &patch.object, before, after.as_ref())
        });
    });
}

/// The steps of a record on a document.
fn redaction(criterion: &mut Criterion) {
    let document = Value::Object(document::deployment(0));
    let redaction = Redaction::new(Key::from_bytes([7; 32]), provider(), &[]);
    let redactor = redaction.within(DigestScope::Deployment("dep_1".into()));
    let redactor = redactor.knowing(&Token::new("pt-0123456789abcdef0123456789abcdef0123456789ab"));
    criterion.bench_function("redaction, 3 KB", |bencher| {
        bencher.iter_batched(
            || document.clone(),
            |mut document| {
                redactor.conceal(&mut document, "/before", &mut Redacted::default());
                document
            },
            BatchSize::SmallInput,
        );
    });
    criterion.bench_function("canonical text, 3 KB", |bencher| {
        bencher.iter(|| canonical(black_box(&document)));
    });
}

fn provider() -> &'static Provider {
    let [provider, ..] = Provider::ALL;
    provider
}
