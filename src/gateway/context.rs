//! The context of calls: the parts that all workers share, the memory of a connection, and the
//! facts of one request.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, ArcSwapOption};
use http::StatusCode;
use tokio_util::task::TaskTracker;

use super::asking::AskingTurns;
use super::headers::{Called, ProxyEnds};
use super::idempotency::FirstAnswers;
use super::identify::{Address, Caller, LastCaller, RefusalSource};
use super::known::KnownCallers;
use super::last_shown::LastShown;
use super::left::DriftWatch;
use super::limit::{KeptBytes, Limiter, LiveNodes, RateLimitFields, RefusedCredentials};
use super::memory::{Holder, MemoryBudget};
use super::tally::{HeldUp, Tally};
use super::turn::Turns;
use crate::audit::Audit;
use crate::audit::approval::ApprovalKind;
use crate::audit::query::QueryError;
use crate::base::clock::{Clock, Moment, Timestamp};
use crate::base::ids::RequestId;
use crate::base::key::Key;
use crate::config::{AdminToken, Config, RefusedConfig};
use crate::deployment::key::DeploymentKey;
use crate::policy::Policy;
use crate::telemetry::Metrics;
use crate::upstream::endpoint::{Dialer, HeadLimits};
use crate::upstream::pool::Pool;
use crate::upstream::trust::TrustError;

/// The parts that all workers share.
#[derive(Debug)]
pub(crate) struct Gateway {
    pub(crate) audit: Audit,
    pub(crate) clock: Clock,
    pub(crate) metrics: Arc<Metrics>,
    pub(super) key: Key,
    pub(super) live: ArcSwap<Live>,
    policy: ArcSwap<Policy>,
    /// The policy that the log serves. Held while what is in force is replaced.
    served: Mutex<Option<Arc<Policy>>>,
    refused_config: ArcSwapOption<RefusedConfig>,
    pub(super) turns: Turns,
    pub(super) asking: AskingTurns,
    pub(super) room: MemoryBudget,
    pub(super) refused: RefusedCredentials,
    pub(super) known: KnownCallers,
    pub(super) last_shown: LastShown,
    pub(super) drift: DriftWatch,
    pub(super) first_answers: FirstAnswers,
    pub(super) kept: KeptBytes,
    pub(super) tally: Tally,
    pub(super) exchanges: TaskTracker,
}

/// The parts that a reload replaces.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) config: Config,
    pub(super) dialer: Arc<Dialer>,
    pub(super) limiter: Option<Arc<Limiter>>,
    /// How many gateways have the budgets between them.
    nodes: LiveNodes,
}

/// The context of a connection's calls: the shared parts as they were when the call came, and its
/// worker's pool. Calls share it until another configuration is in force, and what was found out
/// under one is not remembered beyond it.
#[derive(Debug)]
pub(crate) struct ConnectionContext {
    pub(super) gateway: Arc<Gateway>,
    pub(super) live: Arc<Live>,
    pub(super) pool: Arc<Pool>,
    pub(super) last_caller: LastCaller,
    pub(super) rate_limit_fields: RateLimitFields,
}

/// The facts of one request, known from its head on.
#[derive(Clone, Debug)]
pub(super) struct RequestContext {
    pub(super) request_id: RequestId,
    pub(super) received_at: Timestamp,
    /// The moment of `received_at`.
    pub(super) instant: Instant,
    pub(super) address: Address,
    pub(super) called: Called,
}

impl Live {
    /// Makes a configuration ready for use; what did not change since `former` is kept.
    pub(crate) fn new(
        config: Config,
        clock: &Clock,
        former: Option<&Self>,
    ) -> Result<Self, TrustError> {
        let same_upstream = former.filter(|former| {
            let (new, old) = (&config.upstream, &former.config.upstream);
            new.origin == old.origin
                && new.proxy == old.proxy
                && new.ca_file.is_none()
                && old.ca_file.is_none()
                && new.connect_timeout == old.connect_timeout
                && HeadLimits::from(&config.limits) == former.dialer.heads
        });
        let dialer = match same_upstream {
            Some(former) => Arc::clone(&former.dialer),
            None => Arc::new(Dialer::new(&config.upstream, HeadLimits::from(&config.limits))?),
        };
        let nodes = former.map(|former| former.nodes.clone()).unwrap_or_default();
        let shared = &config.shared_limits;
        let same_limits = former.filter(|former| {
            former.config.rate_limit == config.rate_limit
                && former.config.shared_limits == *shared
                && shared.ca_file.is_none()
        });
        let limiter = if let Some(former) = same_limits {
            former.limiter.clone()
        } else {
            let former = former.and_then(|former| former.limiter.as_deref());
            let anew = |limits| Limiter::new(limits, shared, &nodes, clock, former);
            config.rate_limit.map(anew).transpose()?.map(Arc::new)
        };
        Ok(Self { config, dialer, limiter, nodes })
    }
}

