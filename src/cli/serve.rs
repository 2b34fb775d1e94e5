//! `changegate serve`: runs the gateway until SIGTERM or SIGINT.

use std::pin::pin;

use anyhow::{Context as _, anyhow};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{ConfigFile, Environment, Failure, load_config};
use crate::server::{Options, Server, Source};
use crate::telemetry;

/// The arguments of `serve`.
#[derive(Debug, clap::Args)]
pub struct ServeArgs {
    #[command(flatten)]
    file: ConfigFile,
}

/// Starts nothing where the configuration has an error.
pub fn run(arguments: &ServeArgs, environment: &Environment) -> Result<(), Failure> {
    let path = arguments.file.path(environment);
    let config = load_config(path, environment)?;
    telemetry::init(environment.named("CHANGEGATE_LOG"));
    let source = Source { path: path.to_owned(), environment: environment.variables().to_vec() };
    runtime()?.block_on(async {
        let signals = Signals::new().context("can't listen for signals");
        let mut signals = signals.map_err(Failure::NotCarriedOut)?;
        let upstream = config.upstream.origin.to_string();
        let options = Options { source: Some(source), ..Options::default() };
        let server = Server::start(config, options)
            .await
            .map_err(|error| Failure::NotCarriedOut(anyhow!(error)))?;
        tracing::info!(
            proxy = %server.proxy_address(),
            admin = %server.admin_address(),
            upstream,
            version = env!("CARGO_PKG_VERSION"),
            "serving"
        );
        signals.next().await;
        tracing::info!("draining");
        let mut drained = pin!(server.shutdown());
        loop {
            tokio::select! {
                () = &mut drained => return Ok(()),
                // What has begun still has its time, so that no change is left unfinished.
                () = signals.next() => tracing::warn!("draining already; SIGKILL ends at once"),
            }
        }
    })
}

/// The runtime of the admin listener and the chores; workers and the log's writer bring their own.
pub(super) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("can't start the runtime")
        .map_err(Failure::NotCarriedOut)
}

/// SIGTERM and SIGINT, which end nothing by themselves from now on.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub(super) fn new() -> std::io::Result<Self> {
        let terminate = signal(SignalKind::terminate())?;
        Ok(Self { terminate, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Resolves at the next one of either.
    pub(super) async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
