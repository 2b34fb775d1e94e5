//! Header fields: which make a message unacceptable, which are between two hops only, which
//! would tell upstream what it need not know.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::uri::Authority;
use http::{Method, Uri, Version};

pub(super) use self::fields::{Fields, Marks, Sent, Sole};
use self::fields::{HOPS, Meaning, TELLTALES};
pub(super) use self::redirect::{Called, ProxyEnds};
use super::refusal::Refusal;
use crate::base::clock::Timestamp;
use crate::base::ids::RequestId;

mod fields;
mod redirect;

pub(super) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Fields that `Connection` must not name: without them the call would not be the one judged.
const END_TO_END: [&str; 11] = [
    "authorization",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "host",
    "idempotency-key",
    "if-match",
    "via",
    "x-api-key",
    "x-request-id",
];

/// The longest part of a credential that a request id may repeat, in bytes.
const REPEATED_BYTES_MAX: usize = 11;

/// Checks a request's form.
pub(super) fn accept_form(head: &Parts, fields: &Fields<'_>) -> Result<(), Refusal> {
    accept_method(&head.method, &head.uri)?;
    accept_names(&head.headers, fields)?;
    if fields.marks.any(Marks::TRANSFER_ENCODING) {
        accept_coding(&head.headers)?;
    }
    accept_host(head, fields)?;
    if fields.marks.any(Marks::EXPECT) { accept_expectation(&head.headers) } else { Ok(()) }
}

/// Brings the target into origin-form.
pub(super) fn origin_form(uri: &mut Uri) {
    if uri.authority().is_some() {
        // A path that is empty counts as `/`, and has to be sent as one.
        let path = uri.path_and_query().filter(|path| path.as_str() != "/").cloned();
        *uri = path.map_or_else(|| Uri::from_static("/"), Uri::from);
    }
}

/// A body comes as it is or in chunks; another transfer coding would hide it from the gateway
/// (RFC 9112, 6.1).
fn accept_coding(headers: &HeaderMap) -> Result<(), Refusal> {
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => Ok(()),
        (Some(only), None) if only.as_bytes().eq_ignore_ascii_case(b"chunked") => Ok(()),
        _ => Err(Refusal::form("only Transfer-Encoding: chunked is taken: send nothing else")),
    }
}

fn accept_method(method: &Method, uri: &Uri) -> Result<(), Refusal> {
    if method == Method::CONNECT {
        return Err(Refusal::form("CONNECT is not served here: call the API's paths directly"));
    }
    if uri.path() == "*" {
        return Err(Refusal::form("the target * is not served here: name a path"));
    }
    match *method {
        Method::GET
        | Method::HEAD
        | Method::POST
        | Method::PUT
        | Method::PATCH
        | Method::DELETE
        | Method::OPTIONS => Ok(()),
        _ => Err(Refusal::unknown_method()),
    }
}

fn accept_names(headers: &HeaderMap, fields: &Fields<'_>) -> Result<(), Refusal> {
    match fields.unfit {
        None => {}
        Some((_, Meaning::Override)) => {
            let text = fields.unfit.map_or("", |(name, _)| name);
            return Err(Refusal::form(format!(
                "the header {text} would make this another request: remove it and send the \
                 method and path that you mean"
            )));
        }
        Some((_, Meaning::Length)) => {
            return Err(Refusal::form("Content-Length begins with a zero: send the number alone"));
        }
        Some(_) => {
            return Err(Refusal::form(
                "a header name has characters outside A-Z a-z 0-9 and -, or is nearly that of a \
                 body's length: rename or remove it",
            ));
        }
    }
    if !fields.marks.any(Marks::CONNECTION_NAMES) {
        return Ok(());
    }
    if let Some(named) = tokens(headers, &header::CONNECTION)
        .find(|named| END_TO_END.iter().any(|field| named.eq_ignore_ascii_case(field)))
    {
        let named = named.to_ascii_lowercase();
        return Err(Refusal::form(format!("Connection must not name {named}: remove it there")));
    }
    Ok(())
}

