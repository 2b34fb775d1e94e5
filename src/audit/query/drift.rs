//! Changes made around the gateway: the before of a change is not as the change before it had
//! left the deployment.

use serde::Serialize;
use serde_json::Value;

use super::{Cursor, EventFilter, Filter, LIMIT_MAX, Page, PageRequest, QueryError, Reader};
use crate::audit::record::{Change, ErasedBody, Event, EventKind, Outcome};
use crate::base::clock::Timestamp;
use crate::base::ids::ChangeId;
use crate::base::pointer::covers;
use crate::deployment::Object;
use crate::deployment::diff::{Difference, DifferenceOp, diff};
use crate::provider::{Operation, Provider};

/// The kind of event that tells of one.
const KIND: &str = "drift";

/// The most changes that are looked at for one that tells how it left the deployment.
const LOOKED_AT_MAX: u16 = 4;

/// The most places that are told.
const PLACES_MAX: usize = 50;

/// The most bytes of a value that is told, as JSON, and of all of them.
const VALUE_BYTES_MAX: usize = 1 << 10;
const VALUES_BYTES_MAX: usize = 16 << 10;

/// A change made around the gateway, in the window between two recorded ones.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Drift {
    /// The deployment.
    pub deployment_id: String,
    /// The change that found it.
    pub change: ChangeId,
    /// The last change before it.
    pub after: ChangeId,
    /// When that one had ended.
    pub after_at: Timestamp,
    /// When the change that found it was received.
    pub before_at: Timestamp,
    /// How many places differ.
    pub places: usize,
    /// The first of them, concealed values concealed.
    pub diff: Vec<DriftPlace>,
}

/// A deployment that is not as the last recorded change left it, seen outside of any change.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DriftNow {
    /// The deployment.
    pub deployment_id: String,
    /// The last change before it.
    pub after: ChangeId,
    /// When that one had ended.
    pub after_at: Timestamp,
    /// When it was seen.
    pub seen_at: Timestamp,
    /// How many places differ.
    pub places: usize,
    /// The first of them, concealed values concealed.
    pub diff: Vec<DriftPlace>,
}

/// The last word of the log on how a deployment was left.
#[derive(Clone, Debug)]
pub enum LastLeft {
    /// As this change left it.
    By(Box<Change>),
    /// A change of it is on its way.
    Changing,
    /// Nothing tells: the newest changes were of unknown outcome, or their bodies are not kept.
    Unknown,
}

/// A place that was changed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DriftPlace {
    op: DifferenceOp,
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<Value>,
    /// Whether its values are too long to be told.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    is_long: bool,
}

impl Reader {
    /// Events that tell of changes made around the gateway, newest first. A page may have fewer
    /// than were asked for, and its cursor leads on.
    pub async fn drifts(
        &self,
        filter: &EventFilter,
        page: PageRequest,
    ) -> Result<Page<Event>, QueryError> {
        let filter = EventFilter { q: Some(KIND.to_owned()), ..filter.clone() };
        let mut found = self.events(&filter, page).await?;
        found.data.retain(|event| event.kind == EventKind::Drift);
        Ok(found)
    }

    /// The change made around the gateway before a recorded one. `None` where there was none, and
    /// where that can't be told. Without `knows_secrets` places of concealed values are left out:
    /// another key may have concealed them.
    pub async fn drift_before(
        &self,
        change: ChangeId,
        knows_secrets: bool,
    ) -> Result<Option<Drift>, QueryError> {
        let Some(found_by) = self.change(change).await? else { return Ok(None) };
        let Some(deployment_id) = found_by.deployment_id.clone() else { return Ok(None) };
        let filter = Filter { deployment_id: Some(deployment_id), ..Filter::default() };
        let cursor = Some(Cursor { seq: found_by.seq, until: None });
        let page = PageRequest { limit: LOOKED_AT_MAX, cursor };
        let earlier = self.changes(&filter, page, true).await?.data.into_iter();
        let mut earlier = earlier.filter(|it| it.upstream_name == found_by.upstream_name);
        // One that was seen to leave nothing, and may have done something, tells nothing.
        let former = earlier.find(|it| it.left().is_some() || it.may_be_applied());
        Ok(former.and_then(|former| between(&former, &found_by, knows_secrets)))
    }
}

impl Reader {
    /// How the last recorded change left a deployment.
    pub async fn last_left(&self, deployment_id: &str) -> Result<LastLeft, QueryError> {
        let filter = Filter { deployment_id: Some(deployment_id.to_owned()), ..Filter::default() };
        let page = PageRequest { limit: LOOKED_AT_MAX, cursor: None };
        let newest = self.changes(&filter, page, true).await?.data;
        if newest.iter().any(|change| change.outcome == Outcome::Pending) {
            return Ok(LastLeft::Changing);
        }
        let mut newest = newest.into_iter();
        let last = newest.find(|change| change.left().is_some() || change.may_be_applied());
        let known = last.filter(|change| change.left().is_some());
        Ok(known.map_or(LastLeft::Unknown, |change| LastLeft::By(Box::new(change))))
    }
}

