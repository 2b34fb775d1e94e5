//! The policy that the log serves to the gateways that share it.

use std::time::Duration;

use sqlx::{Connection as _, Error, Row as _};

use super::link::{connect, run};
use super::literal::text;
use crate::audit::store::Boxed;
use crate::base::database::PostgresUrl;
use crate::policy::Policy;

/// How long a policy may take to be put there.
const PUSH_TIMEOUT: Duration = Duration::from_secs(5);

/// Has the log at `url` serve a policy from now on, and tells whether it is another one than
/// before.
pub(in crate::audit::store) async fn push_policy(
    url: &PostgresUrl,
    policy: &Policy,
) -> Result<bool, Boxed> {
    let (mut connection, _lags) = connect(url).await?;
    let push = format!(
        "SELECT changegate.push_policy_v1({}, {}) AS is_new",
        text(Some(&policy.digest)),
        text(Some(&policy.text)),
    );
    let rows = run(&mut connection, &push, PUSH_TIMEOUT).await?;
    let is_new = rows.first().ok_or(Error::RowNotFound)?.try_get("is_new")?;
    connection.close().await?;
    Ok(is_new)
}
