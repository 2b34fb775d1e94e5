//! The operators' API, on a listener of its own: the log, health, metrics.
//!
//! Everything here reads, but for decisions on approvals. A path that is not plainly open to
//! everybody asks for an admin token, an unknown path too, so that a route that is forgotten below
//! is closed rather than open.

pub(crate) mod access;
pub(crate) mod answer;
pub(crate) mod api;
pub(crate) mod approvals;
pub(crate) mod asked;
pub(crate) mod backtest;
pub(crate) mod body;
mod connection;
pub(crate) mod cookie;
pub(crate) mod evaluate;
mod evidence;
mod export;
mod exposition;
pub mod filter;
pub(crate) mod holder;
pub(crate) mod local;
mod looked;
mod named;
mod openapi;
mod places;
mod probes;
pub(crate) mod sent;
mod serve;
pub(crate) mod session;
pub(crate) mod share;
pub(crate) mod sinks;
mod stats;
#[cfg(test)]
mod tests;
mod unseal;
pub(crate) mod view;
pub(crate) mod whole;

use std::io;
use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodRouter, get, post};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use utoipa::OpenApi;

use self::body::AnswerBudget;
pub use self::connection::Patience;
use self::looked::Looks;
use self::openapi::FromRoutes;
use self::share::Askers;
use crate::audit::Audit;
use crate::audit::approval::{Approval, ApprovalKind, Verdict};
use crate::audit::query::DeploymentSummary;
use crate::audit::record::Event;
use crate::audit::retention::Retention;
use crate::base::clock::Clock;
use crate::base::ids::Fingerprint;
use crate::config::{Actors, AdminToken, Logins, RateLimit, RefusedConfig, SavedView};
use crate::export::Format;
use crate::net::listener::Listener;
use crate::policy::Policy;
use crate::provider::Provider;
use crate::sinks::Sinks;

/// The API's description (OpenAPI 3.1) as JSON.
pub static OPENAPI: LazyLock<String> = LazyLock::new(|| {
    // A tree of plain texts and numbers can be written: a test does.
    Description::openapi().to_pretty_json().unwrap_or_default()
});

/// The parts that the admin API works with. Clones share them.
#[derive(Clone)]
pub struct AdminState {
    /// The log.
    pub audit: Audit,
    /// The tokens that hold now: asked at every call, since a reload may change them.
    pub tokens: Arc<dyn Fn() -> Arc<Vec<AdminToken>> + Send + Sync>,
    /// The budgets of each token now.
    pub limits: LimitsNow,
    /// The logins beside those by a token that hold now.
    pub logins: LoginsNow,
    /// The name of a human as the configuration writes it, where it differs in form alone.
    pub person_named: PersonNamed,
    /// The tokens that the configuration lists now under an actor's name.
    pub tokens_of: TokensOf,
    /// The actors that the configuration lists now.
    pub actors: ActorsNow,
    /// The policy that is in force now.
    pub policy: PolicyNow,
    /// The provider whose deployments are governed now.
    pub provider: ProviderNow,
    /// The metrics, as `OpenMetrics` text.
    pub metrics_text: Arc<dyn Fn() -> String + Send + Sync>,
    /// Is told of each decision on an approval.
    pub decided: DecidedTold,
    /// For times that are given relative to now.
    pub clock: Clock,
    /// TLS with the certificate that holds now; `None` where the listener speaks plain HTTP.
    pub tls: Option<Acceptor>,
    /// How long clients may take now to take their answers.
    pub patience: PatienceNow,
    /// Says which vital task has ended, where one has.
    pub ended: Arc<dyn Fn() -> Option<String> + Send + Sync>,
    /// The configuration on disk, where it was refused.
    pub refused_config: RefusedNow,
    /// The sinks.
    pub sinks: Sinks,
    /// The saved views of the list of changes now.
    pub views: ViewsNow,
    /// How long records are kept now.
    pub retention: RetentionNow,
    /// The name of the gateway.
    pub node: Arc<dyn Fn() -> String + Send + Sync>,
}

/// Gives the saved views that hold now.
pub type ViewsNow = Arc<dyn Fn() -> Arc<Vec<SavedView>> + Send + Sync>;

/// Gives the configuration on disk, where it was refused.
pub type RefusedNow = Arc<dyn Fn() -> Option<RefusedConfig> + Send + Sync>;

