//! The query of a question: the keys that it may have, and the texts that it gives them.

use std::marker::PhantomData;

use axum::extract::{FromRequestParts, Query};
use axum::http::Uri;
use axum::http::request::Parts;
use percent_encoding::percent_decode_str;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{Ref, RefOr, Required, Schema};
use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::access::Asker;
use super::answer::Problem;
use super::filter::{self, SEARCH_CHARS_MAX};
use super::view;
use crate::audit::approval::{ApprovalKind, ApprovalState};
use crate::audit::query::{
    CountedBy, Cursor, EventFilter, Filter, LIMIT_MAX, PageRequest, Step, VALUES_MAX,
};
use crate::audit::record::Outcome;
use crate::deployment::diff::Effect;
use crate::export::Format;
use crate::policy::Decision;
use crate::provider::Operation;

/// The longest query, in bytes.
const QUERY_BYTES_MAX: usize = 8 * 1024;

/// How many items a page has where its asker does not say.
const LIMIT_DEFAULT: u16 = 50;

/// How many values of counts are named where the asker does not say.
pub(super) const VALUES_DEFAULT: u16 = 20;

/// A kind of query: that of one path.
pub(crate) trait Kind {
    /// The keys that such a query may have, in the order of the description.
    const KEYS: &'static [&'static [Key]];
}

/// The query of a list of changes.
pub(crate) enum Changes {}

/// The query of a path that takes none.
pub(crate) enum Nothing {}

/// The query of a list of deployments.
pub(crate) enum Deployments {}

/// The query of a deployment's history.
pub(crate) enum History {}

/// The query of a deployment at a moment.
pub(crate) enum At {}

/// The query of a list of events.
pub(crate) enum Events {}

/// The query of a list of changes made around the gateway.
pub(crate) enum Drifts {}

/// The query of counts.
pub(super) enum Stats {}

/// The query of an export.
pub(crate) enum Export {}

/// The query of a list of approvals.
pub(crate) enum Approvals {}

impl Kind for Changes {
    const KEYS: &'static [&'static [Key]] = &[WHICH, WHO, NARROWING, REQUEST, SPAN, SEARCH, PAGE];
}

impl Kind for Nothing {
    const KEYS: &'static [&'static [Key]] = &[];
}

impl Kind for Deployments {
    const KEYS: &'static [&'static [Key]] = &[PAGE];
}

impl Kind for History {
    const KEYS: &'static [&'static [Key]] = &[WHO, NARROWING, REQUEST, SPAN, SEARCH, PAGE];
}

impl Kind for At {
    const KEYS: &'static [&'static [Key]] = &[TIME];
}

impl Kind for Events {
    const KEYS: &'static [&'static [Key]] = &[ABOUT, WHO, REQUEST, SPAN, EVENT_SEARCH, PAGE];
}

impl Kind for Drifts {
    const KEYS: &'static [&'static [Key]] = &[DRIFTED, SPAN, PAGE];
}

impl Kind for Stats {
    const KEYS: &'static [&'static [Key]] = &[COUNTED, SPAN];
}

impl Kind for Export {
    const KEYS: &'static [&'static [Key]] =
        &[FORMAT, WHICH, WHO, NARROWING, REQUEST, SPAN, SEARCH, BEHIND];
}

impl Kind for Approvals {
    const KEYS: &'static [&'static [Key]] = &[APPROVALS, PAGE];
}

/// A key that a query may have.
pub(crate) struct Key {
    name: &'static str,
    /// The meaning of the key, for the API's description.
    about: &'static str,
    /// The texts that mean something.
    texts: fn() -> RefOr<Schema>,
    is_required: bool,
}

pub(crate) const WHICH: &[Key] = &[
    key("deployment_id", text, "Of this deployment."),
    key(
        "deployment_name",
        search,
        "Of the deployments whose newest name has this text in it, in any case of any script: at \
         most 64 (400). Not for viewers.",
    ),
];

const ABOUT: &[Key] = &[key(
    "deployment_id",
    text,
    "About this deployment: with its id in the path, or naming it, a change of it, or one that was \
     held up.",
)];

const DRIFTED: &[Key] = &[key("deployment_id", text, "Of this deployment.")];

pub(crate) const WHO: &[Key] = &[
    key(
        "actor",
        text,
        "By this actor: a fingerprint (pat_ and 16 hex digits), or a name, which finds too what \
         its tokens did before they were named.",
    ),
    key("team", text, "By this team."),
];

