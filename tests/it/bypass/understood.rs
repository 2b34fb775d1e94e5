//! The interpretation of a request by the most forgiving server.

use serde_json::{Map, Value, json};
use unicode_normalization::UnicodeNormalization as _;

use super::coding;
use super::loose;

/// A request as it came: fields are joined lines, their names in lower case and with `-` for `_`.
#[derive(Clone, Debug, Default)]
pub(super) struct Request {
    pub(super) line: String,
    pub(super) fields: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

/// A request as the most forgiving server interprets it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Understood {
    pub(super) method: String,
    /// The path's segments.
    pub(super) path: Vec<String>,
    pub(super) body: Value,
    pub(super) token: String,
}

const METHOD_KEYS: [&str; 3] = ["_method", "method", "_httpmethod"];

const METHOD_MEMBERS: [&str; 2] = ["_method", "_httpmethod"];

const METHOD_FIELDS: [&str; 8] = [
    "x-http-method-override",
    "x-http-method",
    "x-method-override",
    "x-original-method",
    "x-forwarded-method",
    "x-rewrite-method",
    "x-http-verb-override",
    "method-override",
];

const TARGET_FIELDS: [&str; 11] = [
    "x-original-url",
    "x-original-uri",
    "x-original-path",
    "x-rewrite-url",
    "x-rewrite-uri",
    "x-forwarded-path",
    "x-forwarded-url",
    "x-forwarded-uri",
    "x-envoy-original-path",
    "x-override-url",
    "x-request-uri",
];

impl Request {
    /// The last value of a field.
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        let mut fields = self.fields.iter().rev();
        fields.find(|(named, _)| named == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn count(&self, name: &str) -> usize {
        self.fields.iter().filter(|(named, _)| named == name).count()
    }

    pub(super) fn understood(&self) -> Understood {
        let mut words = self.line.split_whitespace();
        let method = words.next().unwrap_or_default();
        let target = words.next().unwrap_or_default();
        let target = TARGET_FIELDS.iter().find_map(|name| self.field(name)).unwrap_or(target);
        let (path, query) = split_target(target);
        // Decoded before it is split, and after.
        let query = with(pairs(&undone(&query)), &pairs(&query));
        let body = with(self.body(), &query);
        let told = METHOD_FIELDS.iter().find_map(|name| self.field(name).map(str::to_owned));
        let told = told.or_else(|| method_in(&query, &METHOD_KEYS));
        let told = told.or_else(|| method_in(&body, &METHOD_MEMBERS));
        let token = ["authorization", "x-api-key", "proxy-authorization"]
            .iter()
            .find_map(|name| self.field(name))
            .and_then(|value| value.split([' ', ',', '\t']).rfind(|word| !word.is_empty()))
            .unwrap_or_default();
        Understood {
            method: told.unwrap_or_else(|| method.to_owned()).trim().to_uppercase(),
            path,
            body,
            token: token.to_owned(),
        }
    }

    fn body(&self) -> Value {
        let mut bytes = self.body.clone();
        while let Some(plain) = coding::decode(&bytes) {
            bytes = plain;
        }
        let text = String::from_utf8_lossy(&bytes);
        let kind = self.field("content-type").unwrap_or_default().to_ascii_lowercase();
        if kind.contains("urlencoded") && !text.trim_start().starts_with('{') {
            return pairs(&text);
        }
        let start = if kind.contains("multipart") { text.find('{').unwrap_or(0) } else { 0 };
        match loose::json(text.split_at(start).1.as_bytes()) {
            Value::Array(operations) => patched(&operations),
            other => other,
        }
    }
}

/// An object with the members of another.
fn with(mut object: Value, more: &Value) -> Value {
    if let (Some(object), Some(more)) = (object.as_object_mut(), more.as_object()) {
        let named = more.iter().filter(|(key, _)| !key.is_empty());
        object.extend(named.map(|(key, value)| (key.clone(), value.clone())));
    }
    object
}

/// The method that `_method` or its like names.
fn method_in(members: &Value, keys: &[&str]) -> Option<String> {
    let mut named =
        members.as_object()?.iter().filter(|(key, _)| keys.contains(&fold(key).as_str()));
    named.find_map(|(_, value)| value.as_str()).map(str::to_owned)
}

/// Key and value pairs, such as `a=b&c[d]=e`.
fn pairs(text: &str) -> Value {
    let mut members = Map::new();
    for pair in text.split(['&', ';']) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (key, value) = (undone(&key.replace('+', " ")), undone(&value.replace('+', " ")));
        let keys: Vec<&str> = key.split(['[', '.']).map(|key| key.trim_end_matches(']')).collect();
        let nested = |value, key: &&str| json!({ *key: value });
        let value = keys.iter().rev().fold(Value::from(value), nested);
        members.extend(value.as_object().cloned().unwrap_or_default());
    }
    members.into()
}

