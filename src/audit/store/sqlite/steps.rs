//! Approvals as they are written: rare, so each row is a statement of its own.

use sqlx::{Error, SqliteConnection};

use crate::audit::approval::{ApprovalPart, Decision, NewApproval, NewTerms};
use crate::audit::entry::IntentRow;
use crate::base::clock::Timestamp;
use crate::base::ids::{ApprovalId, ChangeId};

const APPROVAL: &str = "INSERT INTO approvals (id, kind, change_id, upstream, operation, \
    deployment_id, actor_fingerprint, actor_name, actor_team, person, opened_at, rules, \
    expires_at, asked, base, asks, reason) \
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";

/// Where no approval has that id, its number is NULL, which the table refuses.
const STEP: &str = "INSERT INTO approval_steps (approval, step, at, person, token, reason, \
    until_at, change_id) VALUES ((SELECT number FROM approvals WHERE id = ?), ?, ?, ?, ?, ?, ?, ?)";

const EXPIRY: &str = "INSERT INTO approval_steps (approval, step, at) \
    SELECT approval, 'expired', ?1 FROM live_approvals WHERE until_at <= ?1";

/// A step of an approval.
pub(super) struct ApprovalStepRow<'e> {
    id: ApprovalId,
    step: &'static str,
    at: Timestamp,
    /// The person who decides, and the name of the admin token.
    by: Option<(&'e str, &'e str)>,
    reason: Option<&'e str>,
    until: Option<Timestamp>,
    change: Option<ChangeId>,
}

impl<'e> ApprovalStepRow<'e> {
    /// Somebody has decided.
    pub(super) fn decided(decision: &'e Decision) -> Self {
        let Decision { id, verdict, person, token, reason, at, until } = decision;
        let (by, reason) = (Some((person.as_str(), token.as_str())), Some(reason.as_str()));
        let step = verdict.name();
        Self { id: *id, step, at: *at, by, reason, until: *until, change: None }
    }

    /// Another change has made it void.
    fn void(id: ApprovalId, at: Timestamp, why: &'e str, change: ChangeId) -> Self {
        let (reason, change) = (Some(why), Some(change));
        Self { id, step: "void", at, by: None, reason, until: None, change }
    }

    /// A change uses it.
    fn used(id: ApprovalId, at: Timestamp, change: ChangeId) -> Self {
        let change = Some(change);
        Self { id, step: "used", at, by: None, reason: None, until: None, change }
    }
}

/// The part of a batch that is about approvals.
#[derive(Default)]
pub(super) struct Approvals<'e> {
    /// Steps of some before others are asked for.
    pub(super) voids: Vec<ApprovalStepRow<'e>>,
    /// Those that are asked for, each with its change.
    pub(super) new: Vec<(&'e IntentRow, &'e NewApproval)>,
    /// Steps of others.
    pub(super) steps: Vec<ApprovalStepRow<'e>>,
    /// When they are looked through for those whose time is over.
    pub(super) expiry: Option<Timestamp>,
}

impl<'e> Approvals<'e> {
    /// Adds the part that an approval has in a change.
    pub(super) fn ask(&mut self, opening: &'e IntentRow, part: &'e ApprovalPart) {
        let change = opening.intent.id;
        match part {
            ApprovalPart::Waits(_) => {}
            ApprovalPart::Asks(new) | ApprovalPart::BreaksGlass(new) => {
                if let NewTerms::Request { voids, .. } = &new.terms {
                    let void = |(id, why): &'e (ApprovalId, String)| {
                        ApprovalStepRow::void(*id, new.opened_at, why, change)
                    };
                    self.voids.extend(voids.iter().map(void));
                }
                self.new.push((opening, new));
            }
            ApprovalPart::Uses { id, at } => {
                self.steps.push(ApprovalStepRow::used(*id, *at, change));
            }
        }
    }

    /// Writes it all, after the changes of the batch.
    pub(super) async fn write(&self, connection: &mut SqliteConnection) -> Result<(), Error> {
        for step in &self.voids {
            add(connection, step).await?;
        }
        for (opening, new) in &self.new {
            open(connection, opening, new).await?;
        }
        for step in &self.steps {
            add(connection, step).await?;
        }
        if let Some(at) = self.expiry {
            sqlx::query(EXPIRY).bind(at.millis()).execute(connection).await?;
        }
        Ok(())
    }
}

async fn open(
    connection: &mut SqliteConnection,
    opening: &IntentRow,
    new: &NewApproval,
) -> Result<(), Error> {
    let intent = &opening.intent;
    let rules = serde_json::to_string(&new.rules).map_err(|error| Error::Encode(error.into()))?;
    let kind = match new.terms {
        NewTerms::Request { .. } => "request",
        NewTerms::BreakGlass { .. } => "break_glass",
    };
    let query = sqlx::query(APPROVAL)
        .bind(new.id.as_bytes().to_vec())
        .bind(kind)
        .bind(intent.id.as_bytes().to_vec())
        .bind(intent.upstream.to_string())
        .bind(intent.operation.name())
        .bind(intent.deployment_id.clone())
        .bind(intent.actor.fingerprint.as_bytes().to_vec())
        .bind(intent.actor.name.clone())
        .bind(intent.actor.team.clone())
        .bind(new.person.clone())
        .bind(new.opened_at.millis())
        .bind(rules);
    let query = match &new.terms {
        NewTerms::Request { expires_at, asked, base, asks, voids: _ } => query
            .bind(expires_at.millis())
            .bind(asked.to_vec())
            .bind(base.map(|base| base.to_vec()))
            .bind(asks.concat())
            .bind(None::<String>),
        NewTerms::BreakGlass { reason } => query
            .bind(None::<i64>)
            .bind(None::<Vec<u8>>)
            .bind(None::<Vec<u8>>)
            .bind(None::<Vec<u8>>)
            .bind(reason.clone()),
    };
    query.execute(connection).await?;
    Ok(())
}

async fn add(connection: &mut SqliteConnection, step: &ApprovalStepRow<'_>) -> Result<(), Error> {
    let query = sqlx::query(STEP)
        .bind(step.id.as_bytes().to_vec())
        .bind(step.step)
        .bind(step.at.millis())
        .bind(step.by.map(|(person, _token)| person.to_owned()))
        .bind(step.by.map(|(_person, token)| token.to_owned()))
        .bind(step.reason.map(str::to_owned))
        .bind(step.until.map(Timestamp::millis))
        .bind(step.change.map(|change| change.as_bytes().to_vec()));
    query.execute(connection).await?;
    Ok(())
}