pub(crate) const NARROWING: &[Key] = &[
    key("operation", word::<Operation>, "Of this operation."),
    key("decision", word::<Decision>, "So decided."),
    key("outcome", word::<Outcome>, "So ended."),
    key("effect", word::<Effect>, "With this effect; of changes that were applied."),
    key("rule", text, "Breaking this rule."),
    key(
        "path",
        text,
        "Changing this place (a JSON Pointer) or one below it, computed fields aside. A viewer \
         asks for members of a deployment as a whole, such as /metadata.",
    ),
    key(
        "asked_path",
        text,
        "Asked to change this place or one below it, whatever came of it: what was denied or \
         refused too. A viewer asks as for path.",
    ),
];

pub(crate) const REQUEST: &[Key] = &[key("request_id", text, "Of this request.")];

pub(crate) const SPAN: &[Key] = &[
    key(
        "since",
        text,
        "At or after this moment: RFC 3339, a date (its begin in UTC), or how long ago, such as \
         24h or 7d.",
    ),
    key(
        "until",
        text,
        "Before this moment, which is later than since: RFC 3339, a date (its begin in UTC), or \
         how long ago, such as 24h or 7d.",
    ),
];

pub(crate) const SEARCH: &[Key] = &[key(
    "q",
    search,
    "This text, in any case of any script, in ids, names, user agent, violation messages, changed \
     paths or the newest name of the deployment; for a viewer in ids and the names of actors \
     alone. A page ends once 20,000 changes were looked through, whatever is asked for: it may be \
     empty, and its cursor leads on.",
)];

const EVENT_SEARCH: &[Key] = &[key(
    "q",
    search,
    "This text, in any case of any script, in kind or detail; not for viewers. A page ends once \
     20,000 events were looked through for this or for an actor, a team, a request or a \
     deployment: it may be empty, and its cursor leads on.",
)];

pub(crate) const PAGE: &[Key] = &[
    key("limit", limit, "How many items; a page with bodies has at most 100."),
    key("cursor", text, "Where the page begins: the next_cursor of the former page."),
];

const COUNTED: &[Key] = &[
    key("by", word::<CountedBy>, "By this property; decision, where none is named."),
    key(
        "step",
        word::<Step>,
        "For each hour or each day, which it is where none is named; hours by decision, outcome \
         and operation alone. At most 1,000 of them.",
    ),
    key("limit", values, "How many values are named, those with the most changes."),
];

const FORMAT: &[Key] = &[Key {
    is_required: true,
    ..key(
        "format",
        word::<Format>,
        "The format: JSON lines, CSV, Parquet, or OCSF 1.8.0 as JSON lines.",
    )
}];

const BEHIND: &[Key] = &[key(
    "cursor",
    text,
    "Where the export goes on: the seq of the last change that came whole (in OCSF \
     metadata.sequence), or the next_cursor of a list.",
)];

const TIME: &[Key] = &[Key {
    is_required: true,
    ..key(
        "time",
        text,
        "The moment: RFC 3339, a date (its begin in UTC), or how long ago, such as 24h or 7d.",
    )
}];

const APPROVALS: &[Key] = &[
    key("state", word::<ApprovalState>, "Standing so."),
    key("kind", word::<ApprovalKind>, "Of this kind."),
    key("person", text, "Asked for by this person."),
    key("deployment_id", text, "Of this deployment."),
];

pub(crate) const fn key(
    name: &'static str,
    texts: fn() -> RefOr<Schema>,
    about: &'static str,
) -> Key {
    Key { name, about, texts, is_required: false }
}

pub(crate) fn text() -> RefOr<Schema> {
    ObjectBuilder::new().schema_type(Type::String).min_length(Some(1)).into()
}

fn search() -> RefOr<Schema> {
    let text = ObjectBuilder::new().schema_type(Type::String).min_length(Some(1));
    text.max_length(Some(SEARCH_CHARS_MAX)).into()
}

fn limit() -> RefOr<Schema> {
    let number = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(1));
    number.maximum(Some(LIMIT_MAX)).default(Some(LIMIT_DEFAULT.into())).into()
}

fn values() -> RefOr<Schema> {
    let number = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(1));
    number.maximum(Some(VALUES_MAX)).default(Some(VALUES_DEFAULT.into())).into()
}

