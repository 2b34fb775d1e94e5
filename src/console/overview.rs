//! The overview: what is new.

use axum::Extension;
use axum::extract::State;
use maud::html;

use super::changes::{self, rows};
use super::frame::{self, Tab};
use crate::admin::Api;
use crate::admin::access::Asker;
use crate::admin::api::Answer;
use crate::admin::asked::{self, Asked};
use crate::audit::query::{Filter, PageRequest};

/// How many changes it shows.
const NEWEST: u16 = 12;

/// The page.
pub(super) async fn show(
    State(api): State<Api>,
    Extension(asker): Extension<Asker>,
    _nothing: Asked<asked::Nothing>,
) -> Answer {
    let part = PageRequest { limit: NEWEST, cursor: None };
    let page = api.seen_changes(&asker, Filter::default(), part).await?;
    let newest = rows(&api, &asker, page).await?;
    let body = html! {
        div.head { h1 { "Overview" } }
        section aria-labelledby="newest" {
            div.head { h2 #newest { "Newest changes" } a href="/changes" { "All changes" } }
            @if newest.changes.is_empty() {
                div.empty {
                    p { "No change is recorded yet. Point a client's base URL at the gateway's \
                        proxy address and update a deployment: it stands here at once." }
                }
            } @else { (changes::table(&newest)) }
        }
    };
    frame::page(&api, &asker, (Tab::Overview, "Overview"), &body)
}
