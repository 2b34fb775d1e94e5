//! Work of the pure steps held against the bytes that they are done for, over the worst that a
//! client can send: it may grow no faster than they do.

use serde_json::{Value, json};

use super::steps_of;
use crate::base::canonical::canonical;
use crate::base::key::Key;
use crate::deployment::Object;
use crate::deployment::diff::{changed, diff, effect, settle};
use crate::deployment::digest::etag;
use crate::deployment::patch::{Patch, parse};
use crate::deployment::predict::Omitted;
use crate::policy::evaluate::{Evaluation, evaluate, judge_after};
use crate::policy::load::load;
use crate::policy::subject::Subject;
use crate::provider::{Operation, Provider};

/// The most steps for one byte of the three documents of a change.
const STEPS_A_BYTE_MAX: usize = 40;

/// A worst case of some size: what stands, and what comes of it.
type Grow = fn(usize, &str) -> Value;

fn object(n: usize, name: impl Fn(usize) -> String, value: impl Fn(usize) -> Value) -> Value {
    (0..n).map(|number| (name(number), value(number))).collect()
}

fn wide(n: usize, word: &str) -> Value {
    json!({"resources": [object(n, |n| format!("k{n}"), |_| word.into())]})
}

fn long_name_above_many(n: usize, word: &str) -> Value {
    let inner = object(n, |n| format!("k{n}"), |_| word.into());
    json!({"resources": [{"x".repeat(1_000): inner}]})
}

fn deep(n: usize, word: &str) -> Value {
    let text = "t".repeat(n);
    let nested = (0..50).fold(json!(word), |inner, _| json!({"a": text, "z": inner}));
    json!({"description": nested})
}

fn lists(n: usize, word: &str) -> Value {
    json!({"initial_events": vec![json!({"content": vec![json!({"text": word}); 6]}); n]})
}

fn keys(n: usize, word: &str) -> Value {
    json!({"metadata": object(n.min(1_000), |n| format!("k{n}"), |_| word.into())})
}

fn folding_keys(n: usize, word: &str) -> Value {
    let name = |n: usize| format!("{n}\u{fdfa}\u{301}\u{fb03}mI\u{17f}");
    json!({"metadata": object(n.min(400), name, |_| word.into())})
}

const WORST: [(&str, Grow, usize); 6] = [
    ("wide", wide, 4_000),
    ("long name", long_name_above_many, 4_000),
    ("deep", deep, 4_000),
    ("lists", lists, 1_000),
    ("keys", keys, 500),
    ("folding keys", folding_keys, 200),
];

