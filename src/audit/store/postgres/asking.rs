//! A connection that one question has for itself, for as long as it is answered.

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::PgRow;
use sqlx::{Error, PgConnection};
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::time::timeout;

use super::error::code;
use super::link::{connect, run};
use crate::audit::store::{Boxed, documents};
use crate::base::database::PostgresUrl;

/// The documents of one question.
pub(in crate::audit) type Documents = documents::Documents<Asking>;

/// How long a question waits for its turn.
const TURN_TIMEOUT: Duration = Duration::from_secs(10);

/// The longest that a statement may take, on the server.
const STATEMENT_MAX: Duration = Duration::from_secs(10);

/// Every statement's own settings: a connection may be another one each time. The tables beside a
/// change are joined as they are written, which takes a fraction of the time to plan.
const SETTINGS: &str = "SET LOCAL search_path = changegate; SET LOCAL join_collapse_limit = 4;";

/// A connection that questions use one after the other, made for the first of them.
#[derive(Clone, Debug)]
pub(super) struct Line {
    url: Arc<PostgresUrl>,
    /// `None` before the first question, and after a fault.
    kept: Arc<Mutex<Option<PgConnection>>>,
}

/// A question that has its turn. Where it is given up while a statement runs, so is the connection.
pub(in crate::audit) struct Asking {
    url: Arc<PostgresUrl>,
    kept: OwnedMutexGuard<Option<PgConnection>>,
}

impl Line {
    pub(super) fn to(url: &Arc<PostgresUrl>) -> Self {
        Self { url: Arc::clone(url), kept: Arc::default() }
    }

    /// The turn of one question.
    pub(super) async fn ask(&self) -> Result<Asking, Error> {
        let turn = timeout(TURN_TIMEOUT, Arc::clone(&self.kept).lock_owned()).await;
        let kept = turn.map_err(|_elapsed| Error::PoolTimedOut)?;
        Ok(Asking { url: Arc::clone(&self.url), kept })
    }
}

impl Asking {
    /// The rows that a statement finds. A connection that has ended since the last question is made
    /// anew: to ask twice does no harm.
    pub(super) async fn rows(&mut self, statement: &str) -> Result<Vec<PgRow>, Error> {
        // What goes on at a connection takes much room, most of all while it is made.
        Box::pin(self.answered(format!("{SETTINGS} {statement}"))).await
    }

    async fn answered(&mut self, statement: String) -> Result<Vec<PgRow>, Error> {
        if let Some(connection) = self.kept.take() {
            match self.run(connection, &statement).await {
                Err(error) if has_ended(&error) => {}
                answered => return answered,
            }
        }
        let (connection, _lags) = connect(&self.url).await?;
        self.run(connection, &statement).await
    }

    /// The first row that a statement finds.
    pub(super) async fn row(&mut self, statement: &str) -> Result<Option<PgRow>, Error> {
        Ok(self.rows(statement).await?.into_iter().next())
    }

    /// Runs a statement, and keeps the connection where the server has answered.
    async fn run(
        &mut self,
        mut connection: PgConnection,
        statement: &str,
    ) -> Result<Vec<PgRow>, Error> {
        let found = run(&mut connection, statement, STATEMENT_MAX).await;
        let is_answered = match &found {
            Ok(_rows) => true,
            Err(error) => code(error).is_some() && !has_ended(error),
        };
        if is_answered {
            *self.kept = Some(connection);
        }
        found
    }
}

impl documents::Ask for Asking {
    type Row = PgRow;

    async fn found(&mut self, statement: &str) -> Result<Vec<PgRow>, Boxed> {
        Ok(self.rows(statement).await?)
    }
}

/// Whether a connection is one no longer, or that of a server that stops.
fn has_ended(error: &Error) -> bool {
    match code(error) {
        Some(code) => code.starts_with("57P") || code.starts_with("08"),
        None => matches!(error, Error::Io(_) | Error::Protocol(_) | Error::Tls(_)),
    }
}
