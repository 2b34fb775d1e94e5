//! A row that has left its store, of which columns can be taken away.

use std::collections::BTreeMap;

use super::Boxed;
use super::rows::{BadColumn, Bytes, Row};

/// A row, by the names of its columns; one without a value is not there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::audit) struct OwnedRow {
    columns: BTreeMap<&'static str, OwnedCell>,
}

/// A value of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum OwnedCell {
    Integer(i64),
    Flag(bool),
    Text(String),
    Bytes(Vec<u8>),
}

impl OwnedRow {
    pub(super) fn put(&mut self, column: &'static str, cell: Option<OwnedCell>) {
        match cell {
            Some(cell) => drop(self.columns.insert(column, cell)),
            None => self.take(column),
        }
    }

    /// Whether a column has a value.
    pub(in crate::audit) fn has(&self, column: &str) -> bool {
        self.columns.contains_key(column)
    }

    /// The text of a column.
    pub(in crate::audit) fn text(&self, column: &str) -> Option<&str> {
        match self.columns.get(column) {
            Some(OwnedCell::Text(text)) => Some(text),
            _other => None,
        }
    }

    /// Puts a text into a column, or takes its value away.
    pub(in crate::audit) fn set(&mut self, column: &'static str, text: Option<String>) {
        self.put(column, text.map(OwnedCell::Text));
    }

    /// Takes the value of a column away.
    pub(in crate::audit) fn take(&mut self, column: &str) {
        self.columns.remove(column);
    }
}

impl Row for OwnedRow {
    fn integer(&self, column: &'static str) -> Result<Option<i64>, Boxed> {
        match self.columns.get(column) {
            None => Ok(None),
            Some(OwnedCell::Integer(number)) => Ok(Some(*number)),
            Some(_other) => Err(BadColumn(column).into()),
        }
    }

    fn flag(&self, column: &'static str) -> Result<Option<bool>, Boxed> {
        match self.columns.get(column) {
            None => Ok(None),
            Some(OwnedCell::Flag(flag)) => Ok(Some(*flag)),
            Some(_other) => Err(BadColumn(column).into()),
        }
    }

    fn text(&self, column: &'static str) -> Result<Option<&str>, Boxed> {
        match self.columns.get(column) {
            None => Ok(None),
            Some(OwnedCell::Text(text)) => Ok(Some(text)),
            Some(_other) => Err(BadColumn(column).into()),
        }
    }

    fn bytes(&self, column: &'static str) -> Result<Option<Bytes<'_>>, Boxed> {
        match self.columns.get(column) {
            None => Ok(None),
            Some(OwnedCell::Bytes(bytes)) => Ok(Some(Bytes::Borrowed(bytes))),
            Some(_other) => Err(BadColumn(column).into()),
        }
    }
}