/// JSON Patch (RFC 6902), as the object that it sets.
fn patched(operations: &[Value]) -> Value {
    let mut members = Map::new();
    for operation in operations {
        let path = operation.get("path").and_then(Value::as_str).unwrap_or_default();
        let value = operation.get("value").cloned().unwrap_or_default();
        let keys = path.rsplit('/').filter(|key| !key.is_empty());
        let value = keys.fold(value, |value, key| json!({ key: value }));
        members.extend(value.as_object().cloned().unwrap_or_default());
    }
    members.into()
}

/// The segments of a target's path, and its query.
fn split_target(target: &str) -> (Vec<String>, String) {
    let path = match target.split_once("://") {
        Some((scheme, rest)) if scheme.bytes().all(|b| b.is_ascii_alphanumeric()) => {
            rest.find('/').map_or("/", |at| rest.split_at(at).1)
        }
        _ => target,
    };
    let path = path.split('#').next().unwrap_or_default();
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let path = undone(path).replace('\\', "/");
    let path = path.split(['?', '#', '\0']).next().unwrap_or_default();
    let mut segments: Vec<String> = Vec::new();
    for segment in path.split('/') {
        let name = fold(segment.split(';').next().unwrap_or_default());
        match name.as_str() {
            "" | "." => {}
            ".." => _ = segments.pop(),
            _ => segments.push(name),
        }
    }
    (segments, query.to_owned())
}

/// Undoes percent-encoding twice, and reads what is overlong or no UTF-8 as what it is meant for.
fn undone(text: &str) -> String {
    let once = |text: &str| percent_encoding::percent_decode_str(text).collect::<Vec<u8>>();
    let twice = percent_encoding::percent_decode(&once(text)).collect::<Vec<u8>>();
    let mut units = Vec::new();
    let mut rest = twice.as_slice();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        match (first, after) {
            (0xc0 | 0xc1, [next, after @ ..]) => {
                units.push(first << 6 | next & 0x3f);
                rest = after;
            }
            (0xe0, [middle @ (0x80 | 0x81), next, after @ ..]) => {
                units.push(middle << 6 | next & 0x3f);
                rest = after;
            }
            _ => units.push(*first),
        }
    }
    String::from_utf8_lossy(&units).into_owned()
}

/// A name as servers compare it that read names without regard to case, width and space.
pub(super) fn fold(name: &str) -> String {
    let folded = caseless::Caseless::default_case_fold(name.nfkc());
    let unseen = |c: &char| {
        c.is_whitespace()
            || c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{feff}' | '\u{ad}')
    };
    folded.nfkc().filter(|c| !unseen(c)).collect()
}

#[test]
fn disguises_are_seen_through() {
    let read = |line: &str, fields: &[(&str, &str)], body: &str| {
        let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let request =
            Request { line: line.to_owned(), fields: fields.collect(), body: body.into() };
        let understood = request.understood();
        format!("{} {} {}", understood.method, understood.path.join("/"), understood.body)
    };
    for target in [
        "/a/deployments/x",
        "//a/./b/..//%64eployments;v=1/%2578#f",
        "http://h/a\\DEPLOYMENTS\\x",
        "/a/%c1%a4eployments/x/",
        "/a/%e0%81%a4eployments/x%00y",
        "/a/%EF%BD%84eployments%20/x",
    ] {
        assert_eq!(read(&format!("POST {target} HTTP/1.1"), &[], "{}"), "POST a/deployments/x {}");
    }
    assert_eq!(read("GET /?_method=put HTTP/1.1", &[("x-rewrite-url", "/b")], ""), "GET b null");
    assert_eq!(read("GET /a?%5fmethod=put HTTP/1.1", &[], ""), "PUT a null");
    let form = [("content-type", "application/x-www-form-urlencoded")];
    assert_eq!(read("POST /a HTTP/1.1", &form, "b[c]=d"), r#"POST a {"b":{"c":"d"}}"#);
    let patch = r#"[{"op":"add","path":"/b/c","value":1}]"#;
    assert_eq!(read("POST /a HTTP/1.1", &[], patch), r#"POST a {"b":{"c":1}}"#);
}