/// Exactly one host, however it is named: `Host`, `:authority`, or the target in absolute-form.
fn accept_host(head: &Parts, fields: &Fields<'_>) -> Result<(), Refusal> {
    let host = match fields.host {
        // The common case first: what is plain need not be parsed to be compared with nothing.
        Sole::One(host) if head.uri.authority().is_none() && is_plain_host(host.as_bytes()) => {
            return Ok(());
        }
        Sole::One(host) => Some(parse_host(host)?),
        Sole::None => None,
        Sole::Several => {
            return Err(Refusal::form("more than one Host header: send exactly one"));
        }
    };
    match (head.uri.authority(), &host) {
        (None, None) => return Err(Refusal::form("no Host header: send exactly one")),
        (Some(_), None) if head.version < Version::HTTP_2 => {
            return Err(Refusal::form("no Host header: send exactly one"));
        }
        (Some(target), Some(host)) if !target.as_str().eq_ignore_ascii_case(host.as_str()) => {
            return Err(Refusal::form("the target's host is not the one in Host: send one host"));
        }
        _ => {}
    }
    Ok(())
}

/// A name or an IPv4 address, with a port or without one.
fn is_plain_host(host: &[u8]) -> bool {
    let letter = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-');
    let name = host.iter().take_while(|b| letter(b)).count();
    match host.split_at(name) {
        ([], _) => false,
        (_, []) => true,
        (_, [b':', port @ ..]) => {
            (1..=5).contains(&port.len()) && port.iter().all(u8::is_ascii_digit)
        }
        _ => false,
    }
}

fn parse_host(value: &HeaderValue) -> Result<Authority, Refusal> {
    let authority = Authority::try_from(value.as_bytes()).ok();
    authority
        .filter(|authority| !authority.as_str().contains('@'))
        .ok_or_else(|| Refusal::form("the Host header is not a host: send host or host:port"))
}

fn accept_expectation(headers: &HeaderMap) -> Result<(), Refusal> {
    let unmet = headers
        .get_all(header::EXPECT)
        .iter()
        .any(|value| !value.as_bytes().eq_ignore_ascii_case(b"100-continue"));
    if unmet { Err(Refusal::expectation()) } else { Ok(()) }
}

/// The client's own request id where it sent one, well-formed; else a new one. An id that repeats
/// a part of the credential is not kept: request ids are logged.
pub(super) fn request_id(headers: &HeaderMap, fields: &Fields<'_>, now: Timestamp) -> RequestId {
    let Sole::One(only) = fields.request_id else { return RequestId::new(now) };
    let kept = only.to_str().ok().and_then(RequestId::well_formed);
    let leaks = |id: &RequestId| {
        [&header::AUTHORIZATION, &HeaderName::from_static("x-api-key")]
            .into_iter()
            .flat_map(|name| headers.get_all(name))
            .any(|value| value.to_str().is_ok_and(|value| repeats(id.as_str(), value)))
    };
    // Nor one that looks like anybody's token.
    let likely =
        |id: &RequestId| ["pt-", "sk-ant-"].iter().any(|start| id.as_str().contains(start));
    kept.filter(|id| !leaks(id) && !likely(id)).unwrap_or_else(|| RequestId::new(now))
}

/// Whether `id` holds a telling part of the credential in a header value such as `Bearer x`.
fn repeats(id: &str, value: &str) -> bool {
    let token = value.split_ascii_whitespace().next_back().unwrap_or_default().as_bytes();
    let part = token.len().min(REPEATED_BYTES_MAX + 1);
    part > 0 && token.windows(part).any(|part| id.as_bytes().windows(part.len()).any(|w| w == part))
}

/// Removes what concerns only the connection it came on (RFC 9110, 7.6.1), and keeps
/// `TE: trailers`, which says something of the client.
fn strip_hop_by_hop(headers: &mut HeaderMap, marks: Marks) {
    if marks.any(Marks::CONNECTION_NAMES) {
        let named: Vec<HeaderName> = tokens(headers, &header::CONNECTION)
            .filter_map(|name| HeaderName::try_from(name).ok())
            .filter(|name| name != header::TE)
            .collect();
        for name in named {
            headers.remove(name);
        }
    }
    if marks.any(Marks::CONNECTION) {
        headers.remove(header::CONNECTION);
    }
    if marks.any(Marks::TE) {
        let trailers =
            tokens(headers, &header::TE).any(|coding| coding.eq_ignore_ascii_case("trailers"));
        headers.remove(header::TE);
        if trailers {
            headers.insert(header::TE, HeaderValue::from_static("trailers"));
        }
    }
    if marks.any(Marks::TRANSFER_ENCODING) {
        headers.remove(header::TRANSFER_ENCODING);
        // An answer may have both, and then this one is not true (RFC 9112, 6.3).
        headers.remove(header::CONTENT_LENGTH);
    }
    if marks.any(Marks::HOP) {
        for name in HOPS {
            headers.remove(name);
        }
    }
}

