//! Secrets out, before anything is stored: what is concealed keeps its place and its digest, so
//! that a change of a secret is still seen as one. Pure, and linear in what it is given.

mod credential;
mod encoded;
mod forbidden;
mod listed;
mod name;
mod pass;
mod scrub;
mod text;
mod variables;
mod violation;
mod work;

use std::borrow::Cow;
use std::io;
use std::iter::Peekable;
use std::sync::Arc;

use memchr::memmem::Finder;
use percent_encoding::{percent_decode, percent_decode_str};
use serde_json::{Map, Value, map};

use self::credential::TOKEN_BYTES_MIN;
use self::listed::At;
pub use self::listed::{POINTERS_MAX, Redacted};
use self::name::{NameMeaning, SecretNames};
use self::pass::Pass;
use crate::audit::originals::{Half, SealedOriginals, SealingKey};
use crate::audit::record::RefusedBody;
use crate::base::ids::{ChangeId, Hex};
use crate::base::key::{CONCEALED, DigestScope, Key, Token};
use crate::base::pointer::keys;
use crate::provider::Provider;

/// The rules of redaction under one key. They conceal nothing by themselves: a [`Redactor`] does,
/// within a scope.
#[derive(Clone, Debug)]
pub struct Redaction {
    rules: Arc<Rules>,
    sealing: Option<SealingKey>,
}

#[derive(Debug)]
struct Rules {
    key: Key,
    names: SecretNames,
    pointers: Vec<Vec<String>>,
}

/// Conceals the secrets of one call within the scope in which equal ones show as equal.
#[derive(Clone, Debug)]
pub struct Redactor {
    rules: Arc<Rules>,
    /// The key under which originals of what is concealed are kept.
    sealing: Option<SealingKey>,
    scope: DigestScope,
    /// The caller's own, where there is one.
    own: Option<Own>,
}

/// The caller's token, and how it is found.
#[derive(Clone)]
struct Own {
    token: Token,
    finder: Finder<'static>,
}

impl Own {
    /// Whether any name or text of a value holds the token.
    fn is_anywhere_in(&self, value: &Value) -> bool {
        // Percent-encoded too, and twice, as everywhere.
        let holds = |text: &str| {
            let once: Cow<'_, [u8]> = percent_decode_str(text).into();
            let twice: Cow<'_, [u8]> = percent_decode(&once).into();
            self.is_in(text.as_bytes()) || self.is_in(&once) || self.is_in(&twice)
        };
        match value {
            Value::String(text) => holds(text),
            Value::Array(items) => items.iter().any(|item| self.is_anywhere_in(item)),
            Value::Object(members) => {
                members.iter().any(|(name, member)| holds(name) || self.is_anywhere_in(member))
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => false,
        }
    }
}

impl std::fmt::Debug for Own {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Own({:?})", self.token)
    }
}

impl Redaction {
    /// Conceals what `provider` calls secret and what lies at `pointers`: JSON Pointers (RFC
    /// 6901) below a deployment, in which `*` stands for any one segment.
    #[must_use]
    pub fn new(key: Key, provider: &'static Provider, pointers: &[String]) -> Self {
        let segments = |pointer: &String| keys(pointer).map(Cow::into_owned).collect();
        let pointers = pointers.iter().map(segments).filter(|s: &Vec<_>| !s.is_empty()).collect();
        let names = SecretNames::new(provider.secret_members);
        Self { rules: Arc::new(Rules { key, names, pointers }), sealing: None }
    }

    /// The same, and originals of what is concealed are kept, sealed under this key.
    #[must_use]
    pub fn sealing_under(self, sealing: Option<SealingKey>) -> Self {
        Self { sealing, ..self }
    }

    /// The redactor by these rules within `scope`.
    #[must_use]
    pub fn within(&self, scope: DigestScope) -> Redactor {
        let (rules, sealing) = (Arc::clone(&self.rules), self.sealing.clone());
        Redactor { rules, sealing, scope, own: None }
    }
}

impl Redactor {
    /// This one, which also conceals `token` wherever it stands. One shorter than any real token
    /// is left: it would be found in every word.
    #[must_use]
    pub fn knowing(self, token: &Token) -> Self {
        let own = (token.expose().len() >= TOKEN_BYTES_MIN).then(|| Own {
            token: token.clone(),
            finder: Finder::new(token.expose()).into_owned(),
        });
        Self { own, ..self }
    }

