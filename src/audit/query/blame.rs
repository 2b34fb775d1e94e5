//! The origin of every value of a deployment: the change that set it, as far as the log tells.

mod fields;

use serde::Serialize;
use serde_json::Value;

pub use self::fields::Field;
use super::{BODIES_LIMIT_MAX, Cursor, Filter, PageRequest, QueryError, Reader};
use crate::audit::record::{Change, ErasedBody};
use crate::base::clock::Timestamp;
use crate::base::ids::ChangeId;
use crate::base::pointer::covers;
use crate::deployment::origin::{Leaf, Origins};
use crate::policy::{Actor, Decision};
use crate::provider::{Operation, Provider};

/// A deployment, and where its values came from.
#[derive(Clone, Debug)]
pub struct Blame {
    /// Its id.
    pub deployment_id: String,
    /// When the log saw it so.
    pub seen_at: Timestamp,
    /// The change whose before or after it is.
    pub change: ChangeId,
    /// The document, concealed values concealed.
    pub deployment: Value,
    /// Its values.
    pub places: Vec<Leaf<Origin>>,
}

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "set_by", rename_all = "snake_case")]
pub enum Origin {
    /// A recorded change set it.
    Change(Setter),
    /// The server did by itself, where this change was made.
    Server(Setter),
    /// A change made around the gateway did, in the window between two recorded ones.
    Around {
        /// The last change before it.
        after: ChangeId,
        /// When that one was received.
        after_at: Timestamp,
        /// The first change behind it, which found it.
        before: ChangeId,
        /// When that one was received.
        before_at: Timestamp,
    },
    /// A change did of which a body was erased, or one around it that shows less for that.
    Erased {
        /// The newest change of which a body was erased.
        change: ChangeId,
        /// When that one was received.
        at: Timestamp,
    },
    /// It stood there already when the log first saw the deployment.
    Unseen {
        /// The change that saw it.
        before: ChangeId,
        /// When that was received.
        before_at: Timestamp,
    },
}

/// A change that set a value.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Setter {
    /// Its id.
    pub change: ChangeId,
    /// When it was received.
    pub at: Timestamp,
    /// The actor that made it.
    pub actor: Actor,
    /// The operation that was asked for.
    pub operation: Operation,
    /// The gateway's decision.
    pub decision: Decision,
    /// The policy that let it pass.
    pub policy_digest: String,
    /// Whether its end was unclear: it is held to have set what stood there after it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub unclear: bool,
}

/// The change that a document was seen by last, on the way back.
type Seen = (ChangeId, Timestamp);

impl Reader {
    /// Where each value of a deployment came from, as it was last seen at or before `time`. `None`
    /// where the log has not seen it until then.
    pub async fn blame(
        &self,
        deployment_id: &str,
        time: Timestamp,
    ) -> Result<Option<Blame>, QueryError> {
        let Some(found) = self.deployment_at(deployment_id, time).await? else { return Ok(None) };
        let mut way = Way {
            origins: Origins::of(&found.deployment),
            newer: found.deployment.clone(),
            begin: (found.change, found.seen_at),
            last: None,
            erased: None,
        };
        let filter =
            Filter { deployment_id: Some(found.deployment_id.clone()), ..Filter::default() };
        let mut page = PageRequest { limit: BODIES_LIMIT_MAX, cursor: None };
        loop {
            let part = self.changes(&filter, page, true).await?;
            part.data.into_iter().for_each(|change| way.back(change));
            page.cursor = part.next_cursor.as_deref().map(Cursor::parse).transpose()?;
            if page.cursor.is_none() || way.origins.is_done() {
                break;
            }
        }
        Ok(Some(Blame {
            deployment_id: found.deployment_id,
            seen_at: found.seen_at,
            change: found.change,
            deployment: found.deployment,
            places: way.end(),
        }))
    }
}

