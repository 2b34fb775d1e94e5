//! Which deployment operation a method and a raw path are, if any.

#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;

use http::Method;
use percent_encoding::percent_decode_str;

use super::refusal::Refusal;
use crate::base::scan::{any, any_three};
use crate::config::AllowedWrite;
use crate::deployment::name::folded;
use crate::provider::{Operation, Provider};

/// The longest request target taken, in bytes.
const TARGET_BYTES_MAX: usize = 16 * 1024;

/// The longest deployment id taken, in bytes.
const ID_BYTES_MAX: usize = 256;

/// How often percent-encoding is undone when looking for a hidden segment.
const DECODINGS_MAX: usize = 4;

/// Query keys by which some servers let a request change its method.
const METHOD_KEYS: [&str; 3] = ["_method", "method", "_httpmethod"];

/// The query key by which some servers take a credential (RFC 6750, 2.3): the call would be
/// another caller's than the one who is limited and recorded.
const CREDENTIAL_KEY: &str = "access_token";

/// The kind of a call, by its method and path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// A deployment operation; its id where the operation has one.
    Governed { operation: Operation, deployment_id: Option<String> },
    /// `GET /deployments/{id}`: read whole, since the answer gets an etag.
    ReadDeployment { deployment_id: String },
    /// Anything else: passed on as it comes.
    Passthrough,
}

/// A call as its target names it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target<'a> {
    pub(super) method: &'a Method,
    pub(super) path: &'a str,
    pub(super) query: Option<&'a str>,
    pub(super) has_body: bool,
}

/// Judges a call by its raw target.
pub(super) fn classify(
    provider: &Provider,
    allowed: &[AllowedWrite],
    target: Target<'_>,
) -> Result<Route, Refusal> {
    let length = target.path.len() + target.query.map_or(0, str::len);
    if length > TARGET_BYTES_MAX {
        return Err(Refusal::uri_too_long(TARGET_BYTES_MAX));
    }
    let reads = [Method::GET, Method::HEAD].contains(target.method);
    if reads && target.has_body {
        return Err(Refusal::form(
            "a GET or HEAD takes no body here, for some servers would take it for another request: \
             remove it",
        ));
    }
    let concerns_deployments = names_deployments(target.path);
    if (!reads || concerns_deployments) && !is_canonical(target.path) {
        return Err(Refusal::form(
            "the path is not in its plain form: use segments of A-Z a-z 0-9 _ . - between single \
             slashes, without %, dot segments, or a slash at the end",
        ));
    }
    if !concerns_deployments {
        return if is_clear(target.path) { Ok(Route::Passthrough) } else { obscure_read(target) };
    }
    accept_query(target.query)?;
    let below: Option<Vec<&str>> = target
        .path
        .strip_prefix(provider.base_path)
        .and_then(|rest| rest.strip_prefix('/'))
        .map(|rest| rest.split('/').collect());
    if reads {
        return Ok(read_route(target, below.as_deref()));
    }
    accept_fields(provider, target.query)?;
    governed_route(target.method, below.as_deref())
        .or_else(|| allowed_route(target.method, below.as_deref(), allowed))
        .ok_or_else(|| not_governed(target, below.as_deref()))
}

/// The refusal names what an operator would write to let the call pass.
fn not_governed(target: Target<'_>, below: Option<&[&str]>) -> Refusal {
    let method = target.method;
    let Some(below) = below else {
        return Refusal::permission(format!(
            "{method} here is not a governed deployment operation, and upstream.allow_writes only \
             names paths below the provider's base"
        ));
    };
    let named = below.iter().enumerate().map(|(n, segment)| match n {
        1 if below.first() == Some(&"deployments") => "{id}",
        _ => segment,
    });
    let path: Vec<&str> = named.collect();
    Refusal::permission(format!(
        "{method} here is not a governed deployment operation: an operator can let it pass with \
         \"{method} /{}\" in upstream.allow_writes",
        path.join("/")
    ))
}

fn governed_route(method: &Method, below: Option<&[&str]>) -> Option<Route> {
    let post = method == Method::POST;
    let (operation, id) = match below? {
        ["deployments"] if post => (Operation::Create, None),
        ["deployments", id] if post || [Method::PATCH, Method::PUT].contains(method) => {
            (Operation::Update, Some(id))
        }
        ["deployments", id, verb] if post => (Operation::of_verb(verb)?, Some(id)),
        _ => return None,
    };
    if id.is_some_and(|id| id.len() > ID_BYTES_MAX) {
        return None;
    }
    Some(Route::Governed { operation, deployment_id: id.map(|id| (*id).to_owned()) })
}

fn allowed_route(
    method: &Method,
    below: Option<&[&str]>,
    allowed: &[AllowedWrite],
) -> Option<Route> {
    let below = below?;
    let fits =
        |entry: &AllowedWrite| {
            entry.method == *method
                && entry.segments.len() == below.len()
                && entry.segments.iter().zip(below).all(|(wanted, segment)| {
                    wanted.as_deref().is_none_or(|wanted| wanted == *segment)
                })
        };
    allowed.iter().any(fits).then_some(Route::Passthrough)
}

