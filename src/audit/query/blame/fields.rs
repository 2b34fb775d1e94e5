//! The places of a deployment by their origins, those inside one another as one where they have one
//! origin.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Blame, Origin};
use crate::base::ids::ChangeId;
use crate::base::pointer::child;

/// A place, all of which has one origin.
#[derive(Debug)]
pub struct Field<'b> {
    /// JSON Pointer of the place.
    pub path: String,
    /// The value there.
    pub value: &'b Value,
    /// Its origin.
    pub origin: &'b Origin,
}

/// The part of an origin that tells it from others.
type Key = (u8, Option<ChangeId>, Option<ChangeId>);

impl Blame {
    /// The places of a deployment, those inside one another as one where they have one origin.
    #[must_use]
    pub fn fields(&self) -> Vec<Field<'_>> {
        let leaves = self.places.iter();
        let origins: BTreeMap<&str, &Origin> =
            leaves.filter_map(|leaf| Some((leaf.path.as_str(), leaf.origin.as_ref()?))).collect();
        inside(&self.deployment, String::new(), &origins)
    }
}

fn inside<'b>(
    value: &'b Value,
    at: String,
    origins: &BTreeMap<&str, &'b Origin>,
) -> Vec<Field<'b>> {
    if let Some(origin) = origins.get(at.as_str()) {
        return vec![Field { path: at, value, origin }];
    }
    let all: Vec<Field<'_>> = match value {
        Value::Object(members) => {
            let each = members.iter().map(|(name, value)| (child(&at, name), value));
            each.flat_map(|(place, value)| inside(value, place, origins)).collect()
        }
        Value::Array(items) => {
            let each = items.iter().zip(0..).map(|(value, index): (_, usize)| {
                inside(value, child(&at, &index.to_string()), origins)
            });
            each.flatten().collect()
        }
        _ => Vec::new(),
    };
    match all.first().map(|first| first.origin) {
        Some(origin) if !at.is_empty() && all.iter().all(|one| key(one.origin) == key(origin)) => {
            vec![Field { path: at, value, origin }]
        }
        _ => all,
    }
}

fn key(origin: &Origin) -> Key {
    match origin {
        Origin::Change(setter) => (0, Some(setter.change), None),
        // Whenever the server did it last, it is the server's.
        Origin::Server(_) => (1, None, None),
        Origin::Around { after, before, .. } => (2, Some(*after), Some(*before)),
        Origin::Unseen { before, .. } => (3, Some(*before), None),
        Origin::Erased { change, .. } => (4, Some(*change), None),
    }
}