impl Gateway {
    pub(crate) fn new(
        live: Live,
        audit: Audit,
        key: Key,
        clock: Clock,
        metrics: Arc<Metrics>,
    ) -> Self {
        metrics.put_in_force(&live.config.policy);
        live.nodes.count_by(&audit);
        Self {
            audit,
            metrics,
            key,
            policy: ArcSwap::new(Arc::clone(&live.config.policy)),
            live: ArcSwap::from_pointee(live),
            served: Mutex::default(),
            refused_config: ArcSwapOption::empty(),
            turns: Turns::default(),
            asking: AskingTurns::default(),
            room: MemoryBudget::default(),
            refused: RefusedCredentials::new(&clock),
            known: KnownCallers::default(),
            last_shown: LastShown::default(),
            drift: DriftWatch::default(),
            first_answers: FirstAnswers::default(),
            kept: KeptBytes::default(),
            tally: Tally::new(&clock),
            exchanges: TaskTracker::new(),
            clock,
        }
    }

    /// The metrics as they stand.
    pub(crate) fn metrics_text(&self) -> String {
        let live = self.live();
        let limits_are_away = live.limiter.as_ref().is_some_and(|limiter| limiter.is_away());
        self.metrics.encode(&self.audit, limits_are_away)
    }

    /// The configuration in force.
    pub(crate) fn live(&self) -> Arc<Live> {
        self.live.load_full()
    }

    /// The policy in force.
    pub(crate) fn policy(&self) -> Arc<Policy> {
        self.policy.load_full()
    }

    /// Puts another configuration in force, for calls that come from now on, and its policy, for
    /// those too whose turn comes from now on.
    pub(crate) fn replace(&self, mut live: Live) {
        let served = self.served.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(served) = served.as_ref().filter(|_| !live.config.names_policy_file()) {
            live.config.policy = Arc::clone(served);
        }
        self.put_in_force(live);
    }

    /// Puts the policy in force that the log serves, where the configuration names none.
    pub(crate) fn serve(&self, policy: Arc<Policy>) {
        let mut served = self.served.lock().unwrap_or_else(PoisonError::into_inner);
        let live = self.live();
        if !live.config.names_policy_file() {
            let (dialer, limiter) = (Arc::clone(&live.dialer), live.limiter.clone());
            let config = Config { policy: Arc::clone(&policy), ..live.config.clone() };
            self.put_in_force(Live { config, dialer, limiter, nodes: live.nodes.clone() });
        }
        *served = Some(policy);
    }

    fn put_in_force(&self, live: Live) {
        self.audit.tell_policy(&live.config.policy.digest);
        self.metrics.put_in_force(&live.config.policy);
        self.policy.store(Arc::clone(&live.config.policy));
        self.live.store(Arc::new(live));
    }

    /// Notes how a reading of the configuration came out: the reason of a refusal, or `None`.
    pub(crate) fn read_config(&self, refused: Option<String>) {
        self.metrics.reload(refused.is_none());
        let since = self.refused_config().map_or_else(|| self.clock.now(), |first| first.since);
        let refused = refused.map(|reason| Arc::new(RefusedConfig { since, reason }));
        self.refused_config.store(refused);
    }

    /// The configuration on disk, where it was refused.
    pub(crate) fn refused_config(&self) -> Option<RefusedConfig> {
        self.refused_config.load().as_deref().cloned()
    }

    /// The tokens that the admin API takes.
    pub(crate) fn admin_tokens(&self) -> Arc<Vec<AdminToken>> {
        Arc::new(self.live().config.admin_tokens.clone())
    }

    /// Records what was only counted since the last time.
    pub(crate) fn summarise(&self) {
        self.tally.summarise(&self.audit, &self.clock);
    }

