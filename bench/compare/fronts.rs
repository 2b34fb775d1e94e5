//! Ways for clients to speak other than plain calls one by one: pipelines, HTTP/2, TLS.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};

use super::passing::micros;
use super::{Measured, Run, of, ratio, times};
use crate::child::command;
use crate::load::{Call, Plan};
use crate::machine::OTHER_CORE;
use crate::rivals::{Front, Kind, Rival};
use crate::table::{Table, note};
use crate::tool::tool;

/// How many requests a pipeline holds.
const PIPELINE: usize = 8;

/// How many requests `h2load` sends for each second that was asked for: all proxies get as many.
const HTTP2_REQUESTS: f64 = 15_000.0;

/// Those who speak HTTP/2 and TLS to clients.
const THREE: [Kind; 3] = [Kind::Nginx, Kind::Haproxy, Kind::Changegate];

/// CPU per request in pipelines.
pub(super) fn pipelines(run: &mut Run<'_>) -> anyhow::Result<()> {
    let kinds = [Kind::Splice, Kind::Nginx, Kind::Haproxy, Kind::Hyper, Kind::Changegate];
    let rivals = run.start(&kinds, Front::Http1)?;
    let seconds = run.arguments.seconds;
    let measured = run.in_turn("pipelines", &rivals, |rival| {
        let plan = Plan::new(rival.address, Call::Get, seconds);
        micros(rival, &Plan { pipeline: PIPELINE, ..plan })
    })?;
    let title = format!("CPU µs per GET, HTTP/1.1 in pipelines of {PIPELINE}, 64 connections");
    table(run, &title, &measured);
    Ok(())
}

/// CPU per request over HTTP/2 in front.
pub(super) fn http2(run: &mut Run<'_>) -> anyhow::Result<()> {
    let Some(h2load) = tool("h2load") else { return Ok(()) };
    let rivals = run.start(&THREE, Front::Http2)?;
    let seconds = run.arguments.seconds;
    let measured = run.in_turn("HTTP/2", &rivals, |rival| {
        let before = rival.child.cpu_micros();
        let requests = h2load_requests(&h2load, rival, seconds)?;
        Ok((rival.child.cpu_micros() - before) / requests)
    })?;
    let title = "CPU µs per GET, HTTP/2 in front, 16 connections of 4 streams";
    table(run, title, &measured);
    let own = ratio(&measured, Kind::Changegate, Kind::Nginx);
    run.goals.at_most("CPU per GET over HTTP/2", 1.00, own, "x nginx");
    Ok(())
}

/// How many requests were answered well, which must be all.
fn h2load_requests(h2load: &Path, rival: &Rival, seconds: f64) -> anyhow::Result<f64> {
    let requests = format!("{:.0}", HTTP2_REQUESTS * seconds);
    let mut command = command(Some(OTHER_CORE), h2load);
    command.args(["-t", "1", "-c", "16", "-m", "4", "-n", &requests]);
    command.args(["-H", "authorization: Bearer pt-bench", "-H", "accept: application/json"]);
    command.arg(format!("http://{}/api/v1/cloud/files/file_0123", rival.address));
    let output = command.stdin(Stdio::null()).output().context("h2load can't be started")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let statuses = text.lines().find(|line| line.starts_with("status codes:"));
    let good = statuses.and_then(|line| line.split_whitespace().nth(2));
    ensure!(good == Some(requests.as_str()), "h2load got other answers:\n{text}");
    requests.parse().context("a number of requests is a number")
}

/// CPU per request and per full handshake, TLS in front.
pub(super) fn tls(run: &mut Run<'_>) -> anyhow::Result<()> {
    run.stage.pair = pair(run.stage.folder)?;
    if run.stage.pair.is_none() {
        return Ok(());
    }
    let rivals = run.start(&THREE, Front::Tls)?;
    let seconds = run.arguments.seconds;
    let plan = |rival: &Rival, call| Plan { tls: true, ..Plan::new(rival.address, call, seconds) };
    let calls = run.in_turn("TLS", &rivals, |rival| micros(rival, &plan(rival, Call::Get)))?;
    let shakes = run.in_turn("full TLS handshakes", &rivals, |rival| {
        micros(rival, &plan(rival, Call::Handshake))
    })?;
    table(run, "CPU µs per GET, TLS in front, 64 connections kept", &calls);
    let title = "CPU µs per full TLS handshake, TLS 1.3, ECDSA P-256";
    let mut handshakes = Table::new(
        title,
        &["reverse proxy", "min–median–max", "x nginx", "handshakes per CPU second"],
    );
    for Measured { kind, .. } in &shakes {
        let spread = of(&shakes, *kind);
        handshakes.row([
            kind.name().to_owned(),
            spread.map_or_else(String::new, |spread| spread.shown(0)),
            times(ratio(&shakes, *kind, Kind::Nginx)),
            spread.map_or_else(String::new, |spread| format!("{:.0}", 1e6 / spread.median)),
        ]);
    }
    handshakes.print(run.arguments.common.markdown);
    let own = |figures| ratio(figures, Kind::Changegate, Kind::Nginx);
    run.goals.at_most("CPU per GET over TLS", 0.90, own(&calls), "x nginx");
    run.goals.at_most("CPU per full TLS handshake", 0.60, own(&shakes), "x nginx");
    Ok(())
}

/// A certificate with an ECDSA key of P-256, its key, and both in one file beside them.
fn pair(folder: &Path) -> anyhow::Result<Option<(PathBuf, PathBuf)>> {
    let Some(openssl) = tool("openssl") else { return Ok(None) };
    let [cert, key, both] = ["cert.pem", "key.pem", "both.pem"].map(|name| folder.join(name));
    let made = Command::new(openssl)
        .args(["req", "-x509", "-nodes", "-days", "2", "-subj", "/CN=localhost"])
        .args(["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&cert)
        .stderr(Stdio::null())
        .status();
    if !made.is_ok_and(|status| status.success()) {
        note("openssl made no certificate, TLS skipped");
        return Ok(None);
    }
    let texts = [std::fs::read_to_string(&cert)?, std::fs::read_to_string(&key)?];
    std::fs::write(both, texts.concat())?;
    Ok(Some((cert, key)))
}

fn table(run: &Run<'_>, title: &str, measured: &[Measured]) {
    let mut table = Table::new(title, &["reverse proxy", "min–median–max", "x nginx"]);
    for Measured { kind, .. } in measured {
        table.row([
            kind.name().to_owned(),
            of(measured, *kind).map_or_else(String::new, |spread| spread.shown(1)),
            times(ratio(measured, *kind, Kind::Nginx)),
        ]);
    }
    table.print(run.arguments.common.markdown);
}
