//! `changegate audit deployments`: what the log knows deployments by.

use super::arguments::DeploymentsArgs;
use super::printer::ListPrinter;
use super::{Environment, Failure, open, say_more, say_nothing_found};
use crate::base::clock::Timestamp;

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
