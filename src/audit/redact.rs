//! Secrets out, before anything is stored: what is concealed keeps its place and its digest, so
//! that a change of a secret is still seen as one. Pure.

mod credential;
mod name;
mod pass;

use std::borrow::Cow;
use std::sync::Arc;

use memchr::memmem::{self, Finder};
use serde_json::Value;

use self::credential::{TOKEN_BYTES_MIN, announces, credential};
use self::name::{mark, same_name};
use self::pass::{At, Pass, narrowed};
use crate::audit::record::RefusedBody;
use crate::deployment::pointer::keys;
use crate::ids::Hex;
use crate::key::{Key, Token};
use crate::policy::Violation;
use crate::provider::Provider;

/// The most pointers that one record lists; what lies beyond is concealed all the same.
pub const POINTERS_MAX: usize = 1_000;

/// The most `KEY=VALUE` pairs that one text is taken apart into; more are concealed as one.
const VARIABLES_MAX: usize = 1_000;

/// The most bytes of a variable's name.
const NAME_BYTES_MAX: usize = 128;

/// Conceals secrets under one key.
#[derive(Clone, Debug)]
pub struct Redactor {
    key: Key,
    provider: &'static Provider,
    /// The [`mark`] of every secret member: most names have another.
    marks: u64,
    pointers: Arc<Vec<Vec<String>>>,
    /// The caller's own, where there is one.
    own: Option<Own>,
}

/// The caller's token, and how it is found.
#[derive(Clone)]
struct Own {
    token: Token,
    finder: Finder<'static>,
}

impl std::fmt::Debug for Own {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Own({:?})", self.token)
    }
}

impl Redactor {
    /// Conceals what `provider` calls secret and what lies at `pointers`: JSON Pointers (RFC
    /// 6901) below a deployment, in which `*` stands for any one segment.
    #[must_use]
    pub fn new(key: Key, provider: &'static Provider, pointers: &[String]) -> Self {
        let segments = |pointer: &String| keys(pointer).map(Cow::into_owned).collect();
        let pointers = pointers.iter().map(segments).filter(|s: &Vec<_>| !s.is_empty()).collect();
        let marks = provider.secret_members.iter().fold(0, |all, name| all | mark(name));
        Self { key, provider, marks, pointers: Arc::new(pointers), own: None }
    }

    /// This one, which also conceals `token` wherever it stands. One shorter than any real token
    /// is left: it would be found in every word.
    #[must_use]
    pub fn knowing(&self, token: &Token) -> Self {
        let own = (token.expose().len() >= TOKEN_BYTES_MIN).then(|| Own {
            token: token.clone(),
            finder: Finder::new(token.expose()).into_owned(),
        });
        Self { own, ..self.clone() }
    }

    /// Conceals every secret inside `value`, and adds to `redacted` where, below `prefix`.
    pub fn conceal(&self, value: &mut Value, prefix: &str, redacted: &mut Vec<String>) {
        let below: Vec<&[String]> = self.pointers.iter().map(Vec::as_slice).collect();
        Pass { redactor: self, prefix, redacted }.value(value, &below, At::Document);
    }

    /// `document` with every secret concealed; itself where it holds none. Adds to `redacted`
    /// where, below `prefix`.
    pub fn concealed(
        &self,
        document: Arc<Value>,
        prefix: &str,
        redacted: &mut Vec<String>,
    ) -> Arc<Value> {
        if self.pointers.is_empty() && self.is_clean(&document) {
            return document;
        }
        let mut document = Arc::unwrap_or_clone(document);
        self.conceal(&mut document, prefix, redacted);
        Arc::new(document)
    }

    /// Whether there is surely nothing to conceal in `value`, configured pointers aside.
    fn is_clean(&self, value: &Value) -> bool {
        match value {
            Value::Object(members) => members.iter().all(|(name, value)| {
                !self.is_secret_member(name) && self.is_plain(name) && self.is_clean(value)
            }),
            Value::Array(items) => items.iter().all(|item| self.is_clean(item)),
            Value::String(text) => self.is_plain(text),
            Value::Null | Value::Bool(_) | Value::Number(_) => true,
        }
    }

    fn is_plain(&self, text: &str) -> bool {
        matches!(self.scrub(text), Cow::Borrowed(_))
    }

    /// The size and a keyed digest of a text that is not kept.
    #[must_use]
    pub fn digested(&self, text: &[u8]) -> RefusedBody {
        let digest = Hex(&self.key.digest("body", text)).to_string();
        RefusedBody { bytes: text.len() as u64, digest: Some(digest) }
    }