/// Is told of each decision on an approval.
pub type DecidedTold = Arc<dyn Fn(ApprovalKind, Verdict) + Send + Sync>;

/// Gives the acceptor that holds now: a reload may change its certificate.
pub type Acceptor = Arc<dyn Fn() -> TlsAcceptor + Send + Sync>;

/// Gives the budgets of each token that hold now; `None` where they are switched off.
pub type LimitsNow = Arc<dyn Fn() -> Option<RateLimit> + Send + Sync>;

/// Gives the logins that hold now.
pub type LoginsNow = Arc<dyn Fn() -> Arc<Logins> + Send + Sync>;

/// Gives the name of a human as the configuration writes it.
pub type PersonNamed = Arc<dyn Fn(&str) -> String + Send + Sync>;

/// Gives the tokens under a name that hold now.
pub type TokensOf = Arc<dyn Fn(&str) -> Vec<Fingerprint> + Send + Sync>;

/// Gives the actors that the configuration lists now.
pub type ActorsNow = Arc<dyn Fn() -> Actors + Send + Sync>;

/// Gives the policy that is in force now.
pub type PolicyNow = Arc<dyn Fn() -> Arc<Policy> + Send + Sync>;

/// Gives the provider that is configured now.
pub type ProviderNow = Arc<dyn Fn() -> &'static Provider + Send + Sync>;

/// Gives how long records are kept now.
pub type RetentionNow = Arc<dyn Fn() -> Retention + Send + Sync>;

/// Gives the patience that holds now.
pub type PatienceNow = Arc<dyn Fn() -> Patience + Send + Sync>;

impl AdminState {
    /// Whether who asks need not say who they are: then this machine alone is answered.
    pub(crate) fn is_open(&self) -> bool {
        (self.tokens)().is_empty() && !(self.logins)().are_there()
    }
}

/// The state and the bounds of the answers, shared by all clones.
#[derive(Clone)]
pub(crate) struct Api {
    pub(crate) state: AdminState,
    askers: Askers,
    pub(crate) budget: AnswerBudget,
    /// Held by who reads bodies: one change may take hundreds of megabytes until it is written.
    bodies: Arc<Semaphore>,
    /// Held by each export.
    exports: Arc<Semaphore>,
    /// Held by each stream of changes.
    pub(crate) streams: Arc<Semaphore>,
    /// Cancelled when the listener is to end.
    pub(crate) stop: CancellationToken,
    looks: Looks,
}

/// The most streams of changes at once.
const STREAMS_MAX: usize = 64;

/// One path and who answers it.
struct Route {
    path: &'static str,
    /// Whether it is answered without a token.
    open: bool,
    answered: fn() -> MethodRouter<Api>,
}

impl Route {
    /// The path as the API's description has it.
    fn described(&self) -> String {
        self.path.replace("{*", "{")
    }
}

