mod work;

use serde_json::json;

use super::*;
use crate::base::key::CONCEALED;
use crate::cases::{Case, cases};
use crate::deployment::Object;
use crate::policy::{Enforcement, Violation};

fn scope() -> DigestScope {
    DigestScope::Deployment("dep_1".into())
}

fn redactor(pointers: &[&str]) -> Redactor {
    let pointers: Vec<String> = pointers.iter().map(|pointer| (*pointer).to_owned()).collect();
    let provider = Provider::named("qoder-cn").unwrap();
    Redaction::new(Key::from_bytes([7; 32]), provider, &pointers).within(scope())
}

fn hidden(secret: &str) -> String {
    Key::from_bytes([7; 32]).conceal(&scope(), secret)
}

fn concealed(mut value: Value, pointers: &[&str]) -> (Value, Vec<String>) {
    let (mut redacted, mut told) = (Redacted::default(), Redacted::default());
    let given = value.clone();
    let shared = redactor(pointers).concealed(value.clone().into(), None, "/patch", &mut told);
    redactor(pointers).conceal(&mut value, "/patch", &mut redacted);
    let (redacted, told) = (redacted.into_paths(), told.into_paths());
    assert_eq!((&*shared, &told), (&value, &redacted), "one that is shared is concealed alike");
    let mut told = Redacted::default();
    let again = redactor(pointers).concealed(given.into(), Some(&value), "/patch", &mut told);
    assert_eq!((&*again, told.paths()), (&value, &*redacted), "and one that is known in part");
    (value, redacted)
}

#[test]
fn a_document_without_secrets_is_not_copied() {
    let document = Arc::new(json!({"name": "daily", "resources": [{"url": "https://x"}], "n": 1}));
    let mut redacted = Redacted::default();
    let same = redactor(&[]).concealed(Arc::clone(&document), None, "/after", &mut redacted);
    assert!(Arc::ptr_eq(&same, &document) && redacted.paths().is_empty());
}

#[test]
fn secret_members_are_concealed_at_any_depth_however_they_are_spelt() {
    let (value, redacted) = concealed(
        json!({
            "name": "daily",
            "resources": [{"Authorization-Token": "ghp_1", "url": "https://x"}],
            "metadata": {"apiKey": 5, "token": null, "password": {"a": [1]}},
        }),
        &[],
    );
    let expected = json!({
        "name": "daily",
        "resources": [{"Authorization-Token": hidden("ghp_1"), "url": "https://x"}],
        "metadata": {"apiKey": hidden("5"), "token": null, "password": hidden("{\"a\":[1]}")},
    });
    assert_eq!(value, expected);
    let expected = [
        "/patch/metadata/apiKey",
        "/patch/metadata/password",
        "/patch/resources/0/Authorization-Token",
    ];
    assert_eq!(redacted, expected);
}

#[test]
fn variables_are_concealed_one_by_one_and_what_is_between_them_stays() {
    let cases = [
        ("A=1", format!("A={}", hidden("1"))),
        ("A=1;B=two words", format!("A={};B={}", hidden("1"), hidden("two words"))),
        ("A=1, B=2,", format!("A={}, B={},", hidden("1"), hidden("2"))),
        ("A=x;y B=2", format!("A={} B={}", hidden("x;y"), hidden("2"))),
        ("A=one two", format!("A={}", hidden("one two"))),
        ("A=1\r\n\nB=a;C=d\n", format!("A={}\r\n\nB={}\n", hidden("1"), hidden("a;C=d"))),
        ("A=Bearer c2VjcmV0=x", format!("A={}", hidden("Bearer c2VjcmV0=x"))),
        ("hunter2", hidden("hunter2")),
        ("c2VjcmV0==", hidden("c2VjcmV0==")),
        ("A=1\nc2VjcmV0=\n", format!("A={}\n{}\n", hidden("1"), hidden("c2VjcmV0="))),
    ];
    for (text, expected) in cases {
        let (value, redacted) = concealed(json!({ "environment_variables": text }), &[]);
        assert_eq!(value, json!({ "environment_variables": expected }), "{text:?}");
        assert_eq!(redacted, ["/patch/environment_variables"]);
    }
}

