//! The body of a call that is more than a question: JSON, bounded, and sent by no page of another
//! site.

use std::time::Duration;

use axum::body::{Bytes, to_bytes};
use axum::extract::{FromRequest, Request};
use axum::http::uri::{Authority, Uri};
use axum::http::{HeaderMap, header};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::timeout;

use super::answer::Problem;

/// How long a body may take to come.
const BODY_WAIT: Duration = Duration::from_secs(10);

/// A body that is sent.
pub(crate) trait Body: DeserializeOwned {
    /// The most bytes that it may have.
    const BYTES_MAX: usize;

    /// The name of its one member, where it has one.
    const MEMBER: Option<&str>;

    /// The text to write, as an example.
    const EXAMPLE: &str;
}

/// A call with its body.
pub(crate) struct Sent<T>(pub(crate) T);

impl<T: Body, S: Sync> FromRequest<S> for Sent<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Problem> {
        let bytes = bytes(request, T::BYTES_MAX).await?;
        // A list would be read as the members in their order.
        let is_object = bytes.trim_ascii_start().starts_with(b"{");
        let body = is_object.then(|| serde_json::from_slice(&bytes).ok()).flatten();
        body.map(Self).ok_or_else(|| unread::<T>(&bytes))
    }
}

/// The fault of a body that can't be read, in words that repeat no value.
fn unread<T: Body>(bytes: &[u8]) -> Problem {
    let example = T::EXAMPLE;
    let Ok(body) = serde_json::from_slice::<Value>(bytes) else {
        return Problem::invalid("", format!("the body is not JSON: write {example}"));
    };
    let known = |name: &&String| T::MEMBER == Some(name.as_str());
    let other = body.as_object().and_then(|members| members.keys().find(|name| !known(name)));
    if let Some(name) = other {
        let message = format!("this member means nothing here: leave it out, and write {example}");
        return Problem::invalid(name, message);
    }
    match T::MEMBER.filter(|_member| body.is_object()) {
        Some(member) => Problem::invalid(member, format!("{member}: write {example}")),
        None => Problem::invalid("", format!("the body: write {example}")),
    }
}

/// The bytes of a body in JSON, at most so many.
pub(crate) async fn bytes(request: Request, bytes_max: usize) -> Result<Bytes, Problem> {
    of_this_site(request.uri(), request.headers())?;
    is_json(request.headers())?;
    let reading = timeout(BODY_WAIT, to_bytes(request.into_body(), bytes_max)).await;
    let bytes = reading.map_err(|_elapsed| Problem::too_slow())?;
    bytes.map_err(|_cut| Problem::too_large(bytes_max))
}

/// Refuses what a page of another site can make a browser send. The token alone would do as long as
/// no browser adds it by itself.
pub(crate) fn of_this_site(uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
    let foreign = || {
        Err(Problem::forbidden(
            "a page of another site asks for this: only pages of this address, and programs, may",
        ))
    };
    let is_own = |site: &[u8]| site == b"same-origin" || site == b"none";
    if !headers.get_all("sec-fetch-site").iter().all(|site| is_own(site.as_bytes())) {
        return foreign();
    }
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let host = uri.authority().map(Authority::as_str).or(host);
    let mut origins = headers.get_all(header::ORIGIN).iter();
    let is_of_host = origins.all(|origin| {
        let origin = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
        origin.is_some_and(|(_, authority)| Some(authority) == host)
    });
    if is_of_host { Ok(()) } else { foreign() }
}

/// A form of another site can't send this type.
fn is_json(headers: &HeaderMap) -> Result<(), Problem> {
    let mut types = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(only), None) = (types.next(), types.next()) else { return Err(Problem::no_json()) };
    let essence = only.to_str().ok().and_then(|text| text.split(';').next()).unwrap_or_default();
    let is_json = essence.trim().eq_ignore_ascii_case("application/json");
    if is_json { Ok(()) } else { Err(Problem::no_json()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pages_of_this_address_and_programs_may_send() {
        let cases: [(&[(&str, &str)], bool); 9] = [
            (&[], true),
            (&[("sec-fetch-site", "same-origin"), ("origin", "http://127.0.0.1:8081")], true),
            (&[("sec-fetch-site", "none")], true),
            (&[("sec-fetch-site", "cross-site")], false),
            (&[("sec-fetch-site", "same-site")], false),
            (&[("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")], false),
            (&[("origin", "http://127.0.0.1:8082")], false),
            (&[("origin", "null")], false),
            (&[("origin", "https://evil.example")], false),
        ];
        for (fields, expected) in cases {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, "127.0.0.1:8081".parse().unwrap());
            for (name, value) in fields {
                let name: axum::http::HeaderName = name.parse().unwrap();
                headers.append(name, value.parse().unwrap());
            }
            let found = of_this_site(&Uri::from_static("/api/v1/x"), &headers).is_ok();
            assert_eq!(found, expected, "{fields:?}");
        }
    }
}
