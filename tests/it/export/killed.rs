//! An export in parts that is killed beside a gateway that goes on: every file with a name is
//! whole, and in the end there is what an export in one piece writes.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use super::rows;
use crate::world::command::run;
use crate::world::dice::{Dice, given, seed};
use crate::world::load::Load;
use crate::world::program::Folder;
use crate::world::{eventually, many, say};

/// How many changes the log has; `CHANGEGATE_RECORDS` makes it more.
const RECORDS: u64 = 1_200;

/// How many files each export has.
const PARTS: u64 = 6;

/// The arguments of an export in parts.
fn parted<'a>(format: &'a str, out: &'a str, rows: &'a str) -> [&'a str; 10] {
    let config = ["--config", "changegate.toml"];
    let [first, second] = config;
    ["audit", "export", "--format", format, "--out", out, "--part-rows", rows, first, second]
}

fn begun(folder: &Path, arguments: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_changegate"))
        .args(arguments)
        .current_dir(folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// How many files are whole, by the export's own word; none before it has one.
fn parts(out: &Path) -> u64 {
    let text = std::fs::read(out.join("export.json")).unwrap_or_default();
    serde_json::from_slice(&text).map_or(0, |state: Value| state["parts"].as_u64().unwrap())
}

/// The files with a name that says they are whole, in their order.
fn files(out: &Path) -> Vec<(String, Vec<u8>)> {
    let Ok(entries) = std::fs::read_dir(out) else { return Vec::new() };
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| name.starts_with("changes-") && !name.contains(".part"));
    names.sort();
    let read = |name: String| (name.clone(), std::fs::read(out.join(&name)).unwrap());
    names.into_iter().map(read).collect()
}

/// Holds that parts are what an export in one piece has, and that this is `records` changes.
fn hold_whole(format: &str, parts: &[(String, Vec<u8>)], folder: &Path, records: usize) {
    if format == "parquet" {
        let there: usize = parts.iter().map(|(_name, bytes)| rows(bytes.clone()).len()).sum();
        assert_eq!(there, records);
        return;
    }
    let one = ["audit", "export", "--format", format, "--config", "changegate.toml"];
    let whole = run(folder, &one).out;
    let mut joined = String::new();
    for (name, bytes) in parts {
        let text = std::str::from_utf8(bytes).unwrap();
        let has_head = format == "csv" && !joined.is_empty();
        let rest = if has_head { text.split_once("\r\n").unwrap().1 } else { text };
        assert!(rest.ends_with('\n'), "{name}");
        joined.push_str(rest);
    }
    assert!(joined == whole, "the parts in {format} are not the whole");
    let lines = whole.lines().count() - usize::from(format == "csv");
    assert_eq!(lines, records, "{format}");
}

/// An export that is killed, with the files that one in one go has written.
struct Export {
    format: &'static str,
    whole: Vec<(String, Vec<u8>)>,
    done: u64,
}

impl Export {
    fn new(format: &'static str, folder: &Path, records: u64) -> Self {
        let out = format!("once-{format}");
        let ran = run(folder, &parted(format, &out, &rows_max(records)));
        assert_eq!(ran.code, 0, "{ran:?}");
        let whole = files(&folder.join(out));
        assert_eq!(u64::try_from(whole.len()).unwrap(), PARTS, "{format}");
        hold_whole(format, &whole, folder, usize::try_from(records).unwrap());
        Self { format, whole, done: 0 }
    }

    /// Kills it some time after one more file is whole; tells whether it was killed before its end.
    async fn kill(&mut self, folder: &Path, records: u64, dice: &mut Dice) -> bool {
        let Self { format, whole, done } = self;
        let (name, rows_max) = (format!("out-{format}"), rows_max(records));
        let out = folder.join(&name);
        let mut exporting = begun(folder, &parted(format, &name, &rows_max));
        eventually("one more file", async || (parts(&out) > *done).then_some(())).await;
        tokio::time::sleep(dice.millis(0, 60)).await;
        exporting.kill().unwrap();
        let was_killed = !exporting.wait().unwrap().success();
        *done = parts(&out);
        let named = files(&out);
        assert!(named == whole[..named.len()], "{format}: a file is not what it should be");
        // One may have its name, and not be told of yet.
        assert!(u64::try_from(named.len()).unwrap() - *done <= 1, "{format}: {done}");
        was_killed
    }

    /// Runs it to its end.
    fn end(&self, folder: &Path, records: u64) {
        let name = format!("out-{}", self.format);
        let ran = run(folder, &parted(self.format, &name, &rows_max(records)));
        let told = format!("{records} changes exported into {PARTS} files in {name}");
        let is_done = ran.err.contains(&told) || ran.err.contains("holds this export whole");
        assert!(ran.code == 0 && is_done, "{ran:?}");
        let files = files(&folder.join(name));
        assert!(files == self.whole, "{}: not the parts of an export in one go", self.format);
    }
}

fn rows_max(records: u64) -> String {
    records.div_ceil(PARTS).to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_that_is_killed_again_and_again_is_whole_in_the_end() {
    let mut dice = Dice::of(seed(), "exports");
    let load = Load::new(1);
    let folder = Folder::new(load.simulator.address(), "");
    let program = folder.serve().await;
    load.once(program.proxy).await;
    program.kill();
    let records = given("CHANGEGATE_RECORDS").unwrap_or(RECORDS);
    let mut connection = many::opened(&folder).await;
    let there = i64::try_from(folder.changes(false).len()).unwrap();
    many::add_changes(&mut connection, there, records.cast_signed()).await;
    many::end_changes(&mut connection).await;
    sqlx::Connection::close(connection).await.unwrap();
    let formats = ["jsonl", "csv", "ocsf", "parquet"];
    let mut exports = formats.map(|format| Export::new(format, folder.path(), records));
    let program = folder.serve().await;
    let mut kills = 0;
    while exports.iter().any(|export| export.done + 1 < PARTS) {
        for export in exports.iter_mut().filter(|export| export.done + 1 < PARTS) {
            kills += u32::from(export.kill(folder.path(), records, &mut dice).await);
        }
        // What is newer than the first file of an export is no part of it.
        load.one(program.proxy).await;
    }
    assert!(kills > 0, "none was killed before its end");
    say(&format!("{kills} kills of exports of {records} changes"));
    for export in &exports {
        export.end(folder.path(), records);
    }
}
