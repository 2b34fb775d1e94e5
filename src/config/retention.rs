//! `[retention]`: how long records are kept, and whose are for ever.

use std::time::Duration;

use crate::settings::raw::Node;
use crate::settings::reader::{Reader, member};
use crate::settings::value::{count, name, span};

/// `[retention]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RetentionConfig {
    /// The age from which on records are pruned.
    pub max_age: Option<Duration>,
    /// The number of newest changes beyond which others are pruned.
    pub max_changes: Option<u32>,
    /// Those whose records are never pruned or erased.
    pub holds: Vec<ConfiguredHold>,
}

/// One entry of `retention.hold`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfiguredHold {
    /// A deployment, by its id.
    Deployment(String),
    /// An actor, by name or fingerprint.
    Actor(String),
    /// A team.
    Team(String),
}

/// Reads `[retention]`.
pub(super) fn read(reader: &mut Reader<'_>) -> RetentionConfig {
    let bounds = reader.span("retention.max_age");
    let max_age = bounds.and_then(|bounds| reader.read("retention.max_age", span(bounds)));
    let max_changes = reader.read("retention.max_changes", count(1..=u32::MAX));
    RetentionConfig {
        max_age: max_age.map(|(age, _place)| age),
        max_changes: max_changes.map(|(count, _place)| count),
        holds: holds(reader),
    }
}

/// Reads the holds alone.
pub(super) fn holds(reader: &mut Reader<'_>) -> Vec<ConfiguredHold> {
    let tables = reader.tables("retention.hold");
    tables.iter().filter_map(|table| hold(reader, table)).collect()
}

fn hold(reader: &mut Reader<'_>, table: &Node) -> Option<ConfiguredHold> {
    type Kind = fn(String) -> ConfiguredHold;
    const KINDS: [(&str, usize, Kind); 3] = [
        ("retention.hold[].deployment", 256, ConfiguredHold::Deployment),
        ("retention.hold[].actor", 128, ConfiguredHold::Actor),
        ("retention.hold[].team", 128, ConfiguredHold::Team),
    ];
    let typed = KINDS.iter().filter(|(path, ..)| member(table, path).is_some()).count();
    if typed != 1 {
        let message = "a hold is of one deployment, actor or team: write one of the three in each \
            [[retention.hold]]";
        reader.complaints.error(&table.place, message);
    }
    KINDS.iter().find_map(|(path, most, kind)| {
        reader.optional(table, path, name(*most)).map(|(name, _place)| kind(name))
    })
}
