//! `[[case.each]]`: variants of a case, told by the values that differ at JSON Pointers into it.

use std::collections::BTreeMap;

use super::keys::KEYS;
use crate::base::excerpt::excerpt;
use crate::base::pointer::{covers, keys};
use crate::deployment::patch::DEPTH_MAX;
use crate::provider::shape::Shape;
use crate::settings::complaint::{Complaints, Location};
use crate::settings::key::{ValueKind, near};
use crate::settings::raw::{Node, Value};

/// The most cases of a file, each variant counted.
pub(super) const CASES_MAX: usize = 10_000;

/// The most characters of a value in a variant's name.
const SHOWN_CHARS_MAX: usize = 40;

/// The most bytes of a variant's name beyond which no more is said.
const LABEL_BYTES_MAX: usize = 300;

/// The most places that differ in one table.
const PLACES_MAX: usize = 64;

/// The keys of a variant that are no pointers.
const WORDS: [&str; 5] = ["name", "null", "remove", "pointer", "values"];

/// One variant of a case.
#[derive(Clone, Debug, Default)]
pub(super) struct Variant<'n> {
    /// The text that it is told apart by.
    pub(super) label: String,
    /// The differences, in the order in which they are made.
    pub(super) changes: Vec<Change<'n>>,
}

/// The difference at one place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Change<'n> {
    /// A JSON Pointer into the case.
    pub(super) pointer: &'n str,
    pub(super) value: New<'n>,
    pub(super) place: &'n Location,
}

/// The value that stands there in the variant.
#[derive(Clone, Copy, Debug)]
pub(super) enum New<'n> {
    Value(&'n Node),
    Null,
    Nothing,
}

/// The variants that an `each` tells of; complaints are about what is none.
pub(super) fn variants<'n>(
    case: &Node,
    each: &'n Node,
    shape: &'static Shape,
    complaints: &mut Complaints,
) -> Vec<Variant<'n>> {
    let Value::Array(tables) = &each.value else {
        complaints.error(&each.place, "`each` is no table: write [[case.each]]");
        return Vec::new();
    };
    let mut all = Vec::new();
    for table in tables {
        let Value::Table(fields) = &table.value else {
            complaints.error(&table.place, "`each` holds what is no table: write [[case.each]]");
            continue;
        };
        for (name, node) in fields {
            known(name, &node.place, complaints);
        }
        if fields.len() > PLACES_MAX {
            let message = format!("more than {PLACES_MAX} places differ: vary fewer of them");
            complaints.error(&table.place, &message);
            continue;
        }
        all.extend(of_table(case, table, fields, shape, complaints));
        if all.len() > CASES_MAX {
            let message = format!("there are more than {CASES_MAX} variants: leave some out");
            complaints.error(&table.place, &message);
            return Vec::new();
        }
    }
    if tables.is_empty() {
        complaints.error(&each.place, "`each` has no variant: add one, or remove it");
    }
    all
}

/// Complains of a key that is neither a word nor the pointer of a place that a case has.
fn known(name: &str, place: &Location, complaints: &mut Complaints) {
    let shown = excerpt(name, 80);
    if !name.starts_with('/') {
        if !WORDS.contains(&name) {
            let fix = near(name, WORDS.into_iter()).map_or_else(
                || "write a JSON Pointer such as \"/patch/schedule/timezone\"".to_owned(),
                |word| format!("did you mean `{word}`?"),
            );
            complaints.error(place, &format!("unknown key `{shown}` in [[case.each]]: {fix}"));
        }
        return;
    }
    if let Some(fix) = unknown_place(name) {
        complaints.error(place, &format!("unknown place `{shown}` in [[case.each]]: {fix}"));
    }
}

/// The fix of a pointer that names no place of a case.
fn unknown_place(pointer: &str) -> Option<String> {
    let keys: Vec<_> = keys(pointer).collect();
    if keys.len() > DEPTH_MAX {
        return Some(format!("documents are {DEPTH_MAX} levels deep at most"));
    }
    let mut path = "case[]".to_owned();
    for key in &keys {
        let inner = format!("{path}.{key}");
        let is_key = !key.contains(['.', '[']);
        match KEYS.named(&inner).filter(|_| is_key).map(|known| known.kind) {
            // What lies below is the document's.
            Some(ValueKind::Document | ValueKind::Texts(_)) => return None,
            Some(_)
                if matches!(key.as_ref(), "name" | "description" | "each") && keys.len() == 1 =>
            {
                return Some(
                    "a variant has its own `name`; only what is judged may vary".to_owned(),
                );
            }
            Some(_) => {}
            None if is_key && KEYS.is_section(&inner) => {}
            None => return Some(KEYS.fix(&path, key)),
        }
        path = inner;
    }
    KEYS.is_section(&path).then(|| "name one of its keys".to_owned())
}

