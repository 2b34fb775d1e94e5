//! The task that keeps the log's evidence up, from its start to its end.

use std::path::Path;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::ServeError;
use super::tasks::Vital;
use crate::audit::keys::KeyError;
use crate::audit::{Audit, EvidenceSettings, SealingKey};
use crate::base;
use crate::base::key::{self, Key, Staged, sweep};
use crate::config::EvidenceConfig;
use crate::witnesses;

/// How long its last checkpoint may take.
const ENDS_WITHIN: Duration = Duration::from_secs(3);

/// The running task.
#[derive(Debug)]
pub(super) struct Sealing {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

/// The settings that a configuration says, with the key: where it names no file, it is made of the
/// log's own.
pub(super) fn settings(
    config: &EvidenceConfig,
    logs: &Key,
) -> Result<EvidenceSettings, ServeError> {
    let key = match &config.key_file {
        Some(file) => Key::load_or_create(file).map_err(KeyError::from)?,
        None => Key::from_bytes(logs.digest("evidence", b"")),
    };
    Ok(EvidenceSettings {
        origin: config.origin.clone(),
        key,
        interval: config.interval,
        checkpoint_file: config.checkpoint_file.clone(),
        newest_file: config.newest_file.clone(),
        is_witnessed: !config.witnesses.is_empty(),
        witness_keys: config.witness_keys.clone(),
    })
}

/// The key that originals are sealed under; one that is being changed is not used.
pub(super) fn sealing(file: &Path) -> Result<SealingKey, ServeError> {
    let key = Key::load_or_create(file).map_err(KeyError::from)?;
    if Staged::found(file).map_err(KeyError::from)?.is_some() {
        return Err(ServeError::Sealing(file.to_owned()));
    }
    sweep(file)
        .map_err(|source| KeyError::from(key::KeyError::File { path: file.to_owned(), source }))?;
    SealingKey::of(&key).ok_or_else(|| ServeError::Sealing(file.to_owned()))
}

impl Sealing {
    pub(super) fn start(
        audit: &Audit,
        (settings, config): (EvidenceSettings, &EvidenceConfig),
        vital: &Vital,
    ) -> Self {
        let stop = CancellationToken::new();
        witnesses::start(audit, config, &stop);
        let newest_file = settings.newest_file.clone();
        let (sealer, stopped) = (audit.sealer(settings), stop.clone());
        let running = vital.running("the task that keeps the evidence up");
        let (verifying, unverified) = (audit.verifying(), stop.clone());
        let watched = vital.running("the task that verifies the log once a day");
        let _ends_with_the_sealer = tokio::spawn(async move {
            let _running = watched;
            let newest = || {
                let text = base::file::text(&newest_file).ok()?;
                Some((format!("the newest checkpoint ({})", newest_file.display()), text))
            };
            verifying.run(newest, unverified).await;
        });
        let task = tokio::spawn(async move {
            let _running = running;
            sealer.run(stopped).await;
        });
        Self { stop, task }
    }

    /// Has what was recorded last come under a checkpoint, and ends the task.
    pub(super) async fn end(self) {
        self.stop.cancel();
        if tokio::time::timeout(ENDS_WITHIN, self.task).await.is_err() {
            tracing::warn!(
                "the last records are not under a checkpoint yet: the next start sees to it"
            );
        }
    }
}
