//! Access to the API. Without tokens the listener is on loopback only (the configuration's
//! check sees to it), and then what must be kept out is a web page in the operator's browser.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConditionallySelectable as _, ConstantTimeEq as _};

use super::answer::{Problem, harden};
use super::body::Counted;
use super::places::Presence;
use super::share::Share;
use super::{AdminState, Api, ROUTES};
use crate::config::{AdminToken, Role};

/// The sender of a question: its role decides what is shown, its share how much at once.
#[derive(Clone, Debug)]
pub(super) struct Asker {
    pub(super) role: Role,
    pub(super) share: Arc<Share>,
    /// The token that was shown; `None` where none is asked for.
    pub(super) holder: Option<AdminToken>,
}

/// Lets a call through with its [`Asker`] as an extension, or answers it.
pub(super) async fn guard(State(api): State<Api>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let open = ROUTES.iter().any(|route| route.open && route.path == path);
    let mut answer = if open {
        next.run(request).await
    } else {
        admit(&api, request, next).await.unwrap_or_else(Problem::into_response)
    };
    harden(&mut answer);
    answer
}

/// Answers a question of somebody who may ask. Until the answer is sent it is counted, and its
/// connection need not make room for others.
async fn admit(api: &Api, mut request: Request, next: Next) -> Result<Response, Problem> {
    let holder = holder_of(&api.state, &request)?;
    let share = api.askers.share(holder.as_ref().map(|holder| holder.sha256));
    let role = holder.as_ref().map_or(Role::Auditor, |holder| holder.role);
    let question = api.askers.question(&share).ok_or_else(Problem::too_many_questions)?;
    let answering = request.extensions().get::<Presence>().map(Presence::begin);
    request.extensions_mut().insert(Asker { role, share, holder });
    let answer = next.run(request).await;
    Ok(answer.map(|body| Body::new(Counted { body, _until_sent: (question, answering) })))
}

/// The token of who asks; `None` where none is asked for, and who asks is an auditor.
fn holder_of(state: &AdminState, request: &Request) -> Result<Option<AdminToken>, Problem> {
    let tokens = (state.tokens)();
    if tokens.is_empty() {
        return local(request.uri(), request.headers()).map(|()| None);
    }
    let token = bearer(request.headers()).ok_or_else(Problem::no_token)?;
    holder(&tokens, token).cloned().map(Some).ok_or_else(Problem::no_token)
}

/// The one bearer token (RFC 6750, 2.1).
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(only), None) = (values.next(), values.next()) else { return None };
    let (scheme, token) = only.to_str().ok()?.split_once(' ')?;
    let token = token.trim_matches(' ');
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// The holder of a token. All of them are compared whole, so that the time taken tells nothing.
fn holder<'a>(tokens: &'a [AdminToken], token: &str) -> Option<&'a AdminToken> {
    let digest: [u8; 32] = Sha256::digest(token.as_bytes()).into();
    let mut place = u32::MAX;
    for (candidate, token) in (0..).zip(tokens) {
        let same: Choice = token.sha256.ct_eq(&digest);
        place.conditional_assign(&candidate, same);
    }
    tokens.get(usize::try_from(place).ok()?)
}

/// Refuses what a foreign web page can make a browser send: a host name that was bent to this
/// address (DNS rebinding), and a request across sites.
fn local(uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
    let hosts = headers.get_all(header::HOST).iter();
    let mut hosts = hosts.map(|host| host.to_str().unwrap_or_default()).peekable();
    let target = uri.authority().is_none_or(is_local);
    let read = |host: &str| host.parse().is_ok_and(|host| is_local(&host));
    if !target || hosts.peek().is_none() || !hosts.all(read) {
        return Err(Problem::forbidden(
            "without an admin token only the host names localhost, 127.0.0.1 and [::1] are \
             answered: use one of them, or configure an [[admin.token]]",
        ));
    }
    if headers.get_all("sec-fetch-site").iter().any(|site| site == "cross-site") {
        return Err(Problem::forbidden(
            "a page of another site asked: open this address by itself, \
             or configure an [[admin.token]]",
        ));
    }
    Ok(())
}

fn is_local(authority: &Authority) -> bool {
    let host = authority.host();
    let named = host.eq_ignore_ascii_case("localhost") || matches!(host, "127.0.0.1" | "[::1]");
    named && !authority.as_str().contains('@')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_local_host_names_are_local() {
        for (host, expected) in [
            ("localhost", true),
            ("LocalHost:8081", true),
            ("127.0.0.1:8081", true),
            ("[::1]", true),
            ("[::1]:9", true),
            ("localhost.evil.example", false),
            ("evil.example", false),
            ("evil@localhost", false),
            ("127.0.0.2", false),
        ] {
            assert_eq!(host.parse().is_ok_and(|host| is_local(&host)), expected, "{host}");
        }
    }

    #[test]
    fn one_bearer_token_is_read_and_anything_else_is_none() {
        for (values, expected) in [
            (vec!["Bearer abc"], Some("abc")),
            (vec!["bearer  abc "], Some("abc")),
            (vec!["Bearer "], None),
            (vec!["Bearer"], None),
            (vec!["Basic abc"], None),
            (vec!["Bearer a", "Bearer b"], None),
            (vec![], None),
        ] {
            let mut headers = HeaderMap::new();
            for value in &values {
                headers.append(header::AUTHORIZATION, value.parse().unwrap());
            }
            assert_eq!(bearer(&headers), expected, "{values:?}");
        }
    }
}