    /// Notes which approvals are over by now, and how many wait for a decision.
    pub(crate) async fn look_at_approvals(&self) {
        let now = self.clock.now();
        let looked = async {
            self.audit.expire_approvals(now).await?;
            for kind in ApprovalKind::ALL {
                let count = self.audit.reader().open_approvals(kind, now).await?;
                self.metrics.approvals.note_open(kind, count);
            }
            Ok::<_, QueryError>(())
        };
        if let Err(error) = looked.await {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "approvals that are over can't be noted yet");
        }
    }

    /// Waits until no governed call is on its way.
    pub(crate) async fn idle(&self) {
        self.exchanges.close();
        // Other workers may have begun some since the last one ended.
        while !self.exchanges.is_empty() {
            self.exchanges.wait().await;
        }
    }

    /// The service account whose token the caller's is, where upstream has confirmed that and the
    /// caller does not stand for it yet.
    pub(super) fn confirmed(&self, caller: &Caller, config: &Config) -> Option<Caller> {
        let is_confirmed = || {
            let now = self.clock.instant();
            self.known.is_confirmed(caller.token_fingerprint, now)
        };
        let names_account = caller.claims.is_some();
        (names_account && is_confirmed()).then(|| caller.by_claims(config, &self.key)).flatten()
    }

    pub(super) fn refuse(&self, status: StatusCode, subject: RefusalSource) {
        self.hold_up(status, subject, None);
    }

    /// Counts a refused call, and the change that it would have been.
    pub(super) fn hold_up(
        &self,
        status: StatusCode,
        subject: RefusalSource,
        held_up: Option<HeldUp>,
    ) {
        self.tally.count(status.as_u16(), subject, held_up);
        self.metrics.refusal(status.as_u16(), &subject.to_string());
    }
}

impl ConnectionContext {
    pub(crate) fn new(gateway: &Arc<Gateway>, pool: &Arc<Pool>) -> Self {
        let (gateway, pool) = (Arc::clone(gateway), Arc::clone(pool));
        let (last_caller, rate_limit_fields) = Default::default();
        Self { live: gateway.live(), gateway, pool, last_caller, rate_limit_fields }
    }

    /// The context of the connection, made anew where another configuration is in force.
    pub(crate) fn in_force(connection: &mut Arc<Self>) -> Arc<Self> {
        if Arc::as_ptr(&connection.live) != Arc::as_ptr(&*connection.gateway.live.load()) {
            *connection = Arc::new(Self::new(&connection.gateway, &connection.pool));
        }
        Arc::clone(connection)
    }

    /// Logs why the rest of an answer of upstream's is not there.
    pub(super) fn answer_broke_off(
        &self,
        context: &RequestContext,
        error: &(dyn std::error::Error + 'static),
    ) {
        tracing::warn!(
            request_id = %context.request_id,
            error = %self.live.dialer.cause(error),
            "upstream's answer broke off"
        );
    }

    /// Learns from upstream's answer whether it took the caller's credential.
    pub(super) fn learn(&self, context: &RequestContext, caller: &Caller, status: StatusCode) {
        let refused = status == StatusCode::UNAUTHORIZED;
        // Any other no may be said to everyone: it tells nothing of the credential.
        if refused || status.is_success() {
            self.gateway.refused.learn(context.address, caller, refused);
        }
    }

    /// Learns from upstream's answer to a call below `/deployments` whether it takes the caller's
    /// token.
    pub(super) fn learn_taken(&self, caller: &Caller, status: StatusCode) {
        let now = self.gateway.clock.instant();
        self.gateway.known.learn(caller.token_fingerprint, status, now);
        if caller.claims.is_some() && status.is_success() {
            self.gateway.known.confirm(caller.token_fingerprint, now);
        }
    }

    /// Learns from upstream's answer to `GET /deployments/{id}` whether the caller may see it.
    pub(super) fn learn_shown(&self, caller: &Caller, deployment_id: &str, status: StatusCode) {
        let (token, now) = (caller.token_fingerprint, self.gateway.clock.instant());
        let deployment = DeploymentKey::new(&self.live.config.upstream.name, deployment_id);
        self.gateway.known.learn_shown(token, &deployment, status, now);
    }

    /// Where upstream is, and how the client called the gateway.
    pub(super) fn ends<'a>(&'a self, context: &'a RequestContext) -> ProxyEnds<'a> {
        ProxyEnds { upstream: &self.live.config.upstream.origin, called: &context.called }
    }

    /// Under whose name a call is counted: the caller's where upstream or an operator knows the
    /// token, else the address's, for anybody can make up a token.
    pub(super) fn subject(&self, context: &RequestContext, caller: &Caller) -> RefusalSource {
        let is_taken = self.gateway.known.is_taken(caller.token_fingerprint, context.instant);
        if caller.listed || is_taken {
            RefusalSource::Actor(caller.actor.fingerprint)
        } else {
            RefusalSource::Address(context.address.network())
        }
    }
}

impl RequestContext {
    /// The holder that the call's memory is counted for.
    pub(super) fn holder(&self, caller: &Caller) -> Holder {
        Holder { token: caller.actor.fingerprint, address: self.address.network() }
    }

    /// How long ago the request's head came, whatever was done to the wall clock meanwhile.
    pub(super) fn age(&self, clock: &Clock) -> Duration {
        clock.instant().saturating_duration_since(self.instant)
    }

    pub(super) fn moment(&self) -> Moment {
        Moment { at: self.received_at, instant: self.instant }
    }
}
