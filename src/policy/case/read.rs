//! A file of cases → [`Case`]s, or every complaint about it.

use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;

use super::document::{self, DOCUMENTS_BYTES_MAX, Edit, Files, edit};
use super::each::{CASES_MAX, Change, New, Variant, inside_document, set, variants};
use super::keys::{KEYS, NAME_CHARS_MAX};
use super::words::{decision, method, moment, operation, provider, unknown_rule};
use super::{Case, Expected, ReadFile};
use crate::base::clock::Timestamp;
use crate::base::ids::Fingerprint;
use crate::deployment::patch::{DEPTH_MAX, Patch, parse};
use crate::deployment::predict::Omitted;
use crate::policy::{Actor, Policy};
use crate::provider::{Operation, Provider};
use crate::settings::complaint::{Complaint, Complaints, Location};
use crate::settings::document::json;
use crate::settings::raw::{Node, Typed, Value as Any};
use crate::settings::reader::{Reader, member};
use crate::settings::value::{name, text};

/// The time at which calls come, where a case says none: a Monday.
const AT: &str = "2026-01-05T09:00:00Z";

/// A file of cases as it was typed.
#[derive(Debug)]
pub struct CaseFile {
    typed: Typed,
    folder: PathBuf,
    complaints: Complaints,
    /// The policy that the file names.
    pub policy: Option<PathBuf>,
    /// The provider that it names.
    pub provider: Option<&'static Provider>,
}

/// The reader of the cases of one file.
struct CaseReader<'r, 'f> {
    reader: Reader<'r>,
    provider: &'static Provider,
    /// The names of the policy's rules.
    rules: BTreeSet<String>,
    files: Files<'f>,
    /// How many bytes documents may still take.
    bytes_left: usize,
    /// Whether they took more.
    is_full: bool,
    names: HashSet<String>,
}

/// The documents of a case.
#[derive(Clone)]
struct Documents {
    before: Option<(Arc<Value>, Location)>,
    patch: Option<(Arc<Value>, Location)>,
}

impl CaseFile {
    /// Reads the text of the file at `path` as far as it says what it is about.
    pub fn read(path: &Path, text: &str) -> Result<Self, Vec<Complaint>> {
        let mut complaints = Complaints::about(path.to_owned());
        let typed = Typed::read_to_the_column(&KEYS, text, &mut complaints);
        let Some(typed) = typed else { return Err(complaints.in_order()) };
        let folder = path.parent().map(Path::to_owned).unwrap_or_default();
        let mut reader = Reader { typed, folder, complaints: &mut complaints };
        let policy = reader.path("policy").map(|(path, _)| path);
        let provider = reader.read("provider", provider).map(|(provider, _)| provider);
        let Reader { typed, folder, .. } = reader;
        Ok(Self { typed, folder, complaints, policy, provider })
    }

    /// The cases, of the rules of a policy; else everything that is wrong with the file.
    pub fn cases(
        self,
        policy: &Policy,
        provider: &'static Provider,
        read: &mut ReadFile<'_>,
    ) -> Result<Vec<Case>, Vec<Complaint>> {
        let Self { typed, folder, mut complaints, .. } = self;
        let reader = Reader { typed, folder, complaints: &mut complaints };
        let mut reader = CaseReader {
            reader,
            provider,
            rules: policy.violation_names().collect(),
            files: Files::new(read),
            bytes_left: DOCUMENTS_BYTES_MAX,
            is_full: false,
            names: HashSet::new(),
        };
        let cases = reader.all();
        let complaints = complaints.in_order();
        if complaints.is_empty() { Ok(cases) } else { Err(complaints) }
    }
}

impl CaseReader<'_, '_> {
    fn all(&mut self) -> Vec<Case> {
        let mut cases = Vec::new();
        for table in self.reader.tables("case") {
            cases.extend(self.case(&table));
            if self.is_full {
                break;
            }
            if cases.len() > CASES_MAX {
                let message = format!("there are more than {CASES_MAX} cases: split the file");
                self.reader.complaints.error(&table.place, &message);
                return Vec::new();
            }
        }
        cases
    }

    /// The case that a table stands for, or each of its variants.
    fn case(&mut self, table: &Node) -> Vec<Case> {
        let named = self.reader.field(table, "case[].name", name(NAME_CHARS_MAX));
        if let Some((name, place)) = &named
            && !self.names.insert(name.clone())
        {
            let message = format!("two cases are named `{name}`: rename one");
            self.reader.complaints.error(place, &message);
        }
        let name = named.map(|(name, _)| name).unwrap_or_default();
        let variants = member(table, "each")
            .map(|each| variants(table, each, self.provider.shape, self.reader.complaints));
        let documents = self.documents(table);
        let Some(variants) = variants else {
            return self.meaning(name, table, documents).into_iter().collect();
        };
        let mut bare = table.clone();
        if let Any::Table(fields) = &mut bare.value {
            fields.retain(|name, _| !matches!(name.as_str(), "each" | "before" | "patch"));
        }
        let mut labels = HashSet::new();
        let mut cases = Vec::new();
        for (variant, number) in variants.into_iter().zip(1..) {
            let is_new = labels.insert(variant.label.clone()) && !variant.label.is_empty();
            let mark = if is_new { String::new() } else { format!("#{number} ") };
            let name = format!("{name} [{mark}{}]", variant.label).replace(" ]", "]");
            if self.is_full {
                break;
            }
            cases.extend(self.variant(name, &bare, documents.clone(), &variant));
        }
        cases
    }

