//! Rows altered, emptied, exchanged and deleted at random places, in both kinds of store.

use sqlx::{AssertSqlSafe, Connection as _, Row as _};
use tempfile::TempDir;

use super::{attack, copied, ended, open, verify, words};
use crate::postgres::forgeable;
use crate::world::command::Ran;
use crate::world::dice::{Dice, given, seed};

/// The tables of what is recorded, of what finds it, and of its evidence.
const TABLES: [&str; 15] = [
    "changes",
    "ends",
    "events",
    "policies",
    "keys",
    "snapshots",
    "leaves",
    "log_keys",
    "upstreams",
    "nodes",
    "tree",
    "checkpoint",
    "places",
    "touched",
    "broken",
];

/// Columns that say nothing by themselves: of a document how it is packed, which its text shows; of
/// a checkpoint what its text says; and that a table has one row.
const BESIDE: [(&str, &str); 6] = [
    ("snapshots", "depth"),
    ("checkpoint", "at"),
    ("checkpoint", "size"),
    ("checkpoint", "one"),
    ("tree", "one"),
    ("snapshots", "base"),
];

/// Takes from a connection what holds rows to each other.
const UNGUARDED: &str = "PRAGMA foreign_keys = OFF; PRAGMA ignore_check_constraints = ON; ";

/// How many places each test tries, where `CHANGEGATE_ATTACKS` names no other number.
const ATTACKS: u64 = 60;

/// One thing done to one row.
pub(crate) struct Forgery {
    pub(crate) table: &'static str,
    pub(crate) column: String,
    /// The row, counted from zero, and another one.
    pub(crate) rows: (u64, u64),
    pub(crate) way: Way,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Alter,
    Empty,
    Exchange,
    Delete,
}

