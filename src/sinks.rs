//! Sinks: finished records sent to other programs as they come, in the order of their positions.
//!
//! All sinks have one thread, which is nobody else's, and read the log over a connection of their
//! own. So whatever a receiver does, no call waits for it. A record that a sink was not sent stays
//! where it is, in the log, and the sink's place before it: at least once is what holds.

mod attempt;
mod cut;
mod delivery;
mod gone;
mod hec;
mod lines;
mod message;
mod otlp;
mod page;
mod runner;
mod schedule;
mod shared;
mod syslog;
mod transport;
mod unread;
mod webhook;

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;
use serde_json::json;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};
use utoipa::ToSchema;

use self::delivery::Delivery;
use self::lines::Files;
use self::message::Message;
use self::runner::{Runner, note};
use self::shared::Shared;
use self::transport::{Sender, Transport};
use crate::audit::Audit;
use crate::audit::query::QueryError;
use crate::audit::sinks::{SinkHolder, SinkOrder};
use crate::base::clock::Clock;
use crate::base::visible::chain;
use crate::config::SinkConfig;
use crate::net::thread::spawn;
use crate::telemetry::Metrics;

/// How often it is looked whether the configuration is another one.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How long is waited before a sink whose task broke is begun anew.
const AFTER_BREAK: Duration = Duration::from_secs(10);

/// How long the end may take: to keep how far each sink has come.
const ENDS_WITHIN: Duration = Duration::from_secs(3);

/// Gives the sinks that the configuration has now.
pub type SinksNow = Arc<dyn Fn() -> Vec<SinkConfig> + Send + Sync>;

/// The sinks of a gateway, for who asks about them. Clones share them.
#[derive(Clone)]
pub struct Sinks {
    shared: Shared,
    configured: SinksNow,
    wakes: Arc<Mutex<HashMap<Arc<str>, Arc<Notify>>>>,
    files: Files,
}

/// The running thread.
#[derive(Debug)]
pub(crate) struct Running {
    stop: DropGuard,
    ended: oneshot::Receiver<()>,
}

/// The result of a test.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct SinkTest {
    /// The sink.
    pub sink: String,
    /// Whether the receiver took the message.
    pub taken: bool,
    /// Why not; null where it did.
    #[schema(required)]
    pub error: Option<String>,
}

impl std::fmt::Debug for Sinks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sinks")
    }
}

impl Sinks {
    /// The sinks that `configured` gives, which are sent nothing yet.
    pub(crate) fn new(
        audit: Audit,
        clock: Clock,
        metrics: Arc<Metrics>,
        node: Arc<str>,
        configured: SinksNow,
    ) -> Self {
        let holder = SinkHolder::new();
        let shared = Shared { audit, clock, metrics, holder, node };
        Self { shared, configured, wakes: Arc::default(), files: Files::default() }
    }

    /// Starts the thread that sends.
    pub(crate) fn start(&self) -> io::Result<Running> {
        let stop = CancellationToken::new();
        let (told, ended) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (sinks, stopped) = (self.clone(), stop.clone());
        spawn("changegate-sinks", runtime, move |runtime| {
            runtime.block_on(sinks.run(stopped));
            let _gone = told.send(());
            // A file that hangs is waited for no longer.
            runtime.shutdown_background();
        })?;
        Ok(Running { stop: stop.drop_guard(), ended })
    }

    /// Has every configured sink run, as the configuration is now, until `stop` is cancelled.
    async fn run(self, stop: CancellationToken) {
        let mut tasks = Tasks::default();
        while !stop.is_cancelled() {
            self.follow(&mut tasks).await;
            tokio::select! {
                () = sleep(LOOK_EVERY) => {}
                () = stop.cancelled() => {}
            }
        }
        for (_name, task) in tasks.running {
            task.end().await;
        }
        let left = self.shared.audit.leave_sinks(&self.shared.holder);
        let _late = timeout(Duration::from_secs(1), left).await;
    }

    /// Ends the tasks of sinks that are no longer configured so, and starts those that are missing.
    async fn follow(&self, tasks: &mut Tasks) {
        let wanted = (self.configured)();
        let is_over = |task: &Task| task.handle.is_finished() || !wanted.contains(&task.config);
        let running = tasks.running.iter();
        let over: Vec<Arc<str>> = running
            .filter(|(_name, task)| is_over(task))
            .map(|(name, _task)| Arc::clone(name))
            .collect();
        for name in over {
            let Some(task) = tasks.running.remove(&name) else { continue };
            if task.handle.is_finished() {
                tracing::error!(sink = %name, "the task of a sink broke: it begins anew");
                tasks.rest(&name);
            }
            task.end().await;
            self.wakes().remove(&name);
            if !wanted.iter().any(|config| config.name == name) {
                self.shared.metrics.sinks.end(&name);
            }
        }
        for config in wanted {
            if !tasks.running.contains_key(&config.name)
                && !tasks.rests(&config.name)
                && let Some(task) = self.begin(&config, tasks).await
            {
                tasks.running.insert(Arc::clone(&config.name), task);
            }
        }
    }

