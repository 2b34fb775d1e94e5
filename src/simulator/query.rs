//! The query part of a request target.

use std::borrow::Cow;
use std::str::FromStr;

use percent_encoding::percent_decode_str;

use super::problem::Problem;

/// Query parameters, decoded; of equal names the first counts.
#[derive(Debug, Default)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads `a=1&b=2`.
    pub(super) fn read(text: &str) -> Self {
        let decode = |part: &str| {
            let spaced: Cow<'_, str> = part.replace('+', " ").into();
            percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
        };
        let pairs = text.split('&').filter(|pair| !pair.is_empty());
        Self(
            pairs
                .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
                .map(|(name, value)| (decode(name), decode(value)))
                .collect(),
        )
    }

    /// The value of that name.
    pub(super) fn find(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _value)| known == name).map(|(_name, value)| value.as_str())
    }

    /// The value of that name as a number or a truth value.
    pub(super) fn read_as<T: FromStr>(&self, name: &str) -> Result<Option<T>, Problem> {
        let misfit = |_error| Problem::field(name, format!("{name} has a wrong value"));
        self.find(name).map(|value| value.parse().map_err(misfit)).transpose()
    }

    /// How many things a page holds: 20 unless asked otherwise, at most 1000.
    pub(super) fn limit(&self) -> Result<usize, Problem> {
        let limit = self.read_as("limit")?.unwrap_or(20);
        if (1..=1000).contains(&limit) {
            Ok(limit)
        } else {
            Err(Problem::field("limit", "limit must be between 1 and 1000"))
        }
    }
}