    fn variant(
        &mut self,
        name: String,
        bare: &Node,
        mut documents: Documents,
        variant: &Variant<'_>,
    ) -> Option<Case> {
        let mut table = bare.clone();
        let mut place = None;
        for change in &variant.changes {
            place.get_or_insert_with(|| change.place.clone());
            if let Some((document, pointer)) = inside_document(change.pointer) {
                self.alter(&mut documents, document, pointer, change);
            } else {
                set(&mut table, change.pointer, change);
                self.alter_whole(&mut documents, &table, change.pointer);
            }
        }
        if let Some(place) = place {
            table.place = place;
        }
        self.meaning(name, &table, documents)
    }

    /// Changes a document of a variant, which then is its own.
    fn alter(&mut self, documents: &mut Documents, document: &str, pointer: &str, change: &Change) {
        let value = match change.value {
            New::Nothing => Ok(Edit::Remove),
            New::Null => Ok(Edit::Set(Value::Null)),
            New::Value(node) => json(node).map(Edit::Set),
        };
        let kept = if document == "before" { &mut documents.before } else { &mut documents.patch };
        let empty = || (Arc::new(Value::Object(serde_json::Map::new())), change.place.clone());
        let (kept, place) = kept.get_or_insert_with(empty);
        *place = change.place.clone();
        let own = Arc::make_mut(kept);
        let done = match value {
            Ok(value) => edit(own, pointer, value).map_err(|fault| (change.place.clone(), fault)),
            Err(refused) => Err(refused),
        };
        let bytes = own.to_string().len();
        if let Err((place, fault)) = done {
            let message = format!("`{}`: {fault}: name another place", change.pointer);
            self.reader.complaints.error(&place, &message);
        }
        let place = change.place.clone();
        self.take(bytes, &place);
    }

    /// Takes the documents anew where a variant names others.
    fn alter_whole(&mut self, documents: &mut Documents, table: &Node, pointer: &str) {
        match pointer {
            "/before" | "/before_file" => documents.before = self.document(table, "before"),
            "/patch" | "/patch_file" => documents.patch = self.document(table, "patch"),
            _ => {}
        }
    }

    fn documents(&mut self, table: &Node) -> Documents {
        Documents { before: self.document(table, "before"), patch: self.document(table, "patch") }
    }

    /// The document of a key, typed there or in the file that `KEY_file` names.
    fn document(&mut self, table: &Node, key: &str) -> Option<(Arc<Value>, Location)> {
        let file_key = format!("{key}_file");
        let (typed, file) = (member(table, key), member(table, &file_key));
        if let (Some(_), Some(file)) = (typed, file) {
            let message = format!("`{key}` and `{file_key}` are both there: remove one of them");
            self.reader.complaints.error(&file.place, &message);
        }
        let found = if let Some(node) = typed {
            let read = document::typed(node).map(Arc::new);
            let bytes = read.as_ref().map_or(0, |read| read.to_string().len());
            self.take(bytes, &node.place);
            Some((read, node))
        } else {
            file.map(|node| (self.file(node), node))
        };
        let (read, node) = found?;
        let key = if typed.is_some() { key } else { &file_key };
        match read {
            Ok(document) => Some((document, node.place.clone())),
            Err((place, fault)) => {
                self.reader.complaints.error(&place, &format!("`{key}`: {fault}"));
                None
            }
        }
    }

    fn file(&mut self, node: &Node) -> Result<Arc<Value>, (Location, String)> {
        let path = text(node).map_err(|fix| (node.place.clone(), fix))?;
        let (read, bytes) = self.files.get(self.reader.folder.join(path));
        self.take(bytes, &node.place);
        read.map_err(|fault| (node.place.clone(), fault))
    }

    /// Counts the bytes of a document.
    fn take(&mut self, bytes: usize, place: &Location) {
        if self.bytes_left < bytes && !std::mem::replace(&mut self.is_full, true) {
            let message = format!(
                "the documents of this file are longer than {DOCUMENTS_BYTES_MAX} bytes together: \
                 make them shorter, or split it"
            );
            self.reader.complaints.error(place, &message);
        }
        self.bytes_left = self.bytes_left.saturating_sub(bytes);
    }

