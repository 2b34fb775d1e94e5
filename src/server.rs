//! A running gateway: its listeners, its workers, and its end.
//!
//! Each worker is a thread with a current-thread runtime, its own listening socket
//! (`SO_REUSEPORT`) and its own connections to upstream, so that a call crosses no threads but
//! those to the log, whose writer has one too. The admin listener and the clock's chores live on
//! the runtime that started the server.

mod accept;
mod capacity;
mod checked;
mod connection;
mod control_frames;
mod evidence;
mod framed;
mod guard;
mod malformed;
mod peer;
mod reload;
mod retention;
mod sending;
mod serve_error;
mod served_policy;
mod socket_file;
mod tasks;
mod tls;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

pub use self::checked::check;
use self::evidence::Sealing;
pub use self::serve_error::ServeError;
use self::served_policy::ServedPolicy;
pub use self::served_policy::ServedPolicyError;
use self::socket_file::SocketFile;
pub use self::tasks::TaskEnded;
use self::tasks::Vital;
use crate::admin::{self, AdminState};
use crate::audit::{self, Audit, EvidenceSettings};
use crate::base::clock::Clock;
use crate::config::{Config, ListenAddress};
use crate::console;
use crate::gateway::{Gateway, Live};
use crate::net::listener::{Bound, Listener};
use crate::sinks::{self, Sinks};
use crate::telemetry::Metrics;

/// How often what was only counted is recorded.
const SUMMARY_EVERY: Duration = Duration::from_mins(1);

/// How long closing the log may take.
const LOG_CLOSES_WITHIN: Duration = Duration::from_secs(5);

/// How a server is started.
#[derive(Debug, Default)]
pub struct Options {
    /// The clock that records and limits go by.
    pub clock: Clock,
    /// How many workers; `None` for one a core.
    pub workers: Option<usize>,
    /// The configuration file and environment to read again on SIGHUP and on change.
    pub source: Option<Source>,
}

/// Where the configuration came from.
#[derive(Clone, Debug)]
pub struct Source {
    /// The configuration file.
    pub path: PathBuf,
    /// The process's `CHANGEGATE_…` variables.
    pub environment: Vec<(String, String)>,
}

/// A running gateway. Dropping it does not stop it: use [`Server::shutdown`].
#[derive(Debug)]
pub struct Server {
    proxy: ListenAddress,
    admin: ListenAddress,
    /// Socket files, removed when this is dropped.
    _files: [Option<SocketFile>; 2],
    gateway: Arc<Gateway>,
    stopping: DropGuard,
    vital: Vital,
    sealing: Sealing,
    sending: sinks::Running,
    workers: Vec<std::thread::JoinHandle<()>>,
    chores: JoinSet<()>,
}

/// How many connections the files allow for that may be open, which is told where fewer than are
/// asked for.
fn most_by_files(asked_for: usize) -> usize {
    let taken_at_most = capacity::most_by_files();
    if taken_at_most < asked_for {
        tracing::warn!(
            taken_at_most,
            asked_for,
            "fewer connections are taken than limits.connections asks for, since too few files \
             may be open: raise that limit (ulimit -n, LimitNOFILE) to twice as many and 400 \
             more, or lower limits.connections"
        );
    }
    taken_at_most
}

/// The sinks of a gateway, as its configuration has them.
fn sinks_of(gateway: &Arc<Gateway>) -> Sinks {
    let (configured, live) = (Arc::clone(gateway), gateway.live());
    Sinks::new(
        gateway.audit.clone(),
        gateway.clock.clone(),
        Arc::clone(&gateway.metrics),
        Arc::clone(&live.config.node),
        Arc::new(move || configured.live().config.sinks.clone()),
    )
}

impl Server {
    /// Starts everything that `config` asks for; returns once calls are taken.
    pub async fn start(config: Config, options: Options) -> Result<Self, ServeError> {
        let clock = options.clock.clone();
        let (database, key_file) = (&config.audit.database, &config.audit.key_file);
        let key = audit::keys::load_or_create(database, key_file).await?.key;
        let evidence = evidence::settings(&config.evidence, &key)?;
        let settings = audit::Settings {
            database: config.audit.database.clone(),
            node: Arc::clone(&config.node),
            provider: config.upstream.provider,
            redact: config.redact.clone(),
            policy_digest: config.policy.digest.clone(),
            sealing: config.seal.key_file.as_deref().map(evidence::sealing).transpose()?,
        };
        let live = Live::new(config, &clock, None)?;
        // The log before the ports: of two gateways, the second is told who has it.
        let audit = Audit::start(settings, key.clone(), clock.clone()).await?;
        let log = audit.clone();
        let metrics = Metrics::new(clock.now());
        let gateway = Arc::new(Gateway::new(live, audit, key, clock, Arc::new(metrics)));
        let mut served = ServedPolicy::default();
        // No call is judged by another policy than the one that is served.
        let looked = served.look(&gateway).await.map_err(ServeError::from);
        let started = looked.and_then(|()| Self::listen(gateway, options, served, evidence));
        if started.is_err() {
            log.close(LOG_CLOSES_WITHIN).await;
        }
        started
    }

