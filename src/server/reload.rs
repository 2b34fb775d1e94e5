//! Reads the configuration again on SIGHUP and when one of its files changes.
//!
//! A file may be caught while it is being written, and the beginning of a policy is a weaker
//! policy. So what changed is taken only where two looks at the files, a second apart, see the same
//! bytes. Files are compared by their bytes alone: their lengths, times and places tell too little
//! where links are swapped, or where copies keep their times.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use tokio::signal::unix::{Signal, SignalKind};
use tokio::task::spawn_blocking;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Source;
use super::checked::check;
use super::tls::{self, Certificates};
use crate::audit::record::{Event, EventKind};
use crate::base::file;
use crate::base::visible::chain;
use crate::config::Config;
use crate::config::check::Checked;
use crate::gateway::{Gateway, Live};

/// How often files are looked at. Looking, rather than being told by the kernel, also sees files
/// that are links swapped as a whole, as Kubernetes mounts them.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The looks after which files that are never twice the same are told of.
const UNSETTLED_LOOKS: u32 = 10;

/// The most complaints that the record of a failed reload holds.
const COMPLAINTS_KEPT: usize = 10;

/// The digests of files; `None` for one that can't be read.
type Look = BTreeMap<PathBuf, Option<[u8; 32]>>;

/// Watches until the server stops. SIGHUP is heard from now on, not only once this is first
/// polled: until then it would end the program.
pub(super) fn watch(
    gateway: Arc<Gateway>,
    certificates: Certificates,
    source: Source,
    stop: CancellationToken,
) -> impl Future<Output = ()> {
    let hangups = hangups().inspect_err(|error| {
        tracing::warn!(%error, "SIGHUP can't be heard: only file changes reload");
    });
    let files = gateway.live().config.files.clone();
    // What was read at the start may have changed since: the first look is what it is held against
    // only where that is the configuration in force.
    let (taken, candidate, unsettled) = (Look::new(), None, 0);
    let watch = Watch { gateway, certificates, source, taken, files, candidate, unsettled };
    watch.follow(stop, hangups.ok())
}

struct Watch {
    gateway: Arc<Gateway>,
    certificates: Certificates,
    source: Source,
    /// The files as they were when they were taken, or refused, last.
    taken: Look,
    /// The files that the configuration in force was read from.
    files: Vec<PathBuf>,
    /// The files at the last look, if they differ from those in force, and when that was.
    candidate: Option<(Look, Instant)>,
    /// How many looks in a row have seen something new.
    unsettled: u32,
}

/// A configuration and the bytes that it was read from.
struct Read {
    checked: Checked,
    look: Look,
}

