//! One of those that write a log.

use std::sync::Arc;

use crate::base::database::PostgresUrl;
use crate::base::ids::{Hex, random};

/// A process that writes a log, by a name that no other one has.
#[derive(Clone, Debug)]
pub(in crate::audit) struct Writer {
    pub(super) url: Box<PostgresUrl>,
    /// A UUID in hex digits.
    pub(super) process: String,
    /// The gateway that it is, where it is one.
    pub(super) node: Option<Arc<str>>,
}

impl Writer {
    /// A process that writes the log at `url`.
    pub(in crate::audit::store) fn of(url: &PostgresUrl) -> Self {
        Self { url: Box::new(url.clone()), process: uuid(), node: None }
    }

    /// The same as the gateway of that name.
    pub(in crate::audit::store) fn named(self, node: &Arc<str>) -> Self {
        Self { node: Some(Arc::clone(node)), ..self }
    }
}

/// A new UUID, in hex digits.
pub(super) fn uuid() -> String {
    Hex(&random::<16>()).to_string()
}
