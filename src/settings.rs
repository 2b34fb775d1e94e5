//! Settings as operators type them: keys, each with its kind and its default; typed values, each
//! with its place; complaints, each with its fix.
//!
//! A file of settings is a table of keys ([`KeyTable`](key::KeyTable)). Its reader, its JSON
//! Schema and what the documentation lists all come from that one table.

pub mod complaint;
pub(crate) mod document;
pub(crate) mod key;
pub(crate) mod raw;
pub(crate) mod reader;
pub(crate) mod schema;
pub(crate) mod value;
