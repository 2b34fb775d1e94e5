//! Answers to operators: JSON, or a problem in the envelope that clients of the proxy know too.

use std::time::Duration;

use axum::Json;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::filter::BadFilter;
use crate::audit::query::QueryError;

/// The most characters of a name that is repeated to its sender.
const PARAM_CHARS_MAX: usize = 64;

/// The rights of a browser that shows an answer as a page. `frame-ancestors`, `base-uri` and
/// `form-action` do not follow from `default-src`.
const CONTENT_SECURITY_POLICY: &str =
    "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Why a question is not answered, and what would be right.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    kind: &'static str,
    message: String,
    param: Option<String>,
    /// After how many seconds asking again may help.
    retry_after: Option<u16>,
    /// The methods that the path takes.
    allowed: &'static str,
}

/// A problem as its asker reads it.
#[derive(Serialize, ToSchema)]
#[schema(as = Error)]
pub(crate) struct Envelope {
    #[serde(rename = "type")]
    #[schema(inline)]
    kind: EnvelopeKind,
    #[schema(inline)]
    error: Told,
}

/// The word by which an envelope is known.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum EnvelopeKind {
    Error,
}

/// The contents of an [`Envelope`].
#[derive(Serialize, ToSchema)]
#[schema(description = "What is wrong.")]
struct Told {
    /// The kind.
    #[serde(rename = "type")]
    kind: &'static str,
    /// The fault, and its fix.
    message: String,
    /// The query key, or the member of the body, that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    param: Option<String>,
}

/// After how many seconds a question may be asked again that found no room.
const RETRY_AFTER: u16 = 2;

impl Problem {
    fn new(status: StatusCode, kind: &'static str, message: impl Into<String>) -> Self {
        let (message, allowed) = (message.into(), "GET, HEAD");
        Self { status, kind, message, param: None, retry_after: None, allowed }
    }

    /// The status of its answer.
    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    /// The fault, and its fix.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// The query key, or the member of the body, that it is about.
    pub(crate) fn param(&self) -> Option<&str> {
        self.param.as_deref()
    }

    /// A fault of what is asked, in the key or member `param`; empty where it is in none.
    pub(crate) fn invalid(param: &str, message: impl Into<String>) -> Self {
        let param = (!param.is_empty()).then(|| param.chars().take(PARAM_CHARS_MAX).collect());
        let problem = Self::new(StatusCode::BAD_REQUEST, "invalid_request_error", message);
        Self { param, ..problem }
    }

    pub(crate) fn query_too_long(bytes_max: usize) -> Self {
        let message = format!("the query is longer than {bytes_max} bytes: ask for less at once");
        Self::new(StatusCode::BAD_REQUEST, "invalid_request_error", message)
    }

    pub(crate) fn no_token() -> Self {
        let message = "send an admin token: authorization: Bearer <token>, \
            whose SHA-256 stands in an [[admin.token]] of the configuration";
        Self::new(StatusCode::UNAUTHORIZED, "authentication_error", message)
    }

    pub(crate) fn forbidden(message: &str) -> Self {
        Self::new(StatusCode::FORBIDDEN, "permission_error", message)
    }