    /// Starts the task of a sink; `None` where that must be tried again.
    async fn begin(&self, config: &SinkConfig, tasks: &mut Tasks) -> Option<Task> {
        let sender = self.sender().await?;
        let transport = match Transport::new(config, &sender, &self.files) {
            Ok(transport) => transport,
            Err(error) => {
                let error = chain(&error);
                tracing::error!(sink = %config.name, error, "a sink can't be prepared");
                tasks.rest(&config.name);
                return None;
            }
        };
        self.shared.metrics.sinks.begin(&config.name);
        let (wake, stop) = (Arc::<Notify>::default(), CancellationToken::new());
        self.wakes().insert(Arc::clone(&config.name), Arc::clone(&wake));
        let runner = Runner::new(self.shared.clone(), config.clone(), sender, transport);
        let handle = tokio::spawn(runner.run(stop.clone(), wake));
        Some(Task { config: config.clone(), stop, handle })
    }

    /// The names of who sends; `None` while the log has no name yet.
    async fn sender(&self) -> Option<Sender> {
        let log = self.shared.audit.reader().log_name().await.ok().flatten()?;
        Some(Sender { log, node: self.shared.node.to_string() })
    }

    fn wakes(&self) -> std::sync::MutexGuard<'_, HashMap<Arc<str>, Arc<Notify>>> {
        self.wakes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The sink of that name in the configuration.
    pub(crate) fn named(&self, name: &str) -> Option<SinkConfig> {
        (self.configured)().into_iter().find(|config| &*config.name == name)
    }

    /// Sends a message that tests a sink, beside the records; `None` where there is no such sink.
    pub(crate) async fn test(&self, name: &str, by: &str) -> Option<SinkTest> {
        let config = self.named(name)?;
        note(&self.shared, json!({ "sink": name, "what": "test", "by": by }));
        let error = self.tested(&config).await;
        Some(SinkTest { sink: name.to_owned(), taken: error.is_none(), error })
    }

    /// Why a test fails; `None` where it does not.
    async fn tested(&self, config: &SinkConfig) -> Option<String> {
        let Some(sender) = self.sender().await else { return Some("the log is empty".to_owned()) };
        let mut transport = match Transport::new(config, &sender, &self.files) {
            Ok(transport) => transport,
            Err(error) => return Some(chain(&error)),
        };
        let now = self.shared.clock.now();
        let sink = (&*config.name, config.format);
        let messages = [Message::test(sink, &self.shared.node, now)];
        let sent = timeout(config.timeout, transport.deliver(&messages, &sender, now));
        match sent.await {
            Ok(Ok(Delivery::Taken)) => None,
            Ok(Ok(Delivery::Refused(why))) => Some(why),
            Ok(Ok(Delivery::Failed(failure))) => Some(failure.why),
            Ok(Ok(Delivery::Gone)) => Some("answered 410 Gone: it wants no more".to_owned()),
            Ok(Err(error)) => Some(error.to_string()),
            Err(_elapsed) => Some(format!("no answer within {} s", config.timeout.as_secs())),
        }
    }

    /// Gives a sink an order; tells whether the log knows the sink.
    pub(crate) async fn order(
        &self,
        name: &str,
        order: SinkOrder,
        by: &str,
    ) -> Result<bool, QueryError> {
        let done = self.shared.audit.order_sink(name, order).await?;
        if done {
            let (what, from) = match order {
                SinkOrder::Resume => ("resume", None),
                SinkOrder::Replay(from) => ("replay", Some(from)),
            };
            note(&self.shared, json!({ "sink": name, "what": what, "from": from, "by": by }));
            if let Some(wake) = self.wakes().get(name) {
                wake.notify_one();
            }
        }
        Ok(done)
    }
}

/// The tasks of sinks, by their names.
#[derive(Default)]
struct Tasks {
    running: HashMap<Arc<str>, Task>,
    /// Those that broke, and until when they rest.
    resting: HashMap<Arc<str>, Instant>,
}

impl Tasks {
    fn rest(&mut self, name: &Arc<str>) {
        self.resting.insert(Arc::clone(name), Instant::now() + AFTER_BREAK);
    }

    fn rests(&mut self, name: &str) -> bool {
        self.resting.retain(|_name, until| *until > Instant::now());
        self.resting.contains_key(name)
    }
}

/// The running task of a sink.
struct Task {
    config: SinkConfig,
    stop: CancellationToken,
    handle: JoinHandle<()>,
}

impl Task {
    async fn end(self) {
        self.stop.cancel();
        let abort = self.handle.abort_handle();
        if timeout(ENDS_WITHIN, self.handle).await.is_err() {
            abort.abort();
        }
    }
}

impl Running {
    /// Sends nothing any more, and keeps how far each sink has come.
    pub(crate) async fn end(self) {
        drop(self.stop);
        let _late = timeout(ENDS_WITHIN, self.ended).await;
    }
}
