//! The way to the backend: whether it answers, who finds out, and what is said of it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::sync::{Notify, watch};
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::connection::{AskError, CONNECT_WITHIN, Dial, Drawn, Taking};
use super::route::Route;
use crate::base::ids::Fingerprint;
use crate::config::{Budget, LimitBackend, SharedLimits};
use crate::gateway::limit::{LiveNodes, RequestKind, Share};
use crate::upstream::trust::TrustError;

/// How often the backend is asked although no call asks it.
const PROBE_EVERY: Duration = Duration::from_secs(1);

/// So many questions in a row without an answer, and the backend counts as away.
const MISSES_MAX: u32 = 3;

/// How long a call waits at most to know whether the backend is there.
const TRIED_WITHIN: Duration = CONNECT_WITHIN;

/// The bucket that is looked into to find out whether the backend answers.
const PROBED: &str = "changegate:probe";

/// The way to the backend.
pub(super) struct Link {
    line: Arc<Line>,
    _watch: AbortOnDropHandle<()>,
}

struct Line {
    backend: String,
    dial: Arc<Dial>,
    nodes: LiveNodes,
    /// `None` while the backend is away.
    route: ArcSwapOption<Route>,
    /// Questions in a row that were not answered.
    misses: AtomicU32,
    /// A question was not answered: it is to be looked into.
    doubt: Notify,
    tried: watch::Sender<bool>,
}

impl Link {
    /// A way that is kept open from now on.
    pub(super) fn open(
        backend: &LimitBackend,
        shared: &SharedLimits,
        nodes: &LiveNodes,
    ) -> Result<Self, TrustError> {
        let line = Arc::new(Line {
            backend: backend.to_string(),
            dial: Arc::new(Dial::new(backend, shared)?),
            nodes: nodes.clone(),
            route: ArcSwapOption::empty(),
            misses: AtomicU32::new(0),
            doubt: Notify::new(),
            tried: watch::Sender::new(false),
        });
        let watched = tokio::spawn(Arc::clone(&line).watch());
        Ok(Self { line, _watch: AbortOnDropHandle::new(watched) })
    }

    /// Whether it is known that the backend does not answer.
    pub(super) fn is_away(&self) -> bool {
        self.line.route.load().is_none() && *self.line.tried.borrow()
    }

    /// Takes so many of the token's calls of that kind.
    pub(super) async fn draw(
        &self,
        (token, kind): (Fingerprint, RequestKind),
        budget: Budget,
        count: u32,
        taking: Taking,
    ) -> Result<Drawn, AskError> {
        let line = &self.line;
        let route = match line.route.load_full() {
            Some(route) => route,
            None => line.first_route().await.ok_or(AskError::Away)?,
        };
        let bucket = bucket(token, kind);
        let drawn = route.draw(&bucket, Share::whole(budget), count, taking).await;
        match &drawn {
            Ok(_) if line.misses.load(Ordering::Relaxed) == 0 => {}
            Ok(_) => line.misses.store(0, Ordering::Relaxed),
            Err(_) => {
                line.misses.fetch_add(1, Ordering::Relaxed);
                line.doubt.notify_one();
            }
        }
        drawn
    }
}

/// The key of a bucket. The braces keep a token's two on one node of a cluster.
fn bucket(token: Fingerprint, kind: RequestKind) -> String {
    let kind = match kind {
        RequestKind::Read => 'r',
        RequestKind::Write => 'w',
    };
    format!("changegate:{{{token}}}:{kind}")
}

impl Line {
    /// The way, once it is known whether there is one.
    async fn first_route(&self) -> Option<Arc<Route>> {
        let mut tried = self.tried.subscribe();
        // Where it takes longer than that, it is away.
        let _ = timeout(TRIED_WITHIN, tried.wait_for(|tried| *tried)).await;
        self.route.load_full()
    }

    async fn watch(self: Arc<Self>) {
        let mut said = None;
        loop {
            let found = self.look().await;
            let is_there = found.is_ok();
            match found {
                Ok(()) if said == Some(false) => {
                    tracing::info!(backend = self.backend, "rate_limit.backend is back");
                }
                Err(error) if said != Some(false) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(
                        backend = self.backend,
                        error,
                        gateways = self.nodes.count(),
                        "rate_limit.backend is away: rate_limit.away says what passes"
                    );
                }
                Ok(()) | Err(_) => {}
            }
            said = Some(is_there);
            self.tried.send_replace(true);
            if is_there {
                // Whoever misses an answer has it looked into at once.
                let _ = timeout(PROBE_EVERY, self.doubt.notified()).await;
            } else {
                tokio::time::sleep(PROBE_EVERY).await;
            }
        }
    }

    /// Finds out whether the backend answers.
    async fn look(&self) -> Result<(), AskError> {
        while let Some(route) = self.route.load_full() {
            let error = match probe(&route).await {
                Ok(()) => {
                    self.misses.store(0, Ordering::Relaxed);
                    return Ok(());
                }
                Err(error) => error,
            };
            // One that was closed, as servers do that start anew, may be made anew at once.
            if matches!(error, AskError::Lost) {
                break;
            }
            if self.misses.fetch_add(1, Ordering::Relaxed) + 1 >= MISSES_MAX {
                self.route.store(None);
                return Err(error);
            }
        }
        let found = self.connect().await;
        self.route.store(found.as_ref().ok().cloned());
        self.misses.store(0, Ordering::Relaxed);
        found.map(drop)
    }

    async fn connect(&self) -> Result<Arc<Route>, AskError> {
        let route = Arc::new(Route::open(&self.dial).await?);
        probe(&route).await?;
        Ok(route)
    }
}

/// Holds that the backend answers as it has to, and can be written.
async fn probe(route: &Route) -> Result<(), AskError> {
    route.probe(PROBED, Share::whole(Budget::per_second(1, 1))).await
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Link({})", self.line.backend)
    }
}