    /// The meaning of a case whose documents are known.
    fn meaning(&mut self, name: String, table: &Node, documents: Documents) -> Option<Case> {
        let operation = self.reader.optional(table, "case[].operation", operation);
        let Documents { before, patch } = documents;
        let operation = operation.map_or_else(
            || if before.is_some() { Operation::Update } else { Operation::Create },
            |(operation, _)| operation,
        );
        let omitted = self.reader.optional(table, "case[].method", method);
        let omitted = omitted.map_or(Omitted::Preserved, |(omitted, _)| omitted);
        let before = match before {
            Some((_, place)) if operation == Operation::Create => {
                let message = "a create has no before: remove it, or write another `operation`";
                self.reader.complaints.error(&place, message);
                None
            }
            Some((before, _)) => Some(before),
            None if operation == Operation::Create => None,
            None => Some(Arc::new(Value::Object(serde_json::Map::new()))),
        };
        let patch = self.patch(patch);
        let actor = self.actor(table);
        let at = self.reader.optional(table, "case[].at", moment);
        let at = at.map_or_else(|| Timestamp::parse(AT).ok(), |(at, _)| Some(at));
        let expected = self.expected(table);
        let line = table.place.line().unwrap_or_default();
        let (patch, at, expected) = (patch?, at?, expected?);
        Some(Case { name, line, operation, omitted, before, patch, actor, at, expected })
    }

    /// The patch, as the gateway would read it.
    fn patch(&mut self, document: Option<(Arc<Value>, Location)>) -> Option<Arc<Patch>> {
        let Some((document, place)) = document else { return Some(Arc::default()) };
        match parse(self.provider, document.to_string().as_bytes(), DEPTH_MAX) {
            Ok(patch) => Some(Arc::new(patch)),
            Err(error) => {
                let message = format!("`patch` is refused before any rule is asked: {error}");
                self.reader.complaints.error(&place, &message);
                None
            }
        }
    }

    fn actor(&mut self, table: &Node) -> Actor {
        let nobody = Fingerprint::from_bytes([0; 8]);
        let Some(actor) = member(table, "actor") else {
            return Actor { fingerprint: nobody, name: None, person: None, team: None };
        };
        let fingerprint = self.reader.optional(actor, "case[].actor.fingerprint", |node| {
            let fix = "write a fingerprint: `pat_` and 16 small hex digits";
            node.text().and_then(|text| text.parse().ok()).ok_or_else(|| fix.to_owned())
        });
        let named = self.reader.optional(actor, "case[].actor.name", name(128));
        let person = self.reader.optional(actor, "case[].actor.person", name(128));
        let team = self.reader.optional(actor, "case[].actor.team", name(128));
        Actor {
            fingerprint: fingerprint.map_or(nobody, |(fingerprint, _)| fingerprint),
            name: named.map(|(name, _)| name),
            person: person.map(|(person, _)| person),
            team: team.map(|(team, _)| team),
        }
    }

    fn expected(&mut self, table: &Node) -> Option<Expected> {
        let example = "expect = { decision = \"deny\", rules = [\"…\"] }";
        let Some(expect) = member(table, "expect") else {
            let message = format!("`expect` is missing in this [[case]]: add {example}");
            self.reader.complaints.error(&table.place, &message);
            return None;
        };
        let decision = self.reader.optional(expect, "case[].expect.decision", decision);
        let rules = self.rules(expect, "case[].expect.rules");
        let standing = self.rules(expect, "case[].expect.standing");
        let messages = self.reader.items(expect, "case[].expect.messages", text);
        let messages = messages.unwrap_or_default().into_iter().map(|(text, _)| text);
        let expected = Expected {
            decision: decision.map(|(decision, _)| decision),
            rules,
            standing,
            messages: messages.collect(),
        };
        if expects_nothing(expect) {
            let message =
                format!("`expect` says nothing, so this case can't fail: write {example}");
            self.reader.complaints.error(&expect.place, &message);
        }
        Some(expected)
    }

    /// A set of names of rules.
    fn rules(&mut self, expect: &Node, path: &str) -> Option<BTreeSet<String>> {
        let known = std::mem::take(&mut self.rules);
        let rule = |node: &Node| {
            let name = text(node)?;
            if known.contains(&name) { Ok(name) } else { Err(unknown_rule(&name, &known)) }
        };
        let rules = self.reader.items(expect, path, rule);
        self.rules = known;
        rules.map(|rules| rules.into_iter().map(|(name, _)| name).collect())
    }
}

/// Whether whatever comes of a case is as it expects.
fn expects_nothing(expect: &Node) -> bool {
    let Any::Table(fields) = &expect.value else { return false };
    fields.iter().all(|(name, node)| {
        name == "messages" && matches!(&node.value, Any::Array(items) if items.is_empty())
    })
}
