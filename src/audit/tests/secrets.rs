use super::*;
use crate::audit::redact::{Redacted, Redaction};
use crate::base::key::{DigestScope, Token};
use crate::deployment::Object;
use crate::fuzzing::seeded;
use crate::fuzzing::source::Source;
use crate::policy::{Enforcement, Violation};

/// The mark that every planted secret holds, and nothing else.
const MARK: &str = "S3cr3tM4rk";

/// Where the configuration says that secrets are.
const POINTERS: [&str; 3] = ["/metadata/customer", "/resources/*/url", "/a~1b/~01"];

/// How secret members are named, however that is spelt.
const MEMBERS: [&str; 16] = [
    "token",
    "Password",
    "SECRET",
    "api-key",
    "apiKey",
    "authorization_token",
    "environmentVariables",
    "environment_variables",
    "github_token",
    "clientSecret",
    "db_passwd",
    "private-key",
    "Credentials",
    "x-api-key",
    "Set-Cookie",
    "connection_string",
];

/// The caller's own: like those of the providers, or like nothing else.
fn any_token(source: &mut Source<'_>) -> Token {
    let shapes = [
        format!("pt-{MARK}0123"),
        format!("sk-ant-{MARK}"),
        format!("Zq{MARK}"),
        format!("a.b~{MARK}/+=="),
    ];
    Token::new(&shapes[source.below(shapes.len())])
}

/// A text with a credential in it.
fn any_text(source: &mut Source<'_>, own: &Token) -> String {
    let own = own.expose();
    let likely = [
        format!("pt-{MARK}"),
        format!("sk-ant-x{MARK}"),
        format!("Bearer {MARK}"),
        format!("bEARER: \t{MARK}=="),
        format!("ghp_{MARK}"),
        format!("sk-{MARK}9"),
        format!("xoxb-{MARK}"),
        format!("eyJ{MARK}.eyJ{MARK}.{MARK}"),
        format!("https://u:{MARK}@host/p"),
        format!("https://host/?access_token={MARK}&x=1"),
        format!("password={MARK}"),
        format!("\"client_secret\": \"a {MARK}\""),
        format!("Authorization: token {MARK}"),
        format!("-----BEGIN PRIVATE KEY-----{MARK}"),
        format!("%70t-{MARK}"),
        own.to_owned(),
    ];
    let credential = &likely[source.below(likely.len())];
    let lead = source.pick(&["", "use ", "\"", "(", "x=", "\u{e9}", "A=1;B=", "\n", "Bearer "]);
    // The caller's own is found in the midst of a word, too.
    let lead = if credential == own && source.flip() { "xyz" } else { lead };
    let tail = source.pick(&["", " then stop", "\"", "\u{e9}", ";C=2", "\n", ", and again "]);
    let again = if source.flip() { format!(" {credential}") } else { String::new() };
    format!("{lead}{credential}{tail}{again}")
}

/// Anything that holds a secret and is one as a whole.
fn any_secret(source: &mut Source<'_>) -> Value {
    match source.below(6) {
        0 => MARK.into(),
        1 => json!([1, { "v": MARK }]),
        2 => json!({ "v": [MARK], MARK: 1 }),
        3 => format!("{MARK}; and more").into(),
        4 => format!("=A={MARK}\nB").into(),
        _ => json!([MARK]),
    }
}

/// A list of variables in any form, their values secret, and the caller's token as a name.
fn any_variables(source: &mut Source<'_>, own: &Token) -> Value {
    let own = own.expose();
    let separator = source.pick(&["\n", ";", ",", " ", "\r\n"]);
    let pairs =
        [format!("A={MARK}"), format!("B_2=x{MARK} y"), format!("C=={MARK}="), format!("{own}=1")];
    match source.below(6) {
        0 => pairs.join(separator).into(),
        1 => json!(pairs),
        2 => json!({"A": MARK, "B": [MARK], "C": null, own: "1"}),
        4 => format!("{own}=1").into(),
        3 => json!([{"name": "A", "value": MARK}, {"key": "B", "value": {"v": MARK}}, MARK]),
        _ => MARK.into(),
    }
}

