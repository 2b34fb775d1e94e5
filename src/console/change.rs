//! One change: who, from where, when, what it changed, what the policy said of it, and how it is
//! taken back.

mod contents;
mod decision;
mod facts;
mod revert;

pub(super) use self::revert::dry_run;

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use maud::{Markup, html};
use serde_json::Value;
use tokio::task::spawn_blocking;

use self::contents::Contents;
use super::changes::names_of;
use super::frame::{self, Tab};
use super::prose::side_by_side;
use super::sentence::sentence;
use super::text::at;
use super::words::outcome;
use crate::admin::Api;
use crate::admin::access::Asker;
use crate::admin::answer::Problem;
use crate::admin::api::{Answer, Id, QUESTION_MAX, within};
use crate::admin::asked::{Asked, Key, Kind, key, text};
use crate::admin::view;
use crate::audit::record::Change;
use crate::config::Role;

/// The query of the page.
pub(super) enum ChangePage {}

impl Kind for ChangePage {
    const KEYS: &'static [&'static [Key]] =
        &[&[key("diff", text, "How long texts are compared: inline, or side by side.")]];
}

/// The page.
pub(super) async fn show(
    State(api): State<Api>,
    Extension(asker): Extension<Asker>,
    id: Id,
    asked: Asked<ChangePage>,
) -> Answer {
    let side_by_side = side_by_side(asked.text("diff"))?;
    let change = api.bare_change(&asker, id).await?;
    let name = name(&api, &asker, &change).await?;
    let (change, contents) = contents(&api, &asker, change, side_by_side).await?;
    let seen = serde_json::to_value(view::seen(change, asker.role));
    let seen = seen.map_err(|error| Problem::store_fails(&error))?;
    let title = at(&seen, "/id").to_owned();
    let body = page(&api, asker.role, (&seen, name.as_deref()), &contents);
    frame::page(&api, &asker, (Tab::Changes, &title), &body)
}

/// The name of the deployment, for who may see it.
async fn name(api: &Api, asker: &Asker, change: &Change) -> Result<Option<String>, Problem> {
    let Some(id) = change.deployment_id.clone() else { return Ok(None) };
    Ok(names_of(api, asker, &[id]).await?.into_iter().next().flatten())
}

/// The inside of the change, for who may see it. The bodies are read in turn with everybody else's,
/// and compared on a thread of their own.
async fn contents(
    api: &Api,
    asker: &Asker,
    change: Change,
    side_by_side: bool,
) -> Result<(Change, Contents), Problem> {
    if asker.role < Role::Auditor {
        return Ok((change, Contents::Hidden));
    }
    within(QUESTION_MAX, async {
        let mut source = api.bodies(asker, &[change.id]).await?;
        let texts = source.texts.of(&change).await?;
        let turn = Arc::clone(&source.turn);
        let comparing = spawn_blocking(move || {
            let _until_compared = turn;
            let contents = Contents::of(&change, &texts, side_by_side)?;
            Ok::<_, serde_json::Error>((change, contents))
        });
        let compared = comparing.await.map_err(|broken| Problem::store_fails(&broken))?;
        compared.map_err(|error| Problem::store_fails(&error))
    })
    .await
}

fn page(
    api: &Api,
    role: Role,
    (change, name): (&Value, Option<&str>),
    contents: &Contents,
) -> Markup {
    let id = at(change, "/id");
    html! {
        article.change {
            div.head {
                div {
                    h1 { (sentence(change, name)) }
                    p.chips { (outcome(change)) " " code.id data-copy { (id) } }
                }
                p.links {
                    a href=(format!("/api/v1/changes/{id}")) data-key="r" { "Raw JSON" }
                }
            }
            (facts::why(change))
            (contents.changed(id))
            (decision::section(api, change))
            (facts::exceptions(change))
            (facts::section(change))
            (facts::proof(change, role))
            (contents.raw())
        }
    }
}