/// The way back from change to change.
struct Way {
    origins: Origins<Origin>,
    /// The document as it stood behind the changes that are still to come.
    newer: Value,
    /// The change that showed the document first, and when.
    begin: Seen,
    /// The last change that was looked at; `None` before that first one.
    last: Option<Seen>,
    /// The newest change since of which a body was erased.
    erased: Option<Seen>,
}

impl Way {
    fn back(&mut self, mut change: Change) {
        if self.origins.is_done() {
            return;
        }
        let is_begin = self.last.is_none();
        if is_begin && change.id != self.begin.0 {
            return;
        }
        let seen = (change.id, change.received_at);
        let Some(bodies) = change.bodies.take() else { return };
        let is_erased = change.unkept.has_erased(ErasedBody::Before)
            || change.unkept.has_erased(ErasedBody::After);
        if is_erased && bodies.after.is_none() && bodies.before.is_none() {
            if !is_begin {
                self.erased.get_or_insert(seen);
            }
            return;
        }
        let erased = self.erased;
        let around = |after, before| erased.map_or_else(|| around(after, before), gone);
        let provider = Provider::named(&change.provider);
        let is_own = |path: &str| {
            provider.is_some_and(|own| own.computed.iter().any(|place| covers(place, path)))
        };
        let own: Vec<String> =
            bodies.diff.into_iter().filter(|at| at.computed).map(|at| at.path).collect();
        // What the change was seen to leave, and what may have become of it unseen.
        let was_seen = !is_begin || change.completed_at.is_some_and(|at| at <= self.begin.1);
        if let Some(after) = bodies.after.filter(|_| was_seen) {
            if let Some(last) = self.last {
                let setter = Setter::of(&change, false);
                self.origins.back(&after, &self.newer, &|path| {
                    if is_own(path) { Origin::Server(setter.clone()) } else { around(seen, last) }
                });
            }
            let setter = Setter::of(&change, false);
            let origin = |path: &str| {
                let is_own = own.iter().any(|own| covers(own, path));
                let setter = setter.clone();
                if is_own { Origin::Server(setter) } else { Origin::Change(setter) }
            };
            match bodies.before {
                Some(before) => {
                    self.origins.back(&before, &after, &origin);
                    self.newer = before;
                }
                None if is_erased => {
                    self.newer = after;
                    self.erased = Some(seen);
                    self.last = Some(seen);
                    return;
                }
                None => self.origins.end(&origin),
            }
        } else if let Some(before) = bodies.before {
            if let Some(last) = self.last {
                let setter = Setter::of(&change, true);
                let erased = erased.or(is_erased.then_some(seen));
                self.origins.back(&before, &self.newer, &|path| match erased {
                    _ if is_own(path) => Origin::Server(setter.clone()),
                    Some(erased) => gone(erased),
                    None if change.may_be_applied() => Origin::Change(setter.clone()),
                    None => around(seen, last),
                });
            }
            self.newer = before;
        } else {
            return;
        }
        (self.last, self.erased) = (Some(seen), None);
    }

    fn end(mut self) -> Vec<Leaf<Origin>> {
        let (before, before_at) = self.last.unwrap_or(self.begin);
        let erased = self.erased;
        let unseen = Origin::Unseen { before, before_at };
        self.origins.end(&|_path| erased.map_or_else(|| unseen.clone(), gone));
        self.origins.into_leaves()
    }
}

fn around(after: Seen, before: Seen) -> Origin {
    let ((after, after_at), (before, before_at)) = (after, before);
    Origin::Around { after, after_at, before, before_at }
}

fn gone((change, at): Seen) -> Origin {
    Origin::Erased { change, at }
}

impl Setter {
    fn of(change: &Change, unclear: bool) -> Self {
        Self {
            change: change.id,
            at: change.received_at,
            actor: change.actor.clone(),
            operation: change.operation,
            decision: change.decision,
            policy_digest: change.policy_digest.clone(),
            unclear,
        }
    }
}
