//! The way in to every page: who asks is made sure of, and what went wrong is shown as a page.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Redirect, Response};

use super::{assets, form, frame};
use crate::admin::Api;
use crate::admin::access::{Asker, admit};
use crate::admin::answer::{Problem, harden_as};
use crate::admin::local::local;

/// The rights of a page: its own stylesheet, script and icon, and forms to this address.
const SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    img-src 'self'; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; \
    base-uri 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

/// The facts of a call that its answer may need once it is over.
struct Entry {
    target: String,
    reads: bool,
    /// Whether a page of another site leads here.
    is_from_elsewhere: bool,
}

/// Lets a call through to its page.
pub(super) async fn guard(State(api): State<Api>, request: Request, next: Next) -> Response {
    let is_asset = request.uri().path().starts_with(assets::PREFIX);
    let entry = Entry::of(&request);
    let mut answer =
        if is_asset { next.run(request).await } else { page(&api, &entry, request, next).await };
    secure(&mut answer);
    if is_asset {
        let kept = HeaderValue::from_static("public, max-age=31536000, immutable");
        answer.headers_mut().insert(header::CACHE_CONTROL, kept);
    }
    answer
}

fn secure(answer: &mut Response) {
    harden_as(answer, SECURITY_POLICY);
    let headers = answer.headers_mut();
    let opener = HeaderName::from_static("cross-origin-opener-policy");
    headers.insert(opener, HeaderValue::from_static("same-origin"));
    // With `no-referrer` browsers would hide the origin of forms from this very site.
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
}

/// Answers with a page who comes with a browser to an address that there is not.
pub(super) async fn strays(State(api): State<Api>, request: Request, next: Next) -> Response {
    if request.uri().path() == "/favicon.ico" {
        let [_, _, icon] = assets::paths();
        return Redirect::permanent(icon).into_response();
    }
    let (entry, uri) = (Entry::of(&request), request.uri().clone());
    let is_for_reader = entry.reads && takes_pages(request.headers());
    let answer = next.run(request).await;
    let problem = answer.extensions().get::<Problem>().filter(|_| is_for_reader);
    let status = problem.filter(|_| !uri.path().starts_with("/api/")).map(Problem::status);
    let mut shown = match status {
        Some(StatusCode::UNAUTHORIZED | StatusCode::NOT_FOUND) if ends_in_slash(&uri) => {
            let path = uri.path().trim_matches('/');
            let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
            let target = format!("/{path}{query}");
            Redirect::permanent(form::own_target(Some(&target))).into_response()
        }
        Some(StatusCode::UNAUTHORIZED) => {
            Redirect::to(&form::login_path(&entry.target)).into_response()
        }
        Some(StatusCode::NOT_FOUND) => {
            let problem = Problem::not_found("no page has this address: see the pages there are");
            let mut page = frame::problem(&api, answer.extensions().get::<Asker>(), &problem);
            *page.status_mut() = StatusCode::NOT_FOUND;
            page
        }
        _ => return answer,
    };
    secure(&mut shown);
    shown
}

/// Whether somebody reads the answer: programs do not ask for pages.
fn takes_pages(headers: &HeaderMap) -> bool {
    let accepted = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    accepted.is_some_and(|accepted| accepted.contains("text/html"))
}

fn ends_in_slash(uri: &Uri) -> bool {
    uri.path().len() > 1 && uri.path().ends_with('/')
}

async fn page(api: &Api, entry: &Entry, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let is_login = path == "/login" || path.starts_with("/login/");
    // What an issuer sends back may end in an equals sign.
    if entry.reads
        && !is_login
        && let Some(clean) = form::without_empty(request.uri())
    {
        return Redirect::to(&clean).into_response();
    }
    if entry.is_from_elsewhere && entry.reads && !is_login {
        // The browser keeps the cookie back here, and brings it once this very site leads on.
        return frame::again(&entry.target).into_response();
    }
    let answered = if is_login {
        at_login(api, request, next).await
    } else {
        admit(api, request, next, true).await
    };
    let mut answer = answered.unwrap_or_else(Problem::into_response);
    let Some(problem) = answer.extensions_mut().remove::<Problem>() else { return answer };
    if problem.status() == StatusCode::UNAUTHORIZED && entry.reads {
        return Redirect::to(&form::login_path(&entry.target)).into_response();
    }
    let asker = answer.extensions().get::<Asker>();
    let page = frame::problem(api, asker, &problem);
    let (status, headers) = (answer.status(), std::mem::take(answer.headers_mut()));
    let mut shown = page.into_response();
    *shown.status_mut() = status;
    for name in [header::RETRY_AFTER, header::ALLOW] {
        shown.headers_mut().extend(headers.get(&name).cloned().map(|value| (name, value)));
    }
    shown
}

/// The login asks for no right. Where the listener needs none, it is for this machine alone.
async fn at_login(api: &Api, request: Request, next: Next) -> Result<Response, Problem> {
    if api.state.is_open() {
        local(request.uri(), request.headers())?;
    }
    Ok(next.run(request).await)
}

impl Entry {
    fn of(request: &Request) -> Self {
        let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
        Self {
            target: target.to_owned(),
            reads: matches!(*request.method(), Method::GET | Method::HEAD),
            is_from_elsewhere: leads_from_elsewhere(request.uri(), request.headers()),
        }
    }
}

/// Whether somebody follows a link of another site. A page that asks by itself is not that.
fn leads_from_elsewhere(uri: &Uri, headers: &HeaderMap) -> bool {
    let is = |name: &str, word: &str| headers.get(name).is_some_and(|value| value == word);
    let from_other = is("sec-fetch-site", "cross-site") || is("sec-fetch-site", "same-site");
    uri.authority().is_none()
        && from_other
        && is("sec-fetch-mode", "navigate")
        && is("sec-fetch-dest", "document")
}
