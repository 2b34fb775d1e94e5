//! Typed values, from the file and from the environment, each with its place.
//!
//! Nothing is understood here but which keys exist: every unknown one is complained of, and what
//! the known ones mean is left to those who read them.

use std::collections::{BTreeMap, HashMap};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::complaint::{Complaints, Location};
use super::key::KeyTable;

/// The beginning of the names of variables.
const PREFIX: &str = "CHANGEGATE_";

/// Variables that are read elsewhere: the path of the file itself, the log's filter, and the token
/// of who calls the admin API.
const OTHER_VARIABLES: [&str; 3] =
    ["CHANGEGATE_CONFIG", "CHANGEGATE_LOG", "CHANGEGATE_ADMIN_TOKEN"];

/// One value as typed.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) value: Value,
    pub(crate) place: Location,
    /// A variable's text as it is: plain text needs no quotes there, even where it looks like
    /// a number.
    variable: Option<String>,
}

/// A value of any kind.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Text(String),
    Integer(i64),
    Decimal(f64),
    Boolean(bool),
    Array(Vec<Node>),
    Table(BTreeMap<String, Node>),
    /// A date or a time, as TOML prints it.
    Moment(String),
    /// A kind that no key takes, by its name.
    Other(&'static str),
}

/// Everything that was typed for known keys.
#[derive(Debug)]
pub(crate) struct Typed {
    pub(super) keys: &'static KeyTable,
    values: HashMap<&'static str, Node>,
    sections: HashMap<String, Location>,
}

impl Typed {
    /// Reads the file's text and lays the environment over it. Where the text is not TOML, that
    /// alone is complained of: what follows from a broken line is noise.
    pub(crate) fn read(
        keys: &'static KeyTable,
        text: &str,
        environment: &[(String, String)],
        complaints: &mut Complaints,
    ) -> Option<Self> {
        let lines = Lines::of(text);
        Self::read_with(keys, text, &|offset| lines.line_of(offset), environment, complaints)
    }

    /// Reads a text by itself; of its places, the columns are told too.
    pub(crate) fn read_to_the_column(
        keys: &'static KeyTable,
        text: &str,
        complaints: &mut Complaints,
    ) -> Option<Self> {
        let lines = Lines::of(text);
        Self::read_with(keys, text, &|offset| lines.column_of(offset), &[], complaints)
    }

    fn read_with(
        keys: &'static KeyTable,
        text: &str,
        place_of: &dyn Fn(usize) -> Location,
        environment: &[(String, String)],
        complaints: &mut Complaints,
    ) -> Option<Self> {
        let (table, errors) = DeTable::parse_recoverable(text);
        for error in &errors {
            let place = error.span().map_or(Location::File, |span| place_of(span.start));
            complaints.error(&place, &format!("not TOML: {}", error.message()));
        }
        if !errors.is_empty() {
            return None;
        }
        let mut typed = Self { keys, values: HashMap::new(), sections: HashMap::new() };
        typed.take_all("", fields(table.into_inner(), place_of), complaints);
        typed.take_environment(environment, complaints);
        Some(typed)
    }

    /// The value typed for a key, else its default.
    pub(crate) fn remove(&mut self, path: &str) -> Option<Node> {
        let default = || Node::of_text(self.keys.named(path)?.default?, &Location::File);
        self.values.remove(path).or_else(default)
    }