    /// `text` with every credential in it concealed: the caller's own, what begins as the
    /// providers' tokens do, and what follows `Bearer`.
    #[must_use]
    pub fn scrub<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let own = self.own.as_ref();
        match own.filter(|own| own.finder.find(text.as_bytes()).is_some()) {
            Some(Own { token, .. }) => {
                let token = token.expose();
                let clean = text.replace(token, &self.key.conceal(token));
                Cow::Owned(self.scrub_likely(&clean).into_owned())
            }
            None => self.scrub_likely(text),
        }
    }

    /// `text` as one that also knows `token` scrubs it.
    #[must_use]
    pub fn scrub_knowing(&self, text: &str, token: &Token) -> String {
        let holds_it = memmem::find(text.as_bytes(), token.expose().as_bytes()).is_some();
        let knowing = holds_it.then(|| self.knowing(token));
        knowing.as_ref().unwrap_or(self).scrub(text).into_owned()
    }

    /// `text` with everything concealed that looks like a credential.
    fn scrub_likely<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let mut rest = text;
        let mut clean = String::new();
        while let Some(token) = credential(rest) {
            let (start, after) = rest.split_at(token.end);
            let (start, token) = start.split_at(token.start);
            clean.push_str(start);
            clean.push_str(&self.key.conceal(token));
            rest = after;
        }
        if clean.is_empty() { Cow::Borrowed(text) } else { Cow::Owned(clean + rest) }
    }

    /// Scrubs `text` where it stands.
    pub fn scrub_in_place(&self, text: &mut String) {
        if let Cow::Owned(clean) = self.scrub(text) {
            *text = clean;
        }
    }

    /// Conceals the value that a violation shows, and its mention in the message, where it is
    /// secret.
    pub fn conceal_violation(&self, violation: &mut Violation) {
        if let Some(actual) = &mut violation.actual {
            if self.is_secret_at(&violation.path) {
                let shown = text_of(actual).into_owned();
                let concealed = self.key.conceal(&shown);
                if !shown.is_empty() {
                    violation.message = violation.message.replace(&shown, &concealed);
                }
                *actual = concealed.into();
            } else {
                // The value stands below the violation's path, and so do the pointers into it.
                let all = self.pointers.iter().map(Vec::as_slice).collect();
                let below =
                    keys(&violation.path).fold(all, |below: Vec<_>, name| narrowed(&below, &name));
                let mut pass = Pass { redactor: self, prefix: "", redacted: &mut Vec::new() };
                pass.value(actual, &below, At::Document);
            }
        }
        self.scrub_in_place(&mut violation.message);
        self.scrub_in_place(&mut violation.path);
    }

    fn is_secret_member(&self, name: &str) -> bool {
        self.marks & mark(name) != 0
            && self.provider.secret_members.iter().any(|secret| same_name(secret, name))
    }

    /// Whether `path` lies at or below something secret.
    fn is_secret_at(&self, path: &str) -> bool {
        let path: Vec<Cow<'_, str>> = keys(path).collect();
        path.iter().any(|name| self.is_secret_member(name))
            || self.pointers.iter().any(|pointer| {
                pointer.len() <= path.len()
                    && pointer.iter().zip(&path).all(|(wanted, name)| fits(wanted, name))
            })
    }

    /// A list of variables with each value concealed and everything between kept. Where the text
    /// may be read in two ways, the one that shows less is taken.
    fn variables(&self, text: &str) -> String {
        let separator = if text.contains('\n') {
            Some('\n')
        } else {
            // What is announced stands after a space, and may look like a variable there.
            let separators: &[char] = if announces(text) { &[';', ','] } else { &[';', ',', ' '] };
            separators.iter().copied().find(|separator| {
                let mut pieces = text.split(*separator).map(str::trim);
                text.contains(*separator)
                    && pieces.all(|piece| piece.is_empty() || variable(piece).is_some())
            })
        };
        let Some(separator) = separator else { return self.variable(text) };
        if text.split(separator).nth(VARIABLES_MAX).is_some() {
            return self.key.conceal(text);
        }
        let pieces: Vec<String> = text.split(separator).map(|piece| self.variable(piece)).collect();
        pieces.join(separator.encode_utf8(&mut [0; 4]))
    }

    /// One variable with its value concealed; the whole of it where it does not look like one.
    fn variable(&self, piece: &str) -> String {
        let text = piece.trim();
        if text.is_empty() {
            return piece.to_owned();
        }
        let concealed = match variable(text) {
            Some((name, value)) => format!("{}={}", self.scrub(name), self.key.conceal(value)),
            None => self.key.conceal(text),
        };
        let (lead, rest) = piece.split_at(piece.len() - piece.trim_start().len());
        let (_text, tail) = rest.split_at(text.len());
        format!("{lead}{concealed}{tail}")
    }
}

fn fits(wanted: &str, name: &str) -> bool {
    wanted == "*" || wanted == name
}

/// A string's own text, or any other value's canonical text.
fn text_of(value: &Value) -> Cow<'_, str> {
    value.as_str().map_or_else(|| Cow::Owned(value.to_string()), Cow::Borrowed)
}

/// Name and value where `text` looks like `KEY=VALUE`. An empty value, or one of `=` only, does
/// not: the last line of something in base64 ends so.
fn variable(text: &str) -> Option<(&str, &str)> {
    let (name, value) = text.split_once('=')?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let is_name = (1..=NAME_BYTES_MAX).contains(&name.len())
        && name.bytes().all(plain)
        && !name.starts_with(|first: char| first.is_ascii_digit());
    (is_name && value.bytes().any(|byte| byte != b'=')).then_some((name, value))
}

#[cfg(test)]
mod tests;
