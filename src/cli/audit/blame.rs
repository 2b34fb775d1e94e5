//! `changegate audit blame`: for each value of a deployment, which change set it.

use serde::Serialize;
use serde_json::Value;
use unicode_width::UnicodeWidthStr as _;

use super::arguments::BlameArgs;
use super::at::{deployment_id, moment, unseen, warn_of_erased};
use super::differences::path;
use super::layout::{Layout, Spans};
use super::printer::print_spans;
use super::render::{short_actor, word};
use super::table::Table;
use super::text::{json, plain};
use super::{Environment, Failure, Zone, open, print_json, print_lines, unanswered};
use crate::audit::query::{Field, Origin, Setter};
use crate::base::clock::Timestamp;
use crate::cli::print::{Shade, Span};
use crate::cli::terminal::{Terminal, cut, short_id, wrapped};
use crate::policy::Decision;

/// The columns of the table.
const HEADINGS: [&str; 6] = ["FIELD", "AT", "SET BY", "CHANGE", "POLICY", "VALUE"];

/// The most columns of who set a field.
const WHO_WIDTH_MAX: usize = 32;

/// The beginning of the line that tells where a field came from.
const INDENT: &str = "  ";

/// The letters of a policy's digest that are shown.
const DIGEST_SHOWN: usize = 8;

/// A value and its origin, as one object.
#[derive(Serialize)]
struct Told<'b> {
    deployment_id: &'b str,
    path: &'b str,
    value: &'b Value,
    #[serde(flatten)]
    origin: &'b Origin,
}

/// Prints the origins.
pub(super) async fn run(
    arguments: &BlameArgs,
    environment: &Environment,
    now: Timestamp,
) -> Result<(), Failure> {
    let time = arguments.at.as_deref().map_or(Ok(now), |text| moment(text, now))?;
    let id = deployment_id(&arguments.deployment_id)?;
    let reader = open(&arguments.file, environment).await?;
    let Some(blame) = reader.blame(id, time).await.map_err(unanswered)? else {
        return Err(unseen(&reader, id, time).await?);
    };
    warn_of_erased(&reader, (id, time), blame.change).await?;
    if arguments.json {
        let told = blame.places.iter().filter_map(|leaf| {
            let (path, value, origin) = (&leaf.path, &leaf.value, leaf.origin.as_ref()?);
            Some(Told { deployment_id: &blame.deployment_id, path, value, origin })
        });
        return print_json(&told.collect::<Vec<_>>());
    }
    let zone = Zone::found(environment, now, arguments.zone.utc);
    let fields = blame.fields();
    let Some(terminal) = Terminal::found(environment) else {
        // Last and apart, as on a terminal.
        let is_own = |field: &&Field<'_>| matches!(field.origin, Origin::Server(_));
        let (own, set): (Vec<_>, Vec<_>) = fields.iter().partition(is_own);
        let rows = set.into_iter().chain(own).map(|field| row(field, |at| zone.second(at)));
        return print_lines(Table::new(&HEADINGS).rows(rows));
    };
    let layout = Layout::of(Some(terminal));
    let seen = format!("{}, by {}", zone.whole(blame.seen_at), blame.change);
    let mut lines = layout.text(&format!("deployment  {}", plain(&blame.deployment_id)));
    lines.extend(layout.text(&format!("seen        {seen}")));
    lines.push(Vec::new());
    let of =
        |is: fn(&Origin) -> bool| fields.iter().filter(move |field| is(field.origin)).collect();
    let unseen: Vec<&Field<'_>> = of(|origin| matches!(origin, Origin::Unseen { .. }));
    let own: Vec<&Field<'_>> = of(|origin| matches!(origin, Origin::Server(_)));
    let all: Vec<&Field<'_>> = fields.iter().collect();
    lines.extend(screen(&all, terminal.width, |at| zone.short(at, now)));
    if let Some(Origin::Unseen { before, before_at }) = unseen.first().map(|field| field.origin) {
        let title = format!("as {before} found it, {}", zone.short(*before_at, now));
        lines.extend(rest(&title, &unseen, &layout));
    }
    lines.extend(rest("kept by the server", &own, &layout));
    print_spans(&lines, layout.colour)
}

