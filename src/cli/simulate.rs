//! `changegate simulate`: an in-memory upstream, for demos and tests.

use std::net::SocketAddr;

use anyhow::Context as _;

use super::{Failure, print, serve};
use crate::base::clock::Clock;
use crate::provider::Provider;
use crate::simulator::{DEPLOYMENT_ID, Fault, Options, Simulator};

/// The help on faults.
const FAULTS: &str = "\
Faults: KIND[=VALUE][:TIMES][@[METHOD][/PATH-PART]]
  delay=MS         wait, then carry the call out
  delay-after=MS   carry the call out, then wait before the answer
  status=N         answer with status N in place of carrying the call out
  status-after=N   carry the call out, then answer with status N
  reset-before     reset the connection in place of carrying the call out
  reset-after      carry the call out, then reset the connection
  half-answer      carry the call out, then break off halfway through the answer
  garbage          carry the call out, then answer with what is not JSON
  slow-answer=MS   carry the call out, then send the answer in pieces, MS apart
TIMES is how many calls it befalls (left out: every call), METHOD and PATH-PART which ones:
  --fault reset-after:3   --fault status=503:2@POST/deployments/   --fault delay=200@GET
While it runs: POST /_simulator/faults with such a text as a JSON string, or with an object
{\"kind\",\"value\",\"times\",\"method\",\"path\"}; GET lists them, DELETE clears them.
GET /_simulator/requests lists what was received.";

/// Runs an in-memory upstream with the deployments API.
#[derive(Clone, Debug, clap::Args)]
#[command(after_long_help = FAULTS, after_help = FAULTS)]
pub struct SimulateArgs {
    /// Where to listen, such as 127.0.0.1:9000 (port 0: any free one)
    #[arg(long, value_name = "ADDR")]
    pub listen: SocketAddr,
    /// The provider whose API to speak: qoder-cn, qoder or claude
    #[arg(long, value_name = "NAME", default_value = "qoder-cn", value_parser = provider)]
    pub provider: &'static Provider,
    /// A token to take, repeatable (default: every one that starts with pt-)
    #[arg(long = "token", value_name = "TOKEN")]
    pub tokens: Vec<String>,
    /// Something to go wrong, repeatable, as told below
    #[arg(long = "fault", value_name = "FAULT")]
    pub faults: Vec<Fault>,
}

/// Runs the simulator until SIGINT or SIGTERM.
pub fn run(args: &SimulateArgs) -> Result<(), Failure> {
    serve::carry_out(simulate(args))
}

async fn simulate(args: &SimulateArgs) -> Result<(), Failure> {
    let mut signals = serve::Signals::new()?;
    let simulator = Simulator::start(Options {
        listen: args.listen,
        provider: args.provider,
        tokens: args.tokens.clone(),
        faults: args.faults.clone(),
        clock: Clock::System,
    })
    .with_context(|| format!("can't listen on {}: choose another --listen", args.listen))
    .map_err(Failure::NotCarriedOut)?;
    print::line(greeting(args, simulator.address()).trim_end())?;
    signals.next().await;
    simulator.shutdown().await;
    Ok(())
}

fn greeting(args: &SimulateArgs, address: SocketAddr) -> String {
    let Provider { name, base_path, .. } = args.provider;
    let base = format!("http://{address}{base_path}");
    // A token given on the command line is not printed: it may be a real one.
    let token = if args.tokens.is_empty() { "pt-demo" } else { "$TOKEN" };
    let versions = if *name == "claude" {
        " -H 'anthropic-version: 2023-06-01' -H 'anthropic-beta: managed-agents-2026-04-01'"
    } else {
        ""
    };
    let call = format!("curl -H \"Authorization: Bearer {token}\"{versions}");
    format!("simulating {name} at {base}\ntry: {call} {base}/deployments/{DEPLOYMENT_ID}\n")
}

fn provider(name: &str) -> Result<&'static Provider, String> {
    let names = || Provider::ALL.map(|provider| provider.name).join(", ");
    Provider::named(name).ok_or_else(|| format!("choose one of {}", names()))
}

#[cfg(test)]
mod tests {
    use clap::{Args as _, FromArgMatches as _};

    use super::*;

    fn read(line: &str) -> Result<SimulateArgs, clap::Error> {
        let command = SimulateArgs::augment_args(clap::Command::new("simulate"));
        let words = std::iter::once("simulate").chain(line.split_whitespace());
        SimulateArgs::from_arg_matches(&command.try_get_matches_from(words)?)
    }

    #[test]
    fn flags_are_read_and_wrong_ones_refused() {
        let args = read("--listen 127.0.0.1:0 --provider claude --fault delay=5 --fault garbage:1");
        let args = args.unwrap();
        assert_eq!((args.provider.name, args.faults.len()), ("claude", 2));
        for bad in ["", "--listen x", "--listen 127.0.0.1:0 --fault boom"] {
            assert!(read(bad).is_err(), "{bad}");
        }
        let bad = read("--listen 127.0.0.1:0 --provider bigmodel").unwrap_err().to_string();
        assert!(bad.contains("qoder-cn, qoder, claude"), "{bad}");
    }

    #[test]
    fn the_greeting_names_the_base_and_no_token_that_was_given() {
        let args = read("--listen 127.0.0.1:0 --token pt-real").unwrap();
        let greeting = greeting(&args, args.listen);
        assert!(greeting.contains("http://127.0.0.1:0/api/v1/cloud/deployments/dep_"));
        assert!(!greeting.contains("pt-real"));
    }
}