    /// The text of what holds, typed or by default, key by key: two configurations are told apart
    /// by it.
    pub(crate) fn texts(&self) -> BTreeMap<&'static str, String> {
        let defaults = self.keys.all().filter_map(|key| {
            Some((key.path, Node::of_text(key.default?, &Location::File)?.whole()))
        });
        let typed = self.values.iter().map(|(path, node)| (*path, node.whole()));
        defaults.chain(typed).collect()
    }

    /// Where a key was typed.
    pub(crate) fn place(&self, path: &str) -> Option<&Location> {
        self.values.get(path).map(|node| &node.place)
    }

    /// The items of the array that was typed for a key; `None` where none was.
    pub(crate) fn items(&self, path: &str) -> Option<&[Node]> {
        match &self.values.get(path)?.value {
            Value::Array(items) => Some(items),
            _ => None,
        }
    }

    /// Where a section was typed.
    pub(crate) fn section(&self, path: &str) -> Option<&Location> {
        self.sections.get(path)
    }

    /// Where the innermost section that holds the key was typed.
    pub(crate) fn home(&self, path: &str) -> Location {
        let home = path.rsplit_once('.').and_then(|(section, _)| self.sections.get(section));
        home.cloned().unwrap_or(Location::File)
    }

    fn take_all(
        &mut self,
        section: &str,
        fields: BTreeMap<String, Node>,
        complaints: &mut Complaints,
    ) {
        for (name, node) in fields {
            if name.contains(['.', '[']) {
                self.unknown(section, &name, &node.place, complaints);
            } else {
                self.take(section, &name, node, complaints);
            }
        }
    }

    fn take(&mut self, section: &str, name: &str, node: Node, complaints: &mut Complaints) {
        let path = join(section, name);
        if let Some(key) = self.keys.named(&path) {
            self.know_fields(&format!("{path}[]"), &node, complaints);
            self.values.insert(key.path, node);
        } else if !self.keys.is_section(&path) {
            self.unknown(section, name, &node.place, complaints);
        } else if let Value::Table(fields) = node.value {
            self.sections.insert(path.clone(), node.place);
            self.take_all(&path, fields, complaints);
        } else {
            let message = format!("`{path}` is a section: write [{path}] and its keys below");
            complaints.error(&node.place, &message);
        }
    }

    /// Variables of sections come before those of the keys in them, so that the closer one wins.
    fn take_environment(&mut self, environment: &[(String, String)], complaints: &mut Complaints) {
        let ours = environment.iter().filter(|(name, _)| {
            name.starts_with(PREFIX) && !OTHER_VARIABLES.contains(&name.as_str())
        });
        let mut ours: Vec<_> = ours.collect();
        ours.sort_by_key(|(name, _)| (name.matches("__").count(), name));
        for (name, text) in ours {
            let place = Location::Variable(name.as_str().into());
            let Some(path) = self.path_of(name) else {
                let message = "no configuration key has this name, so it does nothing: \
                    fix its name or unset it";
                complaints.warn(&place, message);
                continue;
            };
            let (section, last) = path.rsplit_once('.').unwrap_or(("", &path));
            self.take(section, last, Node::of_variable(text, place), complaints);
        }
    }

    /// The key or section that a variable's name stands for. A name in small letters stands for
    /// none: two spellings of one key could contradict each other.
    fn path_of(&self, variable: &str) -> Option<String> {
        let name = variable.strip_prefix(PREFIX)?;
        let plain = name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
        let path = name.to_ascii_lowercase().replace("__", ".");
        let keys = self.keys;
        let known = keys.named(&path).is_some() || keys.is_section(&path);
        (plain && known && !path.is_empty()).then_some(path)
    }

    fn unknown(&self, section: &str, name: &str, place: &Location, complaints: &mut Complaints) {
        let path = join(section, name).replace("[]", "");
        let fix = self.keys.fix(section, name);
        complaints.error(place, &format!("unknown key `{}`: {fix}", path.escape_debug()));
    }

    /// Complains of unknown fields in an array of tables.
    fn know_fields(&self, path: &str, node: &Node, complaints: &mut Complaints) {
        let Value::Array(tables) = &node.value else { return };
        for table in tables.iter().filter(|_| self.keys.is_section(path)) {
            self.know_table(path, table, complaints);
        }
    }

    /// Complains of unknown fields in a table that stands in an array of tables.
    fn know_table(&self, path: &str, table: &Node, complaints: &mut Complaints) {
        let Value::Table(fields) = &table.value else { return };
        for (name, field) in fields {
            let field_path = join(path, name);
            let is_one_word = !name.contains(['.', '[']);
            if is_one_word && self.keys.named(&field_path).is_some() {
                self.know_fields(&format!("{field_path}[]"), field, complaints);
            } else if !(is_one_word && self.keys.is_section(&field_path)) {
                self.unknown(path, name, &field.place, complaints);
            } else if let Value::Table(_) = field.value {
                self.know_table(&field_path, field, complaints);
            } else {
                let message = format!("`{name}` is a table: write {name} = {{ … }}");
                complaints.error(&field.place, &message);
            }
        }
    }
}

impl Node {
    /// A value that stands for itself.
    pub(crate) fn of(value: Value, place: Location) -> Self {
        Self { value, place, variable: None }
    }

    /// A value from TOML text.
    fn of_text(text: &str, place: &Location) -> Option<Self> {
        let value = DeValue::parse(text).ok()?.into_inner();
        Some(Self::of_toml(value, place.clone(), &|_start| place.clone()))
    }

    /// A variable's value: TOML, or JSON, or else plain text.
    fn of_variable(text: &str, place: Location) -> Self {
        let node = Self::of_text(text.trim(), &place).unwrap_or_else(|| {
            let value = match serde_json::from_str(text) {
                Ok(json) => Value::of_json(json, &place),
                Err(_not_json) => Value::Text(text.to_owned()),
            };
            Self { value, place, variable: None }
        });
        Self { variable: Some(text.to_owned()), ..node }
    }

