//! The work of redaction grows no faster than what it is given: counted, not timed.

use super::*;
use crate::audit::redact::work;

/// The most bytes that are looked at, or made, for each one given.
const WORK_PER_BYTE_MAX: usize = 150;

/// Pieces of which a text is made that might make a search look again at what it looked at.
const PIECES: [&str; 58] = [
    "a",
    "aaaaaaaaaaaaaaaaaaaaaaaab",
    "pt-aaaaaaaa ",
    "pt-",
    "-pt-",
    "sk-",
    "sk-a-",
    "sk-aaaaaaaaaaaaa-",
    "desk-aaaaaaaaaaa",
    "xoxb-",
    "ghp_",
    "ghp_aaaaaaaa ",
    "AKIA",
    "AKIA ",
    "AKIAAAAAAAAAAA",
    "ASIA ASIA0 ",
    "Bearer ",
    "Bearer Bearer ",
    "bearer \t:",
    "Basic ",
    "Basic aaaaaaaa ",
    "-----BEGIN PRIVATE KEY-----",
    "-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n",
    "BEGIN ",
    "BEGIN PRIVATE KE ",
    "-",
    "eyJ",
    "-eyJ",
    "eyJ.",
    "eyJaaaaaaaa.",
    "://",
    "://a:b/",
    "://a:b",
    "https://a",
    ":\\/\\/",
    "@",
    "a@",
    "https://a@",
    "https://hooks.slack.com/ ",
    "hooks.slack.com/",
    "=",
    ":",
    " =",
    "A=",
    "A=1;",
    "A=1\n",
    "A=\"\n",
    "A=1 ",
    "password=",
    "password=null ",
    "\"password\":\"\\\"",
    "'token': \\\"",
    "tokens=1 ",
    "cookie: ",
    "%70",
    "%25",
    "\u{2026}",
    "aaaaaaaaaaaaaaaa\u{2026}",
];

fn text(piece: &str, bytes: usize) -> String {
    piece.repeat(bytes.div_ceil(piece.len()))
}

/// Documents of some `bytes` that are made of one piece.
fn documents(piece: &str, bytes: usize) -> Vec<Value> {
    let whole = text(piece, bytes);
    let texts: Vec<Value> = (0..bytes / 64).map(|_| text(piece, 60).into()).collect();
    let members: Object =
        (0..bytes / 64).map(|n| (text(piece, 50) + &n.to_string(), 1.into())).collect();
    vec![
        json!({"description": whole}),
        json!({"environment_variables": whole}),
        json!({"metadata": {"password": whole, "env": whole}}),
        json!({"metadata": [{"name": "password", "value": whole}]}),
        json!({ whole.as_str(): {"token": 1, "a": [{"token": 1}]} }),
        json!({ "metadata": members }),
        json!({ "resources": texts }),
    ]
}

/// Documents of some `bytes` in which much is concealed.
fn bombs(bytes: usize) -> Vec<Value> {
    let many = |value: Value, each: usize| Value::Array(vec![value; bytes / each]);
    let deep = |levels: usize| {
        (0..levels).fold(
            many(json!({"token": 1}), 16),
            |value, _| json!({ "n".repeat(bytes / levels / 4): value }),
        )
    };
    let wide: Object = (0..bytes / 16).map(|n| (format!("token{n}"), 1.into())).collect();
    vec![
        json!({ "n".repeat(bytes): many(json!({"token": 1}), 16) }),
        json!({ "~".repeat(bytes): many(json!({"token": 1}), 16) }),
        deep(4),
        deep(60),
        wide.into(),
        many(json!("pt-aaaaaaaa"), 12),
        many(json!({"name": "token", "value": 1}), 28),
        json!({"environment_variables": many(json!({"name": "A", "value": "1"}), 28)}),
    ]
}

/// The work of one record's redaction, and what it lists.
fn work_of(document: &Value) -> (usize, Redacted) {
    let own = Token::new("aaaaaaaaaaaaaaaaaaaaaaaa");
    let redactor = redactor(&["/metadata/*/x", "/resources/0"]).knowing(&own);
    let mut redacted = Redacted::default();
    let _before = work::taken();
    let _left = redactor.concealed(document.clone().into(), None, "/patch", &mut redacted);
    redactor.conceal_patch(&mut document.clone(), std::iter::empty(), "/patch", &mut redacted);
    (work::taken(), redacted)
}

#[test]
fn work_grows_no_faster_than_the_bytes_given() {
    let families = |bytes| {
        let pieces = PIECES.into_iter().flat_map(move |piece| {
            documents(piece, bytes).into_iter().map(move |document| (piece, document))
        });
        pieces.chain(bombs(bytes).into_iter().map(|document| ("a bomb", document)))
    };
    let mut worst = (0, "");
    for ((piece, once), (_, twice)) in families(4 << 10).zip(families(8 << 10)) {
        let (work, _) = work_of(&once);
        let (more, _) = work_of(&twice);
        let bytes = twice.to_string().len();
        worst = worst.max((more / bytes, piece));
        let told = || {
            format!(
                "{piece:?} in {}…: {work}, {more}",
                once.to_string().get(..40).unwrap_or_default()
            )
        };
        assert!(more <= WORK_PER_BYTE_MAX * bytes, "{} for {bytes} bytes", told());
        assert!(2 * more <= 5 * work, "{}", told());
    }
    assert!(worst.0 > 3, "work is counted: {worst:?}");
}

#[test]
fn what_is_listed_is_bounded_however_long_the_names_are() {
    for document in bombs(256 << 10) {
        let (_, redacted) = work_of(&document);
        let paths = redacted.into_paths();
        assert!(paths.len() <= POINTERS_MAX && paths.iter().all(|path| path.len() <= 1_024));
        assert!(paths.iter().map(String::len).sum::<usize>() <= 64 << 10);
    }
    let document = json!({ "n".repeat(2_000): {"token": 1}, "b": {"token": 1} });
    let (_, redacted) = concealed(document, &[]);
    assert_eq!(redacted, ["/patch/b/token", "/patch"], "the place around is listed");
}