/// The variants of one table: one for each way to choose from its lists of values.
fn of_table<'n>(
    case: &Node,
    table: &Node,
    fields: &'n BTreeMap<String, Node>,
    shape: &'static Shape,
    complaints: &mut Complaints,
) -> Vec<Variant<'n>> {
    let mut all = vec![Variant::default()];
    for (word, value) in [("null", New::Null), ("remove", New::Nothing)] {
        for node in
            fields.get(word).map(|node| pointers(node, word, complaints)).unwrap_or_default()
        {
            let Some(pointer) = node.text() else { continue };
            known(pointer, &node.place, complaints);
            let change = Change { pointer, value, place: &node.place };
            all = with(&all, &[change], true);
        }
    }
    let axis = axis(table, fields, complaints);
    let typed = fields.iter().filter(|(name, _)| name.starts_with('/')).map(|(pointer, node)| {
        let values = choices(case, pointer, node, shape);
        (pointer.as_str(), values)
    });
    for (pointer, values) in typed.chain(axis) {
        if all.len().saturating_mul(values.len()) > CASES_MAX {
            let message = format!("it makes more than {CASES_MAX} variants: leave some out");
            complaints.error(&table.place, &message);
            return Vec::new();
        }
        let change =
            |node: &'n Node| Change { pointer, value: New::Value(node), place: &node.place };
        let changes: Vec<Change<'_>> = values.into_iter().map(change).collect();
        all = with(&all, &changes, false);
    }
    name(all, fields.get("name"), complaints)
}

/// Lays the name of a table over those that its values make: where there are several variants, both
/// are told.
fn name<'n>(
    mut all: Vec<Variant<'n>>,
    name: Option<&Node>,
    complaints: &mut Complaints,
) -> Vec<Variant<'n>> {
    let Some(node) = name else { return all };
    let Some(name) = node.text().filter(|name| !name.trim().is_empty()) else {
        complaints.error(&node.place, "`name` of a [[case.each]]: write a text in quotes");
        return all;
    };
    let many = all.len() > 1;
    for variant in &mut all {
        let name = excerpt(name, super::keys::NAME_CHARS_MAX);
        variant.label = if many { format!("{name}, {}", variant.label) } else { name };
    }
    all
}

/// `pointer` and `values`, which say the same as a key that is a pointer.
fn axis<'f>(
    table: &Node,
    fields: &'f BTreeMap<String, Node>,
    complaints: &mut Complaints,
) -> Option<(&'f str, Vec<&'f Node>)> {
    let (pointer, values) = match (fields.get("pointer"), fields.get("values")) {
        (None, None) => return None,
        (Some(pointer), Some(values)) => (pointer, values),
        _ => {
            let message =
                "`pointer` and `values` stand together: write both, or the pointer as key";
            complaints.error(&table.place, message);
            return None;
        }
    };
    let Value::Array(values) = &values.value else {
        complaints.error(&values.place, "`values` is a list: write values = […]");
        return None;
    };
    let Some(text) = pointer.text().filter(|text| text.starts_with('/')) else {
        complaints.error(&pointer.place, "`pointer`: write one such as \"/patch/name\"");
        return None;
    };
    known(text, &pointer.place, complaints);
    if values.is_empty() {
        complaints.error(&table.place, "`values` is empty: name a value");
    }
    Some((text, values.iter().collect()))
}

