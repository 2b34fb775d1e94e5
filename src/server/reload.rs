//! Reads the configuration again on SIGHUP and when one of its files changes.

use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::json;
use tokio::signal::unix::{Signal, SignalKind};
use tokio::sync::watch;

use super::Source;
use super::tls::{self, Certificates};
use crate::audit::record::{Event, EventKind};
use crate::config::Config;
use crate::config::check::check;
use crate::gateway::{Gateway, Live};

/// How often files are looked at. Looking, rather than being told by the kernel, also sees files
/// that are links swapped as a whole, as Kubernetes mounts them.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What tells that a file changed: its length and time of change, none where it is not there.
type Look = Vec<Option<(u64, Option<SystemTime>)>>;

/// Watches until the server stops. SIGHUP is heard from now on, not only once this is first
/// polled: until then it would end the program.
pub(super) fn watch(
    gateway: Arc<Gateway>,
    certificates: Certificates,
    source: Source,
    stop: watch::Receiver<bool>,
) -> impl Future<Output = ()> {
    let hangups = hangups().inspect_err(|error| {
        tracing::warn!(%error, "SIGHUP can't be heard: only file changes reload");
    });
    follow(gateway, certificates, source, stop, hangups.ok())
}

async fn follow(
    gateway: Arc<Gateway>,
    certificates: Certificates,
    source: Source,
    stop: watch::Receiver<bool>,
    mut hangups: Option<Signal>,
) {
    let mut stopped = pin!(super::stopped(stop));
    let mut files = gateway.live().config.files.clone();
    let mut seen = look(&files).await;
    loop {
        let told = tokio::select! {
            () = &mut stopped => return,
            () = hangup(&mut hangups) => true,
            () = tokio::time::sleep(LOOK_EVERY) => false,
        };
        let now = look(&files).await;
        if told || now != seen {
            reload(&gateway, &certificates, &source).await;
            files.clone_from(&gateway.live().config.files);
            seen = look(&files).await;
        }
    }
}

fn hangups() -> std::io::Result<Signal> {
    tokio::signal::unix::signal(SignalKind::hangup())
}

async fn hangup(hangups: &mut Option<Signal>) {
    match hangups {
        Some(hangups) => {
            hangups.recv().await;
        }
        None => std::future::pending().await,
    }
}

async fn look(files: &[PathBuf]) -> Look {
    let mut looks = Vec::with_capacity(files.len());
    for file in files {
        let found = tokio::fs::metadata(file).await.ok();
        looks.push(found.map(|found| (found.len(), found.modified().ok())));
    }
    looks
}

/// Puts the new configuration in force, or keeps the old one and says why.
async fn reload(gateway: &Gateway, certificates: &Certificates, source: &Source) {
    let (path, environment) = (source.path.clone(), source.environment.clone());
    let checked = tokio::task::spawn_blocking(move || check(&path, &environment)).await;
    let Ok(checked) = checked else { return };
    for complaint in &checked.complaints {
        tracing::warn!(%complaint, "while reloading");
    }
    let outcome = match checked.config {
        Some(config) => put_in_force(gateway, certificates, config),
        None => Err("the configuration is not valid; the former one stays in force".to_owned()),
    };
    let policy_digest = gateway.live().config.policy.digest.clone();
    gateway.metrics.reload(outcome.is_ok());
    let detail = match outcome {
        Ok(()) => {
            tracing::info!(policy_digest, "configuration and policy were read again");
            json!({"policy_digest": policy_digest})
        }
        Err(error) => {
            tracing::error!(error, "reload failed");
            json!({"policy_digest": policy_digest, "error": error})
        }
    };
    gateway.audit.note(Event {
        at: gateway.clock.now(),
        kind: EventKind::Reload,
        actor: None,
        client_ip: None,
        request_id: None,
        detail,
    });
}

fn put_in_force(
    gateway: &Gateway,
    certificates: &Certificates,
    mut config: Config,
) -> Result<(), String> {
    let former = gateway.live();
    let typed = config.listen.clone();
    keep(&mut config.listen, &tls::with_files_of(&former.config.listen, &typed), "listen");
    keep(&mut config.audit.database, &former.config.audit.database, "audit.database");
    keep(&mut config.audit.key_file, &former.config.audit.key_file, "audit.key_file");
    // The new file may be safe only together with an address that it can't bring in force.
    if !config.listen.admin.ip().is_loopback() && config.admin_tokens.is_empty() {
        return Err("listen.admin is still not on loopback, and no [[admin.token]] is left: \
                    restart, or keep a token"
            .to_owned());
    }
    let (provider, redact) = (config.upstream.provider, config.redact.clone());
    let live = Live::new(config, &gateway.clock, Some(&former)).map_err(|error| {
        tracing::error!(error = &error as &dyn std::error::Error, "while reloading");
        error.to_string()
    })?;
    certificates.replace(&typed).map_err(|error| {
        tracing::error!(error = &error as &dyn std::error::Error, "while reloading");
        error.to_string()
    })?;
    gateway.audit.adopt(provider, &redact);
    gateway.replace(live);
    Ok(())
}

/// Some keys are in use as they were at the start: a change of theirs is said, and left.
fn keep<T: PartialEq + Clone>(new: &mut T, former: &T, key: &str) {
    if new != former {
        tracing::warn!(key, "a change of this key needs a restart");
        new.clone_from(former);
    }
}
