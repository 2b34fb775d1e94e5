//! The house rules that a program can check. A rule that is broken names the file and the line.

#![allow(clippy::unwrap_used, reason = "a rule that can't be checked fails, and says where")]

use std::path::{Path, PathBuf};

use self::circles::House;

#[path = "tidy/circles.rs"]
mod circles;
#[path = "tidy/pasted.rs"]
mod pasted;

const LINES_MAX: usize = 400;
const COLUMNS_MAX: usize = 100;

/// Files below `folder` with this extension, and their text.
fn files(folder: &str, extension: &str) -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders: Vec<PathBuf> = vec![root.join(folder)];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == extension) {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                found.push((name, std::fs::read_to_string(&path).unwrap()));
            }
        }
    }
    assert!(!found.is_empty(), "{folder} has files");
    found.sort();
    found
}

fn sources() -> Vec<(String, String)> {
    let mut all = files("src", "rs");
    for folder in ["tests", "bench", "benches", "fuzz/fuzz_targets"] {
        all.extend(files(folder, "rs"));
    }
    all
}

/// Whether the file is `room.rs`, or stands below `room/`.
fn within(name: &str, room: &str) -> bool {
    name.strip_prefix(room).is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
}

fn check(broken: &[String]) {
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

/// Lines of code that hold one of `words`, comments aside.
fn naming(name: &str, text: &str, words: &[&str]) -> Vec<String> {
    let code = text.lines().zip(1..).filter(|(line, _)| !line.trim_start().starts_with("//"));
    code.filter_map(|(line, number)| {
        let word = words.iter().find(|word| line.contains(**word))?;
        Some(format!("{name}:{number}: {word} has no place here"))
    })
    .collect()
}

#[test]
fn files_and_lines_stay_short() {
    let mut broken = Vec::new();
    for (name, text) in sources() {
        let lines = text.lines().count();
        if lines > LINES_MAX {
            broken.push(format!("{name}: {lines} lines, at most {LINES_MAX}: split it"));
        }
        for (line, number) in text.lines().zip(1..) {
            let columns = line.chars().count();
            if columns > COLUMNS_MAX {
                broken.push(format!("{name}:{number}: {columns} columns, at most {COLUMNS_MAX}"));
            }
        }
    }
    check(&broken);
}

#[test]
fn pure_rooms_know_no_runtime_and_no_store() {
    let pure = ["src/deployment", "src/policy", "src/audit/redact", "src/audit/evidence"];
    let mut broken = Vec::new();
    for (name, text) in files("src", "rs") {
        if pure.iter().any(|room| within(&name, room)) {
            broken.extend(naming(&name, &text, &["tokio", "hyper", "sqlx"]));
        }
    }
    check(&broken);
}

#[test]
fn only_a_kind_of_store_speaks_sql() {
    let kinds = ["src/audit/store/sqlite", "src/audit/store/postgres"];
    let others = files("src", "rs")
        .into_iter()
        .filter(|(name, _)| !kinds.iter().any(|kind| within(name, kind)));
    check(&others.flat_map(|(name, text)| naming(&name, &text, &["sqlx"])).collect::<Vec<_>>());
}

#[test]
fn only_the_clock_reads_time() {
    // Clippy bans std's `Instant::now`; deadlines of tokio's timers are in its own.
    let words = ["SystemTime::now", "Timestamp::now", "Zoned::now"];
    let others = files("src", "rs").into_iter().filter(|(name, _)| name != "src/base/clock.rs");
    check(&others.flat_map(|(name, text)| naming(&name, &text, &words)).collect::<Vec<_>>());
}

#[test]
fn no_two_files_import_each_other_in_a_circle() {
    // The harness is a program of its own.
    let harness = files("bench", "rs").into_iter().filter_map(|(name, text)| {
        let name = name.strip_prefix("bench/")?.replace("main.rs", "lib.rs");
        Some((format!("src/{name}"), text))
    });
    for files in [files("src", "rs"), harness.collect()] {
        let house = House::of(&files);
        let circles = house.circles().into_iter();
        let told = circles.map(|circle| format!("in a circle: {}", circle.join(", ")));
        check(&told.collect::<Vec<_>>());
    }
}

/// The rooms, from the ground up, each with those that it imports: only such as stand before it.
const ROOMS: [(&str, &str); 25] = [
    ("base", ""),
    ("net", "base"),
    ("offload", ""),
    ("provider", ""),
    ("http", "base"),
    ("settings", "base"),
    ("deployment", "base provider"),
    ("policy", "base deployment provider settings"),
    ("config", "base policy provider settings"),
    ("audit", "base deployment net offload policy provider"),
    ("export", "audit base deployment policy provider"),
    ("telemetry", "audit base policy provider"),
    ("upstream", "base config net"),
    ("oidc", "base config net upstream"),
    ("outgoing", "base config net upstream"),
    ("sinks", "audit base config export net outgoing provider telemetry upstream"),
    ("witnesses", "audit base config outgoing upstream"),
    ("gateway", "audit base config deployment net offload policy provider telemetry upstream"),
    ("admin", "audit base config deployment export gateway net policy provider sinks"),
    ("console", "admin audit base config deployment oidc policy provider"),
    (
        "server",
        "admin audit base config console gateway http net sinks telemetry upstream \
         witnesses",
    ),
    ("simulator", "base deployment provider"),
    (
        "cli",
        "admin audit base config deployment export policy provider server settings simulator \
         telemetry",
    ),
    ("cases", ""),
    ("fuzzing", "admin audit base config deployment gateway policy provider"),
];

#[test]
fn a_room_imports_what_the_table_says() {
    let files = files("src", "rs");
    let house = House::of(&files);
    let found = house.rooms();
    let mut broken = Vec::new();
    let mut below: Vec<&str> = Vec::new();
    for (room, allowed) in ROOMS {
        let allowed: Vec<&str> = allowed.split_whitespace().collect();
        let imported = found.get(room).cloned().unwrap_or_default();
        let added = imported.iter().filter(|other| !allowed.contains(other));
        broken.extend(added.map(|other| format!("{room} may not import {other}")));
        let gone = allowed.iter().filter(|other| !imported.contains(**other));
        broken.extend(gone.map(|other| format!("{room} no longer imports {other}: strike it out")));
        let above = allowed.iter().filter(|other| !below.contains(*other));
        broken.extend(above.map(|other| format!("{other} does not stand below {room}")));
        below.push(room);
    }
    let unknown = found.keys().filter(|room| !below.contains(room));
    broken.extend(unknown.map(|room| format!("{room} is not in the table of rooms")));
    check(&broken);
}

#[test]
fn modules_are_named_after_what_they_are() {
    let vague = ["mod.rs", "utils.rs", "util.rs", "manager.rs", "helpers.rs", "common.rs"];
    let misnamed = |(name, _): &(String, String)| {
        let file = name.rsplit('/').next().unwrap_or_default();
        vague.contains(&file).then(|| format!("{name}: name the noun that it is about"))
    };
    check(&sources().iter().filter_map(misnamed).collect::<Vec<_>>());
}

#[test]
fn nothing_is_left_undone() {
    // Put together here, so that this file does not hold them.
    let words = ["todo", "unimplemented"].map(|word| format!("{word}!("));
    let skipped = format!("#[{}", "ignore");
    let words = [words[0].as_str(), words[1].as_str(), skipped.as_str()];
    let sources = sources();
    let broken: Vec<_> =
        sources.iter().flat_map(|(name, text)| naming(name, text, &words)).collect();
    check(&broken);
}

#[test]
fn every_folder_of_cases_is_used() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let all: String = sources().into_iter().map(|(_, text)| text).collect();
    let mut unused = Vec::new();
    for entry in std::fs::read_dir(root).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let named = [format!("tests/data/{name}"), format!("\"{name}\"")];
        if !named.iter().any(|text| all.contains(text)) {
            unused.push(format!("tests/data/{name}: no test reads it"));
        }
    }
    check(&unused);
}

#[test]
fn migrations_are_numbered_from_one_without_gaps() {
    for kind in ["migrations/sqlite/", "migrations/postgres/"] {
        let all = files(kind, "sql");
        let all = all.iter().filter(|(name, _)| !name.contains("/functions/"));
        for ((name, _), number) in all.zip(1..) {
            let expected = format!("{kind}{number:04}_");
            assert!(name.starts_with(&expected), "{name} should start with {expected}");
        }
    }
}

#[test]
fn what_is_printed_for_a_shell_works_pasted() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut pages = files("docs", "md");
    for name in ["README.md", "CONTRIBUTING.md", "SECURITY.md"] {
        pages.push((name.to_owned(), std::fs::read_to_string(root.join(name)).unwrap()));
    }
    check(&pages.iter().flat_map(|(name, text)| pasted::unfit(name, text)).collect::<Vec<_>>());
}
