//! A case of the corpus: its notation, and the bytes that it stands for.
//!
//! The first line names the case, after its flags in brackets: `h1` and `h2` say that it is sent at
//! that protocol alone, `raw` that nothing is added to it, `claude` that it goes to that provider.
//!
//! A request is its first line (` HTTP/1.1` is added), its fields, an empty line, and its body. A
//! host, a credential, a request id and, beside a body, its type and length are added where the
//! case names no such field; `-name` leaves one out. `~/` begins a path below the provider's base.
//! A case for HTTP/2 alone lists the pseudo-fields instead of a first line; `+name: value` is a
//! trailer.
//!
//! `\r`, `\n` and `\xNN` are bytes; anything else behind a backslash stays as it is, for JSON.
//! `<…>` is one of the words in [`Names::word`] and [`Names::made`].

use super::coding;
use crate::world::client::TOKEN;

/// The host that every request of the corpus names.
const HOST: &str = "gateway.example";

/// The changes that are tried: each breaks one rule of the policy.
const CHANGES: [(&str, &str); 4] = [
    ("OWNER", r#"{"metadata":{"owner_override":"x"}}"#),
    ("ZONE", r#"{"schedule":{"type":"cron","expression":"0 9 * * *","timezone":"Mars/Phobos"}}"#),
    ("PROTECTED", r#"{"metadata":{"cas_config":{"config":{"max_concurrent":9}}}}"#),
    ("NAME", r#"{"name":"harmless"}"#),
];

/// A case.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) title: String,
    flags: Vec<String>,
    request: String,
    expected: String,
}

/// The values that the words in one case's request stand for.
#[derive(Clone, Debug)]
pub(super) struct Names {
    /// Names the case at upstream, as its request id.
    pub(super) case: String,
    pub(super) id: String,
    pub(super) api: &'static str,
}

/// A request at HTTP/2.
#[derive(Debug)]
pub(super) struct Fields {
    pub(super) head: Vec<(Vec<u8>, Vec<u8>)>,
    pub(super) body: Vec<u8>,
    pub(super) trailers: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Every case of a file's text.
pub(super) fn read(file: &str, text: &str) -> Vec<Case> {
    let case = |text: &str| {
        let (title, rest) = text.trim_start_matches('\n').split_once('\n').unwrap();
        let (flags, title) = match title.strip_prefix('[') {
            Some(flagged) => flagged.split_once("] ").unwrap(),
            None => ("", title),
        };
        let (request, expected) =
            rest.split_once("\n----\n").unwrap_or_else(|| panic!("{file}: {title}"));
        Case {
            title: format!("{file}: {title}"),
            flags: flags.split(' ').map(str::to_owned).collect(),
            request: request.to_owned(),
            expected: expected.trim().to_owned(),
        }
    };
    text.trim_end().split("\n====\n").map(case).collect()
}

impl Case {
    pub(super) fn is(&self, flag: &str) -> bool {
        self.flags.iter().any(|set| set == flag)
    }

    /// Whether it only looks like an attempt.
    pub(super) fn is_harmless(&self) -> bool {
        self.title.starts_with("harmless")
    }

    /// Whether the connection has to go on after it.
    pub(super) fn is_kept(&self) -> bool {
        self.is_harmless() && !self.request.contains(" HTTP/1.0")
    }

    /// Whether it can be sent at that protocol.
    pub(super) fn suits(&self, http2: bool) -> bool {
        let only = |flag| self.is(flag);
        if http2 { !only("h1") && !only("raw") } else { !only("h2") }
    }

    /// The expected outcome: `400`, or one for each protocol: `h1 400`, `h2 reset`.
    pub(super) fn expected(&self, http2: bool) -> &str {
        let protocol = if http2 { "h2 " } else { "h1 " };
        let mut lines = self.expected.lines();
        lines.clone().find_map(|line| line.strip_prefix(protocol)).or(lines.next()).unwrap_or("")
    }

    /// The bytes at HTTP/1.1.
    pub(super) fn http1(&self, names: &Names) -> Vec<u8> {
        if self.is("raw") {
            return names.expand(&self.request.replace('\n', "\r\n"), 0);
        }
        let (head, body) = self.parts();
        let body = names.expand(body, 0);
        let (line, fields) = head.split_once('\n').unwrap_or((head, ""));
        let version = if line.contains(" HTTP/") { "" } else { " HTTP/1.1" };
        let mut text = format!("{}{version}\r\n", line.replacen(" ~/", " <API>/", 1));
        for field in with_added(fields, !body.is_empty()) {
            text += &field;
            text += "\r\n";
        }
        let mut bytes = names.expand(&text, body.len());
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(&body);
        bytes
    }

    /// The fields at HTTP/2.
    pub(super) fn http2(&self, names: &Names, scheme: &str) -> Fields {
        let (head, body) = self.parts();
        let body = names.expand(body, 0);
        let (mut fields, mut trailers) = (Vec::new(), Vec::new());
        let lines = if self.is("h2") {
            head.replace(": ~/", ": <API>/").lines().map(str::to_owned).collect()
        } else {
            let (line, rest) = head.split_once('\n').unwrap_or((head, ""));
            let line = line.split(" HTTP/").next().unwrap_or(line).replacen(" ~/", " <API>/", 1);
            let (method, path) = line.split_once(' ').unwrap_or((&line, ""));
            let mut lines = vec![
                format!(":method: {method}"),
                format!(":scheme: {scheme}"),
                format!(":authority: {HOST}"),
                format!(":path: {path}"),
            ];
            let added = with_added(rest, !body.is_empty());
            lines.extend(added.into_iter().filter(|line| line != &format!("host: {HOST}")));
            lines
        };
        for line in &lines {
            let (to, line) = match line.strip_prefix('+') {
                Some(trailer) => (&mut trailers, trailer),
                None => (&mut fields, line.as_str()),
            };
            // The colon that ends the name is not the one that begins a pseudo-field.
            let at = line.bytes().skip(1).position(|b| b == b':').map_or(line.len(), |at| at + 1);
            let (name, value) = line.split_at(at);
            let value = value.strip_prefix(':').unwrap_or(value).trim_start_matches(' ');
            let name = if self.is("h2") { name.to_owned() } else { name.to_ascii_lowercase() };
            to.push((names.expand(&name, 0), names.expand(value, body.len())));
        }
        Fields { head: fields, body, trailers }
    }

    fn parts(&self) -> (&str, &str) {
        self.request.split_once("\n\n").unwrap_or((&self.request, ""))
    }
}

/// A case's fields after those that are added to it.
fn with_added(fields: &str, has_body: bool) -> Vec<String> {
    let name = |line: &str| line.split(':').next().unwrap_or(line).trim().to_ascii_lowercase();
    let named: Vec<String> = fields.lines().map(name).collect();
    let names = |name: &str| named.iter().any(|named| named.trim_start_matches('-') == name);
    let framed = names("transfer-encoding");
    let mut lines: Vec<String> = [
        (true, "host", HOST.to_owned()),
        (true, "authorization", format!("Bearer {TOKEN}")),
        (true, "x-request-id", "<CASE>".to_owned()),
        (has_body, "content-type", "application/json".to_owned()),
        (has_body && !framed, "content-length", "<LENGTH>".to_owned()),
    ]
    .into_iter()
    .filter(|(wanted, name, _)| *wanted && !names(name))
    .map(|(_, name, value)| format!("{name}: {value}"))
    .collect();
    lines.extend(fields.lines().filter(|line| !line.starts_with('-')).map(str::to_owned));
    lines
}

impl Names {
    pub(super) fn of(number: usize, api: &'static str) -> Self {
        Self { case: format!("case-{number}"), id: format!("dep_{number:032}"), api }
    }

    /// A request that shows whether the connection is still understood alike.
    pub(super) fn probe(&self) -> String {
        format!("{}/agents/{}-probe", self.api, self.case)
    }

    /// The fields that every request has.
    pub(super) fn fields(&self) -> String {
        format!("host: {HOST}\r\nauthorization: Bearer {TOKEN}\r\nx-request-id: {}\r\n", self.case)
    }

    /// The bytes that a text stands for.
    fn expand(&self, text: &str, length: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let (one, after) = rest.split_at(first.len_utf8());
            rest = after;
            match (first, after.bytes().next()) {
                ('\\', Some(escape @ (b'r' | b'n' | b'x'))) => {
                    let (code, after) = after.split_at(if escape == b'x' { 3 } else { 1 });
                    rest = after;
                    bytes.push(match escape {
                        b'r' => b'\r',
                        b'n' => b'\n',
                        _ => u8::from_str_radix(code.trim_start_matches('x'), 16).unwrap(),
                    });
                }
                ('<', _) => match self.angled(after, length) {
                    Some((made, after)) => {
                        bytes.extend_from_slice(&made);
                        rest = after;
                    }
                    None => bytes.push(b'<'),
                },
                _ => bytes.extend_from_slice(one.as_bytes()),
            }
        }
        bytes
    }

    /// Returns the bytes that a word in angle brackets stands for, and the text behind it.
    fn angled<'t>(&self, text: &'t str, length: usize) -> Option<(Vec<u8>, &'t str)> {
        let mut open = 1;
        let end = text.find(|c| {
            open += i32::from(c == '<') - i32::from(c == '>');
            open == 0
        })?;
        let (inner, after) = text.split_at(end);
        let made = match inner.split_once(' ') {
            None => self.word(inner, length)?.into_bytes(),
            Some((verb, rest)) => self.made(verb, rest)?,
        };
        Some((made, after.strip_prefix('>')?))
    }

    fn word(&self, word: &str, length: usize) -> Option<String> {
        Some(match word {
            "ID" => self.id.clone(),
            "API" => self.api.to_owned(),
            "CASE" => self.case.clone(),
            "TOKEN" => TOKEN.to_owned(),
            "LENGTH" => length.to_string(),
            "FIELDS" => self.fields(),
            _ => CHANGES.iter().find(|(name, _)| *name == word)?.1.to_owned(),
        })
    }

    fn made(&self, verb: &str, rest: &str) -> Option<Vec<u8>> {
        if verb == "repeat" {
            let (times, unit) = rest.split_once(' ')?;
            return Some(self.expand(unit, 0).repeat(times.parse().ok()?));
        }
        coding::encode(verb, &self.expand(rest, 0))
    }
}
