//! For each field of a deployment, the change that set it.

use maud::{Markup, html};

use crate::admin::Api;
use crate::admin::access::Asker;
use crate::admin::answer::Problem;
use crate::admin::api::{QUESTION_MAX, within};
use crate::audit::query::{Field, Origin, Setter};
use crate::base::clock::Timestamp;
use crate::console::fields::value;
use crate::console::sentence::actor;
use crate::console::shown::Shown;
use crate::console::text::{date_clock, exact, grouped, pointer};
use crate::console::words::decision;
use crate::policy::Decision;

/// The most fields that are shown.
const FIELDS_MAX: usize = 300;

/// The section.
pub(super) async fn section(
    api: &Api,
    asker: &Asker,
    id: &str,
    time: Timestamp,
) -> Result<Markup, Problem> {
    asker.may_look_inside()?;
    let found = within(QUESTION_MAX, async {
        let _source = api.bodies(asker, &[]).await?;
        Ok(api.reader().blame(id, time).await?)
    });
    let Some(blame) = found.await? else { return Ok(super::state::not_seen_yet()) };
    api.note_look(asker, &[blame.change]);
    let fields = blame.fields();
    let mut shown = Shown::new(true, String::new());
    let mut rows = Vec::new();
    for field in fields.iter().take(FIELDS_MAX) {
        if shown.bytes == 0 {
            break;
        }
        rows.push(row(field, &mut shown));
    }
    let left_out = fields.len() - rows.len();
    Ok(html! {
        section aria-labelledby="blame" {
            h2 #blame { "Who set what, as of " (exact(&time.to_string())) }
            table.list.blame {
                caption.unseen { "Fields, their values, and the change that set each" }
                thead { tr {
                    th scope="col" { "Field" } th scope="col" { "Value" }
                    th scope="col" { "Set (UTC)" } th scope="col" { "By" }
                } }
                tbody { @for row in rows { (row) } }
            }
            @if left_out > 0 { p.more { (grouped(left_out)) " more fields" } }
        }
    })
}

fn row(field: &Field<'_>, shown: &mut Shown) -> Markup {
    html! {
        tr.item {
            th scope="row" { (pointer(&field.path)) }
            td { (value(field.value, shown)) }
            @match field.origin {
                Origin::Change(setter) => (set(setter, false)),
                Origin::Server(setter) => (set(setter, true)),
                Origin::Around { after, before, before_at, .. } => {
                    td.time { "before " (date_clock(&before_at.to_string())) }
                    td {
                        "around the gateway, between "
                        a href=(format!("/changes/{after}")) { "this change" } " and "
                        a href=(format!("/changes/{before}")) { "this one" }
                    }
                }
                Origin::Erased { change, at } => {
                    td.time { "before " (date_clock(&at.to_string())) }
                    td {
                        "erased, of "
                        a href=(format!("/changes/{change}")) { "this change" } " or one before it"
                    }
                }
                Origin::Unseen { before, before_at } => {
                    td.time { "before " (date_clock(&before_at.to_string())) }
                    td {
                        "before the log; found by "
                        a href=(format!("/changes/{before}")) { "this change" }
                    }
                }
            }
        }
    }
}

fn set(setter: &Setter, by_server: bool) -> Markup {
    let told = serde_json::json!(setter.actor);
    let target = format!("/changes/{}", setter.change);
    html! {
        td.time {
            a href=(target) { (date_clock(&setter.at.to_string())) }
        }
        td {
            @if by_server {
                "the server itself, with " a href=(target) { "this change" }
            } @else { (actor(&told)) }
            @if setter.unclear { " " span.dim { "(its end was unclear)" } }
            @if setter.decision != Decision::Allow { " " (decision(setter.decision.name())) }
        }
    }
}
