//! The console: pages for people, on the admin listener. They ask what the API asks, by the same
//! code and under the same bounds, and show of it what the API shows that role.
//!
//! Everything works without a script. Texts that came from outside pass [`text`], which leaves
//! nothing in them that is not seen; and every page is small, however large what it tells of is.

mod actors;
mod approvals;
mod assets;
mod change;
mod changes;
mod chart;
mod columns;
mod deployment;
mod deployments;
mod door;
mod drift;
mod fields;
mod filters;
mod form;
mod frame;
mod live;
mod log;
mod login;
mod overview;
mod pager;
mod policy;
mod prose;
mod sentence;
mod shown;
mod text;
mod views;
mod words;

use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use axum::{Extension, Router};

pub(crate) use self::views::hold as hold_view;
use crate::admin::Api;
use crate::admin::answer;
use crate::config::CALLBACK;

/// The console's paths beside those of the API.
pub(crate) fn router(api: Api, others: Router) -> Router {
    others.merge(pages(api.clone())).layer(from_fn_with_state(api, door::strays))
}

fn pages(api: Api) -> Router {
    let router = Router::new()
        .route("/", get(overview::show))
        .route("/changes", get(changes::list))
        .route("/changes/live", get(live::stream))
        .route("/changes/{id}", get(change::show))
        .route("/changes/{id}/revert", get(change::dry_run))
        .route("/deployments", get(deployments::list))
        .route("/deployments/{id}", get(deployment::show))
        .route("/approvals", get(approvals::list))
        .route("/approvals/{id}", get(approvals::show))
        .route("/approvals/{id}/change", get(approvals::whole))
        .route("/approvals/{id}/approve", post(approvals::approve).fallback(answer::only_posts))
        .route("/approvals/{id}/reject", post(approvals::reject).fallback(answer::only_posts))
        .route("/policy", get(policy::show).post(policy::judge))
        .route("/policy/backtest", get(policy::backtest_form).post(policy::backtest))
        .route("/policy/texts", get(policy::texts))
        .route("/policy/texts/{digest}", get(policy::one_text))
        .route("/drift", get(drift::list))
        .route("/actors", get(actors::show))
        .route("/log", get(log::show))
        .route("/log/sinks/{id}/resume", post(log::sinks::resume).fallback(answer::only_posts))
        .route("/log/sinks/{id}/test", post(log::sinks::test).fallback(answer::only_posts))
        .route("/login", get(login::form).post(login::enter))
        .route("/login/oidc", get(login::begin))
        .route(CALLBACK, get(login::finish))
        .route("/logout", post(login::leave).fallback(answer::only_posts));
    let router = assets::ALL.iter().fold(router, |router, asset| {
        router.route(&asset.path, get(move || async move { asset.answer() }))
    });
    router
        .method_not_allowed_fallback(answer::only_reads)
        .layer(from_fn_with_state(api.clone(), door::guard))
        .layer(Extension(login::Issuers::default()))
        .with_state(api)
}
