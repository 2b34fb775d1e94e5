//! `changegate audit at`: a deployment as it was at a moment.

use anyhow::anyhow;
use serde_json::Value;

use super::arguments::AtArgs;
use super::layout::Layout;
use super::printer::print_spans;
use super::text::plain;
use super::{Environment, Failure, Zone, open, print_json, unanswered};
use crate::admin::filter;
use crate::audit::query::{DeploymentAt, Reader, Unseen};
use crate::base::clock::Timestamp;
use crate::base::ids::ChangeId;
use crate::cli::print::{self, Shade, Span};
use crate::cli::terminal::Terminal;

/// Prints it.
pub(super) async fn run(
    arguments: &AtArgs,
    environment: &Environment,
    now: Timestamp,
) -> Result<(), Failure> {
    let (id, time) = (deployment_id(&arguments.deployment_id)?, moment(&arguments.time, now)?);
    let reader = open(&arguments.file, environment).await?;
    let found = seen(&reader, id, time).await?;
    if arguments.json {
        return print_json(&[found]);
    }
    let zone = Zone::found(environment, now, arguments.zone.utc);
    let layout = Layout::of(Terminal::found(environment));
    let head = [
        format!("deployment  {}", plain(&found.deployment_id)),
        format!("as of       {}", zone.whole(time)),
        format!("seen        {}, by {}", zone.whole(found.seen_at), found.change),
        String::new(),
    ];
    for line in head {
        print_spans(&layout.shaded(&line, Shade::Plain), layout.colour)?;
    }
    pretty(&found.deployment, layout)
}

/// A document as JSON, member by member.
fn pretty(document: &Value, layout: Layout) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(document).map_err(anyhow::Error::from);
    for line in text.map_err(Failure::NotCarriedOut)?.lines() {
        // Names of members stand out.
        let name = line.find("\": ").filter(|_| line.trim_start().starts_with('"'));
        let (name, value) =
            line.split_at_checked(name.map_or(0, |at| at + 1)).unwrap_or(("", line));
        let spans =
            [Span { text: name.to_owned(), shade: Shade::Heading }, Span::plain(value.to_owned())];
        print::spans(&spans, layout.colour)?;
    }
    Ok(())
}

/// The moment that is asked for.
pub(super) fn moment(text: &str, now: Timestamp) -> Result<Timestamp, Failure> {
    if text == "now" {
        return Ok(now);
    }
    let time = filter::moment("time", text, now);
    let given = if text.is_empty() { "the time is empty".to_owned() } else { plain(text) };
    time.map_err(|bad| Failure::Usage(anyhow!("{given}: {}, or now", bad.fix)))
}

/// A deployment as the log saw it at or before `time`.
pub(super) async fn seen(
    reader: &Reader,
    deployment_id: &str,
    time: Timestamp,
) -> Result<DeploymentAt, Failure> {
    let found = reader.deployment_at(deployment_id, time).await.map_err(unanswered)?;
    match found {
        Some(found) => {
            warn_of_erased(reader, (deployment_id, time), found.change).await?;
            Ok(found)
        }
        None => Err(unseen(reader, deployment_id, time).await?),
    }
}

/// Warns where newer changes of a deployment than the one that shows it had shown it, too.
pub(super) async fn warn_of_erased(
    reader: &Reader,
    (deployment_id, time): (&str, Timestamp),
    found: ChangeId,
) -> Result<(), Failure> {
    let erased = reader.erased_since(deployment_id, time, Some(found)).await;
    if let Some(change) = erased.map_err(unanswered)? {
        let id = plain(deployment_id);
        print::error_line(&format!(
            "warning: {change} is newer, and what it showed was erased: this is {id} as it was \
             seen before"
        ));
    }
    Ok(())
}

/// The answer where the log does not show the deployment.
pub(super) async fn unseen(
    reader: &Reader,
    deployment_id: &str,
    time: Timestamp,
) -> Result<Failure, Failure> {
    let id = plain(deployment_id);
    let why = reader.why_unseen(deployment_id, time).await.map_err(unanswered)?;
    Ok(Failure::NotHeld(match why {
        Unseen::Never => never(&id),
        Unseen::Erased(change) => anyhow!(
            "what the log had seen of {id} until {time} was erased: `audit show {change}` tells \
             what stays"
        ),
        Unseen::Pruned(span) => anyhow!(
            "the log has nothing of {id} until {time}: it had not seen it by then, or that was \
             pruned: {span}; `audit history {id}` tells what there is"
        ),
        Unseen::NotYet => anyhow!(
            "the log had not seen {id} by {time}: `audit history {id}` tells since when it has"
        ),
    }))
}

/// The answer where there is no change of a deployment.
pub(super) fn never(id: &str) -> anyhow::Error {
    anyhow!(
        "no change of {id} is recorded: see that the id is right, `audit deployments` lists those \
         that the log knows"
    )
}

/// The deployment's id as typed, which must not be empty.
pub(super) fn deployment_id(text: &str) -> Result<&str, Failure> {
    if text.is_empty() {
        let fix = "the deployment's id is empty: write it, such as dep_019e8f2c";
        return Err(Failure::Usage(anyhow!(fix)));
    }
    Ok(text)
}