    pub(crate) fn conflict(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "conflict_error", message)
    }

    pub(crate) fn too_slow() -> Self {
        let message = "the body did not come in time: send the call again";
        Self::new(StatusCode::REQUEST_TIMEOUT, "invalid_request_error", message)
    }

    pub(crate) fn too_large(bytes_max: usize) -> Self {
        let message = format!("the body is longer than {bytes_max} bytes, or it broke off");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "invalid_request_error", message)
    }

    pub(crate) fn no_json() -> Self {
        let message = "send a body in JSON, with content-type: application/json";
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "invalid_request_error", message)
    }

    pub(crate) fn no_form() -> Self {
        let message = "send the fields of a form: application/x-www-form-urlencoded";
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "invalid_request_error", message)
    }

    pub(crate) fn unavailable(error: &(dyn std::error::Error + 'static)) -> Self {
        tracing::error!(error, "a call is not recorded");
        Self::later("the audit store can't take this, so nothing was done: try again later")
    }

    pub(crate) fn broke_off(error: &(dyn std::error::Error + 'static)) -> Self {
        tracing::error!(error, "an evaluation broke off");
        Self::later("the evaluation broke off: see the gateway's log lines, and report it")
    }

    pub(crate) fn takes_too_long(longest: Duration) -> Self {
        let message = format!(
            "the answer takes longer than {} s: narrow the question, by since or deployment_id, \
             or ask on the command line, which waits (changegate audit)",
            longest.as_secs()
        );
        Self::later(message)
    }

    pub(crate) fn too_many_questions() -> Self {
        Self::later("too many questions are on their way: ask again when they are answered")
    }

    pub(crate) fn too_many_streams() -> Self {
        Self::later("too many lists are followed live: close some, or load the list anew")
    }

    pub(crate) fn no_room() -> Self {
        Self::later(
            "the answers that are on their way leave no room for this one: ask again later, \
             or for less at once",
        )
    }

    pub(crate) fn store_fails(error: &(dyn std::error::Error + 'static)) -> Self {
        tracing::error!(error, "a question failed");
        Self::later("the audit store does not answer: try again later, and see /readyz")
    }

    fn later(message: impl Into<String>) -> Self {
        let problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, "api_error", message);
        Self { retry_after: Some(RETRY_AFTER), ..problem }
    }

    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found_error", message)
    }
}

impl From<BadFilter> for Problem {
    fn from(bad: BadFilter) -> Self {
        // The one sign in these texts that a URL says otherwise (WHATWG URL, 5.1).
        let is_time = matches!(bad.param, "since" | "until" | "time");
        let hint = if is_time { " (a + in a URL is %2B)" } else { "" };
        Self::invalid(bad.param, format!("{bad}{hint}"))
    }
}

impl From<QueryError> for Problem {
    fn from(error: QueryError) -> Self {
        let message = error.to_string();
        match error {
            QueryError::BadCursor => Self::invalid("cursor", message),
            QueryError::ManyNamed { .. } => {
                Self::invalid("deployment_name", format!("deployment_name: {message}"))
            }
            QueryError::Missing { .. } | QueryError::Foreign { .. } | QueryError::Store(_) => {
                Self::store_fails(&error)
            }
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let problem = self.clone();
        let error = Told { kind: self.kind, message: self.message, param: self.param };
        let body = Envelope { kind: EnvelopeKind::Error, error };
        let mut answer = (self.status, Json(body)).into_response();
        let headers = answer.headers_mut();
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::METHOD_NOT_ALLOWED {
            headers.insert(header::ALLOW, HeaderValue::from_static(self.allowed));
        }
        // The console shows it as a page.
        answer.extensions_mut().insert(problem);
        answer
    }
}

/// The answer to a path that no route has.
pub(crate) async fn no_such_path() -> Problem {
    Problem::not_found("there is nothing at this path: /openapi.json names every one")
}

/// The answer to another method than GET and HEAD.
pub(crate) async fn only_reads() -> Problem {
    let message = "this path is only read: use GET";
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "invalid_request_error", message)
}

/// The answer to another method than POST.
pub(crate) async fn only_posts() -> Problem {
    let message = "this path is not read: use POST";
    let problem = Problem::new(StatusCode::METHOD_NOT_ALLOWED, "invalid_request_error", message);
    Problem { allowed: "POST", ..problem }
}

/// Tells a browser, in every answer: keep nothing, guess nothing, run nothing, frame nothing.
pub(crate) fn harden(answer: &mut Response) {
    harden_as(answer, CONTENT_SECURITY_POLICY);
}

/// The same, where a page may do what `security_policy` says.
pub(crate) fn harden_as(answer: &mut Response, security_policy: &'static str) {
    let headers = answer.headers_mut();
    for (name, value) in [
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CONTENT_SECURITY_POLICY, security_policy),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}
