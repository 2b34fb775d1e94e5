//! The log in a PostgreSQL database, which several gateways write.
//!
//! Every call of a function is one message with one statement, or several that are one transaction
//! together (the simple protocol), its values in literals: one round trip, and nothing of it lies in
//! the session. So it may go through a pooler that gives each transaction another connection to the
//! server. A prepared statement may not, unless it is inside a transaction that was begun before.

mod entries;
mod error;
mod found;
mod link;
mod literal;
mod migrate;
mod writes;

use std::sync::Arc;

pub(super) use self::found::find;
pub use self::migrate::Migrated;
pub(super) use self::migrate::migrate;
pub(in crate::audit) use self::writes::Writes;
use crate::base::database::PostgresUrl;
use crate::base::ids::{Hex, random};

/// One of those that write a log: a process, by a name that no other one has.
#[derive(Debug)]
pub(in crate::audit) struct Writer {
    url: Box<PostgresUrl>,
    /// A UUID in hex digits.
    process: String,
    /// The gateway that it is, where it is one.
    node: Option<Arc<str>>,
}

impl Writer {
    /// A process that writes the log at `url`.
    pub(super) fn of(url: &PostgresUrl) -> Self {
        Self { url: Box::new(url.clone()), process: uuid(), node: None }
    }

    /// The same as the gateway of that name.
    pub(super) fn named(self, node: &Arc<str>) -> Self {
        Self { node: Some(Arc::clone(node)), ..self }
    }
}

/// A new UUID, in hex digits.
fn uuid() -> String {
    Hex(&random::<16>()).to_string()
}

#[cfg(test)]
mod tests;
