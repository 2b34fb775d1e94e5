//! `changegate audit prune`: takes records away that are old enough.

use std::time::Duration;

use anyhow::anyhow;

use super::super::log::LogFile;
use super::super::{Environment, Failure, print};
use super::print_json;
use crate::audit::retention::{self, AGE_MIN, HoldSubject, PruneError, Retention, Survey};
use crate::base::clock::Clock;
use crate::base::count::{counted, numbered};
use crate::config::ConfiguredHold;

/// The arguments of `audit prune`.
#[derive(Debug, clap::Args)]
pub struct PruneArgs {
    #[command(flatten)]
    file: LogFile,
    /// Everything older goes, but for what is held, open, or the newest of its deployment: days or
    /// hours, such as 400d; a day at least.
    #[arg(long, value_name = "AGE", value_parser = age)]
    older_than: Duration,
    /// Only tell what would go, and what would be kept and why.
    #[arg(long)]
    dry_run: bool,
    /// Print one JSON object: {"changes":N,"events":N,"since":…,"until":…,"kept":{…}}.
    #[arg(long)]
    json: bool,
}

/// Reads an age.
fn age(text: &str) -> Result<Duration, String> {
    let fix = || "write days or hours, such as 400d or 9600h; a day at least".to_owned();
    let (number, scale) = match (text.strip_suffix('d'), text.strip_suffix('h')) {
        (Some(days), _) => (days, 24),
        (None, Some(hours)) => (hours, 1),
        (None, None) => return Err(fix()),
    };
    let hours = number.parse::<u32>().ok().and_then(|number| number.checked_mul(scale));
    let age = hours.map(|hours| Duration::from_hours(hours.into()));
    age.filter(|age| *age >= AGE_MIN).ok_or_else(fix)
}

/// Those that a configuration holds.
pub(super) fn held(holds: Vec<ConfiguredHold>) -> Vec<HoldSubject> {
    let subject = |hold| match hold {
        ConfiguredHold::Deployment(id) => HoldSubject::Deployment(id),
        ConfiguredHold::Actor(name) => HoldSubject::Actor(name),
        ConfiguredHold::Team(name) => HoldSubject::Team(name),
    };
    holds.into_iter().map(subject).collect()
}

/// Prunes, or tells what would be pruned.
pub(super) async fn run(arguments: &PruneArgs, environment: &Environment) -> Result<(), Failure> {
    let log = arguments.file.find(environment)?;
    let retention = Retention { holds: held(log.holds), ..Retention::default() };
    super::open_at_place(&log.database).await?;
    let (database, age) = (&log.database, arguments.older_than);
    let survey = if arguments.dry_run {
        retention::look(database, &retention, age, &Clock::System).await
    } else {
        retention::prune(database, &retention, age, &Clock::System).await
    };
    let survey = survey.map_err(|error: PruneError| Failure::NotCarriedOut(anyhow!(error)))?;
    if arguments.json {
        return print_json(&[survey]);
    }
    tell(&survey, arguments.dry_run)
}

fn tell(survey: &Survey, is_dry: bool) -> Result<(), Failure> {
    let Survey { changes, events, since, until, kept } = survey;
    let would = if is_dry { "would be" } else { "were" };
    let (changes, events) = (counted(*changes, "change"), counted(*events, "event"));
    let span = match (since, until) {
        (Some(since), Some(until)) => format!(", from {since} to {until}"),
        _none => String::new(),
    };
    print::line(format_args!("{changes} and {events} {would} pruned{span}."))?;
    for (keeper, count) in kept {
        let stay = numbered(count, "old change stays", "old changes stay");
        print::line(format_args!("{stay}: {}", why(keeper)))?;
    }
    Ok(())
}

/// What keeps records, in words.
fn why(keeper: &str) -> &str {
    match keeper {
        "held_deployment" => "the deployment is held",
        "held_actor" => "the actor is held",
        "held_team" => "the team is held",
        "pending" => "not ended yet",
        "unsettled" => "not settled whether it was applied",
        "idempotency_key" => "the Idempotency-Key is in force",
        "approval" => "an approval is open, or a review",
        "newest" => "what tells how a deployment was left",
        "sink" => "not taken by a sink yet",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_days_or_hours_and_a_day_at_least() {
        assert_eq!(age("400d"), Ok(Duration::from_hours(9_600)));
        assert_eq!(age("24h"), Ok(Duration::from_hours(24)));
        for bad in ["23h", "0d", "400", "-1d", "4.5d", "1y", "", "d", "99999999999d"] {
            assert!(age(bad).is_err(), "{bad}");
        }
    }
}
