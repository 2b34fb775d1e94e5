//! The meaning of a filter's text, for the API's query and the command line's options alike.

use std::time::Duration;

use serde::Deserialize;
use serde::de::IntoDeserializer as _;
use serde::de::value::{Error, StrDeserializer};

use crate::audit::query::{ActorFilter, EventFilter, Filter, QueryError, Reader};
use crate::base::clock::Timestamp;
use crate::base::ids::Fingerprint;
use crate::provider::Operation;

/// The most characters of a text that is searched for.
pub(crate) const SEARCH_CHARS_MAX: usize = 200;

/// A filter's text means nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{param}: {fix}")]
pub struct BadFilter {
    /// Which filter, by its name in a query.
    pub param: &'static str,
    /// The text to write instead.
    pub fix: &'static str,
}

/// Reads a whole filter; `given` gives each one's text by its name, `now` is what relative times
/// start from.
pub fn filter<'a>(
    given: impl Fn(&str) -> Option<&'a str>,
    now: Timestamp,
) -> Result<Filter, BadFilter> {
    let text = |param: &'static str| given(param).map(|text| value(param, text)).transpose();
    let owned = |param: &'static str| Ok(text(param)?.map(str::to_owned));
    let (since, until) = span(&given, now)?;
    Ok(Filter {
        deployment_id: owned("deployment_id")?,
        deployment_ids: None,
        deployment_name: text("deployment_name")?
            .map(|text| search("deployment_name", text))
            .transpose()?,
        actor: text("actor")?.map(actor).transpose()?,
        team: owned("team")?,
        operation: text("operation")?.map(operation).transpose()?,
        decision: text("decision")?
            .map(|text| word("decision", "write allow, warn, deny or refuse", text))
            .transpose()?,
        outcome: text("outcome")?.map(|text| word("outcome", OUTCOMES, text)).transpose()?,
        effect: text("effect")?
            .map(|text| word("effect", "write exact, partial, none or other", text))
            .transpose()?,
        rule: owned("rule")?,
        path: text("path")?.map(|path| pointer("path", path)).transpose()?,
        asked_path: text("asked_path")?.map(|path| pointer("asked_path", path)).transpose()?,
        request_id: owned("request_id")?,
        since,
        until,
        q: text("q")?.map(|text| search("q", text)).transpose()?,
        q_in_ids: false,
    })
}

/// A text that is given, which must not be empty.
pub fn value<'a>(param: &'static str, text: &'a str) -> Result<&'a str, BadFilter> {
    let fix = "write a value, or leave it out";
    Some(text).filter(|text| !text.is_empty()).ok_or(BadFilter { param, fix })
}

/// The part of a filter that events have too.
#[must_use]
pub fn of_events(filter: Filter) -> EventFilter {
    let Filter { deployment_id, actor, team, request_id, since, until, q, .. } = filter;
    EventFilter { deployment_id, actor, team, request_id, since, until, q }
}

/// The actor who is asked for; one who is asked for by name with every token of theirs, so that
/// what these did before they were named is found too. `listed` gives the tokens that the
/// configuration lists under a name, beside those that the log knows.
pub async fn with_tokens(
    actor: Option<ActorFilter>,
    reader: &Reader,
    listed: impl FnOnce(&str) -> Vec<Fingerprint>,
) -> Result<Option<ActorFilter>, QueryError> {
    let Some(ActorFilter::Name(name)) = actor else { return Ok(actor) };
    let mut tokens = listed(&name);
    tokens.extend(reader.tokens_of(&name).await?);
    Ok(Some(ActorFilter::Holder { name, tokens }))
}

/// Reads `since` and `until`.
pub fn span<'a>(
    given: impl Fn(&str) -> Option<&'a str>,
    now: Timestamp,
) -> Result<(Option<Timestamp>, Option<Timestamp>), BadFilter> {
    let since = given("since").map(|text| moment("since", text, now)).transpose()?;
    let until = given("until").map(|text| moment("until", text, now)).transpose()?;
    if let (Some(since), Some(until)) = (since, until)
        && since >= until
    {
        let fix = "must lie before until; a date is its begin in UTC, so one day ends with the \
            date of the next";
        return Err(BadFilter { param: "since", fix });
    }
    Ok((since, until))
}

/// A moment: RFC 3339, a date (its begin in UTC), or how long ago, such as `24h` or `7d`.
pub fn moment(param: &'static str, text: &str, now: Timestamp) -> Result<Timestamp, BadFilter> {
    let fix = "write a time such as 2026-06-14T08:58:11Z, a date such as 2026-06-14, \
        or how long ago, such as 30m, 24h or 7d";
    Timestamp::parse_clamped(text)
        .or_else(|_no_time| Timestamp::parse_clamped(&format!("{text}T00:00:00Z")))
        .ok()
        .or_else(|| {
            let ago = i64::try_from(ago(text)?.as_millis()).ok()?;
            now.millis().checked_sub(ago).map(Timestamp::from_millis)
        })
        .ok_or(BadFilter { param, fix })
}

const OUTCOMES: &str = "write pending, applied, denied, refused, rejected, failed or unknown";

fn ago(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let seconds: u64 = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        "w" => 604_800,
        _ => return None,
    };
    // `parse` alone would take a sign too; five digits reach further back than any log.
    let plain = (1..=5).contains(&number.len()) && number.bytes().all(|b| b.is_ascii_digit());
    let count = number.parse::<u64>().ok().filter(|_number| plain)?;
    count.checked_mul(seconds).map(Duration::from_secs)
}