impl Forgery {
    /// Any one, of a table with these columns and so many rows.
    pub(crate) fn roll(dice: &mut Dice, tables: &[(&'static str, Vec<String>, u64)]) -> Self {
        loop {
            let (table, columns, rows) =
                &tables[usize::try_from(dice.roll(tables.len() as u64)).unwrap()];
            let column = columns[usize::try_from(dice.roll(columns.len() as u64)).unwrap()].clone();
            let way = dice.pick(&[Way::Alter, Way::Alter, Way::Empty, Way::Exchange, Way::Delete]);
            let rows = (dice.roll(*rows), dice.roll(*rows));
            let is_beside = BESIDE.contains(&(*table, column.as_str()));
            // Without its own checkpoint a log is held against those from elsewhere.
            let means_nothing = column == "swept" && way == Way::Empty;
            let is_one = ["tree", "checkpoint"].contains(table) && way != Way::Alter;
            if !is_beside && !is_one && !means_nothing {
                return Self { table, column, rows, way };
            }
        }
    }
}

/// Whether what was done was found: where it was not, nothing was done.
pub(crate) fn held(ran: &Ran, told: &str, is_same: bool) {
    assert!([0, 1, 3].contains(&ran.code), "{told}: {ran:?}");
    assert_eq!(ran.code == 0, is_same, "{told}: {ran:?}");
}

pub(crate) fn attacks() -> u64 {
    given("CHANGEGATE_ATTACKS").unwrap_or(ATTACKS)
}

pub(crate) fn tables() -> impl Iterator<Item = &'static str> {
    TABLES.into_iter()
}

/// The log's rows as text, to tell whether anything was done at all.
async fn told(folder: &TempDir, table: &str) -> String {
    let mut log = open(&folder.path().join("log.db")).await;
    let columns = columns(&mut log, table).await;
    let list: Vec<String> = columns.iter().map(|name| format!("quote(\"{name}\")")).collect();
    let query = format!(
        "SELECT group_concat(line, char(10)) FROM (SELECT {} AS line FROM {table} ORDER BY 1)",
        list.join(" || ',' || ")
    );
    let row = sqlx::query(AssertSqlSafe(query)).fetch_one(&mut log).await.unwrap();
    let text: Option<String> = row.get(0);
    log.close().await.unwrap();
    text.unwrap_or_default()
}

async fn columns(log: &mut sqlx::SqliteConnection, table: &str) -> Vec<String> {
    let query = format!("SELECT name FROM pragma_table_info('{table}')");
    let rows = sqlx::query(AssertSqlSafe(query)).fetch_all(log).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

fn statement(Forgery { table, column, rows: (row, other), way }: &Forgery) -> String {
    let key = match *table {
        "touched" => "(place, kind, seq)",
        "broken" => "(rule, seq)",
        _table_with_rowids => "(rowid)",
    };
    let columns = key.trim_matches(['(', ')']);
    let at =
        |row| format!("(SELECT {columns} FROM {table} ORDER BY {columns} LIMIT 1 OFFSET {row})");
    let (this, other) = (at(row), at(other));
    match way {
        Way::Alter => format!(
            "UPDATE {table} SET \"{column}\" = CASE typeof(\"{column}\") \
             WHEN 'integer' THEN \"{column}\" + 1000 WHEN 'text' THEN \"{column}\" || 'x' \
             WHEN 'blob' THEN zeroblob(length(\"{column}\")) \
             ELSE (SELECT CASE type WHEN 'INTEGER' THEN 7 WHEN 'TEXT' THEN 'x' ELSE x'07' END \
             FROM pragma_table_info('{table}') WHERE name = '{column}') END WHERE {key} = {this}"
        ),
        Way::Empty => {
            format!("UPDATE OR IGNORE {table} SET \"{column}\" = NULL WHERE {key} = {this}")
        }
        Way::Exchange => format!(
            "UPDATE OR IGNORE {table} SET \"{column}\" = \
             (SELECT \"{column}\" FROM {table} WHERE {key} = {other}) WHERE {key} = {this}"
        ),
        Way::Delete => format!("DELETE FROM {table} WHERE {key} = {this}"),
    }
}

#[tokio::test]
async fn whatever_is_done_to_a_row_is_found() {
    let folder = ended().await;
    attack(&folder.path().join("log.db"), "SELECT 1").await;
    assert_eq!(words(&verify(folder.path(), &[])), ["sound"]);
    let mut log = open(&folder.path().join("log.db")).await;
    let mut known = Vec::new();
    for table in tables() {
        let count = format!("SELECT count(*) FROM {table}");
        let rows: i64 = sqlx::query_scalar(AssertSqlSafe(count)).fetch_one(&mut log).await.unwrap();
        let columns = columns(&mut log, table).await;
        known.push((table, columns, u64::try_from(rows).unwrap()));
    }
    log.close().await.unwrap();
    known.retain(|(_, _, rows)| *rows > 0);
    let mut dice = Dice::of(seed(), "rows of a log");
    for _ in 0..attacks() {
        let forgery = Forgery::roll(&mut dice, &known);
        let sql = statement(&forgery);
        let copy = copied(folder.path());
        let before = told(&copy, forgery.table).await;
        let mut log = open(&copy.path().join("log.db")).await;
        // What a key or a type forbids is not done.
        let _refused =
            sqlx::raw_sql(AssertSqlSafe(format!("{UNGUARDED}{sql}"))).execute(&mut log).await;
        log.close().await.unwrap();
        let is_same = told(&copy, forgery.table).await == before;
        held(&verify(copy.path(), &[]), &sql, is_same);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_done_to_a_row_in_postgresql_is_found() {
    let Some(log) = forgeable().await else { return };
    let mut known = Vec::new();
    for table in tables() {
        let rows = log.sql(&format!("SELECT count(*) FROM changegate.{table}"));
        let columns = log.sql(&format!(
            "SELECT string_agg(attname, ' ') FROM pg_attribute \
             WHERE attrelid = 'changegate.{table}'::regclass AND attnum > 0 AND NOT attisdropped"
        ));
        let columns = columns.split_whitespace().map(str::to_owned).collect();
        known.push((table, columns, rows.parse::<u64>().unwrap()));
    }
    known.retain(|(_, _, rows)| *rows > 0);
    let mut dice = Dice::of(seed(), "rows of a log in PostgreSQL");
    for _ in 0..attacks() {
        let forgery = Forgery::roll(&mut dice, &known);
        log.forge(&forgery, |ran, is_same, told| held(ran, told, is_same));
    }
}
