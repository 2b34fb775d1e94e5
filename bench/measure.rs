//! The load generator and the upstreams, as this process starts them.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, ensure};

use super::child::{Child, itself};
use super::load::{Call, Got, Plan};
use super::machine::free_address;
use clap::ValueEnum as _;

/// A running server of the harness's own.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) child: Child,
    pub(crate) address: SocketAddr,
}

/// Starts one of this program's own servers, given as its command's words.
pub(crate) fn serve(core: Option<usize>, words: &[&str], folder: &Path) -> anyhow::Result<Server> {
    let (name, rest) = words.split_first().context("no server is named")?;
    let address = free_address()?;
    let mut command = itself(core, name)?;
    command.arg("--listen").arg(address.to_string()).args(rest);
    let mut child = Child::start(command, name, folder)?;
    child.ready(address, Duration::from_secs(10))?;
    Ok(Server { child, address })
}

impl Plan {
    /// 64 connections in a closed loop.
    pub(crate) fn new(target: SocketAddr, call: Call, seconds: f64) -> Self {
        Self {
            target,
            call,
            connections: 64,
            seconds,
            requests: None,
            pipeline: 1,
            rate: None,
            tls: false,
            deployments: 64,
            first: 0,
        }
    }

    fn words(&self) -> Vec<String> {
        let call = self.call.to_possible_value();
        let call = call.map(|value| value.get_name().to_owned()).unwrap_or_default();
        let mut words = vec![
            format!("--target={}", self.target),
            format!("--call={call}"),
            format!("--connections={}", self.connections),
            format!("--seconds={}", self.seconds),
            format!("--pipeline={}", self.pipeline),
            format!("--deployments={}", self.deployments),
            format!("--first={}", self.first),
        ];
        words.extend(self.requests.map(|requests| format!("--requests={requests}")));
        words.extend(self.rate.map(|rate| format!("--rate={rate}")));
        words.extend(self.tls.then(|| "--tls".to_owned()));
        words
    }

    /// Sends it from a process of its own. Every answer must be a good one.
    pub(crate) fn run(&self, core: Option<usize>) -> anyhow::Result<Got> {
        let mut command = itself(core, "load")?;
        command.args(self.words()).stdin(Stdio::null()).stderr(Stdio::inherit());
        let output = command.output().context("the load generator can't be started")?;
        ensure!(output.status.success(), "the load generator failed");
        let got: Got = serde_json::from_slice(&output.stdout).context("no count was told")?;
        ensure!(got.errors == 0, "{} of {} calls failed", got.errors, got.requests + got.errors);
        ensure!(got.requests > 0, "not one call was answered");
        Ok(got)
    }

    /// Starts a generator that holds its connections, and waits until it has them all.
    pub(crate) fn hold(&self, core: Option<usize>) -> anyhow::Result<Child> {
        let mut command = itself(core, "load")?;
        command.args(self.words()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().context("the load generator can't be started")?;
        let said = process.stdout.take().context("the load generator has no output")?;
        let holding = Child::from(process, "load");
        let mut line = String::new();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(said), &mut line)?;
        ensure!(line.trim() == "held", "the connections could not be held");
        Ok(holding)
    }
}