    fn listen(
        gateway: Arc<Gateway>,
        options: Options,
        served: ServedPolicy,
        evidence: EvidenceSettings,
    ) -> Result<Self, ServeError> {
        let live = gateway.live();
        let listen = &live.config.listen;
        let workers = options.workers.unwrap_or_else(|| {
            std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
        });
        let certificates = tls::Certificates::load(listen)?;
        tls::warn_of_lapsed(&live.config, gateway.clock.now());
        let bind = |what, address: &ListenAddress, count| {
            let failed = |source| ServeError::Listen { what, address: address.clone(), source };
            accept::bind(address, listen.socket_mode, count).map_err(failed)
        };
        let proxy = bind("listen.proxy", &listen.proxy, workers)?;
        let mut admin = bind("listen.admin", &listen.admin, 1)?;
        let admin_listener = admin.listeners.pop().map(Bound::listen).transpose();
        let admin_listener = admin_listener.ok().flatten().ok_or_else(|| ServeError::Listen {
            what: "listen.admin",
            address: admin.address.clone(),
            source: io::ErrorKind::Other.into(),
        })?;

        let stop = CancellationToken::new();
        let stopping = stop.clone().drop_guard();
        let vital = Vital::new(stop.clone());
        let sealing = Sealing::start(&gateway.audit, (evidence, &live.config.evidence), &vital);
        let sinks = sinks_of(&gateway);
        let sending = sinks.start().map_err(ServeError::Worker)?;
        let (files, listeners) = ([proxy.file, admin.file], proxy.listeners);
        let (proxy, admin) = (proxy.address, admin.address);
        let mut server = Self {
            proxy,
            admin,
            _files: files,
            gateway,
            stopping,
            vital,
            sealing,
            sending,
            workers: Vec::new(),
            chores: JoinSet::new(),
        };
        let capacity = capacity::Capacity::default();
        let most_by_files = most_by_files(live.config.limits.connections);
        for listener in listeners {
            let worker = accept::Worker {
                gateway: Arc::clone(&server.gateway),
                listener,
                tls: certificates.proxy().cloned(),
                capacity: capacity.clone(),
                most_by_files,
                stop: stop.child_token(),
                connections: TaskTracker::new(),
                dismissed: CancellationToken::new(),
                _running: server.vital.running("a worker thread"),
            };
            server.workers.push(worker.start().map_err(ServeError::Worker)?);
        }
        server.start_chores((admin_listener, sinks), certificates, options.source, &stop);
        if server.gateway.audit.reader().may_serve_policy() {
            let running = server.vital.running("the watch over the policy that the log serves");
            let followed = served.follow(Arc::clone(&server.gateway), stop);
            server.chores.spawn(async move {
                let _running = running;
                followed.await;
            });
        }
        Ok(server)
    }

