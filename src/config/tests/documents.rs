//! The table of keys against all that is told of it: the reference file, the guide's tables, the
//! JSON Schema. `UPDATE_DOCUMENTS=1` writes the first two anew.

use std::env;

use regex_lite::Regex;
use serde_json::{Value, json};

use super::*;
use crate::policy::case::keys::KEYS as CASES;
use crate::policy::keys::KEYS as POLICY;
use crate::settings::key::{KeySpec, ValueKind};
use crate::settings::schema::schema;

/// The beginning of the reference file.
const HEAD: &str = "\
# The reference of Changegate's configuration: every key there is, with the value that holds where
# nothing is written. Keys that hold nothing by default are commented out as `#key = …`; take the
# `#` away to use them. A working file needs [upstream] alone, see examples/minimal.toml.
#
# `changegate check --config FILE` names every mistake with its line and its fix; editors take the
# JSON Schema that `changegate schema configuration` prints.
# Each key can be overridden by a variable: CHANGEGATE_ and the path with `__` between its parts,
# such as CHANGEGATE_AUDIT__DATABASE. Paths are relative to this file. Durations are seconds or
# texts such as 500ms, 30s, 2m, 1h, 400d; sizes are bytes or texts such as 64 KiB, 4 MiB.
";

/// The reference file as the table tells it.
fn reference() -> String {
    let mut text = HEAD.to_owned();
    let mut open = String::new();
    for key in KEYS.all() {
        let (section, name) = key.path.rsplit_once('.').unwrap_or(("", key.path));
        if let ValueKind::Tables = key.kind {
            write!(text, "\n{}#[[{}]]\n", comment(key.about), key.path).unwrap();
            open = format!("{}[]", key.path);
            continue;
        }
        if section != open {
            let is_off = KEYS.all().filter(|key| key.path.starts_with(section));
            let is_off = is_off.clone().all(|key| key.default.is_none() && !key.is_required);
            let about = KEYS.sections.iter().find(|(name, _)| *name == section);
            let about = about.map(|(_, about)| comment(about)).unwrap_or_default();
            let off = if is_off && section.contains('.') { "#" } else { "" };
            write!(text, "\n{about}{off}[{section}]\n").unwrap();
            section.clone_into(&mut open);
        }
        if section.ends_with("[]") {
            // Without an example it takes another one's place.
            match key.example {
                Some(value) => writeln!(text, "{}#{name} = {value}", comment(key.about)).unwrap(),
                None => text.push_str(&comment(&format!("`{name}`: {}", key.about))),
            }
            continue;
        }
        let required = if key.is_required { "Required. " } else { "" };
        let restart = if key.restart == "yes" { " A change needs a restart." } else { "" };
        text.push_str(&comment(&format!("{required}{}{restart}", key.about)));
        let value = key.default.or(key.example).unwrap().replace('\'', "\"");
        let off = if key.default.is_some() || key.is_required { "" } else { "#" };
        writeln!(text, "{off}{name} = {value}").unwrap();
    }
    text
}

/// A comment of lines of at most a hundred columns.
fn comment(text: &str) -> String {
    let mut lines = vec!["#".to_owned()];
    for word in text.split(' ') {
        if lines.last().unwrap().len() + 1 + word.len() > 100 {
            lines.push("#".to_owned());
        }
        let line = lines.last_mut().unwrap();
        line.push(' ');
        line.push_str(word);
    }
    lines.join("\n") + "\n"
}

/// A key's row in the guide.
fn row(key: &KeySpec) -> String {
    let default = match (key.default, key.is_required) {
        (Some(default), _) => format!("`{}`", default.replace('\'', "\"")),
        (None, true) => "required".to_owned(),
        (None, false) => "none".to_owned(),
    };
    let path = key.path.replace("[]", "");
    let about = key.about.replace('|', "\\|");
    format!("| `{path}` | {default} | {about} | {} |", key.restart)
}

