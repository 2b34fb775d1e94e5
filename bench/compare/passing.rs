//! Requests that pass through: CPU per request and latency over HTTP/1.1.

use super::{Measured, Run, of, ratio, times};
use crate::figures::float;
use crate::load::{Call, Plan};
use crate::machine::OTHER_CORE;
use crate::rivals::{Front, Kind, Rival};
use crate::table::Table;

const ALL: [Kind; 7] = [
    Kind::Splice,
    Kind::Nginx,
    Kind::Haproxy,
    Kind::Hyper,
    Kind::Changegate,
    Kind::Recording,
    Kind::Sharing,
];

/// Requests a second at which latency is compared.
const RATE: u32 = 4000;

/// CPU per `GET` and per `POST`.
pub(super) fn cpu(run: &mut Run<'_>) -> anyhow::Result<()> {
    let rivals = run.start(&ALL, Front::Http1)?;
    let seconds = run.arguments.seconds;
    let measure = |what, call| {
        let plan = |rival: &Rival| Plan::new(rival.address, call, seconds);
        run.in_turn(what, &rivals, |rival| micros(rival, &plan(rival)))
    };
    let get = measure("GET", Call::Get)?;
    let post = measure("POST", Call::Post)?;
    let mut table = Table::new(
        "CPU µs per request, HTTP/1.1 keep-alive, 64 connections, 2 KB answer, one core",
        &["reverse proxy", "GET min–median–max", "x nginx", "POST 1 KB min–median–max", "x nginx"],
    );
    let shown = |figures: &[Measured], kind| {
        of(figures, kind).map_or_else(String::new, |spread| spread.shown(1))
    };
    for Rival { kind, .. } in &rivals {
        table.row([
            kind.name().to_owned(),
            shown(&get, *kind),
            times(ratio(&get, *kind, Kind::Nginx)),
            shown(&post, *kind),
            times(ratio(&post, *kind, Kind::Nginx)),
        ]);
    }
    table.print(run.arguments.common.markdown);
    let own = Kind::Changegate;
    let goals = &mut run.goals;
    goals.at_most("CPU per GET", 1.05, ratio(&get, own, Kind::Nginx), "x nginx");
    goals.at_most("CPU per POST", 1.10, ratio(&post, own, Kind::Nginx), "x nginx");
    goals.at_most("CPU per GET", 1.10, ratio(&get, own, Kind::Hyper), "x bare hyper");
    goals.at_most("CPU per POST", 1.10, ratio(&post, own, Kind::Hyper), "x bare hyper");
    let recording = of(&post, Kind::Recording).zip(of(&post, own));
    let more = recording.map(|(with, without)| with.median - without.median);
    goals.at_most("CPU per POST for its record", 15.0, more, "µs more");
    let sharing = ratio(&get, Kind::Sharing, own);
    goals.at_most("CPU per GET with limits shared", 1.10, sharing, "x with its own");
    Ok(())
}

/// Latency at a fixed rate.
pub(super) fn latency(run: &mut Run<'_>) -> anyhow::Result<()> {
    let kinds = ALL.into_iter().filter(|kind| *kind != Kind::Recording);
    let rivals = run.start(&kinds.collect::<Vec<_>>(), Front::Http1)?;
    let mut medians: Vec<(Kind, f64)> = Vec::new();
    let seconds = run.arguments.seconds;
    let p99 = run.in_turn("latency", &rivals, |rival| {
        let plan = Plan { rate: Some(RATE), ..Plan::new(rival.address, Call::Get, seconds) };
        let got = plan.run(Some(OTHER_CORE))?;
        medians.push((rival.kind, got.p50_micros));
        Ok(got.p99_micros)
    })?;
    let mut table = Table::new(
        &format!("Latency in µs at {RATE} GETs per second, counted from when each was due"),
        &["reverse proxy", "p50", "p99 min–median–max", "x HAProxy"],
    );
    for Measured { kind, figures } in &p99 {
        // The round that does not count is left out here too.
        let own = medians.iter().filter(|(of, _)| of == kind).skip(1).map(|(_, p50)| *p50);
        let p50 = crate::figures::Spread::of(&own.collect::<Vec<_>>());
        let shown = crate::figures::Spread::of(figures);
        table.row([
            kind.name().to_owned(),
            p50.map_or_else(String::new, |spread| format!("{:.0}", spread.median)),
            shown.map_or_else(String::new, |spread| spread.shown(0)),
            times(ratio(&p99, *kind, Kind::Haproxy)),
        ]);
    }
    table.print(run.arguments.common.markdown);
    let measured = ratio(&p99, Kind::Changegate, Kind::Haproxy);
    run.goals.at_most("p99 at 4,000 GETs per second", 1.25, measured, "x HAProxy");
    let sharing = ratio(&p99, Kind::Sharing, Kind::Changegate);
    run.goals.at_most("the same with limits shared", 1.25, sharing, "x with its own");
    Ok(())
}

/// CPU per request of what the plan sends.
pub(super) fn micros(rival: &Rival, plan: &Plan) -> anyhow::Result<f64> {
    let before = rival.child.cpu_micros();
    let got = plan.run(Some(OTHER_CORE))?;
    Ok((rival.child.cpu_micros() - before) / float(got.requests))
}