/// Makes a client's header the one that upstream gets. Its host is replaced when it is sent.
pub(super) fn toward_upstream(
    headers: &mut HeaderMap,
    marks: Marks,
    version: Version,
    id: &RequestId,
) {
    strip_hop_by_hop(headers, marks);
    if marks.any(Marks::TELLTALE) {
        for name in TELLTALES {
            headers.remove(name);
        }
    }
    if marks.any(Marks::OURS) {
        remove_ours(headers);
    }
    if marks.any(Marks::EXPECT) {
        headers.remove(header::EXPECT);
    }
    if marks.any(Marks::TWIN) {
        for name in [header::AUTHORIZATION, HeaderName::from_static("x-api-key")] {
            if let Some(first) = headers.get(&name).cloned() {
                headers.insert(name, first);
            }
        }
    }
    if marks.any(Marks::COOKIE) {
        join_cookies(headers);
    }
    add_via(headers, version);
    headers.insert(X_REQUEST_ID, id.as_value().clone());
}

/// Removes what the gateway alone says, or is alone told.
fn remove_ours(headers: &mut HeaderMap) {
    for name in [
        "changegate-change",
        "changegate-decision",
        "changegate-approval",
        "changegate-break-glass",
        "changegate-reverts",
    ] {
        headers.remove(name);
    }
}

/// Removes what a trailer must not say: some servers take it for a part of the header.
pub(super) fn without_orders(mut trailers: HeaderMap) -> HeaderMap {
    let orders = trailers.keys().filter(|name| !fields::is_plain(name.as_str()));
    let orders: Vec<HeaderName> = orders.cloned().collect();
    for name in orders {
        trailers.remove(name);
    }
    trailers
}

/// Several lengths that are equal are one, for clients that take no list; of others there is none,
/// as where no body tells them apart.
fn join_lengths(headers: &mut HeaderMap) {
    let first = tokens(headers, &header::CONTENT_LENGTH).next();
    let is_one = tokens(headers, &header::CONTENT_LENGTH).all(|length| Some(length) == first);
    let first = first.filter(|_| is_one).and_then(|first| HeaderValue::from_str(first).ok());
    match first {
        Some(first) => drop(headers.insert(header::CONTENT_LENGTH, first)),
        None => drop(headers.remove(header::CONTENT_LENGTH)),
    }
}

/// HTTP/2 may split `Cookie`; HTTP/1.1 may not (RFC 9113, 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let mut cookies = headers.get_all(header::COOKIE).iter();
    if cookies.next().is_none() || cookies.next().is_none() {
        return;
    }
    let parts: Vec<&[u8]> =
        headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if let Ok(joined) = HeaderValue::from_bytes(&parts.join(&b"; "[..])) {
        headers.insert(header::COOKIE, joined);
    }
}

/// Makes upstream's header the one that the client gets; upstream does not speak in our name.
pub(super) fn toward_client(headers: &mut HeaderMap, version: Version, ends: ProxyEnds<'_>) {
    let marks = Fields::of(headers).marks;
    strip_hop_by_hop(headers, marks);
    if marks.any(Marks::LEADS) {
        // It names another server than this one for the same origin (RFC 7838).
        headers.remove(header::ALT_SVC);
        redirect::lead_here(headers, ends);
    }
    if marks.any(Marks::LENGTHS) {
        join_lengths(headers);
    }
    if marks.any(Marks::OURS) {
        remove_ours(headers);
    }
    add_via(headers, version);
}

/// Says that the message passed here (RFC 9110, 7.6.3).
pub(super) fn add_via(headers: &mut HeaderMap, received: Version) {
    static HTTP_10: HeaderValue = HeaderValue::from_static("1.0 changegate");
    static HTTP_11: HeaderValue = HeaderValue::from_static("1.1 changegate");
    static HTTP_2: HeaderValue = HeaderValue::from_static("2 changegate");
    let via = match received {
        Version::HTTP_10 => &HTTP_10,
        Version::HTTP_2 => &HTTP_2,
        _ => &HTTP_11,
    };
    headers.append(header::VIA, via.clone());
}

fn tokens<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|token| token.split(';').next().unwrap_or(token).trim())
        .filter(|token| !token.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_id_repeats_no_telling_part_of_the_credential() {
        for (id, told) in [
            ("pt-alice-0123456789", true),
            ("x.pt-alice-0123456789.x", true),
            ("alice-012345", true),
            ("alice-01234", false),
            ("some-other-request-id", false),
        ] {
            assert_eq!(repeats(id, "Bearer pt-alice-0123456789"), told, "{id}");
        }
        assert!(repeats("abc", "abc") && !repeats("abd", "abc") && !repeats("abc", ""));
    }
}
