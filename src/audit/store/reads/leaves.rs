//! Questions about the leaves and the tree over them, by the kind of log.

use std::ops::{Range, RangeInclusive};

use super::Reads;
use crate::audit::evidence::tree::Hash;
use crate::audit::sink::{DeadLetter, FinishedRecord, SinkState};
use crate::audit::store::{Boxed, Gap, LeafRow, OriginalRow, Unfit, Unsealed};
use crate::base::clock::Timestamp;
use crate::base::ids::ChangeId;
use crate::base::key::KeyId;

macro_rules! by_kind {
    ($($(#[$doc:meta])* $name:ident($($given:ident: $kind:ty),*) -> $answer:ty;)*) => {
        impl Reads {$(
            $(#[$doc])*
            pub(in crate::audit) async fn $name(
                &self,
                $($given: $kind),*
            ) -> Result<$answer, Boxed> {
                match self {
                    Self::Sqlite(reads) => reads.$name($($given),*).await,
                    Self::Postgres(reads) => reads.$name($($given),*).await,
                }
            }
        )*}
    };
}

by_kind! {
    /// How many leaves are in the tree.
    tree_size() -> u64;
    /// The position behind the last leaf.
    leaves_end() -> u64;
    /// How many finished records are not in the tree.
    outside_of_tree() -> u64;
    /// The leaves of a range, with their records.
    leaves(range: Range<u64>) -> Vec<LeafRow>;
    /// Records that are finished and not in the tree of that size, at most `limit` of them.
    unsealed(size: u64, limit: u64) -> Vec<Unsealed>;
    /// Hashes of a level of tiles, from the first one on without gaps.
    hashes(level: u8, range: Range<u64>) -> Vec<Hash>;
    /// The finished records of a range, in their order.
    finished(range: Range<u64>) -> Vec<FinishedRecord>;
    /// How far every sink has come that the log knows.
    sink_states() -> Vec<SinkState>;
    /// The newest records that a sink refused, the newest first.
    dead_letters(sink: &str) -> Vec<DeadLetter>;
    /// The newest checkpoint.
    checkpoint() -> Option<String>;
    /// The keys by which trees are signed, the oldest first.
    log_keys() -> Vec<String>;
    /// The first key that the log was written under.
    first_key() -> Option<KeyId>;
    /// The position of a change, once it is a leaf.
    position_of(id: ChangeId) -> Option<u64>;
    /// The lowest position of a change that came at or after `time`, or the end of the leaves.
    position_since(time: Timestamp) -> u64;
    /// The highest number that was given to a record of a kind, as far as that is known.
    last_number(kind: i64) -> i64;
    /// Records of a kind whose numbers are in the range, that are no leaves.
    without_leaf(kind: i64, numbers: RangeInclusive<i64>) -> Vec<i64>;
    /// Numbers in the range that were given to a change or an event, and are in no row.
    gaps(kind: i64, numbers: RangeInclusive<i64>) -> Vec<Gap>;
    /// Changes whose numbers are in the range, that have not ended and do not wait for it.
    neither_open_nor_ended(numbers: RangeInclusive<i64>) -> Vec<Unfit>;
    /// Reads documents behind the number `after` whole: the last one, and those that are not what
    /// they were. `None` behind the last of all.
    damaged_documents(after: i64, limit: i64) -> Option<(i64, Vec<i64>)>;
    /// Changes of which a document is this one.
    changes_with(document: i64) -> Vec<Unfit>;
    /// The sealed originals of a change, by its place.
    originals(seq: i64) -> Vec<OriginalRow>;
    /// The key that the newest originals were sealed under.
    sealed_under() -> Option<KeyId>;
    /// Sealed originals of changes behind the place `after`, in their order.
    originals_behind(after: i64, limit: u16) -> Vec<OriginalRow>;
    /// Faults in the file's own structure.
    structure() -> Vec<String>;
}
