//! `changegate audit diff`: where two states of deployments differ.

use anyhow::{Context as _, anyhow};
use serde::Serialize;
use serde_json::Value;

use super::arguments::DiffArgs;
use super::at::{deployment_id, moment, seen};
use super::layout::{Layout, Spans};
use super::printer::print_spans;
use super::text::plain;
use super::{
    Environment, Failure, Zone, change_id, differences, missing, open, print_json, unanswered,
};
use crate::audit::query::Reader;
use crate::audit::record::{Bodies, Change, ErasedBody};
use crate::base::clock::Timestamp;
use crate::base::ids::ChangeId;
use crate::cli::print::{self, Shade, Span};
use crate::cli::terminal::Terminal;
use crate::deployment::Object;
use crate::deployment::diff::{Difference, diff};
use crate::provider::{Operation, Provider, Update};

/// A deployment in one state.
#[derive(Debug, Serialize)]
struct State {
    deployment_id: Option<String>,
    /// The change that it was seen by.
    change: ChangeId,
    /// Whether it is how that change found it or how it left it.
    #[serde(skip_serializing_if = "Option::is_none")]
    side: Option<Side>,
    seen_at: Timestamp,
    #[serde(skip)]
    provider: String,
    #[serde(skip)]
    document: Value,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Side {
    Before,
    After,
}

/// Two states, and where they differ.
#[derive(Debug, Serialize)]
struct Compared {
    from: State,
    to: State,
    diff: Vec<Difference>,
}

/// Prints the difference.
pub(super) async fn run(
    arguments: &DiffArgs,
    environment: &Environment,
    now: Timestamp,
) -> Result<(), Failure> {
    let reader = open(&arguments.file, environment).await?;
    let (from, to) = match &arguments.latter {
        Some(latter) => {
            (named(&reader, &arguments.former, now).await?, named(&reader, latter, now).await?)
        }
        None => sides(&reader, &arguments.former).await?,
    };
    let provider = Provider::named(&to.provider)
        .with_context(|| format!("provider {} is not known to this version", plain(&to.provider)));
    let provider = provider.map_err(Failure::NotCarriedOut)?;
    let (nothing, operation) = (Object::new(), Operation::Update);
    let mut found = diff(provider, operation, &nothing, Some(&from.document), Some(&to.document));
    for place in &mut found {
        let member = place.path.get(1..).and_then(|path| path.split('/').next());
        // Of two deployments, ids and the like differ in any case.
        place.computed |= member.is_some_and(|name| provider.update_of(name) == Update::Computed)
            && from.deployment_id != to.deployment_id;
    }
    let compared = Compared { from, to, diff: found };
    if arguments.json {
        return print_json(&[compared]);
    }
    let zone = Zone::found(environment, now, arguments.zone.utc);
    let layout = Layout::of(Terminal::found(environment));
    print_spans(&lines(&compared, &zone, &layout), layout.colour)
}

fn lines(compared: &Compared, zone: &Zone, layout: &Layout) -> Vec<Spans> {
    let mut lines = Vec::new();
    for (sign, state, shade) in
        [("-", &compared.from, Shade::Gone), ("+", &compared.to, Shade::New)]
    {
        let how = match state.side {
            Some(Side::Before) => "before",
            Some(Side::After) => "after",
            None => "as seen by",
        };
        let id = state.deployment_id.as_deref().map_or("-".to_owned(), plain);
        let at = zone.whole(state.seen_at);
        lines.extend(layout.shaded(&format!("{sign} {id}  {how} {}  {at}", state.change), shade));
    }
    lines.push(Vec::new());
    let (computed, own): (Vec<_>, Vec<_>) = compared.diff.iter().partition(|at| at.computed);
    if own.is_empty() {
        lines.push(vec![Span::plain("They do not differ.".to_owned())]);
    }
    lines.extend(own.into_iter().flat_map(|place| differences::lines(place, layout, 0)));
    if !computed.is_empty() {
        lines.push(Vec::new());
        lines.extend(layout.shaded("changed by the server:", Shade::Heading));
        lines.extend(computed.into_iter().flat_map(|at| differences::lines(at, layout, 2)));
    }
    lines
}

/// The state that a text names: `chg_…` is what that change left, `DEPLOYMENT@TIME` what was seen
/// at or before that time, `DEPLOYMENT` what was seen last.
async fn named(reader: &Reader, text: &str, now: Timestamp) -> Result<State, Failure> {
    if text.starts_with("chg_") {
        let change = whole_change(reader, text).await?;
        not_erased(&change)?;
        let (after, before) = states(change)?;
        return match (after, before) {
            (Some(after), _) => Ok(after),
            (None, Some(before)) => {
                let note = "no deployment after it is recorded: the one before it is compared";
                print::error_line(&format!("{}: {note}", before.change));
                Ok(before)
            }
            (None, None) => Err(bare(text)),
        };
    }
    let (id, time) = text.rsplit_once('@').unwrap_or((text, "now"));
    let found = seen(reader, deployment_id(id)?, moment(time, now)?).await?;
    let change = reader.bare_change(found.change).await.map_err(unanswered)?;
    let provider = change.map(|change| change.provider).unwrap_or_default();
    Ok(State {
        deployment_id: Some(found.deployment_id),
        change: found.change,
        side: None,
        seen_at: found.seen_at,
        provider,
        document: found.deployment,
    })
}

/// The deployment before and after a change.
async fn sides(reader: &Reader, text: &str) -> Result<(State, State), Failure> {
    if !text.starts_with("chg_") {
        return Err(Failure::Usage(anyhow!(
            "say what {} is compared with: chg_… or DEPLOYMENT@WHEN",
            plain(deployment_id(text)?)
        )));
    }
    let change = whole_change(reader, text).await?;
    not_erased(&change)?;
    match states(change)? {
        (Some(after), Some(before)) => Ok((before, after)),
        _ => Err(Failure::NotHeld(anyhow!(
            "{text} has no deployment before and after it: `audit show {text}` tells what it asked"
        ))),
    }
}

async fn whole_change(reader: &Reader, text: &str) -> Result<Change, Failure> {
    let id = change_id(text)?;
    let found = reader.change(id).await.map_err(unanswered)?;
    match found {
        Some(change) => Ok(change),
        None => Err(missing(reader, id).await?),
    }
}

/// Holds that both deployments of a change are there, as far as they were.
fn not_erased(change: &Change) -> Result<(), Failure> {
    let shown = [ErasedBody::Before, ErasedBody::After];
    if !shown.iter().any(|body| change.unkept.has_erased(*body)) {
        return Ok(());
    }
    let erased = change.unkept.erased_clause().unwrap_or_default();
    Err(Failure::NotHeld(anyhow!(
        "{} can't be compared: {erased}, `audit erase --status` tells why",
        change.id
    )))
}

/// The deployment after a change, and before it, as far as it has them.
fn states(mut change: Change) -> Result<(Option<State>, Option<State>), Failure> {
    let id = change.id;
    let bodies = change.bodies.take();
    let Some(Bodies { before, after, .. }) = bodies else { return Err(bare(&id.to_string())) };
    let (received_at, completed_at) = (change.received_at, change.completed_at);
    let state = |document: Value, side: Side| State {
        deployment_id: change.deployment_id.clone(),
        change: id,
        side: Some(side),
        seen_at: completed_at.filter(|_| side == Side::After).unwrap_or(received_at),
        provider: change.provider.clone(),
        document,
    };
    let after = after.map(|document| state(document, Side::After));
    Ok((after, before.map(|document| state(document, Side::Before))))
}

fn bare(text: &str) -> Failure {
    Failure::NotHeld(anyhow!("no deployment is recorded with {}", plain(text)))
}