    /// Whether both conceal the same, and in the same way.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let token = |redactor: &Self| redactor.own.as_ref().map(|own| own.token.clone());
        Arc::ptr_eq(&self.rules, &other.rules)
            && self.scope == other.scope
            && token(self) == token(other)
    }

    /// The same within another scope.
    #[must_use]
    pub fn within(&self, scope: DigestScope) -> Self {
        Self { scope, ..self.clone() }
    }

    /// A deployment's id as it is stored: within that deployment's own scope, so that it is the
    /// same in every record of it.
    #[must_use]
    pub fn deployment_id(&self, id: &str) -> String {
        match self.scrub(id) {
            Cow::Borrowed(plain) => plain.to_owned(),
            Cow::Owned(_) => self.within(DigestScope::Deployment(id.into())).scrub(id).into_owned(),
        }
    }

    /// Whether originals of what is concealed are kept.
    pub(super) fn seals(&self) -> bool {
        self.sealing.is_some()
    }

    /// Seals originals of a half of a change, by their names. One that repeats the caller's token
    /// is left out: that is never stored.
    pub(super) fn sealed(
        &self,
        mut originals: Map<String, Value>,
        change: ChangeId,
        half: Half,
    ) -> io::Result<Option<SealedOriginals>> {
        let Some(key) = &self.sealing else { return Ok(None) };
        if let Some(own) = &self.own {
            originals.retain(|_name, original| !own.is_anywhere_in(original));
        }
        key.seal(originals, change, half)
    }

    /// The size and a keyed digest of a text that is not kept.
    #[must_use]
    pub fn digested(&self, text: &[u8]) -> RefusedBody {
        let digest = Hex(&self.rules.key.scoped("body", &self.scope, text)).to_string();
        RefusedBody { bytes: text.len() as u64, digest: Some(digest) }
    }

    /// Conceals every secret inside `value`, and lists in `redacted` where, below `prefix`.
    pub fn conceal(&self, value: &mut Value, prefix: &str, redacted: &mut Redacted) {
        self.conceal_beside(value, None, prefix, redacted);
    }

    /// `document` with every secret concealed; itself where it holds none. Lists in `redacted`
    /// where, below `prefix`. Texts are not searched where a `former` document, concealed by the
    /// same rules, has them at the same place.
    pub fn concealed(
        &self,
        document: Arc<Value>,
        former: Option<&Value>,
        prefix: &str,
        redacted: &mut Redacted,
    ) -> Arc<Value> {
        if self.rules.pointers.is_empty() && self.is_clean(&document, former) {
            return document;
        }
        let mut document = Arc::unwrap_or_clone(document);
        self.conceal_beside(&mut document, former, prefix, redacted);
        Arc::new(document)
    }

    fn conceal_beside(
        &self,
        value: &mut Value,
        former: Option<&Value>,
        prefix: &str,
        redacted: &mut Redacted,
    ) {
        let below: Vec<&[String]> = self.rules.pointers.iter().map(Vec::as_slice).collect();
        Pass { redactor: self, prefix, redacted }.value(value, &below, former, At::Document);
    }

    /// Whether there is surely nothing to conceal in `value`, configured pointers aside.
    fn is_clean(&self, value: &Value, former: Option<&Value>) -> bool {
        match value {
            Value::Object(members) => {
                let mut beside = Beside::of(former);
                self.paired(members).is_none()
                    && members.iter().all(|(name, value)| {
                        let former = beside.at(name);
                        stands(value, former)
                            || (self.meaning(name, value) == NameMeaning::Plain
                                && (former.is_some() || self.is_plain(name))
                                && self.is_clean(value, former))
                    })
            }
            Value::Array(items) => {
                let former = |index| former.and_then(|former| former.get(index));
                items.iter().enumerate().all(|(index, item)| self.is_clean(item, former(index)))
            }
            Value::String(text) => stands(value, former) || self.is_plain(text),
            Value::Null | Value::Bool(_) | Value::Number(_) => true,
        }
    }

    /// The text that is stored in place of `secret`.
    fn hidden(&self, secret: &str) -> String {
        work::made(secret.len());
        self.rules.key.conceal(&self.scope, secret)
    }
}

/// Whether a value without others in it stood at the same place of a document that was concealed,
/// and was left as it is.
fn stands(value: &Value, former: Option<&Value>) -> bool {
    match (value, former) {
        (Value::String(text), Some(Value::String(former))) => {
            let is_same = text == former && !text.starts_with(CONCEALED);
            work::looked(if is_same { text.len() } else { 0 });
            is_same
        }
        (Value::Number(_) | Value::Bool(_) | Value::Null, Some(former)) => value == former,
        _ => false,
    }
}

/// The members of a document that was concealed, gone through beside those of another one.
struct Beside<'f>(Option<Peekable<map::Iter<'f>>>);

impl<'f> Beside<'f> {
    fn of(former: Option<&'f Value>) -> Self {
        Self(former.and_then(Value::as_object).map(|members| members.iter().peekable()))
    }

    /// The member of that name. Names are asked for in their order.
    fn at(&mut self, name: &str) -> Option<&'f Value> {
        let members = self.0.as_mut()?;
        while members.next_if(|(former, _)| former.as_str() < name).is_some() {}
        members.next_if(|(former, _)| former.as_str() == name).map(|(_, value)| value)
    }
}

fn fits(wanted: &str, name: &str) -> bool {
    wanted == "*" || wanted == name
}

/// A string's own text, or any other value's canonical text.
fn text_of(value: &Value) -> Cow<'_, str> {
    value.as_str().map_or_else(|| Cow::Owned(value.to_string()), Cow::Borrowed)
}

#[cfg(test)]
mod tests;
