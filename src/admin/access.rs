//! Access to the API. Without tokens the listener is on loopback only (the configuration's
//! check sees to it), and then what must be kept out is a web page in the operator's browser.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::answer::{Problem, harden};
use super::body::Counted;
use super::holder::{self, Holder};
use super::local::local;
use super::places::Presence;
use super::session::{self, Session};
use super::share::Share;
use super::{AdminState, Api, ROUTES};
use crate::base::peer::PeerAddress;
use crate::config::Role;

/// The sender of a question: its role decides what is shown, its share how much at once.
#[derive(Clone, Debug)]
pub(crate) struct Asker {
    pub(crate) role: Role,
    pub(crate) share: Arc<Share>,
    /// The holder of the right to ask; `None` where none is asked for.
    pub(crate) holder: Option<Holder>,
    /// The session that it was shown by, where it was.
    pub(crate) session: Option<Session>,
}

/// The mark of an answer that goes on as long as its asker stays: it is bounded by its own means,
/// and holds up no question.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Streamed;

impl Asker {
    /// Whether the right that was shown holds still.
    pub(crate) fn is_known(&self, api: &Api) -> bool {
        let Some(holder) = &self.holder else { return api.state.is_open() };
        let lasts = self.session.is_none_or(|session| session.holds(&api.state, holder));
        lasts && holder.is_known(&api.state)
    }
}

/// Lets a call through with its [`Asker`] as an extension, or answers it.
pub(crate) async fn guard(State(api): State<Api>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let open = ROUTES.iter().any(|route| route.open && route.path == path);
    let mut answer = if open {
        next.run(request).await
    } else {
        // What writes is asked for by a token alone: no browser adds that by itself.
        let by_session = request.method().is_safe();
        admit(&api, request, next, by_session).await.unwrap_or_else(Problem::into_response)
    };
    harden(&mut answer);
    answer
}

/// Answers a question of somebody who may ask. Until the answer is sent it is counted, and its
/// connection need not make room for others. `by_session` takes the console's cookie for a token.
pub(crate) async fn admit(
    api: &Api,
    mut request: Request,
    next: Next,
    by_session: bool,
) -> Result<Response, Problem> {
    let (holder, session) = holder_of(&api.state, &request, by_session)?;
    let share = api.askers.share(holder.as_ref().map(Holder::identity));
    let role = holder.as_ref().map_or(Role::Auditor, |holder| holder.role);
    let question = api.askers.question(&share).ok_or_else(Problem::too_many_questions)?;
    let answering = request.extensions().get::<Presence>().map(Presence::begin);
    let asker = Asker { role, share, holder, session };
    request.extensions_mut().insert(asker.clone());
    let mut answer = next.run(request).await;
    answer.extensions_mut().insert(asker);
    if answer.extensions().get::<Streamed>().is_some() {
        return Ok(answer);
    }
    Ok(answer.map(|body| Body::new(Counted { body, _until_sent: (question, answering) })))
}

/// The holder who asks; `None` where none is asked for, and who asks is an auditor. A token that is
/// sent counts first, then a proxy's word, then the cookie. The latter two come with whatever a
/// browser sends, so that they count only where `by_session` says so.
fn holder_of(
    state: &AdminState,
    request: &Request,
    by_session: bool,
) -> Result<(Option<Holder>, Option<Session>), Problem> {
    let headers = request.headers();
    if state.is_open() {
        return local(request.uri(), headers).map(|()| (None, None));
    }
    if by_session && !headers.contains_key(header::AUTHORIZATION) {
        let peer = request.extensions().get::<PeerAddress>().copied();
        if let Some(holder) = holder::by_proxy(state, peer, headers)? {
            return Ok((Some(holder), None));
        }
        let (holder, session) = session::find(state, headers).ok_or_else(Problem::no_token)?;
        return Ok((Some(holder), Some(session)));
    }
    let token = bearer(headers).ok_or_else(Problem::no_token)?;
    let tokens = (state.tokens)();
    let holder = holder::by_token(&tokens, token).map(Holder::of).ok_or_else(Problem::no_token)?;
    Ok((Some(holder), None))
}

/// The one bearer token (RFC 6750, 2.1).
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(only), None) = (values.next(), values.next()) else { return None };
    let (scheme, token) = only.to_str().ok()?.split_once(' ')?;
    let token = token.trim_matches(' ');
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

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