#[test]
fn a_token_that_stands_as_the_name_of_a_variable_is_concealed() {
    let redactor = redactor(&[]).knowing(&crate::base::key::Token::new("abcdEFGH1234"));
    let mut value = json!({"environment_variables": "abcdEFGH1234=1;B=2"});
    redactor.conceal(&mut value, "", &mut Redacted::default());
    let (name, one, two) = (hidden("abcdEFGH1234"), hidden("1"), hidden("2"));
    assert_eq!(value["environment_variables"], format!("{name}={one};B={two}"));
}

#[test]
fn variables_come_as_objects_and_lists_too() {
    let (value, redacted) = concealed(json!({"environment_variables": {"A": "1", "B": null}}), &[]);
    assert_eq!(value, json!({"environment_variables": {"A": hidden("1"), "B": null}}));
    assert_eq!(redacted, ["/patch/environment_variables/A"]);
    let (value, redacted) =
        concealed(json!({"environment_variables": ["A=1", {"name": "B", "value": "2"}, 3]}), &[]);
    let list =
        json!([format!("A={}", hidden("1")), {"name": "B", "value": hidden("2")}, hidden("3")]);
    assert_eq!(value, json!({ "environment_variables": list }));
    let expected = ["/0", "/1/value", "/2"].map(|end| format!("/patch/environment_variables{end}"));
    assert_eq!(redacted, expected);
}

#[test]
fn configured_pointers_conceal_what_they_mean_and_nothing_else() {
    let body = json!({"metadata": {"a/b": {"x": 1, "y": 2}, "c": {"x": [3]}}, "x": 4});
    let (value, redacted) = concealed(body, &["/metadata/*/x", "/metadata/a~1b/y", "/gone"]);
    let expected = json!({
        "metadata": {"a/b": {"x": hidden("1"), "y": hidden("2")}, "c": {"x": hidden("[3]")}},
        "x": 4,
    });
    assert_eq!(value, expected);
    let expected = ["/patch/metadata/a~1b/x", "/patch/metadata/a~1b/y", "/patch/metadata/c/x"];
    assert_eq!(redacted, expected);
}

/// The cases of one file, each part without the marks of what is secret in it.
fn cases_of(file: &str) -> Vec<Case> {
    let name = format!("{file}.txt:");
    let cases: Vec<_> =
        cases("redact").into_iter().filter(|case| case.title.contains(&name)).collect();
    assert!(!cases.is_empty(), "{file} holds cases");
    cases
}

/// `text` with `<>` in place of every digest.
fn shown(text: &str) -> String {
    let mut parts = text.split(CONCEALED);
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |shown, part| shown + "<>" + part.split_at(32).1)
}

fn unmarked(text: &str) -> String {
    text.replace(['<', '>'], "")
}

#[test]
fn a_name_is_secret_as_its_file_says() {
    let names = SecretNames::new(Provider::named("qoder-cn").unwrap().secret_members);
    let mut seen = 0;
    for case in cases_of("names") {
        let [list, expected] = case.parts.as_slice() else { panic!("{}", case.title) };
        let list = list.split('"').enumerate().flat_map(|(place, part)| {
            if place % 2 == 1 { vec![part] } else { part.split_whitespace().collect() }
        });
        for name in list {
            let named = format!("{:?}", names.of(name)).to_lowercase();
            let is_amount = expected == "counted" || expected == "secret" && named == "counted";
            assert!(named == *expected || is_amount, "{name} is {named}, not {expected}");
            seen += 1;
        }
    }
    assert!(seen > 80);
}

#[test]
fn a_document_keeps_what_its_case_says() {
    for case in cases_of("documents") {
        let [given, expected] = case.parts.as_slice() else { panic!("{}", case.title) };
        let given = serde_json::from_str(&unmarked(given)).expect(&case.title);
        let (left, redacted) = concealed(given, &[]);
        let left: Value = serde_json::from_str(&shown(&left.to_string())).unwrap();
        let expected: Value = serde_json::from_str(expected).expect(&case.title);
        assert_eq!(left, expected, "{}", case.title);
        assert_eq!(redacted.is_empty(), !expected.to_string().contains("<>"), "{}", case.title);
    }
}

