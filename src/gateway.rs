//! The way of a call: what is governed is led through its exchange, the rest passes as it comes.
//!
//! message form → identify → limit → path and method → body, then [`exchange`] or
//! [`passthrough`].

mod admit;
mod body;
mod call;
mod dial;
pub mod door;
mod exchange;
mod forward;
mod headers;
mod identify;
mod limit;
mod observe;
mod passthrough;
mod pool;
mod precondition;
mod relay;
mod reply;
mod room;
mod route;
mod shared;
mod snapshot;
mod stop;
mod tally;
mod turn;
mod upload;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arc_swap::ArcSwap;
use http::request::Parts;
use http::{Request, StatusCode, header};
use hyper::body::Incoming;
use tokio::sync::Notify;

use self::admit::{admit, stranger_message};
use self::body::{discard, receive};
use self::call::{Call, CallBody};
use self::dial::Dialer;
pub(crate) use self::dial::TrustError;
use self::identify::{Address, Caller, Subject};
use self::limit::{Kind, Limiter, RefusedCredentials, Standing};
pub(crate) use self::pool::Pool;
pub(crate) use self::reply::ReplyBody;
use self::reply::{Refusal, Reply};
use self::room::Room;
use self::route::Route;
use self::tally::Tally;
use self::turn::Turns;
use crate::audit::Audit;
use crate::audit::record::{Outcome, Ruling};
use crate::clock::{Clock, Timestamp};
use crate::config::{AdminToken, Config};
use crate::ids::{ChangeId, RequestId};
use crate::key::Key;
use crate::policy::{Enforcement, Violation};
use crate::provider::Operation;
use crate::telemetry::{CallClass, Metrics};

/// What all workers share.
#[derive(Debug)]
pub(crate) struct Gateway {
    pub(crate) audit: Audit,
    pub(crate) clock: Clock,
    pub(crate) metrics: Arc<Metrics>,
    key: Key,
    live: ArcSwap<Live>,
    turns: Turns,
    room: Room,
    refused: RefusedCredentials,
    tally: Tally,
    exchanges: Exchanges,
}

/// What a reload replaces.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) config: Config,
    dialer: Arc<Dialer>,
    limiter: Option<Arc<Limiter>>,
}

/// Where a call takes place: the shared parts as they were when it came, and its worker's pool.
#[derive(Clone, Debug)]
pub(crate) struct Scene {
    gateway: Arc<Gateway>,
    live: Arc<Live>,
    pool: Arc<Pool>,
}

/// One request's visit.
#[derive(Clone, Debug)]
struct Visit {
    request_id: RequestId,
    received_at: Timestamp,
    address: Address,
    caller: Option<Caller>,
    standing: Option<Standing>,
}

/// How many governed calls are on their way; draining waits for none.
#[derive(Debug, Default)]
struct Exchanges {
    running: AtomicUsize,
    none: Notify,
}

/// One governed call on its way, counted until it is dropped.
struct Underway(Arc<Gateway>);

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
                && new.ca_file.is_none()
                && old.ca_file.is_none()
                && new.connect_timeout == old.connect_timeout
        });
        let dialer = match same_upstream {
            Some(former) => Arc::clone(&former.dialer),
            None => Arc::new(Dialer::new(&config.upstream)?),
        };
        let same_limits = former.filter(|former| former.config.rate_limit == config.rate_limit);
        let limiter = match same_limits {
            Some(former) => former.limiter.clone(),
            None => config.rate_limit.map(|limits| Arc::new(Limiter::new(limits, clock))),
        };
        Ok(Self { config, dialer, limiter })
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
        Self {
            audit,
            metrics,
            key,
            live: ArcSwap::from_pointee(live),
            turns: Turns::default(),
            room: Room::default(),
            refused: RefusedCredentials::new(&clock),
            tally: Tally::new(&clock),
            exchanges: Exchanges::default(),
            clock,
        }
    }

    /// The configuration in force.
    pub(crate) fn live(&self) -> Arc<Live> {
        self.live.load_full()
    }

    /// Puts another configuration in force, for calls that come from now on.
    pub(crate) fn replace(&self, live: Live) {
        self.live.store(Arc::new(live));
    }

    /// The tokens that the admin API takes.
    pub(crate) fn admin_tokens(&self) -> Arc<Vec<AdminToken>> {
        Arc::new(self.live().config.admin_tokens.clone())
    }

    /// Records what was only counted since the last time.
    pub(crate) fn summarise(&self) {
        self.tally.summarise(&self.audit, &self.clock);
    }

    /// Waits until no governed call is on its way.
    pub(crate) async fn idle(&self) {
        loop {
            let none = self.exchanges.none.notified();
            if self.exchanges.running.load(Ordering::Acquire) == 0 {
                return;
            }
            none.await;
        }
    }

    fn begin(self: &Arc<Self>) -> Underway {
        self.exchanges.running.fetch_add(1, Ordering::AcqRel);
        Underway(Arc::clone(self))
    }

    fn refuse(&self, status: StatusCode, subject: Subject) {
        self.tally.count(status.as_u16(), subject);
        self.metrics.refusal(status.as_u16(), &subject.to_string());
    }
}

impl Drop for Underway {
    fn drop(&mut self) {
        if self.0.exchanges.running.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.exchanges.none.notify_waiters();
        }
    }
}

impl Scene {
    pub(crate) fn new(gateway: &Arc<Gateway>, pool: &Arc<Pool>) -> Self {
        Self { gateway: Arc::clone(gateway), live: gateway.live(), pool: Arc::clone(pool) }
    }