/// A field as a row of cells. Of what the server keeps, the change is the one whose effect it is,
/// and nobody set it.
fn row(field: &Field<'_>, time: impl Fn(Timestamp) -> String) -> [String; 6] {
    let (at, who, change, policy) = match field.origin {
        Origin::Server(setter) => {
            (time(setter.at), "the server".to_owned(), setter.change.to_string(), none())
        }
        Origin::Change(setter) => {
            let unclear = if setter.unclear { "?" } else { "" };
            let who = format!("{}{unclear}", short_actor(&setter.actor));
            (time(setter.at), who, setter.change.to_string(), policy(setter))
        }
        Origin::Around { after, before, before_at, .. } => {
            let between = format!("{after} and {before}");
            (format!("< {}", time(*before_at)), "around the gateway".to_owned(), between, none())
        }
        Origin::Erased { change, at } => {
            (format!("< {}", time(*at)), "erased".to_owned(), change.to_string(), none())
        }
        Origin::Unseen { before, before_at } => {
            let (at, before) = (format!("< {}", time(*before_at)), before.to_string());
            (at, "before the log".to_owned(), before, none())
        }
    };
    [path(&field.path), at, who, change, policy, json(field.value)]
}

fn none() -> String {
    "-".to_owned()
}

/// The policy that let a change pass, and its decision where it is not a plain yes.
fn policy(setter: &Setter) -> String {
    let digest = setter.policy_digest.chars().take(DIGEST_SHOWN).collect::<String>();
    let digest = if digest.is_empty() { none() } else { plain(&digest) };
    match setter.decision {
        Decision::Allow => digest,
        decision => format!("{digest} ({})", word(&decision)),
    }
}

/// The lines of fields on a terminal: what each holds, and below it where that came from.
fn screen(fields: &[&Field<'_>], width: usize, time: impl Fn(Timestamp) -> String) -> Vec<Spans> {
    let mut lines = Vec::new();
    for field in fields {
        let [name, at, who, change, policy, value] = row(field, &time);
        let (origin, shade) = match field.origin {
            Origin::Around { .. } => {
                (format!("{at}  around the gateway, between {change}"), Shade::Unclear)
            }
            Origin::Erased { .. } => {
                (format!("{at}  by {change} or before: erased"), Shade::Unclear)
            }
            Origin::Change(setter) => {
                let who = if setter.actor.name.is_some() { who } else { short_id(&who) };
                let origin = format!("{at}  {}  {change}  {policy}", cut(&who, WHO_WIDTH_MAX));
                (origin, if setter.unclear { Shade::Unclear } else { Shade::Plain })
            }
            Origin::Server(_) | Origin::Unseen { .. } => continue,
        };
        let name = cut(&name, width * 2 / 3);
        let value = cut(&value, width.saturating_sub(name.width() + 2).max(1));
        lines.push(vec![
            Span { text: name, shade: Shade::Heading },
            Span::plain(format!("  {value}")),
        ]);
        let origin = wrapped(&origin, width.saturating_sub(INDENT.len())).into_iter();
        lines.extend(origin.map(|text| vec![Span { text: format!("{INDENT}{text}"), shade }]));
    }
    lines
}

/// Names what `title` tells of, where there is any.
fn rest(title: &str, fields: &[&Field<'_>], layout: &Layout) -> Vec<Spans> {
    if fields.is_empty() {
        return Vec::new();
    }
    let places: Vec<String> = fields.iter().map(|field| path(&field.path)).collect();
    let mut lines = vec![Vec::new()];
    lines.extend(layout.shaded(&format!("{title}: {}", places.join(", ")), Shade::Faint));
    lines
}