/// The variants, each once with each of the changes.
fn with<'n>(variants: &[Variant<'n>], changes: &[Change<'n>], is_word: bool) -> Vec<Variant<'n>> {
    let mut all = Vec::with_capacity(variants.len() * changes.len());
    for variant in variants {
        for change in changes {
            let mut variant = variant.clone();
            // What is expected tells no variant from another one.
            let is_told = is_word || !change.pointer.starts_with("/expect");
            if is_told && variant.label.len() < LABEL_BYTES_MAX {
                let joint = if variant.label.is_empty() { "" } else { ", " };
                variant.label = format!("{}{joint}{}", variant.label, label(change));
            }
            variant.changes.push(*change);
            all.push(variant);
        }
    }
    all
}

fn label(change: &Change<'_>) -> String {
    let place = change.pointer.strip_prefix("/patch").unwrap_or(change.pointer);
    let place = excerpt(&keys(place).collect::<Vec<_>>().join("."), 80);
    match change.value {
        New::Value(node) => format!("{place} = {}", shown(node)),
        New::Null => format!("{place} = null"),
        New::Nothing => format!("no {place}"),
    }
}

fn shown(node: &Node) -> String {
    match &node.value {
        Value::Text(text) => format!("\"{}\"", excerpt(text, SHOWN_CHARS_MAX)),
        Value::Moment(moment) => moment.clone(),
        _ => crate::settings::document::json(node)
            .map_or_else(|_| node.shown(), |json| excerpt(&json.to_string(), SHOWN_CHARS_MAX)),
    }
}

fn pointers<'n>(node: &'n Node, word: &str, complaints: &mut Complaints) -> Vec<&'n Node> {
    let fix = format!("`{word}` is a list of JSON Pointers: write {word} = [\"/patch/schedule\"]");
    let Value::Array(items) = &node.value else {
        complaints.error(&node.place, &fix);
        return Vec::new();
    };
    if items.len() > PLACES_MAX {
        complaints.error(&node.place, &format!("`{word}` has more than {PLACES_MAX} places"));
        return Vec::new();
    }
    let is_pointer = |item: &&Node| item.text().is_some_and(|text| text.starts_with('/'));
    if let Some(other) = items.iter().find(|item| !is_pointer(item)) {
        complaints.error(&other.place, &fix);
    }
    items.iter().filter(is_pointer).collect()
}

/// The values to be tried at a place: the elements of a list, unless a list belongs there.
fn choices<'n>(case: &Node, pointer: &str, node: &'n Node, shape: &'static Shape) -> Vec<&'n Node> {
    match &node.value {
        Value::Array(items) if !items.is_empty() && !takes_list(case, pointer, items, shape) => {
            items.iter().collect()
        }
        _ => vec![node],
    }
}

/// Whether a list belongs at a place of a case: as its keys and the provider's shape say, and where
/// they don't, what stands there.
fn takes_list(case: &Node, pointer: &str, items: &[Node], shape: &'static Shape) -> bool {
    let keys: Vec<_> = keys(pointer).collect();
    let Some((first, inside)) = keys.split_first() else { return false };
    if !matches!(first.as_ref(), "before" | "patch") {
        let named = KEYS.named(&format!("case[].{}", keys.join(".")));
        return matches!(named.map(|key| key.kind), Some(ValueKind::Texts(_)));
    }
    let shape = inside.iter().fold(shape, |shape, key| match shape {
        Shape::List(element) => element,
        other => other.member(key),
    });
    if inside.is_empty() || !matches!(shape, Shape::Any) {
        return matches!(shape, Shape::List(_));
    }
    let typed = keys.iter().try_fold(case, |place, key| match &place.value {
        Value::Table(fields) => fields.get(&**key),
        Value::Array(items) => items.get(key.parse::<usize>().ok()?),
        _ => None,
    });
    let kind = |node: &Node| std::mem::discriminant(&node.value);
    typed.is_none_or(|typed| items.iter().any(|item| kind(item) != kind(typed)))
}

/// The document that a place of a case lies in, and the pointer within it.
pub(super) fn inside_document(pointer: &str) -> Option<(&'static str, &str)> {
    let inside = |document: &'static str| {
        let rest = pointer.strip_prefix('/')?.strip_prefix(document)?;
        rest.starts_with('/').then_some((document, rest))
    };
    inside("before").or_else(|| inside("patch"))
}

/// Changes a case itself at a place.
pub(super) fn set(table: &mut Node, pointer: &str, change: &Change<'_>) {
    let place = change.place.clone();
    let keys: Vec<_> = keys(pointer).collect();
    let Some((last, way)) = keys.split_last() else { return };
    let mut around = table;
    for key in way {
        let Value::Table(fields) = &mut around.value else { return };
        let empty = || Node::of(Value::Table(BTreeMap::new()), place.clone());
        around = fields.entry(key.to_string()).or_insert_with(empty);
    }
    let Value::Table(fields) = &mut around.value else { return };
    match &change.value {
        New::Value(node) => _ = fields.insert(last.to_string(), (*node).clone()),
        New::Null | New::Nothing => _ = fields.remove(&**last),
    }
    // Of the two ways to tell a document, the one that is told last.
    for key in ["before", "patch"] {
        let file_key = format!("{key}_file");
        if covers(&format!("/{key}"), pointer) {
            fields.remove(&file_key);
        } else if covers(&format!("/{file_key}"), pointer) {
            fields.remove(key);
        }
    }
}
