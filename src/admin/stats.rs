//! `GET /api/v1/stats`: changes counted over time.

use std::time::Duration;

use axum::Extension;
use axum::extract::State;

use super::Api;
use super::access::Asker;
use super::answer::Problem;
use super::api::{Answer, in_time};
use super::asked::{self, Asked, VALUES_DEFAULT};
use super::filter::{span, word};
use crate::audit::query::{BadCounting, CountedBy, Counting, Counts, Step, VALUES_MAX};
use crate::base::clock::Timestamp;

/// How far back days are counted where the asker does not say.
const DAYS: Duration = Duration::from_hours(30 * 24);

/// The same of hours.
const HOURS: Duration = Duration::from_hours(48);

/// Changes counted by decision, outcome, operation, rule, actor, team or deployment: for each hour
/// or day (UTC) that the time from `since` to `until` lies in, by when they were received. Hours
/// and days without any are left out.
#[utoipa::path(
    get,
    path = "/api/v1/stats",
    params(Asked<asked::Stats>),
    responses((status = 200, description = "The counts.", body = Counts)),
)]
pub(super) async fn stats(
    State(api): State<Api>,
    Extension(asker): Extension<Asker>,
    asked: Asked<asked::Stats>,
) -> Answer {
    let now = api.state.clock.now();
    let values = asked.limit(VALUES_DEFAULT, VALUES_MAX)?;
    let counting = counting(|key| asked.text(key), values, now)?;
    api.budget.json(&api.counts(&asker, &counting).await?)
}

impl Api {
    /// Counts, which every role sees.
    pub(crate) async fn counts(
        &self,
        asker: &Asker,
        counting: &Counting,
    ) -> Result<Counts, Problem> {
        in_time(&asker.share.scanning, self.reader().counts(counting)).await
    }
}

/// Reads what is to be counted; `given` gives each key's text.
fn counting<'a>(
    given: impl Fn(&str) -> Option<&'a str>,
    values: u16,
    now: Timestamp,
) -> Result<Counting, Problem> {
    let by = given("by").map(|text| {
        word("by", "write decision, outcome, operation, rule, actor, team or deployment", text)
    });
    let by = by.transpose()?.unwrap_or(CountedBy::Decision);
    let step = given("step").map(|text| word("step", "write hour or day", text)).transpose()?;
    let step = step.unwrap_or(Step::Day);
    let (since, until) = span(&given, now)?;
    let until = until.unwrap_or(now);
    let back = if step == Step::Day { DAYS } else { HOURS };
    let since = since.unwrap_or_else(|| until.minus(back));
    Counting::new(by, step, (since, until), values).map_err(|bad| {
        let param = match bad {
            BadCounting::NoHours => "step",
            BadCounting::TooMany => "since",
        };
        Problem::invalid(param, format!("{param}: {bad}"))
    })
}