/// Holds a file against what it should say, or writes it.
fn hold(path: &str, told: &str) {
    let path = format!("{ROOT}/{path}");
    if env::var_os("UPDATE_DOCUMENTS").is_some() {
        fs::write(&path, told).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap();
    assert!(found == told, "{path} differs from the table of keys: set UPDATE_DOCUMENTS=1 once");
}

#[test]
fn the_reference_file_is_what_the_table_says() {
    hold("config/changegate.toml", &reference());
    let folder = folder();
    let text = reference();
    let (written, unwritten) =
        (config_of(folder.path(), &text, &[]), config_of(folder.path(), MINIMAL, &[]));
    assert_eq!(format!("{written:?}"), format!("{unwritten:?}"));
    let checked = check_text(folder.path(), &switched_on(&text), &[]);
    assert_eq!(complaints_of(folder.path(), &checked), "");
}

/// The reference with its commented keys and headers in force.
fn switched_on(text: &str) -> String {
    let code = |line: &str| {
        let off = line.strip_prefix('#').filter(|rest| rest.starts_with(|c: char| c != ' '));
        off.unwrap_or(line).to_owned() + "\n"
    };
    // Of the two ways to tell a rate, the one.
    text.lines().filter(|line| !line.starts_with("per_second")).map(code).collect()
}

#[test]
fn the_guide_has_a_row_for_every_key() {
    let guide = fs::read_to_string(format!("{ROOT}/docs/guide/configuration.md")).unwrap();
    let mut told = String::new();
    for line in guide.lines() {
        let named =
            |key: &&KeySpec| line.starts_with(&format!("| `{}` |", key.path.replace("[]", "")));
        told += &KEYS.all().find(named).map_or_else(|| line.to_owned(), row);
        told.push('\n');
    }
    for key in KEYS.all() {
        assert!(told.contains(&row(key)), "the guide misses this row:\n{}", row(key));
    }
    hold("docs/guide/configuration.md", &told);
}

/// Whether a value holds to a schema, as far as ours go.
fn fits(schema: &Value, value: &Value) -> bool {
    let is_of_type = match schema["type"].as_str() {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("boolean") => value.is_boolean(),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some("number") => value.is_number(),
        Some(other) => panic!("{other}"),
        None => true,
    };
    let chars = value.as_str().map_or(0, |text| text.chars().count() as u64);
    let number = value.as_f64();
    is_of_type
        && schema["enum"].as_array().is_none_or(|words| words.contains(value))
        && schema["anyOf"].as_array().is_none_or(|any| any.iter().any(|one| fits(one, value)))
        && schema["pattern"]
            .as_str()
            .is_none_or(|pattern| Regex::new(pattern).unwrap().is_match(value.as_str().unwrap()))
        && schema["minLength"].as_u64().is_none_or(|least| chars >= least)
        && schema["maxLength"].as_u64().is_none_or(|most| chars <= most)
        && schema["minimum"].as_f64().is_none_or(|least| number.is_some_and(|it| it >= least))
        && schema["maximum"].as_f64().is_none_or(|most| number.is_some_and(|it| it <= most))
        && value.as_array().is_none_or(|items| {
            items.iter().all(|item| fits(&schema["items"], item))
                && schema["maxItems"].as_u64().is_none_or(|most| items.len() as u64 <= most)
        })
        && value.as_object().is_none_or(|members| {
            let required = schema["required"].as_array();
            members.iter().all(|(name, value)| {
                let of_name = schema["properties"].get(name);
                let others = schema.get("additionalProperties");
                let of_any = others.filter(|any| any.is_object());
                of_name.or(of_any).map_or(others.is_none(), |schema| fits(schema, value))
            }) && required.is_none_or(|required| {
                required.iter().all(|name| members.contains_key(name.as_str().unwrap()))
            })
        })
}

fn as_json(text: &str) -> Value {
    serde_json::to_value(text.parse::<toml::Table>().unwrap()).unwrap()
}

#[test]
fn every_file_that_is_handed_out_fits_its_schema() {
    let configuration = schema(&KEYS, "", "");
    let policy = schema(&POLICY, "", "");
    let mut files = vec![reference(), switched_on(&reference()), MINIMAL.to_owned()];
    let mut policies = vec![fs::read_to_string(format!("{ROOT}/config/policy.toml")).unwrap()];
    let mut tests = Vec::new();
    for folder in ["config/examples", "config/examples/policies"] {
        for entry in fs::read_dir(format!("{ROOT}/{folder}")).unwrap() {
            let path = entry.unwrap().path();
            let Ok(text) = fs::read_to_string(&path) else { continue };
            if path.extension().is_none_or(|extension| extension != "toml") {
                continue;
            }
            let is_of_tests = path.with_extension("").extension().is_some_and(|it| it == "test");
            if is_of_tests {
                tests.push(text);
            } else if folder.ends_with("policies") {
                policies.push(text);
            } else {
                files.push(text);
            }
        }
    }
    let cases = schema(&CASES, "", "");
    for text in tests {
        assert!(fits(&cases, &as_json(&text)), "{text}");
        assert!(!fits(&policy, &as_json(&text)));
    }
    for text in files {
        assert!(fits(&configuration, &as_json(&text)), "{text}");
        assert!(!fits(&policy, &as_json(&text)));
    }
    for text in policies {
        assert!(fits(&policy, &as_json(&text)), "{text}");
        assert!(!fits(&configuration, &as_json(&text)));
    }
    assert!(!fits(&configuration, &json!({"upstream": {"provider": "qoder"}})));
    assert!(!fits(&policy, &json!({"timezones": {}})));
    assert!(fits(&policy, &json!({"name": {"pattern": "[a-z]+"}})));
    assert!(fits(&policy, &json!({"metadata": {"required": {"team": "[a-z]+"}}})));
    assert!(!fits(&policy, &json!({"metadata": {"required": {"team": 7}}})));
}

/// Values of every kind, of which each key takes some and refuses the others.
fn values() -> Vec<Value> {
    let mut values = vec![json!(true), json!([]), json!({}), json!([1]), json!("x".repeat(200))];
    let texts = ["", " ", "x", "deny", "deny ", "DENY", "qoder", "30s", "1.5 m", "1 day", "8 KiB"];
    let more = ["4MiB", "1.5 MiB", "pat_0123456789abcdef", "pat_0123456789ABCDEF", "a\u{7}", "a-b"];
    values.extend(texts.iter().chain(&more).map(|text| json!(text)));
    values.push(json!(DIGEST));
    for number in [0, 1, 64, 128, 129, 1_000, 1_001, 8191, 8192, 1 << 20, (1 << 20) + 1] {
        values.push(json!(number));
    }
    values.extend([json!(-1), json!(0.5), json!(1_u64 << 40), json!((1_u64 << 40) + 1)]);
    values
}

/// A file that says this of a key, and no more than must be said.
fn saying(key: &KeySpec, value: &Value) -> String {
    let others = KEYS
        .all()
        .filter(|other| other.is_required && !other.path.contains("[]") && other.path != key.path);
    let mut text = String::new();
    for other in others {
        writeln!(text, "{} = {}", other.path, other.example.unwrap()).unwrap();
    }
    // What JSON says of these values, TOML says too.
    match key.path.split_once("[].") {
        Some((table, name)) => writeln!(text, "[[{table}]]\n{name} = {value}").unwrap(),
        None => writeln!(text, "{} = {value}", key.path).unwrap(),
    }
    text
}

#[test]
fn the_schema_refuses_no_value_that_is_taken_and_little_that_is_not() {
    let folder = folder();
    let whole = schema(&KEYS, "", "");
    for key in KEYS.all().filter(|key| !matches!(key.kind, ValueKind::Tables)) {
        for value in values() {
            let text = saying(key, &value);
            let checked = check_text(folder.path(), &text, &[]);
            let name = format!("`{}`", key.path.replace("[]", ""));
            let is_of_key =
                |complaint: &&str| complaint.contains(&name) && !complaint.contains("warning");
            let complaints = complaints_of(folder.path(), &checked);
            let is_taken = complaints.lines().find(is_of_key).is_none();
            let mut of_key = &whole;
            for part in key.path.split('.') {
                of_key = &of_key["properties"][part.trim_end_matches("[]")];
                if part.ends_with("[]") {
                    of_key = &of_key["items"];
                }
            }
            let fits = fits(of_key, &value);
            assert!(fits || !is_taken, "{name} = {value} is taken, and does not fit");
            // Whether a text names what is there, a schema can't tell; nor the size in a text.
            let is_untold = match key.kind {
                ValueKind::Text | ValueKind::Texts(_) => true,
                ValueKind::Size(..) | ValueKind::Span(..) => value.is_string(),
                _ => false,
            };
            assert!(!fits || is_taken || is_untold, "{name} = {value} fits: {complaints}");
        }
    }
}
