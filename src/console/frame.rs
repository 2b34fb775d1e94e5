//! The frame of every page: its head, the way to the other pages, who is logged in.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::{assets, form};
use crate::admin::Api;
use crate::admin::access::Asker;
use crate::admin::answer::Problem;
use crate::base::visible::plain;
use crate::config::Role;

/// A page of the navigation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tab {
    /// The newest of everything.
    Overview,
    /// Every governed call.
    Changes,
    /// The deployments that they were about.
    Deployments,
    /// Changes that wait for somebody's word.
    Approvals,
    /// The rules.
    Policy,
    /// Changes made around the gateway.
    Drift,
    /// The actors who ask.
    Actors,
    /// The log itself.
    Log,
}

impl Tab {
    const ALL: [Self; 8] = [
        Self::Overview,
        Self::Changes,
        Self::Deployments,
        Self::Approvals,
        Self::Policy,
        Self::Drift,
        Self::Actors,
        Self::Log,
    ];

    const fn path(self) -> &'static str {
        match self {
            Self::Overview => "/",
            Self::Changes => "/changes",
            Self::Deployments => "/deployments",
            Self::Approvals => "/approvals",
            Self::Policy => "/policy",
            Self::Drift => "/drift",
            Self::Actors => "/actors",
            Self::Log => "/log",
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Overview => "Overview",
            Self::Changes => "Changes",
            Self::Deployments => "Deployments",
            Self::Approvals => "Approvals",
            Self::Policy => "Policy",
            Self::Drift => "Drift",
            Self::Actors => "Actors",
            Self::Log => "Log",
        }
    }
}

/// The name of a role.
pub(super) const fn role_name(role: Role) -> &'static str {
    match role {
        Role::Viewer => "viewer",
        Role::Auditor => "auditor",
        Role::Approver => "approver",
        Role::Admin => "admin",
    }
}

/// A page below its navigation, as an answer.
pub(super) fn page(
    api: &Api,
    asker: &Asker,
    (tab, title): (Tab, &str),
    body: &Markup,
) -> Result<Response, Problem> {
    let shown = framed(api, Some(asker), Some(tab), title, body);
    api.budget.page(&shown.into_string())
}

/// A page without navigation.
pub(super) fn bare(title: &str, body: &Markup) -> Response {
    let shown = document(title, &html! { main #main.bare { (body) } });
    html_answer(shown)
}

/// A page that leads to itself once more.
pub(super) fn again(target: &str) -> Response {
    let target = form::own_target(Some(target));
    let shown = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="refresh" content=(format!("0;url={target}"));
                title { "Changegate" }
            }
            body { main { p { a href=(target) { "Go on to the page" } } } }
        }
    };
    html_answer(shown)
}

/// A page that tells of a problem.
pub(super) fn problem(api: &Api, asker: Option<&Asker>, problem: &Problem) -> Response {
    let (kind, title) = match problem.status() {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => ("forbidden", "No access"),
        StatusCode::NOT_FOUND => ("absent", "Nothing found"),
        status if status.is_server_error() => ("failed", "Not answered"),
        StatusCode::CONFLICT => ("failed", "Overtaken"),
        _ => ("failed", "Not understood"),
    };
    let body = html! {
        div class=(format!("problem {kind}")) {
            h1 { (title) }
            p { (super::text::ticked(&super::text::for_readers(problem.message()))) }
            @if kind == "failed" && problem.status().is_server_error() {
                p.dim { "Nothing is lost: the log goes on being written while pages fail." }
            }
            p { a href="/changes" { "All changes" } }
        }
    };
    html_answer(framed(api, asker, None, title, &body))
}

fn html_answer(shown: Markup) -> Response {
    let html = HeaderValue::from_static("text/html; charset=utf-8");
    ([(header::CONTENT_TYPE, html)], shown.into_string()).into_response()
}

fn framed(
    api: &Api,
    asker: Option<&Asker>,
    tab: Option<Tab>,
    title: &str,
    body: &Markup,
) -> Markup {
    let inner = html! {
        a.skip href="#main" { "Skip to the content" }
        header.bar {
            a.mark href="/" { (mark()) "Changegate" }
            nav aria-label="Pages" {
                ul {
                    @for each in Tab::ALL {
                        @let here = (tab == Some(each)).then_some("page");
                        li { a href=(each.path()) aria-current=[here] { (each.name()) } }
                    }
                }
            }
            @if let Some(asker) = asker { (who(api, asker)) }
        }
        p.printed {
            "Changegate, gateway " (super::text::shown(&(api.state.node)())) ": "
            (tab.map_or("", Tab::name)) ", " (super::text::shown(title))
            span data-address {}
            ", as of " (super::text::exact(&api.state.clock.now().to_string()))
        }
        main #main { (body) }
        footer.foot {
            p data-zones { "Times are UTC; rest the pointer on one for yours. Gateway "
                (super::text::shown(&(api.state.node)())) ", version "
                (env!("CARGO_PKG_VERSION")) "." }
        }
    };
    document(title, &inner)
}

fn document(title: &str, inner: &Markup) -> Markup {
    let [style, script, icon] = assets::paths();
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (plain(title)) " · Changegate" }
                link rel="icon" type="image/svg+xml" href=(icon);
                link rel="stylesheet" href=(style);
                script src=(script) defer {}
            }
            body { (inner) }
        }
    }
}

fn who(api: &Api, asker: &Asker) -> Markup {
    let role = role_name(asker.role);
    html! {
        div.who {
            @match &asker.holder {
                Some(holder) => {
                    span.name { (super::text::shown(holder.shown())) }
                    span.dim { (role) }
                    // A proxy's word ends at the proxy.
                    @if asker.session.is_some() {
                        form method="post" action="/logout" {
                            input type="hidden" name=(form::TOKEN) value=(form::token(api, asker));
                            button.quiet type="submit" { "Log out" }
                        }
                    }
                }
                None => span.dim { "No login: read only, as auditor" },
            }
        }
    }
}

/// The sign beside the name.
fn mark() -> Markup {
    PreEscaped(
        "<svg class=\"logo\" viewBox=\"0 0 16 16\" width=\"18\" height=\"18\" aria-hidden=\"true\">\
         <path d=\"M2 13V5a6 6 0 0 1 12 0v8\" fill=\"none\" stroke=\"currentColor\" \
         stroke-width=\"2\" stroke-linecap=\"round\"/>\
         <path d=\"M8 7v6M5 9.5v3.5M11 9.5v3.5\" fill=\"none\" stroke=\"currentColor\" \
         stroke-width=\"1.4\" stroke-linecap=\"round\"/></svg>"
            .to_owned(),
    )
}