    /// Learns from upstream's answer whether it took the caller's credential.
    fn learn(&self, visit: &Visit, status: StatusCode) {
        let refused = status == StatusCode::UNAUTHORIZED;
        // Any other no may be said to everyone: it tells nothing of the credential.
        if let Some(caller) = visit.caller.as_ref().filter(|_| refused || status.is_success()) {
            self.gateway.refused.learn(visit.address, caller.actor.fingerprint, refused);
        }
    }
}

/// Answers one request.
pub(crate) async fn answer(scene: Scene, peer: IpAddr, request: Request<Incoming>) -> Reply {
    let (mut head, body) = request.into_parts();
    let mut visit = Visit {
        request_id: headers::request_id(&head.headers),
        received_at: scene.gateway.clock.now(),
        address: Address::of(peer, &head.headers, &scene.live.config),
        caller: None,
        standing: None,
    };
    let writes = Kind::of(&head.method) == Kind::Write;
    let admitted = match admit(&scene, &mut visit, &mut head, &body) {
        Ok(Route::Passthrough) => {
            (CallClass::Passthrough, passthrough::pass(&scene, &visit, head, body).await)
        }
        Ok(Route::ReadDeployment { deployment_id }) => (
            CallClass::Passthrough,
            observe::read(&scene, &visit, head, body, &deployment_id).await,
        ),
        Ok(Route::Governed { operation, deployment_id }) => (
            CallClass::Governed,
            govern(&scene, &visit, head, body, operation, deployment_id).await,
        ),
        Err(refusal) => (CallClass::Refused, Err(refusal)),
    };
    let (class, outcome) = admitted;
    let mut reply = outcome.unwrap_or_else(|refusal| refusal.into_reply(&visit.request_id));
    scene.gateway.metrics.request(class, writes, reply.status());
    decorate(&mut reply, &scene, &visit);
    reply
}

/// Reads a governed call's body; from there the exchange goes on whatever the client does.
async fn govern(
    scene: &Scene,
    visit: &Visit,
    mut head: Parts,
    mut incoming: Incoming,
    operation: Operation,
    deployment_id: Option<String>,
) -> Result<Reply, Refusal> {
    let Some(caller) = visit.caller.clone() else {
        return Err(Refusal::credential("no usable credential"));
    };
    let config = &scene.live.config;
    let mut held = scene.gateway.room.enter().ok_or_else(Refusal::crowded)?;
    let body = if !caller.listed && config.actors.deny_unknown {
        CallBody::Denied(Violation {
            rule: "actors.unknown".to_owned(),
            enforcement: Enforcement::Deny,
            path: String::new(),
            message: stranger_message(visit),
            actual: None,
        })
    } else {
        let gateway = &scene.gateway;
        match receive(
            (&head.headers, head.version),
            &mut incoming,
            &mut held,
            operation,
            &config.limits,
            &gateway.key,
        )
        .await?
        {
            Ok(judged) => CallBody::Judged(judged),
            Err(unfit) => CallBody::Unfit(unfit),
        }
    };
    // Who waits for 100 (Continue) has not sent the body, and need not.
    let hear_out =
        !matches!(body, CallBody::Judged(_)) && !head.headers.contains_key(header::EXPECT);
    let client = identify::client(visit.address, &head.headers);
    let if_match = head.headers.get_all(header::IF_MATCH).iter().cloned().collect();
    headers::toward_upstream(&mut head.headers, head.version, &visit.request_id);
    let call = Call {
        scene: scene.clone(),
        visit: visit.clone(),
        change: ChangeId::new(visit.received_at),
        caller,
        client,
        operation,
        deployment_id,
        method: head.method,
        query: head.uri.query().map(str::to_owned),
        version: head.version,
        headers: head.headers,
        if_match,
        body,
    };
    let underway = scene.gateway.begin();
    let exchange = tokio::spawn(async move {
        let reply = exchange::run(call).await;
        drop((underway, held));
        reply
    });
    if hear_out {
        discard(&mut incoming).await;
    }
    exchange.await.map_err(|panicked| {
        tracing::error!(request_id = %visit.request_id, error = %panicked, "an exchange broke");
        exchange::broken()
    })
}

/// The headers that every answer has.
fn decorate(reply: &mut Reply, scene: &Scene, visit: &Visit) {
    let provider = scene.live.config.upstream.provider;
    let headers = reply.headers_mut();
    if let Ok(id) = header::HeaderValue::from_str(visit.request_id.as_str()) {
        if let Some(name) = provider.request_id_header {
            headers.insert(name, id.clone());
        }
        headers.insert("x-request-id", id);
    }
    let Some(standing) = visit.standing else { return };
    let values = [
        ("x-ratelimit-limit", i64::from(standing.limit)),
        ("x-ratelimit-remaining", i64::from(standing.remaining)),
        ("x-ratelimit-reset", standing.reset),
    ];
    // Where upstream tells of a limit of its own, the two are not mixed.
    if values.iter().any(|(name, _)| headers.contains_key(*name)) {
        return;
    }
    for (name, value) in values {
        headers.insert(name, header::HeaderValue::from(value));
    }
}

/// One line in the gateway's own log, and one count, for every governed call that is recorded.
fn report(call: &Call, ruling: Ruling, outcome: Outcome) {
    let gateway = &call.scene.gateway;
    let took = gateway.clock.now().millis() - call.visit.received_at.millis();
    gateway.metrics.change(call.operation, outcome, ruling);
    gateway.metrics.exchange_took(took);
    let deployment = call.deployment_id.as_deref().unwrap_or("-");
    tracing::info!(
        request_id = %call.visit.request_id,
        change = %call.change,
        operation = %call.operation,
        deployment = gateway.audit.scrub(deployment, &call.caller.token),
        actor = %call.caller.actor.fingerprint,
        decision = ruling.name(),
        outcome = outcome.name(),
        took_ms = took,
        "governed call"
    );
}
