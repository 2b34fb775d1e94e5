//! The log in a PostgreSQL database, which several gateways write.
//!
//! Every call of a function is one message with one statement, or several that are one transaction
//! together (the simple protocol), its values in literals: one round trip, and nothing of it lies
//! in the session. So it may go through a pooler that gives each transaction another connection to
//! the server. A prepared statement may not, unless it is inside a transaction that was begun
//! before.

mod approvals;
mod asking;
mod columns;
mod counts;
mod desk;
mod entries;
mod erase;
mod error;
mod events;
mod filter;
mod found;
mod horizon;
mod leaves;
mod link;
mod literal;
mod lost;
mod migrate;
mod names;
mod originals;
mod pages;
mod parts;
mod policy;
mod prune;
mod search;
mod searched;
mod select;
mod sinks;
mod target;
mod turns;
mod verify;
mod walk;
mod writer;
mod writes;

pub(super) use self::asking::Documents;
pub(super) use self::found::find;
pub use self::migrate::Migrated;
pub(super) use self::migrate::migrate;
pub(super) use self::policy::push_policy;
pub(super) use self::select::Reads;
pub(super) use self::target::{Begun, Target};
pub(in crate::audit) use self::turns::Turns;
pub(super) use self::walk::Walk;
pub(in crate::audit) use self::writer::Writer;
pub(in crate::audit) use self::writes::Writes;

#[cfg(test)]
mod tests;
