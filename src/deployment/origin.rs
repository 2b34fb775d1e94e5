//! The way back of every value of a document through the earlier ones: where did it come from?

use std::collections::BTreeMap;

use serde_json::Value;
use similar::{Algorithm, DiffOp, capture_diff_slices};

use super::diff::same;
use crate::base::canonical::canonical;
use crate::base::pointer::child;

/// The most values that are followed by themselves: in a document with more of them, lists and
/// objects that hold the rest are followed whole.
const LEAVES_MAX: usize = 10_000;

/// The longest lists that are aligned with each other: longer ones are followed place by place.
const ALIGNED_MAX: usize = 1_000;

/// A document, and what is known of the origin of its values.
#[derive(Debug)]
pub struct Origins<O> {
    leaves: Vec<Leaf<O>>,
    /// The values that are still sought, in the shape of the earliest document that was seen.
    open: Option<Node>,
    open_count: usize,
}

/// A value that is followed.
#[derive(Clone, Debug, PartialEq)]
pub struct Leaf<O> {
    /// JSON Pointer of its place in the document.
    pub path: String,
    /// The value.
    pub value: Value,
    /// Where it came from; `None` while that is not known.
    pub origin: Option<O>,
}

/// A document's values that are sought, by its shape.
#[derive(Debug)]
enum Node {
    Leaf(usize),
    Object(BTreeMap<String, Node>),
    Array(Vec<Option<Node>>),
}

impl<O: Clone> Origins<O> {
    /// Nothing is known yet of where the values of `document` came from.
    #[must_use]
    pub fn of(document: &Value) -> Self {
        let mut origins = Self { leaves: Vec::new(), open: None, open_count: 0 };
        origins.open = Some(origins.node(document, String::new()));
        origins.open_count = origins.leaves.len();
        origins
    }

    fn node(&mut self, value: &Value, path: String) -> Node {
        match value {
            Value::Object(members)
                if !members.is_empty() && self.leaves.len() + members.len() <= LEAVES_MAX =>
            {
                let inner = |(name, value): (&String, &Value)| {
                    (name.clone(), self.node(value, child(&path, name)))
                };
                Node::Object(members.iter().map(inner).collect())
            }
            Value::Array(items)
                if !items.is_empty() && self.leaves.len() + items.len() <= LEAVES_MAX =>
            {
                let inner = |(index, value): (usize, &Value)| {
                    Some(self.node(value, child(&path, &index.to_string())))
                };
                Node::Array(items.iter().enumerate().map(inner).collect())
            }
            value => {
                self.leaves.push(Leaf { path, value: value.clone(), origin: None });
                Node::Leaf(self.leaves.len() - 1)
            }
        }
    }

    /// Goes back from the document `newer` to the one that stood before it: what that did not have
    /// comes from where `origin` says, by its path.
    pub fn back(&mut self, older: &Value, newer: &Value, origin: &impl Fn(&str) -> O) {
        if let Some(open) = self.open.take() {
            self.open = self.follow(open, Some(older), newer, origin);
        }
    }

    /// Says where all that is still sought comes from.
    pub fn end(&mut self, origin: &impl Fn(&str) -> O) {
        if let Some(open) = self.open.take() {
            self.settle(open, origin);
        }
    }

    /// Whether the origin of every value is known.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.open_count == 0
    }

    /// The values, in the document's order.
    #[must_use]
    pub fn into_leaves(self) -> Vec<Leaf<O>> {
        self.leaves
    }

    /// What is sought of a place in the document before.
    fn follow(
        &mut self,
        node: Node,
        older: Option<&Value>,
        newer: &Value,
        origin: &impl Fn(&str) -> O,
    ) -> Option<Node> {
        match (node, older, newer) {
            (Node::Leaf(number), Some(older), newer) if same(older, newer) => {
                Some(Node::Leaf(number))
            }
            (Node::Object(members), Some(Value::Object(older)), Value::Object(newer)) => {
                let mut open = BTreeMap::new();
                for (name, inner) in members {
                    let value = newer.get(&name).unwrap_or(&Value::Null);
                    if let Some(inner) = self.follow(inner, older.get(&name), value, origin) {
                        open.insert(name, inner);
                    }
                }
                (!open.is_empty()).then_some(Node::Object(open))
            }
            (Node::Array(items), Some(Value::Array(older)), Value::Array(newer)) => {
                let mut open: Vec<Option<Node>> = older.iter().map(|_| None).collect();
                let former = aligned(older, newer);
                for ((inner, value), former) in items.into_iter().zip(newer).zip(former) {
                    let Some(inner) = inner else { continue };
                    let at = former.and_then(|at| Some((open.get_mut(at)?, older.get(at)?)));
                    match at {
                        Some((place, older)) => {
                            *place = self.follow(inner, Some(older), value, origin);
                        }
                        None => self.settle(inner, origin),
                    }
                }
                open.iter().any(Option::is_some).then_some(Node::Array(open))
            }
            (node, _, _) => {
                self.settle(node, origin);
                None
            }
        }
    }

    fn settle(&mut self, node: Node, origin: &impl Fn(&str) -> O) {
        match node {
            Node::Leaf(number) => {
                if let Some(leaf) = self.leaves.get_mut(number) {
                    leaf.origin = Some(origin(&leaf.path));
                    self.open_count -= 1;
                }
            }
            Node::Object(members) => {
                for inner in members.into_values() {
                    self.settle(inner, origin);
                }
            }
            Node::Array(items) => {
                for inner in items.into_iter().flatten() {
                    self.settle(inner, origin);
                }
            }
        }
    }
}

