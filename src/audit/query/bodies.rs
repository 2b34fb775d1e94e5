//! The bodies of changes, as texts and as values.

use std::collections::VecDeque;

use serde_json::Value;

use super::{BodyTexts, QueryError, Text};
use crate::audit::question::parse;
use crate::audit::record::{Bodies, Change, ErasedBody};
use crate::audit::store::{AHEAD, Documents};
use crate::deployment::Object;
use crate::deployment::diff::{Difference, diff};
use crate::provider::Provider;

/// Reads the bodies of changes. Neighbours share what they have in common.
pub struct Texts(pub(in crate::audit) Documents);

impl Texts {
    /// The bodies of `change`.
    pub async fn of(&mut self, change: &Change) -> Result<BodyTexts, QueryError> {
        let found = self.0.bodies(change.seq).await.map_err(QueryError::Store)?;
        found.ok_or_else(|| QueryError::Store("the change was pruned meanwhile".into()))
    }

    /// The next change that waits, with its bodies; those behind it are read together. What was
    /// pruned meanwhile is left out.
    pub async fn next(
        &mut self,
        waiting: &mut VecDeque<Change>,
    ) -> Result<Option<(Change, BodyTexts)>, QueryError> {
        while !waiting.is_empty() {
            let next: Vec<i64> = waiting.iter().take(AHEAD).map(|change| change.seq).collect();
            let found = self.0.bodies_of_first(&next).await.map_err(QueryError::Store)?;
            if let (Some(change), Some(bodies)) = (waiting.pop_front(), found) {
                return Ok(Some((change, bodies)));
            }
        }
        Ok(None)
    }

    /// The bytes of all that was read so far.
    #[must_use]
    pub fn read_bytes(&self) -> usize {
        self.0.read_bytes()
    }
}

impl BodyTexts {
    /// Where the deployments before and after `change` differ.
    pub fn diff(&self, change: &Change) -> Result<Vec<Difference>, serde_json::Error> {
        Ok(self.values(change)?.diff)
    }

    /// The patch, the deployment before and the one after, as values.
    pub fn documents(&self) -> Result<[Option<Value>; 3], serde_json::Error> {
        Ok([value(self.patch.as_ref())?, value(self.before.as_ref())?, value(self.after.as_ref())?])
    }

    /// The bodies of `change` as values.
    pub(crate) fn values(&self, change: &Change) -> Result<Bodies, serde_json::Error> {
        let (before, after) = (value(self.before.as_ref())?, value(self.after.as_ref())?);
        let patch = value(self.patch.as_ref())?;
        let diff = difference(change, patch.as_ref(), before.as_ref(), after.as_ref());
        Ok(Bodies { patch, before, after, diff })
    }
}

fn value(text: Option<&Text>) -> Result<Option<Value>, serde_json::Error> {
    text.map(|text| parse(text)).transpose()
}

fn difference(
    change: &Change,
    patch: Option<&Value>,
    before: Option<&Value>,
    after: Option<&Value>,
) -> Vec<Difference> {
    // What is not there any more was not nothing.
    if change.unkept.has_erased(ErasedBody::Before) || change.unkept.has_erased(ErasedBody::After) {
        return Vec::new();
    }
    let nothing = Object::new();
    let asked = patch.and_then(Value::as_object).unwrap_or(&nothing);
    let provider = Provider::named(&change.provider);
    let compared = provider.zip(after);
    let compare = |(provider, after)| diff(provider, change.operation, asked, before, Some(after));
    compared.map(compare).unwrap_or_default()
}