/// The words of `T`, as records use them.
fn word<T: ToSchema>() -> RefOr<Schema> {
    Ref::from_schema_name(T::name()).into()
}

impl Key {
    fn described(&self) -> Parameter {
        let required = if self.is_required { Required::True } else { Required::False };
        let parameter = ParameterBuilder::new().name(self.name).parameter_in(ParameterIn::Query);
        let parameter = parameter.required(required).description(Some(self.about));
        parameter.schema(Some((self.texts)())).build()
    }
}

/// A query of a kind: its keys are all among that kind's, each there once.
pub(crate) struct Asked<K>(Vec<(String, String)>, PhantomData<K>);

impl<K: Kind> IntoParams for Asked<K> {
    fn into_params(_place: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        K::KEYS.iter().copied().flatten().map(Key::described).collect()
    }
}

impl<K: Kind, S: Sync> FromRequestParts<S> for Asked<K> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        Self::of(&parts.uri)
    }
}

impl<K: Kind> Asked<K> {
    /// The query of an address.
    pub(crate) fn of(uri: &Uri) -> Result<Self, Problem> {
        if uri.query().is_some_and(|query| query.len() > QUERY_BYTES_MAX) {
            return Err(Problem::query_too_long(QUERY_BYTES_MAX));
        }
        if !uri.query().is_none_or(is_text) {
            let message = "after each % write two hex digits, of bytes that are UTF-8";
            return Err(Problem::invalid("", message));
        }
        let read = Query::<Vec<(String, String)>>::try_from_uri(uri);
        let Query(pairs) =
            read.map_err(|_bad| Problem::invalid("", "write the query as key=value&key=value"))?;
        for (place, (key, _)) in pairs.iter().enumerate() {
            if !K::KEYS.iter().copied().flatten().any(|known| known.name == key) {
                let message = "this key means nothing here: leave it out, \
                    or see /openapi.json for those that do";
                return Err(Problem::invalid(key, message));
            }
            if pairs.iter().take(place).any(|(former, _)| former == key) {
                return Err(Problem::invalid(key, format!("{key} is given twice: give it once")));
            }
        }
        Ok(Self(pairs, PhantomData))
    }
}

/// Whether what stands behind percent signs is text: what reads queries takes anything.
fn is_text(query: &str) -> bool {
    let mut rests = query.split('%').skip(1);
    let is_hex = |rest: &str| {
        rest.get(..2).is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
    };
    rests.all(is_hex) && percent_decode_str(query).decode_utf8().is_ok()
}

impl<K> Asked<K> {
    /// The filter of changes that is asked for, as far as the asker may ask.
    pub(crate) fn filter(&self, api: &Api, asker: &Asker) -> Result<Filter, Problem> {
        view::allowed(self.read(api)?, asker.role, |key| self.text(key))
    }

    /// The filter of events that is asked for, as far as the asker may ask.
    pub(crate) fn event_filter(&self, api: &Api, asker: &Asker) -> Result<EventFilter, Problem> {
        view::allowed_of_events(filter::of_events(self.read(api)?), asker.role)
    }

    fn read(&self, api: &Api) -> Result<Filter, Problem> {
        Ok(filter::filter(|key| self.text(key), api.state.clock.now())?)
    }

    /// Whether all there is is asked for, from its begin.
    pub(crate) fn is_bare(&self) -> bool {
        self.0.iter().all(|(key, _)| key == "limit")
    }

    /// The keys and their texts.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, text)| (key.as_str(), text.as_str()))
    }

    /// The text of a key, where it has one.
    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, text)| text.as_str())
    }

    /// How many items are asked for, 1 to `most`; `default` where the asker does not say.
    pub(super) fn limit(&self, default: u16, most: u16) -> Result<u16, Problem> {
        let Some(text) = self.text("limit") else { return Ok(default) };
        // `parse` alone would take a plus sign too.
        let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
        let limit = text.parse().ok().filter(|limit| is_plain && (1..=most).contains(limit));
        limit.ok_or_else(|| {
            let fix = format!("limit: write a whole number from 1 to {most}");
            Problem::invalid("limit", fix)
        })
    }

    /// The page that is asked for.
    pub(crate) fn page(&self) -> Result<PageRequest, Problem> {
        let limit = self.limit(LIMIT_DEFAULT, LIMIT_MAX)?;
        let cursor = self.text("cursor").map(Cursor::parse).transpose()?;
        Ok(PageRequest { limit, cursor })
    }
}
