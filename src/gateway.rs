//! The way of a call: what is governed is led through its exchange, the rest passes as it comes.
//!
//! message form → identify → limit → path and method → body, then [`exchange`] or
//! [`passthrough`].

mod admit;
mod answered;
mod body;
mod call;
mod dial;
pub mod door;
mod exchange;
mod forward;
mod headers;
mod identify;
mod limit;
mod line;
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
mod underway;
mod upload;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use http::request::Parts;
use http::{HeaderName, Request, StatusCode, header};
use hyper::body::Incoming;

use self::admit::{admit, stranger_message};
use self::body::{discard, receive};
use self::call::{Call, CallBody};
use self::dial::Dialer;
pub(crate) use self::dial::TrustError;
use self::headers::{Fields, Marks, X_REQUEST_ID};
pub(crate) use self::identify::network;
use self::identify::{Address, Caller, LastCaller, Subject};
use self::limit::{Kind, Limiter, RefusedCredentials, Standing, Told};
use self::passthrough::pass;
pub(crate) use self::pool::{Pool, SWEEP_EVERY};
use self::reply::{Refusal, Reply};
pub(crate) use self::reply::{ReplyBody, malformed};
use self::room::Room;
use self::route::Route;
#[cfg(any(test, fuzzing))]
pub(crate) use self::route::trial;
use self::tally::Tally;
use self::turn::Turns;
use self::underway::Exchanges;
use crate::audit::Audit;
use crate::audit::record::{Outcome, Ruling};
use crate::clock::{Clock, Moment, Timestamp};
use crate::config::{AdminToken, Config};
use crate::ids::{ChangeId, RequestId};
use crate::key::Key;
use crate::policy::{Enforcement, Violation};
use crate::provider::Operation;
use crate::telemetry::{CallClass, Metrics};

/// The start of the names in [`RATE_LIMITS`].
const RATE_LIMIT: &str = "x-ratelimit-";

/// What tells of a limit, in the order of [`Told::values`].
const RATE_LIMITS: [HeaderName; 3] = [
    HeaderName::from_static("x-ratelimit-limit"),
    HeaderName::from_static("x-ratelimit-remaining"),
    HeaderName::from_static("x-ratelimit-reset"),
];

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
    exchanges: Arc<Exchanges>,
}

/// What a reload replaces.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) config: Config,
    dialer: Arc<Dialer>,
    limiter: Option<Arc<Limiter>>,
}

/// Where a connection's calls take place: the shared parts as they were when the call came, and its
/// worker's pool. Calls share it until another configuration is in force, and what was found out
/// under one is not remembered beyond it.
#[derive(Debug)]
pub(crate) struct Scene {
    gateway: Arc<Gateway>,
    live: Arc<Live>,
    pool: Arc<Pool>,
    last_caller: LastCaller,
    told: Told,
}

/// One request's visit.
#[derive(Clone, Debug)]
struct Visit {
    request_id: RequestId,
    received_at: Timestamp,
    /// The moment of `received_at`.
    instant: Instant,
    address: Address,
    caller: Option<Arc<Caller>>,
    standing: Option<Standing>,
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
            exchanges: Arc::default(),
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
        self.exchanges.idle().await;
    }

    fn refuse(&self, status: StatusCode, subject: Subject) {
        self.tally.count(status.as_u16(), subject);
        self.metrics.refusal(status.as_u16(), &subject.to_string());
    }
}

impl Scene {
    pub(crate) fn new(gateway: &Arc<Gateway>, pool: &Arc<Pool>) -> Self {
        let (gateway, pool) = (Arc::clone(gateway), Arc::clone(pool));
        let (last_caller, told) = (LastCaller::default(), Told::default());
        Self { live: gateway.live(), gateway, pool, last_caller, told }
    }