impl Watch {
    async fn follow(mut self, stop: CancellationToken, mut hangups: Option<Signal>) {
        self.taken = look(self.files.clone()).await;
        let mut told = self.is_stale().await;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = hangup(&mut hangups) => told = true,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            if told || look(self.files.clone()).await != self.taken {
                told = !self.consider().await && told;
            } else {
                (self.candidate, self.unsettled) = (None, 0);
            }
        }
    }

    /// Whether the files say something else already than what is in force: they may have changed
    /// between the start and the first look.
    async fn is_stale(&self) -> bool {
        let Some(read) = self.read().await else { return true };
        let live = self.gateway.live();
        read.checked.config.is_none_or(|config| {
            config.policy.digest != live.config.policy.digest
                || !config.differing_keys(&live.config).is_empty()
        })
    }

    /// Looks at files that have changed, and takes them where the last look has seen the same.
    async fn consider(&mut self) -> bool {
        let Some(read) = self.read().await else {
            self.candidate = None;
            self.wait_on();
            return false;
        };
        let now = Instant::now();
        match &self.candidate {
            Some((seen, at)) if *seen == read.look => {
                // SIGHUP may have made this look come early.
                if now.duration_since(*at) < LOOK_EVERY {
                    return false;
                }
            }
            _ => {
                self.candidate = Some((read.look, now));
                self.wait_on();
                return false;
            }
        }
        let changed = read.look.iter().filter(|(file, now)| self.taken.get(*file) != Some(*now));
        let changed: Vec<PathBuf> = changed.map(|(file, _)| file.clone()).collect();
        self.taken = read.look;
        (self.candidate, self.unsettled) = (None, 0);
        let fault = fault(&read.checked, &self.taken);
        let done = reload(&self.gateway, &self.certificates, read.checked, &changed);
        self.gateway.read_config((!done).then_some(fault));
        self.files.clone_from(&self.gateway.live().config.files);
        // Files of a configuration that was refused are watched too, for they are to be fixed.
        let refused = self.taken.keys().filter(|file| !self.files.contains(file));
        let refused: Vec<PathBuf> = refused.cloned().collect();
        self.files.extend(refused);
        true
    }

    fn wait_on(&mut self) {
        self.unsettled += 1;
        if self.unsettled == UNSETTLED_LOOKS {
            tracing::warn!("the configuration's files change all the time: none of it is taken");
        }
    }

    /// Reads the configuration; `None` where its files change meanwhile.
    async fn read(&self) -> Option<Read> {
        let before = look(self.files.clone()).await;
        let (path, environment) = (self.source.path.clone(), self.source.environment.clone());
        let checking = spawn_blocking(move || check(&path, &environment)).await;
        let checked = checking
            .unwrap_or_else(|_panicked| Checked::broken_off(&self.source.path, self.files.clone()));
        let mut files = self.files.clone();
        files.extend(checked.files.iter().cloned());
        let look = look(files).await;
        let is_same = before.iter().all(|(file, then)| look.get(file) == Some(then));
        is_same.then_some(Read { checked, look })
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

/// Looks at files.
async fn look(files: Vec<PathBuf>) -> Look {
    let looking = spawn_blocking(move || {
        let digest = |file: &PathBuf| Some(Sha256::digest(file::bytes(file).ok()?).into());
        files.into_iter().map(|file| (file.clone(), digest(&file))).collect()
    });
    looking.await.unwrap_or_default()
}

/// Puts the new configuration in force, or keeps the old one and says why. `changed` names the
/// files that were read anew. Whether the new one is in force is returned.
fn reload(
    gateway: &Gateway,
    certificates: &Certificates,
    checked: Checked,
    changed: &[PathBuf],
) -> bool {
    // Of those that forbid it, all are told, whatever the failure's own line has room for.
    for complaint in &checked.complaints {
        tracing::warn!(%complaint, "while reloading");
    }
    let former = gateway.live();
    let errors = || checked.complaints.iter().filter(|complaint| !complaint.warning);
    let outcome = if let Some(config) = checked.config {
        put_in_force(gateway, certificates, config)
    } else {
        let first = errors().next().map(ToString::to_string).unwrap_or_default();
        Err(format!("the configuration is not valid, the former one stays in force: {first}"))
    };
    let now = gateway.live();
    let policy_digest = now.config.policy.digest.clone();
    let done = outcome.is_ok();
    let files: Vec<String> = changed.iter().map(|file| file.display().to_string()).collect();
    let mut detail = Map::new();
    let mut add = |name: &str, value: Value| detail.insert(name.to_owned(), value);
    add("policy_digest", json!(policy_digest));
    add("files", json!(files));
    match outcome {
        Ok(()) => {
            let keys = now.config.differing_keys(&former.config);
            tracing::info!(policy_digest, ?keys, "configuration and policy were read again");
            add("former_policy_digest", json!(former.config.policy.digest));
            add("changed", json!(keys));
        }
        Err(error) => {
            tracing::error!(error, "reload failed");
            let errors: Vec<String> =
                errors().take(COMPLAINTS_KEPT).map(ToString::to_string).collect();
            add("error", json!(error));
            add("complaints", json!(errors));
        }
    }
    gateway.audit.note(Event {
        at: gateway.clock.now(),
        kind: EventKind::Reload,
        actor: None,
        client_ip: None,
        request_id: None,
        detail: detail.into(),
    });
    done
}

/// The place at which a configuration is at fault, in words that repeat nothing of it: anybody who
/// reaches the admin listener may read them.
fn fault(checked: &Checked, look: &Look) -> String {
    let name = |file: &Path| file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let unread = checked.files.iter().find(|file| matches!(look.get(*file), Some(None)));
    if let Some(unread) = unread {
        return format!("{} can't be read", name(unread));
    }
    let mut errors = checked.complaints.iter().filter(|complaint| !complaint.warning);
    let Some(first) = errors.next() else { return "it can't be put in force".to_owned() };
    let place: String = first.line.map(|line| format!(" at line {line}")).unwrap_or_default();
    let more = match errors.count() {
        0 => String::new(),
        more => format!(", and {more} more"),
    };
    format!("{} is not valid{place}{more}", name(&first.file))
}

fn put_in_force(
    gateway: &Gateway,
    certificates: &Certificates,
    mut config: Config,
) -> Result<(), String> {
    let former = gateway.live();
    let typed = config.listen.clone();
    keep(&mut config.listen, &tls::with_files_of(&former.config.listen, &typed), "listen");
    keep(&mut config.node, &former.config.node, "node.name");
    keep(&mut config.audit.database, &former.config.audit.database, "audit.database");
    keep(&mut config.audit.key_file, &former.config.audit.key_file, "audit.key_file");
    // The new file may be safe only together with an address that it can't bring in force.
    if !config.listen.admin.is_local() && !config.asks_who_comes() {
        return Err("listen.admin is still not on loopback, and no [[admin.token]] is left: \
                    restart, or keep a token"
            .to_owned());
    }
    let (provider, redact) = (config.upstream.provider, config.redact.clone());
    let live = Live::new(config, &gateway.clock, Some(&former)).map_err(|error| chain(&error))?;
    certificates.replace(&typed).map_err(|error| chain(&error))?;
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