#[test]
fn a_list_of_variables_keeps_what_its_case_says() {
    for case in cases_of("variables") {
        let [given, expected] = case.parts.as_slice() else { panic!("{}", case.title) };
        let left = redactor(&[]).variables(&unmarked(given));
        assert_eq!(shown(&left), *expected, "{}", case.title);
    }
}

#[test]
fn a_credential_in_a_text_is_concealed_to_its_very_ends() {
    let lines = |file| {
        let parts: Vec<_> = cases_of(file).into_iter().flat_map(|case| case.parts).collect();
        parts.join("\n")
    };
    for line in lines("texts").lines() {
        let mut expected = String::new();
        for part in line.split('>') {
            let (plain, secret) = part.split_once('<').unwrap_or((part, ""));
            expected.push_str(plain);
            if !secret.is_empty() {
                expected.push_str(&hidden(secret));
            }
        }
        let clean = redactor(&[]).scrub(&unmarked(line)).into_owned();
        assert_eq!(clean, expected, "{line}");
        assert!(redactor(&[]).is_plain(&clean), "{clean} is clean");
    }
    let plain = std::fs::read_to_string("tests/data/redact/plain.txt").unwrap();
    for plain in plain.lines() {
        assert!(matches!(redactor(&[]).scrub(plain), Cow::Borrowed(_)), "{plain}");
    }
}

#[test]
fn a_private_key_is_concealed_to_its_end_or_to_that_of_the_text() {
    let key = "-----BEGIN RSA PRIVATE KEY-----\nMIIabc=\nabc\n-----END RSA PRIVATE KEY-----";
    let scrub = |text: &str| redactor(&[]).scrub(text).into_owned();
    assert_eq!(scrub(&format!("use {key}\nwell")), format!("use {}\nwell", hidden(key)));
    let block = "-----BEGIN PGP PRIVATE KEY BLOCK-----\\nabc\\n-----END PGP PRIVATE KEY BLOCK-----";
    assert_eq!(scrub(&format!("{block} {key}")), format!("{} {}", hidden(block), hidden(key)));
    let open = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl and all the rest";
    assert_eq!(scrub(&format!("a {open}")), format!("a {}", hidden(open)));
}

#[test]
fn beyond_a_bound_the_rest_of_a_text_is_concealed_as_one() {
    let text = "pt-0123456789 ".repeat(3 * credential::CREDENTIALS_MAX);
    let clean = redactor(&[]).scrub(&text).into_owned();
    assert_eq!(clean.matches(CONCEALED).count(), credential::CREDENTIALS_MAX);
    assert!(!clean.contains("pt-"));
}

#[test]
fn credentials_are_concealed_wherever_they_stand() {
    let token = "pt-abcdEFGH1234";
    let redactor = redactor(&[]);
    let cases = [
        (format!("use {token}, then stop"), format!("use {}, then stop", hidden(token))),
        (
            format!("Authorization: bearer {token}"),
            format!("Authorization: bearer {}", hidden(token)),
        ),
        ("Bearer abcdefgh".to_owned(), format!("Bearer {}", hidden("abcdefgh"))),
        (format!("{token} {token}"), format!("{0} {0}", hidden(token))),
        ("x=sk-ant-0123456789".to_owned(), format!("x={}", hidden("sk-ant-0123456789"))),
    ];
    for (text, expected) in cases {
        assert_eq!(redactor.scrub(&text), expected);
    }
    for plain in ["opt-in-by-default", "pt-BR", "the bearer of it", "receipt-20260101", "é"] {
        assert!(matches!(redactor.scrub(plain), Cow::Borrowed(_)), "{plain}");
    }
    let (value, redacted) = concealed(json!({"metadata": {token: [token]}}), &[]);
    assert_eq!(value, json!({"metadata": {hidden(token): [hidden(token)]}}));
    let member = format!("/patch/metadata/{}", hidden(token));
    assert_eq!(redacted, [member.clone(), member + "/0"]);
}

