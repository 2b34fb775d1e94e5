//! The JSON Schema (draft 2020-12) of a file, for editors and for checks without the program.

use serde_json::{Map, Value, json};

use super::key::{KeySpec, KeyTable, ValueKind};

/// A text without control characters that is not all white space.
const NAME: &str = "^[^\\u0000-\\u001f\\u007f-\\u009f]*\
    [^\\s\\u0000-\\u001f\\u007f-\\u009f][^\\u0000-\\u001f\\u007f-\\u009f]*$";

/// The schema of a file whose keys these are.
pub(crate) fn schema(keys: &KeyTable, title: &str, about: &str) -> Value {
    let mut file = object();
    for key in keys.all() {
        add(&mut file, key.path, key);
    }
    if let (true, Value::Object(file)) = (keys.may_lack_sections, &mut file) {
        file.remove("required");
    }
    for (path, about) in keys.sections {
        let pointer = format!("/properties/{}", path.replace('.', "/properties/"));
        if let Some(section) = file.pointer_mut(&pointer).and_then(Value::as_object_mut) {
            section.insert("description".to_owned(), (*about).into());
        }
    }
    let mut whole = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": title,
        "description": about,
    });
    if let (Value::Object(whole), Value::Object(file)) = (&mut whole, file) {
        whole.extend(file);
    }
    whole
}

/// Both schemas as one, which either file holds to.
pub(crate) fn either(named: &[(&str, Value)]) -> Value {
    let refs: Vec<Value> =
        named.iter().map(|(name, _)| json!({"$ref": format!("#/$defs/{name}")})).collect();
    let definitions: Map<String, Value> = named
        .iter()
        .cloned()
        .map(|(name, mut schema)| {
            // The one at the top stands for all.
            schema.as_object_mut().and_then(|schema| schema.remove("$schema"));
            (name.to_owned(), schema)
        })
        .collect();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "anyOf": refs,
        "$defs": definitions,
    })
}

fn object() -> Value {
    json!({"type": "object", "additionalProperties": false, "properties": {}})
}

/// Adds a key at a path below `table`. A section in which a key must be typed must be there too.
fn add(table: &mut Value, path: &str, key: &KeySpec) {
    let (name, rest) = path.split_once('.').map_or((path, None), |(n, r)| (n, Some(r)));
    let (name, is_item) = name.strip_suffix("[]").map_or((name, false), |name| (name, true));
    // What a table of an array must hold, the file need not.
    if key.is_required && !path.contains("[]") {
        require(table, name);
    }
    let Some(properties) = table.get_mut("properties").and_then(Value::as_object_mut) else {
        return;
    };
    let Some(rest) = rest else {
        properties.insert(name.to_owned(), described(key));
        return;
    };
    let inner = properties.entry(name).or_insert_with(object);
    let inner = if is_item { inner.get_mut("items") } else { Some(inner) };
    if let Some(inner) = inner {
        add(inner, rest, key);
    }
}

fn require(table: &mut Value, name: &str) {
    let Some(table) = table.as_object_mut() else { return };
    let required = table.entry("required").or_insert_with(|| json!([]));
    if let Some(required) = required.as_array_mut()
        && !required.iter().any(|listed| listed == name)
    {
        required.push(name.into());
    }
}

/// A key's own schema.
fn described(key: &KeySpec) -> Value {
    let mut schema = of_kind(key.kind);
    if let Some(schema) = schema.as_object_mut() {
        let restart = if key.restart == "yes" { " A change needs a restart." } else { "" };
        schema.insert("description".to_owned(), format!("{}{restart}", key.about).into());
        if let Some(example) = key.example.and_then(of_toml) {
            schema.insert("examples".to_owned(), json!([example]));
        }
        if let Some(default) = key.default.and_then(of_toml) {
            schema.insert("default".to_owned(), default);
        }
    }
    schema
}

fn of_kind(kind: ValueKind) -> Value {
    match kind {
        ValueKind::Text => json!({"type": "string", "pattern": "\\S"}),
        ValueKind::Pattern(pattern) => json!({"type": "string", "pattern": pattern}),
        ValueKind::Name(most) => json!({
            "type": "string", "minLength": 1, "maxLength": most,
            "pattern": NAME,
        }),
        ValueKind::Choice(words) => json!({"type": "string", "enum": words}),
        ValueKind::Flag => json!({"type": "boolean"}),
        ValueKind::Count(least, most) => {
            json!({"type": "integer", "minimum": least, "maximum": most})
        }
        ValueKind::Size(least, most) => json!({"anyOf": [
            {"type": "integer", "minimum": least, "maximum": most},
            {"type": "string", "pattern": "^\\s*[0-9]+\\s*([kKMG]B|[KMG]iB|B)?\\s*$"},
        ]}),
        ValueKind::Duration => length(&json!(0.001), 86_400),
        ValueKind::Span(least, most) => length(&json!(least), most),
        ValueKind::Texts(most) => {
            json!({"type": "array", "maxItems": most, "items": {"type": "string"}})
        }
        ValueKind::TextMap(most) => json!({
            "type": "object", "maxProperties": most, "additionalProperties": {"type": "string"},
        }),
        ValueKind::Tables => json!({"type": "array", "items": object()}),
        ValueKind::Table => json!({"type": "object"}),
        ValueKind::Document => json!({"type": ["object", "string"]}),
        ValueKind::FreeTables => json!({"type": "array", "items": {"type": "object"}}),
    }
}

/// A length of time: seconds, or a text with a unit.
fn length(least: &Value, most: u64) -> Value {
    json!({"anyOf": [
        {"type": "number", "minimum": least, "maximum": most},
        {"type": "string", "pattern": "^\\s*([0-9]+\\.?[0-9]*|\\.[0-9]+)\\s*(ms|s|m|h|d)?\\s*$"},
    ]})
}

/// A default's value.
fn of_toml(text: &str) -> Option<Value> {
    let table: toml::Table = format!("x = {text}").parse().ok()?;
    serde_json::to_value(table.get("x")?).ok()
}
