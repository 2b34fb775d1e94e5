//! `changegate serve`: runs the gateway until SIGTERM or SIGINT.

use std::pin::pin;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{ConfigFile, Environment, Failure, load_config};
use crate::server::{Options, Server, Source};
use crate::telemetry::{self, Form};

/// How long a gateway that has lost a vital task lets calls come to their end, and closes its log.
const LAST_DRAIN: Duration = Duration::from_secs(5);

/// How long the runtime's end waits for work that can't be called off.
const RUNTIME_ENDS_WITHIN: Duration = Duration::from_secs(1);

/// The arguments of `serve`.
#[derive(Debug, clap::Args)]
pub struct ServeArgs {
    #[command(flatten)]
    file: ConfigFile,
}

/// Starts nothing where the configuration has an error.
pub fn run(arguments: &ServeArgs, environment: &Environment) -> Result<(), Failure> {
    // First of all: not even a warning waits for standard error, and every line has its form. What
    // is wrong with the variable is among the complaints.
    let verbosity = environment.named("CHANGEGATE_LOG").and_then(|text| text.parse().ok());
    let form = Form::of_standard_error(environment.has_colours());
    telemetry::init(form, &verbosity.unwrap_or_default());
    let path = arguments.file.path(environment);
    let config = load_config(path, environment)?;
    let source = Source { path: path.to_owned(), environment: environment.variables().to_vec() };
    carry_out(async {
        let mut signals = Signals::new()?;
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
        let stayed = stay(&server, &mut signals).await;
        if let Err(failure) = stayed {
            end_early(server).await;
            return Err(failure);
        }
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

/// Runs until a signal asks for the end, or a vital task has ended, which is a failure.
pub(super) async fn stay(server: &Server, signals: &mut Signals) -> Result<(), Failure> {
    tokio::select! {
        () = signals.next() => Ok(()),
        ended = server.failed() => {
            tracing::error!(reason = %ended, "a vital task has ended");
            Err(Failure::NotCarriedOut(anyhow!(ended)))
        }
    }
}

/// Stops a server that lacks a vital task: it may not be able to stop as it should.
async fn end_early(server: Server) {
    if tokio::time::timeout(LAST_DRAIN, server.shutdown()).await.is_err() {
        tracing::error!("the gateway did not come to its end in time");
    }
}

/// Runs a server's whole life on a runtime for the admin listener and the chores; workers and the
/// log's writer bring their own.
pub(super) fn carry_out(life: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("can't start the runtime")
        .map_err(Failure::NotCarriedOut)?;
    let outcome = runtime.block_on(life);
    runtime.shutdown_timeout(RUNTIME_ENDS_WITHIN);
    outcome
}

/// SIGTERM and SIGINT, which end nothing by themselves from now on.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub(super) fn new() -> Result<Self, Failure> {
        let heard = |kind| {
            let heard = signal(kind).context("can't listen for signals");
            heard.map_err(Failure::NotCarriedOut)
        };
        let terminate = heard(SignalKind::terminate())?;
        Ok(Self { terminate, interrupt: heard(SignalKind::interrupt())? })
    }

    /// Resolves at the next one of either.
    pub(super) async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;

    use super::*;
    use crate::config::check::check;

    #[tokio::test]
    async fn a_gateway_that_lacks_a_vital_task_ends_with_3() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("changegate.toml");
        let text = "listen.proxy = '127.0.0.1:0'\nlisten.admin = '127.0.0.1:0'\n\
            upstream.provider = 'qoder'\nupstream.url = 'http://127.0.0.1:1'\n";
        std::fs::write(&path, text).unwrap();
        let config = check(&path, &[]).config.unwrap();
        let server = Server::start(config, Options::default()).await.unwrap();
        let mut signals = Signals::new().unwrap();
        server.break_writer();
        let failure = stay(&server, &mut signals).await.unwrap_err();
        assert_eq!(failure.code(), 3);
        let reason = failure.error().unwrap().to_string();
        assert!(reason.contains("the audit log's writer has ended"), "{reason}");

        let mut probe = TcpStream::connect(server.admin_address().tcp().unwrap()).await.unwrap();
        let asked = "GET /healthz HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n";
        probe.write_all(asked.as_bytes()).await.unwrap();
        let mut answer = String::new();
        probe.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("writer"), "{answer}");
        end_early(server).await;
    }
}