    /// The connection's scene, made anew where another configuration is in force.
    pub(crate) fn in_force(scene: &mut Arc<Self>) -> Arc<Self> {
        if Arc::as_ptr(&scene.live) != Arc::as_ptr(&*scene.gateway.live.load()) {
            *scene = Arc::new(Self::new(&scene.gateway, &scene.pool));
        }
        Arc::clone(scene)
    }

    /// Learns from upstream's answer whether it took the caller's credential.
    fn learn(&self, visit: &Visit, status: StatusCode) {
        let refused = status == StatusCode::UNAUTHORIZED;
        // Any other no may be said to everyone: it tells nothing of the credential.
        if let Some(caller) = visit.caller.as_ref().filter(|_| refused || status.is_success()) {
            self.gateway.refused.learn(visit.address, caller, refused);
        }
    }
}

impl Visit {
    fn moment(&self) -> Moment {
        Moment { at: self.received_at, instant: self.instant }
    }
}

/// Answers one request. What needs no waiting is done at once, so that nothing of it is kept.
pub(crate) fn answer(
    scene: Arc<Scene>,
    peer: IpAddr,
    request: Request<Incoming>,
) -> impl Future<Output = Reply> {
    let (mut head, body) = request.into_parts();
    let fields = Fields::of(&head.headers);
    let now = scene.gateway.clock.moment();
    let mut visit = Visit {
        request_id: headers::request_id(&head.headers, &fields, now.at),
        received_at: now.at,
        instant: now.instant,
        address: Address::of(peer, &head.headers, &scene.live.config),
        caller: None,
        standing: None,
    };
    let writes = Kind::of(&head.method) == Kind::Write;
    let admitted = admit(&scene, &mut visit, &head, &fields, &body);
    let marks = fields.marks;
    headers::origin_form(&mut head.uri);
    async move {
        // Only what passes is kept in the connection's own memory; the rest takes more of it.
        let (class, outcome) = match admitted {
            Ok(Route::Passthrough) => {
                (CallClass::Passthrough, pass(&scene, &visit, head, marks, body).await)
            }
            Ok(Route::ReadDeployment { deployment_id }) => {
                let reading = observe::read(&scene, &visit, head, marks, &deployment_id);
                (CallClass::Passthrough, Box::pin(reading).await)
            }
            Ok(Route::Governed { operation, deployment_id }) => {
                let governed =
                    govern(&scene, &visit, (head, marks), body, operation, deployment_id);
                (CallClass::Governed, Box::pin(governed).await)
            }
            Err(refusal) => (CallClass::Refused, Err(refusal)),
        };
        let mut reply = outcome.unwrap_or_else(|refusal| refusal.into_reply(&visit.request_id));
        scene.gateway.metrics.request(class, writes, reply.status());
        decorate(&mut reply, &scene, &visit);
        reply
    }
}

/// Reads a governed call's body; from there the exchange goes on whatever the client does.
async fn govern(
    scene: &Arc<Scene>,
    visit: &Visit,
    (mut head, marks): (Parts, Marks),
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
            (config.upstream.provider, operation, deployment_id.as_deref()),
            &config.limits,
            (&gateway.key, caller.actor.fingerprint),
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
    headers::toward_upstream(&mut head.headers, marks, head.version, &visit.request_id);
    let call = Call {
        scene: Arc::clone(scene),
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
    let underway = scene.gateway.exchanges.begin();
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
    let id = visit.request_id.as_value();
    if let Some(name) = provider.request_id_header {
        headers.insert(name, id.clone());
    }
    headers.insert(X_REQUEST_ID, id.clone());
    let Some(standing) = visit.standing else { return };
    // Where upstream tells of a limit of its own, the two are not mixed.
    let told = headers.keys().any(|name| name.as_str().starts_with(RATE_LIMIT));
    if told && RATE_LIMITS.iter().any(|name| headers.contains_key(name)) {
        return;
    }
    for (name, value) in RATE_LIMITS.into_iter().zip(scene.told.values(standing)) {
        headers.insert(name, value);
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
