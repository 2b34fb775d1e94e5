//! `changegate audit deployments`: what the log knows deployments by.

use anyhow::anyhow;

use super::arguments::DeploymentsArgs;
use super::printer::ListPrinter;
use super::{Environment, Failure, open, say_more, say_nothing_found, unanswered};
use crate::audit::query::Reader;
use crate::base::clock::Timestamp;

/// The most deployments that one name may stand for.
const NAMED_MAX: usize = 1_000;

/// Lists them, the newest changed first.
pub(super) async fn run(
    arguments: &DeploymentsArgs,
    environment: &Environment,
    now: Timestamp,
) -> Result<(), Failure> {
    let reader = open(&arguments.file, environment).await?;
    let mut printer = ListPrinter::of_deployments(&arguments.shown, environment, now)?;
    let mut wanted = arguments.shown.wanted();
    let mut shown = 0;
    while let Some(page) = wanted.next_deployments(&reader).await? {
        printer.deployments(&page)?;
        shown += page.len();
    }
    say_more(shown, wanted.goes_on());
    let nothing = "No change of a deployment is recorded yet.";
    say_nothing_found(shown == 0, arguments.shown.is_for_programs(), nothing)
}

/// The ids of the deployments whose newest name has this text in it.
pub(super) async fn named(reader: &Reader, text: &str) -> Result<Vec<String>, Failure> {
    let found = reader.deployments_named(text, NAMED_MAX).await.map_err(unanswered)?;
    if found.len() > NAMED_MAX {
        return Err(Failure::Usage(anyhow!(
            "--name: more than {NAMED_MAX} deployments have this in their name: write more of it"
        )));
    }
    Ok(found.into_iter().map(|one| one.id).collect())
}
