//! The login: an admin token, or an issuer's word, for a cookie, and back.

mod by_issuer;
mod pending;

pub(super) use self::by_issuer::{Issuers, begin, finish};

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Redirect, Response};
use maud::{Markup, html};

use super::{form, frame, text};
use crate::admin::Api;
use crate::admin::access::Asker;
use crate::admin::answer::Problem;
use crate::admin::cookie::{Cookie, is_plain};
use crate::admin::holder::{Holder, by_token};
use crate::admin::session;

/// The longest form, in bytes.
const FORM_BYTES_MAX: usize = 16 << 10;

/// The form.
pub(super) async fn form(State(api): State<Api>, uri: Uri) -> Response {
    let asked = axum::extract::Query::<form::Pairs>::try_from_uri(&uri);
    let pairs = asked.map(|query| query.0).unwrap_or_default();
    page(&api, form::own_target(form::field(&pairs, "next")), None)
}

/// Takes a token, and gives the cookie that stands for it.
pub(super) async fn enter(State(api): State<Api>, request: Request) -> Result<Response, Problem> {
    let headers = request.headers().clone();
    let pairs = form::sent(request, FORM_BYTES_MAX).await?;
    let next = form::own_target(form::field(&pairs, "next")).to_owned();
    let token = form::field(&pairs, "token").unwrap_or_default().trim();
    let tokens = (api.state.tokens)();
    let Some(token) = by_token(&tokens, token) else {
        let wrong = "No [[admin.token]] has the SHA-256 of this token. See that it is whole.";
        let mut answer = page(&api, &next, Some(wrong));
        *answer.status_mut() = StatusCode::UNAUTHORIZED;
        return Ok(answer);
    };
    if !is_plain(&api.state, &headers) && is_in_clear(&headers) {
        return Err(Problem::forbidden(
            "a login takes https, or the host name localhost: set listen.admin_tls, or put a \
             proxy with TLS in front",
        ));
    }
    tracing::info!(token = token.name, "a login to the console");
    let cookie = session::cookie(&api.state, &headers, &Holder::of(token));
    Ok(leading(&next, cookie))
}

/// Ends a session.
pub(super) async fn leave(
    State(api): State<Api>,
    Extension(asker): Extension<Asker>,
    request: Request,
) -> Result<Response, Problem> {
    let headers = request.headers().clone();
    let pairs = form::sent(request, FORM_BYTES_MAX).await?;
    form::is_own(&api, &asker, &pairs)?;
    Ok(leading("/login", Cookie::Session.end(&api.state, &headers)))
}

fn leading(target: &str, cookie: HeaderValue) -> Response {
    let mut answer = Redirect::to(target).into_response();
    answer.headers_mut().insert(header::SET_COOKIE, cookie);
    answer
}

/// Whether the page that sent a form came without TLS, by its own word.
fn is_in_clear(headers: &HeaderMap) -> bool {
    headers.get(header::ORIGIN).is_some_and(|origin| origin.as_bytes().starts_with(b"http://"))
}

fn page(api: &Api, next: &str, wrong: Option<&str>) -> Response {
    let logins = (api.state.logins)();
    let has_tokens = !(api.state.tokens)().is_empty();
    let body = html! {
        div.login {
            h1 { "Changegate" }
            @if api.state.is_open() {
                p { "No [[admin.token]] is configured, so that this machine reads without a login. \
                    Deciding on approvals takes a token." }
                p { a.button href="/" { "To the overview" } }
            } @else {
                p { "Who changed which scheduled agent, from what to what." }
                @if let Some(wrong) = wrong {
                    p.wrong #wrong role="alert" { (text::shown(wrong)) }
                }
                @if let Some(oidc) = &logins.oidc { (issuer_link(next, &oidc.issuer)) }
                @if has_tokens { (token_form(next, wrong, logins.oidc.is_none())) }
                @if logins.proxy.is_some() {
                    p.dim { "Who comes by the proxy that knows people needs no login here." }
                }
            }
        }
    };
    frame::bare("Log in", &body).into_response()
}

/// The way to the issuer, a link: browsers follow no form from here to another site.
fn issuer_link(next: &str, issuer: &str) -> Markup {
    let pairs = std::iter::once(("next", next)).filter(|(_, next)| *next != "/");
    let host = issuer.split("://").nth(1).and_then(|rest| rest.split('/').next());
    html! {
        p {
            a.button.primary href=(form::with_query("/login/oidc", pairs)) {
                "Log in with " (text::shown(host.unwrap_or(issuer)))
            }
        }
    }
}

fn token_form(next: &str, wrong: Option<&str>, is_first: bool) -> Markup {
    html! {
        form method="post" action="/login" {
            input type="hidden" name="next" value=(next);
            label for="token" { "Admin token" }
            input #token type="password" name="token" required autocomplete="current-password"
                autofocus[is_first] spellcheck="false"
                aria-describedby=(if wrong.is_some() { "wrong about-token" } else { "about-token" })
                aria-invalid=[wrong.map(|_| "true")];
            p #about-token.dim {
                "The token of an [[admin.token]] in the configuration. It is sent once; a cookie \
                stands for it for 12 hours, at every gateway of this log."
            }
            button.primary type="submit" { "Log in" }
        }
    }
}