    fn of_toml(value: DeValue<'_>, place: Location, place_of: &dyn Fn(usize) -> Location) -> Self {
        let value = match value {
            DeValue::String(text) => Value::Text(text.into_owned()),
            DeValue::Integer(digits) => i64::from_str_radix(digits.as_str(), digits.radix())
                .map_or(Value::Other("a number beyond 64 bits"), Value::Integer),
            DeValue::Float(digits) => {
                digits.as_str().parse().map_or(Value::Other("a decimal"), Value::Decimal)
            }
            DeValue::Boolean(flag) => Value::Boolean(flag),
            DeValue::Datetime(moment) => Value::Moment(moment.to_string()),
            DeValue::Array(items) => Value::Array(
                items
                    .into_iter()
                    .map(|item| {
                        let place = place_of(item.span().start);
                        Self::of_toml(item.into_inner(), place, place_of)
                    })
                    .collect(),
            ),
            DeValue::Table(table) => Value::Table(fields(table, place_of)),
        };
        Self { value, place, variable: None }
    }

    /// The value as text, if it is one.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => self.variable.as_deref(),
        }
    }

    /// The value as text, whole, wherever it was typed.
    fn whole(&self) -> String {
        match &self.value {
            Value::Text(text) => format!("{text:?}"),
            Value::Array(items) => items.iter().map(|item| item.whole() + ",").collect(),
            Value::Table(fields) => {
                let field = |(name, node): (&String, &Self)| format!("{name:?}={},", node.whole());
                fields.iter().map(field).collect()
            }
            _ => self.shown(),
        }
    }

    /// How a complaint repeats the value.
    pub(crate) fn shown(&self) -> String {
        match &self.value {
            Value::Text(text) => format!("{:?}", text.chars().take(80).collect::<String>()),
            Value::Integer(number) => number.to_string(),
            Value::Decimal(number) => number.to_string(),
            Value::Boolean(flag) => flag.to_string(),
            Value::Array(_) => "an array".to_owned(),
            Value::Table(_) => "a table".to_owned(),
            Value::Moment(_) => "a date or time".to_owned(),
            Value::Other(kind) => (*kind).to_owned(),
        }
    }
}

impl Value {
    fn of_json(json: serde_json::Value, place: &Location) -> Self {
        use serde_json::Value as Json;
        let node =
            |json| Node { value: Self::of_json(json, place), place: place.clone(), variable: None };
        match json {
            Json::Null => Self::Other("null"),
            Json::Bool(flag) => Self::Boolean(flag),
            Json::Number(number) => match (number.as_i64(), number.as_f64()) {
                (Some(number), _) => Self::Integer(number),
                (None, Some(number)) => Self::Decimal(number),
                (None, None) => Self::Other("a number beyond 64 bits"),
            },
            Json::String(text) => Self::Text(text),
            Json::Array(items) => Self::Array(items.into_iter().map(node).collect()),
            Json::Object(members) => {
                Self::Table(members.into_iter().map(|(name, json)| (name, node(json))).collect())
            }
        }
    }
}

/// Where the lines of a text begin and end.
struct Lines<'t> {
    text: &'t str,
    ends: Vec<usize>,
}

impl<'t> Lines<'t> {
    fn of(text: &'t str) -> Self {
        Self { text, ends: memchr::memchr_iter(b'\n', text.as_bytes()).collect() }
    }

    fn line_of(&self, offset: usize) -> Location {
        Location::Line(self.ends_before(offset) + 1)
    }

    fn column_of(&self, offset: usize) -> Location {
        let before = self.ends_before(offset);
        let last = before.checked_sub(1).and_then(|last| self.ends.get(last));
        let start = last.map_or(0, |end| end + 1);
        let column = self.text.get(start..offset).map_or(0, |text| text.chars().count()) + 1;
        Location::Column(before + 1, column)
    }

    fn ends_before(&self, offset: usize) -> usize {
        self.ends.partition_point(|end| *end < offset)
    }
}

/// A table's fields; a field that is a plain value stands on its value's line, a section on its
/// header's.
fn fields(table: DeTable<'_>, place_of: &dyn Fn(usize) -> Location) -> BTreeMap<String, Node> {
    let field = |(name, value): (Spanned<_>, Spanned<DeValue<'_>>)| {
        let place = place_of(name.span().start);
        let name: std::borrow::Cow<'_, str> = name.into_inner();
        (name.into_owned(), Node::of_toml(value.into_inner(), place, place_of))
    };
    table.into_iter().map(field).collect()
}

fn join(section: &str, name: &str) -> String {
    if section.is_empty() { name.to_owned() } else { format!("{section}.{name}") }
}