/// A read whose path some server may decode to one below `/deployments`: it has to stay a read.
fn obscure_read(target: Target<'_>) -> Result<Route, Refusal> {
    if !is_well_encoded(target.path) {
        return Err(Refusal::form(
            "the path has a \\, a % that encodes nothing, or %00: percent-encode what it means",
        ));
    }
    accept_query(target.query)?;
    Ok(Route::Passthrough)
}

fn read_route(target: Target<'_>, below: Option<&[&str]>) -> Route {
    match below {
        Some(["deployments", id]) if target.method == Method::GET && id.len() <= ID_BYTES_MAX => {
            Route::ReadDeployment { deployment_id: (*id).to_owned() }
        }
        _ => Route::Passthrough,
    }
}

fn accept_query(query: Option<&str>) -> Result<(), Refusal> {
    match keys_of(query).into_iter().find(|key| METHOD_KEYS.contains(&key.as_str())) {
        None => Ok(()),
        Some(key) => Err(Refusal::form(format!(
            "the query key {key} would make this another method: remove it"
        ))),
    }
}

/// Some servers take what a query says for a part of the body, which alone is judged.
fn accept_fields(provider: &Provider, query: Option<&str>) -> Result<(), Refusal> {
    let is_field = |key: &String| {
        let name = key.split(['[', '.']).next().unwrap_or(key);
        provider.fields.iter().any(|field| field.name == name)
    };
    let keys = keys_of(query);
    if keys.iter().any(|key| key == CREDENTIAL_KEY) {
        return Err(Refusal::form(format!(
            "the query key {CREDENTIAL_KEY} would make this another caller's: send the token in \
             the header alone"
        )));
    }
    match keys.into_iter().find(is_field) {
        None => Ok(()),
        Some(key) => Err(Refusal::form(format!(
            "the query key {key} names a field of the deployment: send it in the body"
        ))),
    }
}

/// The keys of a query, however they are written, also where it is decoded before it is split.
fn keys_of(query: Option<&str>) -> Vec<String> {
    let query = query.unwrap_or_default();
    let undone = decoded(query);
    let decoded_first = undone.split(['&', ';']).filter(|_| undone != query);
    let key = |pair: &str| {
        let key = pair.split('=').next().unwrap_or(pair).replace('+', " ");
        folded(&decoded(&key)).replace(char::is_control, "")
    };
    query.split(['&', ';']).chain(decoded_first).map(key).collect()
}

/// Whether it is told what a path is decoded to: plain text. On anything else servers do not agree.
fn is_clear(path: &str) -> bool {
    is_plain_text(path) || is_plain_text(&decoded(path))
}

/// Whether a text is printable ASCII that decodes to itself, and no slash but `/` in it.
fn is_plain_text(text: &str) -> bool {
    let odd = |byte: u8| !(b' '..=b'~').contains(&byte) || byte == b'%' || byte == b'\\';
    !any(text.as_bytes(), odd)
}

/// Whether all servers take the path: some refuse what encodes nothing, or a NUL, and some read a
/// backslash as a slash.
fn is_well_encoded(path: &str) -> bool {
    let encodes = |code: &str| {
        let digits = code.get(..2).filter(|digits| *digits != "00");
        digits.is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))
    };
    !path.contains('\\') && path.split('%').skip(1).all(encodes)
}

/// Whether every server reads the path alike: `/`-separated segments of `[A-Za-z0-9_.-]`, none
/// of them empty or of dots alone.
fn is_canonical(path: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
    let fits = |segment: &str| {
        !segment.is_empty() && segment.bytes().all(plain) && !segment.bytes().all(|b| b == b'.')
    };
    path == "/" || path.strip_prefix('/').is_some_and(|rest| rest.split('/').all(fits))
}

/// Whether any segment is `deployments`, however it is disguised: case, encoding, `;params`,
/// backslashes.
fn names_deployments(path: &str) -> bool {
    let is_it = |text: &str| {
        text.split(['/', '\\']).any(|segment| {
            let name = segment.split([';', '?', '#', '\0']).next().unwrap_or(segment).trim();
            if name.is_ascii() {
                name.eq_ignore_ascii_case("deployments")
            } else {
                caseless::default_caseless_match_str(name, "deployments")
            }
        })
    };
    // The common case first: nothing to undo, and no letters that could be its first ones.
    if is_plain_text(path) {
        return may_hold_it(path) && is_it(path);
    }
    is_it(path) || is_it(&decoded(path))
}

/// Whether `dep` stands anywhere in a text.
fn may_hold_it(text: &str) -> bool {
    let is = |byte: u8, letter: u8| byte | 0x20 == letter;
    any_three(text.as_bytes(), |one, two, three| is(one, b'd') && is(two, b'e') && is(three, b'p'))
}

/// Undoes percent-encoding until nothing changes, a bounded number of times.
fn decoded(text: &str) -> String {
    let mut text = text.to_owned();
    for _ in 0..DECODINGS_MAX {
        let next = percent_decode_str(&text).decode_utf8_lossy().into_owned();
        if next == text {
            break;
        }
        text = next;
    }
    text
}