fn actor(text: &str) -> Result<ActorFilter, BadFilter> {
    let fix = "write a fingerprint (pat_ and 16 lower-case hex digits), or a name of an [[actor]]";
    match text.parse() {
        Ok(fingerprint) => Ok(ActorFilter::Fingerprint(fingerprint)),
        Err(_no_id) if text.starts_with("pat_") => Err(BadFilter { param: "actor", fix }),
        Err(_no_id) => Ok(ActorFilter::Name(text.to_owned())),
    }
}

fn operation(text: &str) -> Result<Operation, BadFilter> {
    let fix = "write create, update, archive, pause, unpause or run";
    Operation::named(text).ok_or(BadFilter { param: "operation", fix })
}

/// A word that records use, too.
pub(super) fn word<'a, T: Deserialize<'a>>(
    param: &'static str,
    fix: &'static str,
    text: &'a str,
) -> Result<T, BadFilter> {
    let word: StrDeserializer<'a, Error> = text.into_deserializer();
    T::deserialize(word).map_err(|_unknown| BadFilter { param, fix })
}

fn pointer(param: &'static str, text: &str) -> Result<String, BadFilter> {
    let fix = "write a JSON Pointer, such as /schedule/timezone";
    if text.split('~').skip(1).any(|rest| !rest.starts_with(['0', '1'])) {
        let fix = "in a JSON Pointer ~0 stands for ~ and ~1 for /: write no other ~";
        return Err(BadFilter { param, fix });
    }
    let found = text.starts_with('/').then(|| text.to_owned());
    found.ok_or(BadFilter { param, fix })
}

fn search(param: &'static str, text: &str) -> Result<String, BadFilter> {
    // SQLite ends a text at the first NUL, and would find everything.
    let fits = text.chars().count() <= SEARCH_CHARS_MAX && !text.contains('\0');
    let found = fits.then(|| text.to_owned());
    found.ok_or(BadFilter { param, fix: "write at most 200 characters, without NUL" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::record::Outcome;
    use crate::deployment::diff::Effect;
    use crate::policy::Decision;

    const NOW: Timestamp = Timestamp::from_millis(1_781_427_491_123);

    fn read(given: &[(&str, &'static str)]) -> Result<Filter, BadFilter> {
        filter(|name| given.iter().find(|(key, _)| *key == name).map(|(_, text)| *text), NOW)
    }

    #[test]
    fn moments_are_read_in_every_form() {
        for (text, expected) in [
            ("2026-06-14T16:58:11.123+08:00", Some("2026-06-14T08:58:11.123Z")),
            ("2026-06-14", Some("2026-06-14T00:00:00.000Z")),
            ("9999-12-31T23:59:59Z", Some("9999-12-30T22:00:00.000Z")),
            ("9999-12-31", Some("9999-12-30T22:00:00.000Z")),
            ("9999-12-32", None),
            ("9999-12-31T23:59:59", None),
            ("0s", Some("2026-06-14T08:58:11.123Z")),
            ("24h", Some("2026-06-13T08:58:11.123Z")),
            ("7d", Some("2026-06-07T08:58:11.123Z")),
            ("2026-06-14 08:58", None),
            ("2026-02-30", None),
            ("+7d", None),
            ("-7d", None),
            ("d", None),
            ("", None),
            ("7é", None),
            ("7y", None),
            ("999999d", None),
        ] {
            let found = moment("since", text, NOW).ok().map(|at| at.to_string());
            assert_eq!(found.as_deref(), expected, "{text:?}");
        }
    }

    #[test]
    fn a_whole_filter_is_read() {
        let found = read(&[
            ("actor", "pat_0011223344556677"),
            ("operation", "update"),
            ("decision", "deny"),
            ("outcome", "denied"),
            ("effect", "other"),
            ("path", "/schedule"),
            ("since", "7d"),
        ]);
        let found = found.unwrap();
        assert!(matches!(found.actor, Some(ActorFilter::Fingerprint(_))));
        assert_eq!(found.operation, Some(Operation::Update));
        assert_eq!(found.decision, Some(Decision::Deny));
        assert_eq!(found.outcome, Some(Outcome::Denied));
        assert_eq!(found.effect, Some(Effect::Other));
        let path = read(&[("path", "/metadata/a~1b~0c")]).unwrap().path;
        assert_eq!(path.as_deref(), Some("/metadata/a~1b~0c"));
        assert_eq!(read(&[]).unwrap(), Filter::default());
    }

    #[test]
    fn what_means_nothing_names_its_filter() {
        for (param, text) in [
            ("actor", "pat_xyz"),
            ("operation", "delete"),
            ("decision", "Deny"),
            ("outcome", "ok"),
            ("effect", "all"),
            ("path", "schedule"),
            ("path", "/a~2"),
            ("asked_path", "/a/b~"),
            ("since", "yesterday"),
            ("until", ""),
            ("team", ""),
            ("deployment_name", ""),
            ("deployment_name", "a\0"),
        ] {
            assert_eq!(read(&[(param, text)]).unwrap_err().param, param, "{text:?}");
        }
        let reversed = read(&[("since", "1d"), ("until", "2d")]);
        assert_eq!(reversed.unwrap_err().param, "since");
    }
}