/// For each element of `newer` the one of `older` that it was: the same, or the one that stood in
/// its place between two that stayed.
fn aligned(older: &[Value], newer: &[Value]) -> Vec<Option<usize>> {
    if older.len().max(newer.len()) > ALIGNED_MAX {
        return (0..newer.len()).map(|at| (at < older.len()).then_some(at)).collect();
    }
    let texts = |items: &[Value]| items.iter().map(canonical).collect::<Vec<_>>();
    let mut former = vec![None; newer.len()];
    for op in capture_diff_slices(Algorithm::Myers, &texts(older), &texts(newer)) {
        if !matches!(op, DiffOp::Delete { .. } | DiffOp::Insert { .. }) {
            for (old, new) in op.old_range().zip(op.new_range()) {
                if let Some(place) = former.get_mut(new) {
                    *place = Some(old);
                }
            }
        }
    }
    former
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// The origin of each value of the last of `documents`: the number of the one that brought it.
    fn origins(documents: &[Value]) -> Vec<(String, usize)> {
        let (last, before) = documents.split_last().unwrap();
        let mut origins = Origins::of(last);
        let mut newer = last;
        for (number, older) in before.iter().enumerate().rev() {
            origins.back(older, newer, &|_path| number + 1);
            newer = older;
        }
        origins.end(&|_path| 0);
        assert!(origins.is_done());
        let leaves = origins.into_leaves().into_iter();
        leaves.map(|leaf| (leaf.path, leaf.origin.unwrap())).collect()
    }

    fn told(documents: &[Value]) -> String {
        let told = origins(documents).into_iter().map(|(path, from)| format!("{path}={from}"));
        told.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_value_comes_from_the_last_document_that_brought_it() {
        let documents = [
            json!({"name": "a", "schedule": {"expression": "1", "timezone": "UTC"}}),
            json!({"name": "b", "schedule": {"expression": "1", "timezone": "UTC"}}),
            json!({"name": "b", "schedule": {"expression": "2", "timezone": "UTC"}}),
            json!({"name": "b", "schedule": {"expression": "2", "timezone": "UTC"}}),
        ];
        assert_eq!(told(&documents), "/name=1 /schedule/expression=2 /schedule/timezone=0");
        let back = [json!({"a": 1}), json!({"a": 2}), json!({"a": 1}), json!({"a": 1.0})];
        assert_eq!(told(&back), "/a=2");
        assert_eq!(told(&[json!({"a": null}), json!({"a": {}}), json!({"a": {}})]), "/a=1");
        assert_eq!(told(&[json!(1), json!({"a": []})]), "/a=1");
    }

    #[test]
    fn elements_are_followed_where_a_list_grows_before_them() {
        let documents = [
            json!({"list": [{"id": "x", "n": 1}, {"id": "y", "n": 1}]}),
            json!({"list": [{"id": "new", "n": 1}, {"id": "x", "n": 1}, {"id": "y", "n": 1}]}),
            json!({"list": [{"id": "new", "n": 1}, {"id": "x", "n": 1}, {"id": "y", "n": 2}]}),
            json!({"list": [{"id": "x", "n": 1}, {"id": "y", "n": 2}]}),
        ];
        let expected = "/list/0/id=0 /list/0/n=0 /list/1/id=0 /list/1/n=2";
        assert_eq!(told(&documents), expected);
        assert!(told(&documents[..2]).starts_with("/list/0/id=1 /list/0/n=1 /list/1/id=0"));
    }

    #[test]
    fn a_document_of_many_values_is_followed_in_parts() {
        let many: Vec<usize> = (0..=LEAVES_MAX).collect();
        let documents = [json!({"many": many, "one": 1}), json!({"many": many, "one": 2})];
        assert_eq!(told(&documents), "/many=0 /one=1");
    }
}