/// Puts a secret somewhere into the document.
fn plant(document: &mut Value, source: &mut Source<'_>, own: &Token) {
    match document {
        Value::Object(members) if source.below(3) == 0 || members.is_empty() => {
            match source.below(4) {
                0 => {
                    let name = source.pick(&MEMBERS);
                    let is_list = name.to_lowercase().starts_with("environment");
                    let secret =
                        if is_list { any_variables(source, own) } else { any_secret(source) };
                    members.insert(name.to_owned(), secret);
                }
                1 => _ = members.insert(any_text(source, own), source.value()),
                _ => _ = members.insert("note".to_owned(), any_text(source, own).into()),
            }
        }
        Value::Object(members) => {
            let place = source.below(members.len());
            plant(members.values_mut().nth(place).unwrap(), source, own);
        }
        Value::Array(items) => {
            let place = source.below(items.len() + 1);
            match items.get_mut(place) {
                Some(item) => plant(item, source, own),
                None => items.push(any_text(source, own).into()),
            }
        }
        plain => *plain = any_text(source, own).into(),
    }
}

/// A deployment with secrets in many places.
fn any_document(source: &mut Source<'_>, own: &Token) -> Value {
    let mut members: Object = source.deployment(Provider::named("qoder-cn").unwrap());
    members.insert("metadata".to_owned(), json!({"customer": any_secret(source), "a": {}}));
    members.insert("resources".to_owned(), json!([{"url": MARK}, [], {"url": {"v": MARK}}]));
    members.insert("a/b".to_owned(), json!({"~1": any_secret(source)}));
    let mut document = Value::Object(members);
    for _ in 0..=source.below(6) {
        plant(&mut document, source, own);
    }
    document
}

fn pointers() -> Vec<String> {
    POINTERS.map(str::to_owned).to_vec()
}

#[test]
fn a_secret_planted_anywhere_survives_in_no_document() {
    let provider = Provider::named("qoder-cn").unwrap();
    let redaction = Redaction::new(Key::from_bytes([7; 32]), provider, &pointers());
    seeded::each(3_000, 1 << 10, |source| {
        let own = any_token(source);
        let document = any_document(source, &own);
        let mut redacted = Redacted::default();
        let redactor = redaction.within(DigestScope::Gateway).knowing(&own);
        let former = any_document(source, &own);
        let former = redactor.concealed(former.into(), None, "/before", &mut Redacted::default());
        let former = source.below(2).eq(&1).then_some(&*former);
        let left = redactor.concealed(document.clone().into(), former, "/patch", &mut redacted);
        assert!(!left.to_string().contains(MARK), "{document}\n{left}");
        let redacted = redacted.into_paths();
        assert!(!redacted.is_empty() && !redacted.concat().contains(MARK), "{redacted:?}");
        let text = any_text(source, &own);
        let clean = redactor.scrub(&text);
        assert!(!clean.contains(MARK), "{text}\n{clean}");
    });
}

#[test]
fn a_secret_planted_anywhere_reaches_no_record_and_no_file() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    seeded::each(2, 64 << 10, |source| {
        runtime.block_on(async {
            let world = World::new();
            let audit = world.start().await;
            audit.adopt(Provider::named("qoder-cn").unwrap(), &pointers());
            for _ in 0..40 {
                let mut call = intent(source.pick(&["dep_1", "dep_2"]));
                call.token = any_token(source);
                let patch = any_document(source, &call.token);
                call.patch = patch.is_object().then(|| asked(&patch));
                call.before = Some(any_document(source, &call.token).into());
                call.client.user_agent = Some(any_text(source, &call.token));
                call.violations = vec![Violation {
                    rule: "metadata.forbidden_keys".to_owned(),
                    enforcement: Enforcement::Audit,
                    path: source.pick(&["/metadata/customer", "/metadata/token/x"]).to_owned(),
                    message: any_text(source, &call.token),
                    actual: Some(MARK.into()),
                }];
                let after = Some(any_document(source, &call.token).into());
                let end = Completion { after, ..ended(Outcome::Applied) };
                let id = audit.record(call, end).await.unwrap();
                let change = audit.reader().change(id).await.unwrap().unwrap();
                let told = serde_json::to_string(&change).unwrap();
                assert!(!told.contains(MARK), "{told}");
            }
            audit.close(LONG).await;
            assert!(!holds(world.folder.path(), MARK));
        });
    });
}
