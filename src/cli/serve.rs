//! `changegate serve`: runs the gateway until SIGTERM or SIGINT.

use anyhow::{Context as _, anyhow};

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
        let signals = signals().context("can't listen for signals");
        let signals = signals.map_err(Failure::NotCarriedOut)?;
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
        signals.await;
        tracing::info!("draining");
        server.shutdown().await;
        Ok(())
    })
}

/// The runtime of the log, the admin listener and the chores; workers bring their own.
pub(super) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("can't start the runtime")
        .map_err(Failure::NotCarriedOut)
}

/// Resolves at the first SIGTERM or SIGINT.
pub(super) fn signals() -> std::io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