/// Every path there is; the API's description names the same ones.
const ROUTES: [Route; 27] = [
    Route { path: "/healthz", open: true, answered: || get(probes::alive) },
    Route { path: "/readyz", open: true, answered: || get(probes::ready) },
    Route { path: "/metrics", open: true, answered: || get(probes::metrics) },
    Route { path: "/openapi.json", open: true, answered: || get(probes::description) },
    Route { path: "/api/v1/changes", open: false, answered: || get(api::changes) },
    Route { path: "/api/v1/changes/{id}", open: false, answered: || get(api::change) },
    Route {
        path: "/api/v1/changes/{id}/unseal",
        open: false,
        answered: || post(unseal::unseal).fallback(answer::only_posts),
    },
    Route { path: "/api/v1/deployments", open: false, answered: || get(api::deployments) },
    Route { path: "/api/v1/deployments/{id}/history", open: false, answered: || get(api::history) },
    Route { path: "/api/v1/deployments/{id}/at", open: false, answered: || get(api::at) },
    Route { path: "/api/v1/events", open: false, answered: || get(api::events) },
    Route { path: "/api/v1/drift", open: false, answered: || get(api::drift) },
    Route { path: "/api/v1/stats", open: false, answered: || get(stats::stats) },
    Route { path: "/api/v1/log/checkpoint", open: false, answered: || get(evidence::checkpoint) },
    Route { path: "/api/v1/log/key", open: false, answered: || get(evidence::key) },
    Route { path: "/api/v1/log/tile/{*path}", open: false, answered: || get(evidence::tile) },
    Route { path: "/api/v1/log/proof/{id}", open: false, answered: || get(evidence::proof) },
    Route { path: "/api/v1/export", open: false, answered: || get(export::export) },
    Route {
        path: "/api/v1/evaluate",
        open: false,
        answered: || post(evaluate::evaluate).fallback(answer::only_posts),
    },
    Route { path: "/api/v1/approvals", open: false, answered: || get(approvals::list) },
    Route { path: "/api/v1/approvals/{id}", open: false, answered: || get(approvals::show) },
    Route {
        path: "/api/v1/approvals/{id}/approve",
        open: false,
        answered: || post(approvals::approve).fallback(answer::only_posts),
    },
    Route {
        path: "/api/v1/approvals/{id}/reject",
        open: false,
        answered: || post(approvals::reject).fallback(answer::only_posts),
    },
    Route { path: "/api/v1/sinks", open: false, answered: || get(sinks::list) },
    Route {
        path: "/api/v1/sinks/{id}/test",
        open: false,
        answered: || post(sinks::test).fallback(answer::only_posts),
    },
    Route {
        path: "/api/v1/sinks/{id}/replay",
        open: false,
        answered: || post(sinks::replay).fallback(answer::only_posts),
    },
    Route {
        path: "/api/v1/sinks/{id}/resume",
        open: false,
        answered: || post(sinks::resume).fallback(answer::only_posts),
    },
];

/// The description of what answers at [`ROUTES`].
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Changegate admin API",
        version = "1",
        description = "Who changed which deployment, from what to what.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    security(("token" = []), ()),
    paths(
        probes::alive,
        probes::ready,
        probes::metrics,
        probes::description,
        api::changes,
        api::change,
        unseal::unseal,
        api::deployments,
        api::history,
        api::at,
        api::events,
        api::drift,
        stats::stats,
        evidence::checkpoint,
        evidence::key,
        evidence::tile,
        evidence::proof,
        export::export,
        evaluate::evaluate,
        approvals::list,
        approvals::show,
        approvals::approve,
        approvals::reject,
        sinks::list,
        sinks::test,
        sinks::replay,
        sinks::resume,
    ),
    components(schemas(answer::Envelope, DeploymentSummary, Event, Approval, Format)),
    modifiers(&FromRoutes),
)]
struct Description;

/// Adds to the API's paths more of them, which another room answers on the same listener.
pub(crate) type More = fn(Api, Router) -> Router;

/// The whole API, and `more`.
fn router(api: Api, more: More) -> Router {
    let routes = ROUTES
        .iter()
        .fold(Router::new(), |router, route| router.route(route.path, (route.answered)()));
    let routes = routes
        .fallback(answer::no_such_path)
        .method_not_allowed_fallback(answer::only_reads)
        .layer(from_fn_with_state(api.clone(), access::guard))
        .with_state(api.clone());
    more(api, routes)
}

impl Api {
    fn new(state: AdminState) -> Self {
        let bodies = Arc::new(Semaphore::new(1));
        let exports = Arc::new(Semaphore::new(export::EXPORTS_MAX));
        let streams = Arc::new(Semaphore::new(STREAMS_MAX));
        let (askers, budget, looks) = Default::default();
        let stop = CancellationToken::new();
        Self { state, askers, budget, bodies, exports, streams, stop, looks }
    }
}

/// Answers on `listener`, with `more`, until `shutdown` is cancelled, and then, for a bounded time,
/// what was begun.
pub(crate) async fn serve(
    listener: Listener,
    state: AdminState,
    more: More,
    shutdown: CancellationToken,
) -> io::Result<()> {
    serve_by(listener, Api::new(state), more, shutdown).await
}

async fn serve_by(
    listener: Listener,
    mut api: Api,
    more: More,
    shutdown: CancellationToken,
) -> io::Result<()> {
    api.stop = shutdown.clone();
    let (tls, patience) = (api.state.tls.clone(), Arc::clone(&api.state.patience));
    serve::serve(listener, router(api, more), serve::Terms { tls, patience }, shutdown).await
}
