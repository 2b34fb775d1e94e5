//! Pages of other origins (the Fetch standard's CORS protocol): those that `listen.cors` lists may
//! call the gateway from a browser, and read its answers and upstream's.
//!
//! Answers never carry `access-control-allow-credentials`: a page brings the token
//! itself, and no browser adds a cookie.

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Method, StatusCode};
use hyper::body::{Body as _, Incoming};

use super::headers::{Fields, accept_form};
use super::response::{Reply, whole};
use crate::config::Listen;
use crate::telemetry::CallClass;

/// The methods that pages may use: those that the gateway knows.
const METHODS: HeaderValue =
    HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");

/// How long a browser may remember what a preflight was told, in seconds; the most that Chromium
/// takes.
const MAX_AGE: HeaderValue = HeaderValue::from_static("7200");

/// The parts of a preflight on which its answer depends.
const PREFLIGHT_VARIES: HeaderValue = HeaderValue::from_static(
    "origin, access-control-request-method, access-control-request-headers",
);

/// The fields of an answer that pages may read beside those that they always may.
const EXPOSED: HeaderValue = HeaderValue::from_static(
    "changegate-change, changegate-decision, changegate-approval, x-request-id, request-id, \
     retry-after, x-ratelimit-limit, x-ratelimit-remaining, x-ratelimit-reset, etag, warning, \
     x-should-retry, idempotent-replayed",
);

/// Fields of upstream's that would say something else than the gateway does.
const OVERRULED: [HeaderName; 5] = [
    header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
    header::ACCESS_CONTROL_ALLOW_HEADERS,
    header::ACCESS_CONTROL_ALLOW_METHODS,
    header::ACCESS_CONTROL_ALLOW_ORIGIN,
    header::ACCESS_CONTROL_MAX_AGE,
];

/// The longest list of fields that a preflight is told back, in bytes; of a longer one, none.
const ASKED_BYTES_MAX: usize = 4096;

/// A page's origin that is listed: its place in `listen.cors`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ListedOrigin(u16);

impl ListedOrigin {
    /// The origin of the page that sent a request; `None` where it is not listed, or not one.
    pub(super) fn of(listen: &Listen, headers: &HeaderMap) -> Option<Self> {
        if listen.cors.is_empty() {
            return None;
        }
        let mut sent = headers.get_all(header::ORIGIN).iter();
        let only = sent.next().filter(|_| sent.next().is_none())?;
        let place = listen.cors.iter().position(|listed| listed == only)?;
        u16::try_from(place).ok().map(Self)
    }

    /// Whether the page's browser asks with this request whether it may send another.
    pub(super) fn is_preflight(head: &Parts, fields: &Fields<'_>, body: &Incoming) -> bool {
        head.method == Method::OPTIONS
            && head.headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
            && body.is_end_stream()
            && accept_form(head, fields).is_ok()
    }

    /// Lets the page read an answer. Upstream's own fields of this kind are about those who call it
    /// directly, so the gateway's win; the names that upstream exposes are exposed beside ours.
    pub(super) fn allow(self, reply: &mut Reply, listen: &Listen, class: CallClass) {
        let Some(origin) = listen.cors.get(usize::from(self.0)) else { return };
        let headers = reply.headers_mut();
        if class != CallClass::Preflight {
            for name in OVERRULED {
                headers.remove(name);
            }
            headers.append(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
            if !varies_by_origin(headers) {
                headers.append(header::VARY, HeaderValue::from_static("origin"));
            }
        }
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    }
}

/// The answer to a preflight, but for the origin that is [allowed](ListedOrigin::allow).
pub(super) fn preflight(asked: &HeaderMap) -> Reply {
    let mut reply = whole(StatusCode::NO_CONTENT, Bytes::new());
    let headers = reply.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE);
    headers.insert(header::VARY, PREFLIGHT_VARIES);
    let mut lists = asked.get_all(header::ACCESS_CONTROL_REQUEST_HEADERS).iter();
    let list = lists.next().filter(|list| is_list_of_names(list) && lists.next().is_none());
    if let Some(list) = list {
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, list.clone());
    }
    reply
}

fn varies_by_origin(headers: &HeaderMap) -> bool {
    let lists = headers.get_all(header::VARY).iter().filter_map(|value| value.to_str().ok());
    let mut names = lists.flat_map(|list| list.split(',')).map(str::trim);
    names.any(|name| name == "*" || name.eq_ignore_ascii_case("origin"))
}

/// Whether a value holds names of fields and commas, and is no longer than is told back.
fn is_list_of_names(list: &HeaderValue) -> bool {
    let fits = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_,. \t".contains(byte);
    list.len() <= ASKED_BYTES_MAX && list.as_bytes().iter().all(fits)
}
