//! The login by an issuer: to it, and back.

use std::sync::{Arc, Mutex, PoisonError};

use axum::Extension;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Redirect, Response};

use super::super::form::{self, Pairs};
use super::pending::Pending;
use super::{leading, page};
use crate::admin::Api;
use crate::admin::answer::Problem;
use crate::admin::cookie::Cookie;
use crate::admin::holder::{BY_ISSUER, Holder, no_role};
use crate::admin::session;
use crate::base::excerpt::excerpt;
use crate::base::visible::chain;
use crate::oidc::{Issuer, OidcError};

/// The most characters that are repeated of what an issuer says.
const SAID_CHARS_MAX: usize = 200;

/// The issuer that is asked, with what is known of it, as long as it is configured in the same way.
/// Clones share it.
#[derive(Clone, Debug, Default)]
pub(in super::super) struct Issuers(Arc<Mutex<Option<Arc<Issuer>>>>);

impl Issuers {
    /// The issuer that is configured now.
    fn now(&self, api: &Api) -> Result<Arc<Issuer>, Problem> {
        let logins = (api.state.logins)();
        let config = logins.oidc.as_ref().ok_or_else(|| {
            Problem::not_found("no issuer is configured: add [admin.oidc], or log in by a token")
        })?;
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(issuer) = known.as_ref().filter(|issuer| issuer.config() == &**config) {
            return Ok(Arc::clone(issuer));
        }
        let issuer = Arc::new(Issuer::new(Arc::clone(config)));
        *known = Some(Arc::clone(&issuer));
        Ok(issuer)
    }
}

/// Leads a browser to the issuer.
pub(in super::super) async fn begin(
    State(api): State<Api>,
    Extension(issuers): Extension<Issuers>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Problem> {
    let issuer = issuers.now(&api)?;
    let pairs = pairs(&uri);
    let next = form::own_target(form::field(&pairs, "next"));
    let pending = Pending::new(&api.state, next);
    let url = issuer.login_url(&pending.secrets(&api.state), api.state.clock.now()).await;
    match url {
        Ok(url) => {
            let mut answer = Redirect::to(&url).into_response();
            let cookie = pending.cookie(&api.state, &headers);
            answer.headers_mut().insert(header::SET_COOKIE, cookie);
            Ok(answer)
        }
        Err(error) => Ok(failed(&api, next, &error)),
    }
}

/// Takes a browser back from the issuer.
pub(in super::super) async fn finish(
    State(api): State<Api>,
    Extension(issuers): Extension<Issuers>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Problem> {
    let issuer = issuers.now(&api)?;
    let pairs = pairs(&uri);
    let brought = |name| form::field(&pairs, name);
    let state = brought("state").unwrap_or_default();
    let Some(pending) = Pending::find(&api.state, &headers, state) else {
        return Ok(not_begun(&api, &issuer));
    };
    let next = pending.next.as_str();
    let Some(code) = brought("code") else {
        let said = ["error", "error_description"].map(|name| brought(name).unwrap_or_default());
        let said = excerpt(said.join(" ").trim(), SAID_CHARS_MAX);
        return Ok(failed(&api, next, &OidcError::Refused(said)));
    };
    let now = api.state.clock.now();
    let answer = (code, brought("iss"));
    let person = match issuer.person(answer, &pending.secrets(&api.state), now).await {
        Ok(person) => person,
        Err(error) => return Ok(failed(&api, next, &error)),
    };
    let role = (api.state.logins)().roles.role_of(&person.groups).ok_or_else(no_role)?;
    let name = (api.state.person_named)(&person.name);
    let holder = Holder::by_word(&api.state, BY_ISSUER, name, role);
    tracing::info!(person = holder.shown(), ?role, "a login to the console, by the issuer");
    let mut answer = leading(next, session::cookie(&api.state, &headers, &holder));
    answer.headers_mut().append(header::SET_COOKIE, Cookie::Pending.end(&api.state, &headers));
    Ok(answer)
}

fn pairs(uri: &Uri) -> Pairs {
    Query::<Pairs>::try_from_uri(uri).map(|query| query.0).unwrap_or_default()
}

/// The answer to an issuer's word that belongs to no login of this browser.
fn not_begun(api: &Api, issuer: &Issuer) -> Response {
    let home = issuer.config().redirect_url.strip_suffix(crate::config::CALLBACK);
    let wrong = format!(
        "This login was not begun in this browser, or more than 10 minutes ago. Begin it on this \
         page, opened as {}.",
        home.unwrap_or_default()
    );
    wrong_page(api, "/", &wrong, StatusCode::BAD_REQUEST)
}

fn failed(api: &Api, next: &str, error: &OidcError) -> Response {
    tracing::warn!(error = chain(error), "a login by the issuer failed");
    let status = match error {
        OidcError::Refused(_) | OidcError::Token(_) | OidcError::OtherIssuer => {
            StatusCode::FORBIDDEN
        }
        OidcError::Busy | OidcError::Resting | OidcError::Slow => StatusCode::SERVICE_UNAVAILABLE,
        _other => StatusCode::BAD_GATEWAY,
    };
    let mut wrong = chain(error);
    if let Some(first) = wrong.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    wrong_page(api, next, &(wrong + "."), status)
}

fn wrong_page(api: &Api, next: &str, wrong: &str, status: StatusCode) -> Response {
    let mut answer = page(api, next, Some(wrong));
    *answer.status_mut() = status;
    answer
}
