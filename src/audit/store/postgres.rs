//! The log in a PostgreSQL database, which several gateways write.
//!
//! Every call of a function is one message with one statement, or several that are one transaction
//! together (the simple protocol), its values in one literal: one round trip, and nothing of it
//! lies in the session. So it may go through a pooler that gives each transaction another
//! connection to the server. A prepared statement may not, unless it is inside a transaction that
//! was begun before.

mod error;
mod found;
mod link;
mod migrate;

pub(super) use self::found::find;
pub(in crate::audit) use self::link::connect;
pub use self::migrate::Migrated;
pub(super) use self::migrate::migrate;
