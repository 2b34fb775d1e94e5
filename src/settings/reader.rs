//! The reader of typed values: what each means, key by key.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::complaint::{Complaints, Location};
use super::key::{KeySpec, ValueKind};
use super::raw::{Node, Typed, Value};
use super::value::{Meant, count, size, text};
use crate::base::file;

/// Turns what was typed into what it means, key by key. A value that can't be read is complained
/// of and then replaced by its type's default: the complaint forbids the whole, so that no such
/// value is ever used.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    pub(crate) typed: Typed,
    pub(crate) folder: PathBuf,
    pub(crate) complaints: &'a mut Complaints,
}

/// A value and where it was typed.
pub(crate) type Placed<T> = (T, Location);

impl Reader<'_> {
    /// The value of a key with its place; `None` where neither typed nor given by default, or where
    /// it was complained of.
    pub(crate) fn read<T>(
        &mut self,
        path: &str,
        meaning: impl Fn(&Node) -> Meant<T>,
    ) -> Option<Placed<T>> {
        let node = self.typed.remove(path)?;
        self.meant(path, &node, meaning)
    }

    fn key(&self, path: &str) -> Option<&'static KeySpec> {
        self.typed.keys.named(path)
    }

    /// A whole number, within the bounds of its key.
    pub(crate) fn count<T: TryFrom<u32> + Default>(&mut self, path: &str) -> T {
        let Some(ValueKind::Count(least, most)) = self.key(path).map(|key| key.kind) else {
            debug_assert!(false, "{path} is no count");
            return T::default();
        };
        T::try_from(self.value(path, count(least..=most))).unwrap_or_default()
    }

    /// A number of bytes, within the bounds of its key.
    pub(crate) fn size(&mut self, path: &str) -> Option<Placed<usize>> {
        let Some(ValueKind::Size(least, most)) = self.key(path).map(|key| key.kind) else {
            debug_assert!(false, "{path} is no size");
            return None;
        };
        self.read(path, size(least..=most))
    }

    /// The bounds of a key that is a length of time.
    pub(crate) fn span(&self, path: &str) -> Option<RangeInclusive<Duration>> {
        let Some(ValueKind::Span(least, most)) = self.key(path).map(|key| key.kind) else {
            debug_assert!(false, "{path} is no length of time");
            return None;
        };
        Some(Duration::from_secs(least)..=Duration::from_secs(most))
    }

    /// Where a key was typed.
    pub(crate) fn place(&self, path: &str) -> Option<&Location> {
        self.typed.place(path)
    }

    /// The value of a key that has a default.
    pub(crate) fn value<T: Default>(
        &mut self,
        path: &str,
        meaning: impl Fn(&Node) -> Meant<T>,
    ) -> T {
        self.read(path, meaning).map(|(value, _)| value).unwrap_or_default()
    }

    /// The value of a key that must be typed.
    pub(crate) fn required<T>(
        &mut self,
        path: &str,
        meaning: impl Fn(&Node) -> Meant<T>,
    ) -> Option<Placed<T>> {
        let home = self.typed.home(path);
        if self.typed.place(path).is_none() {
            let name = path.rsplit_once('.').map_or(path, |(_section, name)| name);
            let example = self.key(path).and_then(|key| key.example).unwrap_or("a value");
            let message = format!("`{path}` is missing: write {name} = {example}");
            self.complaints.error(&home, &message);
        }
        self.read(path, meaning)
    }

    /// The items of an array, each complained of by itself.
    pub(crate) fn each<T>(
        &mut self,
        path: &str,
        meaning: impl Fn(&Node) -> Meant<T>,
    ) -> Vec<Placed<T>> {
        let Some(node) = self.typed.remove(path) else { return Vec::new() };
        let Some(items) = self.items_of(path, &node) else { return Vec::new() };
        items.iter().filter_map(|item| self.meant(path, item, &meaning)).collect()
    }

    /// The entries of a table whose keys are not told beforehand, each complained of by itself.
    pub(crate) fn entries<T>(
        &mut self,
        path: &str,
        meaning: impl Fn(&str, &Node) -> Meant<T>,
    ) -> Vec<Placed<T>> {
        let Some(node) = self.typed.remove(path) else { return Vec::new() };
        let Some(ValueKind::TextMap(most)) = self.key(path).map(|key| key.kind) else {
            debug_assert!(false, "{path} is no table of texts");
            return Vec::new();
        };
        match &node.value {
            Value::Table(entries) if entries.len() > most => {
                self.complain(path, &node, &format!("it has more than {most} entries: merge some"));
                Vec::new()
            }
            Value::Table(entries) => {
                let entries = entries.iter();
                entries
                    .filter_map(|(key, node)| {
                        let shown = format!("{path}.{}", key.escape_debug());
                        self.meant(&shown, node, |node| meaning(key, node))
                    })
                    .collect()
            }
            _ => {
                self.complain(path, &node, "write a table: { key = \"pattern\" }");
                Vec::new()
            }
        }
    }

    /// The items of an array, within the bounds of its key.
    fn items_of<'n>(&mut self, path: &str, node: &'n Node) -> Option<&'n [Node]> {
        let Value::Array(items) = &node.value else {
            let tables = self.typed.keys.is_section(&format!("{path}[]"));
            let fix = if tables { format!("write [[{path}]]") } else { "write [...]".to_owned() };
            self.complain(path, node, &fix);
            return None;
        };
        if let Some(ValueKind::Texts(most)) = self.key(path).map(|key| key.kind)
            && items.len() > most
        {
            let fix = format!("it has more than {most} entries: merge some");
            self.complain(path, node, &fix);
            return None;
        }
        Some(items)
    }

    /// The tables of an array of tables.
    pub(crate) fn tables(&mut self, path: &str) -> Vec<Node> {
        let table = |node: &Node| match node.value {
            Value::Table(_) => Ok(node.clone()),
            _ => Err(format!("write tables: [[{path}]]")),
        };
        self.each(path, table).into_iter().map(|(node, _)| node).collect()
    }

    /// A field that must stand in a table.
    pub(crate) fn field<T>(
        &mut self,
        table: &Node,
        path: &str,
        meaning: impl Fn(&Node) -> Meant<T>,
    ) -> Option<Placed<T>> {
        if member(table, path).is_none() {
            let (table_path, name) = path.split_once("[].").unwrap_or(("", path));
            let message = format!("`{name}` is missing in this [[{table_path}]]: add it");
            self.complaints.error(&table.place, &message);
        }
        self.optional(table, path, meaning)
    }

    /// A field that may stand in a table.
    pub(crate) fn optional<T>(
        &mut self,
        table: &Node,
        path: &str,
        meaning: impl Fn(&Node) -> Meant<T>,
    ) -> Option<Placed<T>> {
        member(table, path).and_then(|node| self.meant(path, node, meaning))
    }

    /// A list that may stand in a table, its items read one by one.
    pub(crate) fn items<T>(
        &mut self,
        table: &Node,
        path: &str,
        meaning: impl Fn(&Node) -> Meant<T>,
    ) -> Option<Vec<Placed<T>>> {
        let node = member(table, path)?.clone();
        let items = self.items_of(path, &node)?;
        Some(items.iter().filter_map(|item| self.meant(path, item, &meaning)).collect())
    }

    /// A path, relative to the file's folder.
    pub(crate) fn path(&mut self, path: &str) -> Option<Placed<PathBuf>> {
        self.read(path, text).map(|(text, place)| (self.folder.join(text), place))
    }

    /// The meaning of a node.
    pub(crate) fn meant<T>(
        &mut self,
        path: &str,
        node: &Node,
        meaning: impl Fn(&Node) -> Meant<T>,
    ) -> Option<Placed<T>> {
        match meaning(node) {
            Ok(value) => Some((value, node.place.clone())),
            Err(fix) => {
                self.complain(path, node, &fix);
                None
            }
        }
    }

    fn complain(&mut self, path: &str, node: &Node, fix: &str) {
        let shown = if self.key(path).is_some_and(|key| key.is_hidden) {
            String::new()
        } else {
            format!(" is {}", node.shown())
        };
        let path = path.replace("[]", "");
        self.complaints.error(&node.place, &format!("`{path}`{shown}: {fix}"));
    }
}

/// The node that a table has for the last part of a path such as `actor[].name`.
pub(crate) fn member<'a>(table: &'a Node, path: &str) -> Option<&'a Node> {
    let Value::Table(fields) = &table.value else { return None };
    fields.get(path.rsplit_once('.').map_or(path, |(_, name)| name))
}

/// Reads a file whole.
pub(crate) fn read_text(path: &Path) -> Result<String, String> {
    file::text(path).map_err(|error| format!("can't read {} ({error})", path.display()))
}
