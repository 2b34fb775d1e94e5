//! Approvals as they are written: rare, so each row is a statement of its own.

use sqlx::{Error, SqliteConnection};

use crate::audit::approval::{NewApproval, NewTerms};
use crate::audit::entry::IntentRow;
use crate::audit::store::batch::{ApprovalStepRow, Approvals};
use crate::base::clock::Timestamp;

const APPROVAL: &str = "INSERT INTO approvals (id, kind, change_id, upstream, operation, \
    deployment_id, actor_fingerprint, actor_name, actor_team, person, opened_at, rules, \
    expires_at, asked, base, asks, reason) \
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";

/// Where no approval has that id, its number is NULL, which the table refuses.
const STEP: &str = "INSERT INTO approval_steps (approval, step, at, person, token, reason, \
    until_at, change_id) VALUES ((SELECT number FROM approvals WHERE id = ?), ?, ?, ?, ?, ?, ?, ?)";

const EXPIRY: &str = "INSERT INTO approval_steps (approval, step, at) \
    SELECT approval, 'expired', ?1 FROM live_approvals WHERE until_at <= ?1";

/// Writes it all, after the changes of the batch.
pub(super) async fn write(
    connection: &mut SqliteConnection,
    approvals: &Approvals<'_>,
) -> Result<(), Error> {
    for step in &approvals.voids {
        add(connection, step).await?;
    }
    for (opening, new) in &approvals.new {
        open(connection, opening, new).await?;
    }
    for step in &approvals.steps {
        add(connection, step).await?;
    }
    if let Some(at) = approvals.expiry {
        sqlx::query(EXPIRY).bind(at.millis()).execute(connection).await?;
    }
    Ok(())
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
