//! Queries and forms: the pairs that they are made of, and the forms that write.

use std::time::Duration;

use axum::body::to_bytes;
use axum::extract::Request;
use axum::http::{HeaderMap, Uri, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use subtle::ConstantTimeEq as _;
use tokio::time::timeout;

use crate::admin::Api;
use crate::admin::access::Asker;
use crate::admin::answer::Problem;
use crate::admin::sent::of_this_site;
use crate::admin::session;

/// The name of the field that holds a form's token.
pub(super) const TOKEN: &str = "form";

/// How long a form may take to come.
const FORM_WAIT: Duration = Duration::from_secs(10);

/// The most fields of a form that are looked at.
const FIELDS_MAX: usize = 64;

/// All bytes but those that stand for themselves in a segment of a path (RFC 3986, 2.3).
const OF_SEGMENTS: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The same of a query, where these read better as they are.
const OF_QUERIES: &AsciiSet = &OF_SEGMENTS.remove(b'/').remove(b':');

/// The pairs of a query or a form.
pub(super) type Pairs = Vec<(String, String)>;

/// `text` as it stands in a query.
pub(super) fn encoded(text: &str) -> String {
    utf8_percent_encode(text, OF_QUERIES).to_string()
}

/// A segment of a path.
pub(super) fn segment(text: &str) -> String {
    utf8_percent_encode(text, OF_SEGMENTS).to_string()
}

/// A path with a query of these pairs.
pub(super) fn with_query<'p>(
    path: &str,
    pairs: impl Iterator<Item = (&'p str, &'p str)>,
) -> String {
    let mut target = path.to_owned();
    for (place, (key, text)) in pairs.enumerate() {
        target.push(if place == 0 { '?' } else { '&' });
        target.push_str(&encoded(key));
        target.push('=');
        target.push_str(&encoded(text));
    }
    target
}

/// The target without the fields that a form left empty; `None` where it has none.
pub(super) fn without_empty(uri: &Uri) -> Option<String> {
    let query = uri.query().filter(|query| query.split('&').any(|pair| pair.ends_with('=')))?;
    let filled = query.split('&').filter(|pair| !pair.ends_with('=') && !pair.is_empty());
    let filled = filled.collect::<Vec<_>>().join("&");
    let mark = if filled.is_empty() { "" } else { "?" };
    // One slash: two would lead to another host.
    let path = uri.path().trim_start_matches('/');
    Some(format!("/{path}{mark}{filled}"))
}

/// The login that leads to `target` afterwards.
pub(super) fn login_path(target: &str) -> String {
    if target == "/" { "/login".to_owned() } else { format!("/login?next={}", encoded(target)) }
}

/// A target of this console, as a login may lead to; the overview for any other one.
pub(super) fn own_target(text: Option<&str>) -> &str {
    let is_own = |text: &&str| {
        text.starts_with('/')
            && !text.starts_with("//")
            && text.bytes().all(|byte| (b'!'..=b'~').contains(&byte) && byte != b'\\')
    };
    text.filter(is_own).unwrap_or("/")
}

/// The pairs of a form, at most `bytes_max` bytes of it, which a page of this site has sent.
pub(super) async fn sent(request: Request, bytes_max: usize) -> Result<Pairs, Problem> {
    of_this_site(request.uri(), request.headers())?;
    is_form(request.headers())?;
    let reading = timeout(FORM_WAIT, to_bytes(request.into_body(), bytes_max)).await;
    let bytes = reading.map_err(|_elapsed| Problem::too_slow())?;
    let bytes = bytes.map_err(|_cut| Problem::too_large(bytes_max))?;
    pairs(&bytes).ok_or_else(|| {
        Problem::invalid("", "the form can't be read: load the page anew, and send it again")
    })
}

/// The pairs that the bytes of a form are (WHATWG URL, 5.1); `None` where they are no text.
fn pairs(bytes: &[u8]) -> Option<Pairs> {
    let text = std::str::from_utf8(bytes).ok()?;
    let decoded = |part: &str| {
        let spaced = part.replace('+', " ");
        percent_decode_str(&spaced).decode_utf8().ok().map(std::borrow::Cow::into_owned)
    };
    let parts = text.split('&').filter(|pair| !pair.is_empty()).take(FIELDS_MAX);
    let pair = |pair: &str| {
        let (key, text) = pair.split_once('=').unwrap_or((pair, ""));
        Some((decoded(key)?, decoded(text)?))
    };
    parts.map(pair).collect()
}

/// The value of a field.
pub(super) fn field<'p>(pairs: &'p Pairs, name: &str) -> Option<&'p str> {
    pairs.iter().find(|(key, _)| key == name).map(|(_, text)| text.as_str())
}

/// Holds that a form came from a page that this very session was shown.
pub(super) fn is_own(api: &Api, asker: &Asker, pairs: &Pairs) -> Result<(), Problem> {
    let brought = field(pairs, TOKEN).unwrap_or_default();
    let wanted = token(api, asker);
    if bool::from(wanted.as_bytes().ct_eq(brought.as_bytes())) {
        return Ok(());
    }
    Err(Problem::forbidden("this form is not of your session: load the page anew, and send it"))
}

/// The text that forms of this asker's pages bring along.
pub(super) fn token(api: &Api, asker: &Asker) -> String {
    session::form_token(&api.state, asker.session, asker.holder.as_ref())
}

fn is_form(headers: &HeaderMap) -> Result<(), Problem> {
    let wanted = "application/x-www-form-urlencoded";
    let found = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = found.and_then(|text| text.split(';').next()).unwrap_or_default();
    if essence.trim().eq_ignore_ascii_case(wanted) { Ok(()) } else { Err(Problem::no_form()) }
}
