//! The specification's own cases: each is a rule that its file says holds, or can't be evaluated.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde_json::json;

use super::tests::{made, run, source};

/// Cases of what rules do not have, by the beginnings of their names, and what that is.
const ABSENT: [(&str, &str); 10] = [
    ("basic/reserved_const/", "variables of any name: rules have six"),
    ("block_ext/", "`cel.@block`, which optimizers write"),
    ("encoders_ext/", "base64"),
    ("fields/qualified_identifier_resolution/map_field_select", "variables with dots"),
    ("fields/qualified_identifier_resolution/qualified_ident", "variables with dots"),
    ("fields/qualified_identifier_resolution/ident_with_longest", "variables with dots"),
    ("macros2/", "macros of two variables"),
    ("namespace/", "variables with dots"),
    ("string_ext/format", "`format`: messages are templates"),
    ("timestamps/timestamp_conversions/toString_timestamp_nanos", "the last day of year 9999"),
];

/// One case: its name, its expression, the value that comes of it as an expression (`None` where
/// an error does), the variables that it names, and whether it can't be typed.
#[derive(Deserialize)]
struct Case(
    String,
    String,
    Option<String>,
    #[serde(default)] BTreeMap<String, String>,
    #[serde(default)] String,
);

/// The result of a case, where it is not what it should be.
fn wrong(case: &Case) -> Option<String> {
    let Case(name, expression, expected, variables, unchecked) = case;
    let bound = |inner: String| {
        let bind = |inner, (name, value): (&String, &String)| {
            format!("cel.bind({name}, {value}, {inner})")
        };
        variables.iter().fold(inner, bind)
    };
    let require = match expected.as_deref() {
        Some("double('NaN')") => bound(format!("({expression}) != ({expression})")),
        Some(value) => bound(format!("({expression}) == ({value})")),
        None => bound(format!("dyn({expression}) == dyn(0)")),
    };
    let found = match made(source(&require)) {
        Ok(rule) => run(&rule, None, &json!({})).0,
        Err(_errors) if expected.is_none() || unchecked == "unchecked" => return None,
        Err(errors) => format!("refused: {}", errors[0].message),
    };
    let is_right = match expected {
        Some(_) => found == "true",
        None => found.starts_with("error"),
    };
    (!is_right).then(|| format!("{name}: {require}\n    {found}"))
}

/// How many cases apply, and how many are about what rules do not have.
const COUNTS: (usize, usize) = (1_462, 173);

#[test]
fn the_cases_of_the_specification_hold() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/cel-conformance");
    let mut files: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|end| end == "jsonl"));
    files.sort();
    let (mut counts, mut failed) = ((0, 0), Vec::new());
    for file in files {
        let suite = file.file_stem().unwrap().to_str().unwrap().to_owned();
        for line in std::fs::read_to_string(&file).unwrap().lines() {
            let case: Case = serde_json::from_str(line).expect(line);
            let name = format!("{suite}/{}", case.0);
            if ABSENT.iter().any(|(start, _why)| name.starts_with(start)) {
                counts.1 += 1;
                continue;
            }
            counts.0 += 1;
            failed.extend(wrong(&case).map(|wrong| format!("{suite}/{wrong}")));
        }
    }
    assert!(failed.is_empty(), "\n{}", failed.join("\n"));
    assert_eq!(counts, COUNTS);
}