impl Reader {
    /// The newest change of a deployment behind one, received at or before `time`, that showed it
    /// and of which that was erased, among the newest 1,000.
    pub async fn erased_since(
        &self,
        deployment_id: &str,
        time: Timestamp,
        behind: Option<ChangeId>,
    ) -> Result<Option<ChangeId>, QueryError> {
        let until = Some(Timestamp::from_millis(time.millis().saturating_add(1)));
        let deployment_id = Some(deployment_id.to_owned());
        let filter = Filter { deployment_id, until, ..Filter::default() };
        let page = PageRequest { limit: LIMIT_MAX, cursor: None };
        let newest = self.changes(&filter, page, false).await?.data.into_iter();
        let mut newer = newest.take_while(|change| Some(change.id) != behind);
        let shown = [ErasedBody::Before, ErasedBody::After];
        let found = newer.find(|change| shown.iter().any(|body| change.unkept.has_erased(*body)));
        Ok(found.map(|change| change.id))
    }
}

impl DriftNow {
    /// The difference between what `former` left and the deployment as it is shown; `None` where
    /// there is none. Places of concealed values are left out: what is shown has them in clear.
    #[must_use]
    pub fn since(former: &Change, shown: &Value, seen_at: Timestamp) -> Option<Self> {
        let concealed = concealed_in(former, &["/after", "/before"]).collect::<Vec<_>>();
        let differing = differing(former, shown, &concealed)?;
        Some(Self {
            deployment_id: former.deployment_id.clone()?,
            after: former.id,
            after_at: former.completed_at.unwrap_or(former.received_at),
            seen_at,
            places: differing.len(),
            diff: told(differing),
        })
    }
}

fn between(former: &Change, found_by: &Change, knows_secrets: bool) -> Option<Drift> {
    let before = found_by.bodies.as_ref()?.before.as_ref()?;
    let concealed = concealed_in(former, &["/after", "/before"]);
    let concealed = concealed.chain(concealed_in(found_by, &["/before"]));
    let concealed: Vec<&str> = if knows_secrets { Vec::new() } else { concealed.collect() };
    let differing = differing(former, before, &concealed)?;
    Some(Drift {
        deployment_id: found_by.deployment_id.clone()?,
        change: found_by.id,
        after: former.id,
        after_at: former.completed_at.unwrap_or(former.received_at),
        before_at: found_by.received_at,
        places: differing.len(),
        diff: told(differing),
    })
}

/// Where values of a deployment are concealed on these sides of a change.
fn concealed_in<'a>(change: &'a Change, sides: &'a [&str]) -> impl Iterator<Item = &'a str> {
    let paths = change.redacted.iter();
    paths.flat_map(|path| sides.iter().filter_map(|side| path.strip_prefix(side)))
}

/// Where a deployment is not as `former` left it, computed fields and concealed places aside;
/// `None` where it is.
fn differing(former: &Change, now: &Value, concealed: &[&str]) -> Option<Vec<Difference>> {
    let provider = Provider::named(&former.provider)?;
    let mut all =
        diff(provider, Operation::Update, &Object::new(), Some(former.left()?), Some(now));
    let meets = |place: &str, other: &str| covers(place, other) || covers(other, place);
    all.retain(|place| !place.computed && !concealed.iter().any(|path| meets(&place.path, path)));
    (!all.is_empty()).then_some(all)
}

/// The first of the places, with values that are not too long.
fn told(differing: Vec<Difference>) -> Vec<DriftPlace> {
    let mut left = VALUES_BYTES_MAX;
    differing.into_iter().take(PLACES_MAX).map(|at| DriftPlace::of(at, &mut left)).collect()
}

impl DriftPlace {
    /// A place, with its values where these are short and so many bytes are `left`.
    fn of(place: Difference, left: &mut usize) -> Self {
        let Difference { op, path, from, to, .. } = place;
        let bytes =
            |value: &Option<Value>| value.as_ref().map_or(0, |value| value.to_string().len());
        let (one, other) = (bytes(&from), bytes(&to));
        let is_long = one.max(other) > VALUE_BYTES_MAX || one + other > *left;
        if is_long {
            return Self { op, path, from: None, to: None, is_long };
        }
        *left -= one + other;
        Self { op, path, from, to, is_long }
    }
}
