//! The change that an approval is about, as far as its page shows it, and how much is left out.

use maud::{Markup, html};
use serde_json::Value;
use tokio::task::spawn_blocking;

use super::TEXT_CHARS_MAX;
use crate::admin::Api;
use crate::admin::access::Asker;
use crate::admin::answer::Problem;
use crate::admin::api::Id;
use crate::console::fields::places;
use crate::console::sentence::without_rule;
use crate::console::shown::{LeftOut, Shown};
use crate::console::text::{at, cut_ticked, items, shown};

/// The words where no place differs.
pub(super) const NO_PLACE: &str = "No place differs, or the log no longer has it.";

/// An approval, as its page shows it.
pub(super) struct Contents {
    pub(super) approval: Value,
    places: Markup,
    /// How much of what would change is not shown.
    pub(super) left_out: LeftOut,
}

/// The page of everything that an approval would change.
pub(super) fn whole(id: &str) -> String {
    format!("/approvals/{id}/change")
}

impl Contents {
    /// The approval that a path names. It is compared on a thread of its own.
    pub(super) async fn of(api: &Api, asker: &Asker, id: Id) -> Result<Self, Problem> {
        let seen = api.seen_approval(asker, id).await?;
        let approval = serde_json::to_value(&seen).map_err(|error| Problem::store_fails(&error))?;
        let compared = spawn_blocking(move || Self::compared(approval)).await;
        compared.map_err(|broken| Problem::store_fails(&broken))
    }

    fn compared(approval: Value) -> Self {
        let mut bounds = Shown::new(true, whole(at(&approval, "/id")));
        let places = match approval.get("diff").and_then(Value::as_array) {
            None => html! {
                p.dim { "Your role, viewer, does not show it: the role auditor does." }
            },
            Some(all) if all.is_empty() => html! {
                p.dim { (NO_PLACE) }
            },
            Some(all) => places("What exactly would change", all, &mut bounds),
        };
        Self { approval, places, left_out: bounds.left_out }
    }

    /// The section of what would change.
    pub(super) fn section(&self) -> Markup {
        let broken = items(&self.approval, "/violations");
        let id = at(&self.approval, "/id");
        html! {
            section aria-labelledby="asked" {
                div.head {
                    h2 #asked { "What exactly would change" }
                    @if self.approval.get("diff").is_some() {
                        p.links {
                            a href=(whole(id)) { "All of it as text" } " "
                            a href=(format!("/api/v1/approvals/{id}")) data-key="r" { "Raw JSON" }
                        }
                    }
                }
                (self.places)
                @if !broken.is_empty() {
                    ul.broken { @for rule in broken {
                        @let (name, message) = (at(rule, "/rule"), at(rule, "/message"));
                        li {
                            code { (shown(name)) } " "
                            (cut_ticked(without_rule(message, name), TEXT_CHARS_MAX))
                        }
                    } }
                }
            }
        }
    }
}
