//! Witnesses: servers that sign that a log's checkpoints only ever grew (C2SP tlog-witness).
//!
//! Each has a task of its own, which is shown every checkpoint that this gateway signs, asks for a
//! signature, and hands it to the task that publishes them. Nobody waits for it, whatever the
//! witness does.
//!
//! ```text
//! checkpoint -> old N, proof, checkpoint -> 200: signatures -> audit
//!                     ^------------------- 409: it has seen M, once more from there
//! ```

mod asking;
mod trouble;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use self::asking::Asking;
use self::trouble::{Telling, Trouble};
use crate::audit::Audit;
use crate::audit::witness::OwnCheckpoint;
use crate::base::verifier::VerifierKey;
use crate::base::visible::chain;
use crate::config::{EvidenceConfig, WitnessConfig};

/// How often one checkpoint is shown to a witness that has a fault which may pass.
const TRIES_MAX: u32 = 4;

/// How long is waited after the first of them; after the next one twice as long, and so on.
const AFTER_FAULT: Duration = Duration::from_secs(5);

/// How long is waited before a task that broke is begun anew.
const AFTER_BREAK: Duration = Duration::from_mins(1);

/// Has every configured witness asked until `stop` is cancelled.
pub(crate) fn start(audit: &Audit, config: &EvidenceConfig, stop: &CancellationToken) {
    let names: Vec<String> = config.witnesses.iter().map(|witness| witness.name.clone()).collect();
    audit.name_witnesses(&names);
    let keys: Arc<[VerifierKey]> =
        config.witness_keys.iter().filter_map(|key| VerifierKey::parse(key)).collect();
    for (number, config) in config.witnesses.iter().cloned().enumerate() {
        let (audit, keys, stop) = (audit.clone(), Arc::clone(&keys), stop.clone());
        let _ends_with_the_gateway = tokio::spawn(async move {
            while !stop.is_cancelled() {
                let begun = begun(&audit, (number, &config), &keys, &stop);
                if begun.await.is_ok() {
                    return;
                }
                tracing::error!(witness = config.name, "the task of a witness broke: begun anew");
                let _stopped = stop.run_until_cancelled(sleep(AFTER_BREAK)).await;
            }
        });
    }
}

/// The running task of a witness.
fn begun(
    audit: &Audit,
    (number, config): (usize, &WitnessConfig),
    keys: &Arc<[VerifierKey]>,
    stop: &CancellationToken,
) -> JoinHandle<()> {
    let (audit, config, keys, stop) = (audit.clone(), config.clone(), keys.clone(), stop.clone());
    tokio::spawn(async move {
        let newest = audit.own_checkpoints();
        match Asking::new(audit.clone(), (number, &config), keys) {
            Ok(asking) => {
                let telling = Telling::new(audit, number, config.name);
                let witness = Witness { asking, telling, newest };
                stop.run_until_cancelled(witness.run()).await;
            }
            Err(error) => {
                let error = chain(&error);
                audit.witness_failed(number, &error);
                tracing::error!(witness = config.name, error, "a witness can't be asked");
            }
        }
    })
}

/// A witness, with all that its task knows.
struct Witness {
    asking: Asking,
    telling: Telling,
    newest: watch::Receiver<Option<Arc<OwnCheckpoint>>>,
}

impl Witness {
    /// Shows it one checkpoint after the other. One that comes while another is shown is the next
    /// one; those between are left out.
    async fn run(mut self) {
        // One may be there already.
        self.newest.mark_changed();
        while self.newest.changed().await.is_ok() {
            let checkpoint = self.newest.borrow_and_update().clone();
            if let Some(checkpoint) = checkpoint {
                self.show(&checkpoint).await;
            }
        }
    }

    /// Shows it a checkpoint, more than once where it has a fault that may pass, and no newer one
    /// is there.
    async fn show(&mut self, checkpoint: &OwnCheckpoint) {
        let mut rest = AFTER_FAULT;
        for _try in 0..TRIES_MAX {
            let asked = self.asking.ask(checkpoint).await;
            let may_pass = asked.as_ref().err().is_some_and(Trouble::may_pass);
            self.telling.tell(asked, checkpoint.size);
            if !may_pass {
                return;
            }
            tokio::select! {
                () = sleep(rest) => rest *= 2,
                _newer = self.newest.changed() => {
                    self.newest.mark_changed();
                    return;
                }
            }
        }
    }
}