/// The steps of everything that is done for one change, and its bytes.
fn work_of(grow: Grow, n: usize) -> (Vec<(&'static str, usize)>, usize) {
    let provider = Provider::named("qoder-cn").unwrap();
    let stars: Vec<String> = (0..64).map(|n| format!("'*x{n}q*', 'a{n}.*'")).collect();
    let policy = format!(
        "timezones.allowed = ['UTC']\n[metadata]\nforbidden_keys = ['owner_override', {}]\n\
         protected_keys = ['cas_config.config.max_concurrent']",
        stars.join(", ")
    );
    let policy = load(&policy, Provider::ALL[0]).unwrap();
    let (before, asked) = (grow(n, "a"), grow(n, "b"));
    // Upstream has trimmed what it was asked for.
    let after = grow(n, "b ");
    let text = asked.to_string();
    let key = Key::from_bytes([7; 32]);
    let operation = Operation::Update;
    let patch = parse(provider, text.as_bytes(), 64).unwrap_or_else(|error| panic!("{error}"));
    let subject =
        Subject { omitted: Omitted::Open, ..Subject::of(provider, Some(&before), &patch) };
    let Evaluation { prediction, findings, .. } = evaluate(&policy, &subject);
    let nothing = Object::new();
    let steps = vec![
        ("parse", steps_of(|| parse(provider, text.as_bytes(), 64))),
        ("evaluate", steps_of(|| evaluate(&policy, &subject))),
        ("after", steps_of(|| judge_after(&policy, &subject, &prediction, &findings, &after))),
        ("diff", steps_of(|| diff(provider, operation, &nothing, Some(&before), Some(&after)))),
        ("changed", steps_of(|| changed(provider, operation, &nothing, Some(&before), &after))),
        ("effect", steps_of(|| effect(provider, operation, Some(&before), &prediction, &after))),
        ("settle", steps_of(|| settle(provider, operation, Some(&before), &prediction, &after))),
        ("etag", steps_of(|| etag(&key, provider, &after))),
        ("canonical", steps_of(|| canonical(&after))),
    ];
    (steps, 3 * text.len())
}

#[test]
fn work_grows_no_faster_than_the_bytes() {
    for (name, grow, n) in WORST {
        let (once, _) = work_of(grow, n);
        let (twice, bytes) = work_of(grow, 2 * n);
        for ((step, once), (_, twice)) in once.into_iter().zip(twice) {
            assert!(2 * twice <= 5 * once + 2_000, "{step}, {name}: {once} then {twice}");
            let most = STEPS_A_BYTE_MAX * bytes;
            assert!(twice <= most, "{step}, {name}: {twice} steps for {bytes} bytes");
        }
    }
}

#[test]
fn what_is_told_of_a_change_is_bounded() {
    let provider = Provider::named("qoder-cn").unwrap();
    let (none, operation) = (Object::new(), Operation::Update);
    for (name, grow, _) in WORST {
        let (before, after) = (grow(20_000, "a"), grow(20_000, "b"));
        let places = changed(provider, operation, &none, Some(&before), &after);
        let bytes: usize = places.iter().map(|place| place.path.len()).sum();
        assert!(!places.is_empty() && places.len() <= 1_280, "{name}");
        assert!(bytes <= 320 << 10, "{name}: {bytes} bytes");
        let told = diff(provider, operation, &none, Some(&before), Some(&after));
        let bytes: usize = told.iter().map(|told| told.path.len()).sum();
        assert!(told.len() <= 11_024 && bytes <= 1_280 << 10, "{name}: {bytes} bytes");
    }
}

/// Matching any pattern costs its letters times its length, and no more.
#[test]
fn keys_that_nearly_match_many_patterns_cost_their_letters() {
    let patterns: Vec<String> = (0..256).map(|n| format!("'*q{n:02x}*z'")).collect();
    let list = patterns.join(", ");
    let policy = format!("[metadata]\nforbidden_keys = [{list}]\nprotected_keys = [{list}]");
    let policy = load(&policy, Provider::ALL[0]).unwrap();
    let provider = Provider::named("qoder-cn").unwrap();
    // Every character of the patterns, and letters of eighteen.
    let name = |n: usize| format!("{n}abcdefq0123456789z\u{fdfa}");
    let asked = json!({"metadata": object(400, name, |_| "v".into())});
    let patch: Patch = parse(provider, asked.to_string().as_bytes(), 64).unwrap();
    let subject = Subject::of(provider, None, &patch);
    let letters = 400 * 40;
    let steps = steps_of(|| evaluate(&policy, &subject));
    assert!(steps <= letters * 512 * 8, "{steps}");
    let long = json!({"metadata": {"\u{fdfa}".repeat(340): 1}});
    assert!(parse(provider, long.to_string().as_bytes(), 64).is_err());
    let many = object(1_000, |n| format!("{n}\u{fdfa}"), |_| 1.into());
    let error = parse(provider, json!({"metadata": many}).to_string().as_bytes(), 64).unwrap_err();
    assert!(error.message.contains("16384 letters together"), "{error}");
}

#[test]
fn a_body_of_too_many_values_or_too_long_a_name_is_refused_while_it_is_read() {
    let provider = Provider::named("claude").unwrap();
    let values = |n: usize| format!("{{\"a\":[{}]}}", vec!["{}"; n].join(","));
    assert!(parse(provider, values(99_998).as_bytes(), 64).is_ok());
    let many = values(400_000);
    let error = parse(provider, many.as_bytes(), 64).unwrap_err();
    assert!(error.message.contains("more than 100000 values"), "{error}");
    assert!(steps_of(|| parse(provider, many.as_bytes(), 64)) <= 100_000);
    let long = |n: usize| format!("{{\"a\":{{\"{}\":1}}}}", "k".repeat(n));
    assert!(parse(provider, long(1_024).as_bytes(), 64).is_ok());
    let error = parse(provider, long(1_025).as_bytes(), 64).unwrap_err();
    assert!(error.message.contains("more than 1024 bytes"), "{error}");
}