#[test]
fn what_is_forbidden_inside_a_text_of_json_is_concealed_with_the_text() {
    let text = r#"{"owner_override":"me","config":{"max_concurrent":9}}"#;
    let mut patch = json!({"metadata": {"cas_config": text, "team": "x"}});
    let violation = |rule: &str, path: &str| Violation {
        rule: rule.into(),
        enforcement: Enforcement::Deny,
        path: path.into(),
        message: String::new(),
        actual: None,
    };
    let found = [
        violation("metadata.forbidden_keys", "/metadata/cas_config/owner_override"),
        violation("metadata.protected_keys", "/metadata/cas_config/config/max_concurrent"),
        // Nothing of the patch: its place is not there.
        violation("metadata.protected_keys", "/metadata/other/key"),
    ];
    let mut redacted = Redacted::default();
    redactor(&[]).conceal_patch(&mut patch, found.iter(), "/patch", &mut redacted);
    assert_eq!(patch, json!({"metadata": {"cas_config": hidden(text), "team": "x"}}));
    assert_eq!(redacted.paths(), ["/patch/metadata/cas_config"]);
}

#[test]
fn a_violation_shows_no_secret() {
    let mut violation = Violation {
        rule: "metadata.protected_keys".to_owned(),
        enforcement: Enforcement::Deny,
        path: "/metadata/password".to_owned(),
        message: "\"hunter2\" may not be set by pt-abcdEFGH1234".to_owned(),
        actual: Some("hunter2".into()),
    };
    redactor(&[]).conceal_violation(&mut violation);
    assert_eq!(violation.actual, Some(hidden("hunter2").into()));
    let expected =
        format!("\"{}\" may not be set by {}", hidden("hunter2"), hidden("pt-abcdEFGH1234"));
    assert_eq!(violation.message, expected);
}

#[test]
fn a_violation_shows_no_secret_below_its_own_place() {
    let mut violation = Violation {
        rule: "metadata.key_pattern".to_owned(),
        enforcement: Enforcement::Deny,
        path: "/metadata/cas".to_owned(),
        message: "metadata.key_pattern: `metadata.cas` does not fit".to_owned(),
        actual: Some(json!({"key": "hunter2", "plain": "x"})),
    };
    redactor(&["/metadata/cas/key"]).conceal_violation(&mut violation);
    assert_eq!(violation.actual, Some(json!({"key": hidden("hunter2"), "plain": "x"})));
}

/// Plants one secret at every place of many shapes and looks for it in what is left.
#[test]
fn a_planted_secret_never_survives() {
    let secret = "S3cr3tS3cr3t";
    let token = format!("pt-{secret}");
    let texts = [
        token.clone(),
        format!("Bearer {secret}"),
        format!("say \"{token}\"; twice {token}"),
        format!("\u{e9}{token}\u{e9}"),
    ];
    let wraps: [fn(Value) -> Value; 6] = [
        |v| json!({"metadata": {"note": v}}),
        |v| json!([1, [v], "x"]),
        |v| json!({"initial_events": [{"content": [{"text": v}]}]}),
        |v| json!({"environment_variables": {"deep": [v]}}),
        |v| json!({"environment_variables": v}),
        |v| json!({"environment_variables": [v, {"name": "n", "value": "v"}]}),
    ];
    let members = ["token", "Password", "SECRET", "api-key", "environmentVariables"];
    let mut planted: Vec<Value> = texts.iter().map(|text| json!(text)).collect();
    planted.extend(texts.iter().map(|text| json!({ text.as_str(): 1 })));
    for member in members {
        let values =
            [json!(secret), json!([secret]), json!({"v": secret}), json!(format!("A={secret}; b"))];
        planted.extend(values.map(|value| json!({ member: value })));
    }
    for value in planted {
        for outer in wraps {
            for inner in wraps {
                let (left, redacted) = concealed(outer(inner(value.clone())), &[]);
                assert!(!left.to_string().contains(secret), "{left}");
                assert!(!redacted.is_empty() && !redacted.concat().contains(secret));
            }
        }
    }
}