    /// The parts that the admin API works with, as they hold at each call.
    fn admin_state(&self, certificates: &tls::Certificates, sinks: Sinks) -> AdminState {
        let gateway = &self.gateway;
        let [tokens, counted, patient, listed] = std::array::from_fn(|_| Arc::clone(gateway));
        let [governed, served, told, named, known] = std::array::from_fn(|_| Arc::clone(gateway));
        let [logging_in, spelling, limiting, keeping] =
            std::array::from_fn(|_| Arc::clone(gateway));
        let [reading, viewed] = std::array::from_fn(|_| Arc::clone(gateway));
        let vital = self.vital.clone();
        AdminState {
            audit: gateway.audit.clone(),
            tokens: Arc::new(move || tokens.admin_tokens()),
            limits: Arc::new(move || limiting.live().config.rate_limit),
            logins: Arc::new(move || Arc::clone(&logging_in.live().config.logins)),
            person_named: Arc::new(move |name| spelling.live().config.actors.spelled(name)),
            tokens_of: Arc::new(move |name| listed.live().config.actors.tokens_of(name)),
            actors: Arc::new(move || known.live().config.actors.clone()),
            policy: Arc::new(move || governed.policy()),
            provider: Arc::new(move || served.live().config.upstream.provider),
            metrics_text: Arc::new(move || counted.metrics_text()),
            decided: Arc::new(move |kind, verdict| told.metrics.approvals.decided(kind, verdict)),
            clock: gateway.clock.clone(),
            tls: certificates
                .admin()
                .cloned()
                .map(|certificate| -> admin::Acceptor { Arc::new(move || certificate.acceptor()) }),
            patience: Arc::new(move || {
                let limits = &patient.live().config.limits;
                admin::Patience { write: limits.write_timeout, pace: limits.pace_timeout }
            }),
            ended: Arc::new(move || vital.ended().map(|ended| ended.to_string())),
            refused_config: Arc::new(move || reading.refused_config()),
            sinks,
            views: Arc::new(move || Arc::clone(&viewed.live().config.views)),
            retention: Arc::new(move || retention::kept(&keeping)),
            node: Arc::new(move || named.live().config.node.to_string()),
        }
    }

    fn start_chores(
        &mut self,
        (admin, sinks): (Listener, Sinks),
        certificates: tls::Certificates,
        source: Option<Source>,
        stop: &CancellationToken,
    ) {
        let gateway = &self.gateway;
        let state = self.admin_state(&certificates, sinks);
        let admin_stopped = stop.clone();
        let running = self.vital.running("the admin listener");
        self.chores.spawn(async move {
            let _running = running;
            if let Err(error) = admin::serve(admin, state, console::router, admin_stopped).await {
                tracing::error!(error = &error as &dyn std::error::Error, "the admin API ended");
            }
        });
        let summaries = Arc::clone(gateway);
        let summaries_stopped = stop.clone();
        let running = self.vital.running("the task that records summaries");
        self.chores.spawn(async move {
            let _running = running;
            loop {
                summaries.look_at_approvals().await;
                tokio::select! {
                    () = tokio::time::sleep(SUMMARY_EVERY) => summaries.summarise(),
                    () = summaries_stopped.cancelled() => break,
                }
            }
        });
        if let Some(source) = source {
            let watched = reload::watch(Arc::clone(gateway), certificates, source, stop.clone());
            let running = self.vital.running("the watch over the configuration");
            self.chores.spawn(async move {
                let _running = running;
                watched.await;
            });
        }
        retention::start(gateway, &mut self.chores, &self.vital, stop.clone());
        let (log, log_stopped) = (gateway.audit.clone(), stop.clone());
        let running = self.vital.running("the audit log's writer");
        self.chores.spawn(async move {
            let _running = running;
            log_stopped.run_until_cancelled(log.writer_ended()).await;
        });
    }

    /// Where clients connect.
    #[must_use]
    pub fn proxy_address(&self) -> &ListenAddress {
        &self.proxy
    }

    /// Where operators connect.
    #[must_use]
    pub fn admin_address(&self) -> &ListenAddress {
        &self.admin
    }

    /// Resolves once a task that the gateway can't do without has ended by itself: the server is to
    /// be stopped then.
    pub async fn failed(&self) -> TaskEnded {
        self.vital.failed().await
    }

    /// Ends the audit log's writer as a bug of its own would: for tests.
    #[cfg(test)]
    pub(crate) fn break_writer(&self) {
        self.gateway.audit.break_writer();
    }

    /// Takes no more calls, lets those that have begun come to their end, at most
    /// `limits.drain_timeout`, and closes the log.
    pub async fn shutdown(mut self) {
        let drain = self.gateway.live().config.limits.drain_timeout;
        self.stopping.disarm().cancel();
        let ended = tokio::task::spawn_blocking(|| {
            for worker in self.workers {
                if worker.join().is_err() {
                    tracing::error!("a worker thread broke");
                }
            }
        });
        // Workers end by themselves within the drain time; a little more is for their last steps.
        if tokio::time::timeout(drain + Duration::from_secs(2), ended).await.is_err() {
            tracing::error!("a worker did not end in time");
        }
        self.gateway.summarise();
        self.sending.end().await;
        self.sealing.end().await;
        self.gateway.audit.close(LOG_CLOSES_WITHIN).await;
        while self.chores.join_next().await.is_some() {}
    }
}
