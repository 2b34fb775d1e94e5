//! A governed call that has begun: everything its exchange needs, owned.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{HeaderMap, HeaderValue};
use http::{Method, StatusCode};

use super::break_glass::GlassHeader;
use super::context::{ConnectionContext, RequestContext};
use super::headers::ProxyEnds;
use super::identify::{Caller, RefusalSource};
use super::limit::{DrawError, RequestKind};
use super::refusal::Refusal;
use super::shown_deployment::ShownDeployment;
use super::tally::HeldUp;
use crate::audit::approval::ApprovalPart;
use crate::audit::intent::Intent;
use crate::audit::record::{Client, RefusedBody};
use crate::base::clock::Timestamp;
use crate::base::ids::ChangeId;
use crate::deployment::key::DeploymentKey;
use crate::deployment::patch::Patch;
use crate::policy::evaluate::Findings;
use crate::policy::{Decision, Policy};
use crate::provider::{Operation, Provider};

/// A governed call.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) connection: Arc<ConnectionContext>,
    pub(super) context: RequestContext,
    pub(super) change: ChangeId,
    pub(super) caller: Arc<Caller>,
    pub(super) client: Client,
    pub(super) operation: Operation,
    /// `None` on create.
    pub(super) deployment: Option<DeploymentKey>,
    pub(super) method: Method,
    pub(super) query: Option<String>,
    /// The client's header, made ready for upstream.
    pub(super) headers: HeaderMap,
    /// `If-Match`, every value of it.
    pub(super) if_match: Vec<HeaderValue>,
    /// The text of `Idempotency-Key`.
    pub(super) idempotency_key: Option<String>,
    /// `changegate-break-glass`.
    pub(super) break_glass: Option<GlassHeader>,
    /// `changegate-reverts`.
    pub(super) reverts: Option<ChangeId>,
}

/// A call's body, as far as it was read.
#[derive(Debug)]
pub(super) enum CallBody {
    /// One strict object.
    Judged(Judged),
    /// Refused for its form.
    Unfit(Unfit),
    /// Not looked at: the caller may not change anything.
    Unread,
}

/// A body that was judged, and its bytes, which are what is forwarded.
#[derive(Clone, Debug)]
pub(super) struct Judged {
    pub(super) patch: Arc<Patch>,
    pub(super) bytes: Bytes,
}

/// A body that is refused for its form.
#[derive(Clone, Debug)]
pub(super) struct Unfit {
    pub(super) refusal: Refusal,
    pub(super) body: RefusedBody,
}

/// The decision on a call, the findings that led to it, and the policy that made it.
#[derive(Clone, Debug)]
pub(super) struct Decided {
    pub(super) decision: Decision,
    pub(super) findings: Findings,
    pub(super) policy: Arc<Policy>,
    /// The moment that the rules took for now; `None` where they were not asked.
    pub(super) at: Option<Timestamp>,
    /// The approval that it asks for, or that lets it pass.
    pub(super) approval: Option<ApprovalPart>,
}

/// A caller who asks upstream for more than the call itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Requester<'a> {
    pub(super) connection: &'a ConnectionContext,
    pub(super) context: &'a RequestContext,
    pub(super) caller: &'a Caller,
    /// The caller's header, made ready for upstream.
    pub(super) headers: &'a HeaderMap,
    /// The caller's query.
    pub(super) query: Option<&'a str>,
}

impl Call {
    pub(super) fn provider(&self) -> &'static Provider {
        self.connection.live.config.upstream.provider
    }

    /// Has the service account make the call that its token names, once upstream has confirmed
    /// that, and draws on the account's budget: so far the call has drawn on the token's own.
    pub(super) async fn learn_whose_it_is(&mut self) -> Result<(), Refusal> {
        let gateway = &self.connection.gateway;
        let Some(claimed) = gateway.confirmed(&self.caller, &self.connection.live.config) else {
            return Ok(());
        };
        self.caller = Arc::new(claimed);
        let Some(limiter) = &self.connection.live.limiter else { return Ok(()) };
        let (account, kind) = (self.caller.actor.fingerprint, RequestKind::Write);
        let drawn = limiter.draw(account, kind, self.context.moment()).await;
        drawn.map(drop).map_err(|error| {
            let DrawError::Exhausted(exhausted) = error else { return Refusal::limits_away() };
            let held_up = HeldUp::new(self.operation, self.deployment_id());
            let subject = RefusalSource::Actor(account);
            gateway.hold_up(StatusCode::TOO_MANY_REQUESTS, subject, held_up);
            Refusal::rate_limited(exhausted.message(kind), exhausted.retry_after)
        })
    }

    /// Whether the caller is not listed where only listed ones may call.
    pub(super) fn is_of_unlisted(&self) -> bool {
        self.connection.live.config.actors.deny_unknown && !self.caller.listed
    }

    /// Whether it came with an `Idempotency-Key`.
    pub(super) fn is_keyed(&self) -> bool {
        self.idempotency_key.is_some()
    }

    /// The id of the deployment; `None` on create.
    pub(super) fn deployment_id(&self) -> Option<&str> {
        self.deployment.as_ref().map(|deployment| deployment.id.as_str())
    }

    /// The end of the call that ends now: as long after its beginning as it has taken.
    pub(super) fn completed_at(&self) -> Timestamp {
        self.context.received_at.plus(self.context.age(&self.connection.gateway.clock))
    }

    /// Where upstream is, and how the client called the gateway.
    pub(super) fn ends(&self) -> ProxyEnds<'_> {
        self.connection.ends(&self.context)
    }

    /// The caller, as one who asks upstream for more than the call itself.
    pub(super) fn asker(&self) -> Requester<'_> {
        Requester {
            connection: &self.connection,
            context: &self.context,
            caller: &self.caller,
            headers: &self.headers,
            query: self.query.as_deref(),
        }
    }

    /// The path that was matched, built anew.
    pub(super) fn route_path(&self) -> String {
        let provider = self.provider();
        let mut path = format!("{}/deployments", provider.base_path);
        if let Some(id) = self.deployment_id() {
            path.push('/');
            path.push_str(id);
        }
        if !matches!(self.operation, Operation::Create | Operation::Update) {
            path.push('/');
            path.push_str(self.operation.name());
        }
        path
    }

    /// The record of the call before it goes on, or of its not going on.
    pub(super) fn intent(
        &self,
        body: &CallBody,
        decided: Decided,
        before: Option<ShownDeployment>,
    ) -> Intent {
        let (patch, refused_body) = match body {
            CallBody::Judged(judged) => (Some(Arc::clone(&judged.patch)), None),
            CallBody::Unfit(unfit) => (None, Some(unfit.body.clone())),
            CallBody::Unread => (None, Some(RefusedBody { bytes: 0, digest: None })),
        };
        let bytes = body.bytes() + before.as_ref().map_or(0, |before| before.bytes);
        let Decided { decision, findings, policy, at: decided_at, approval } = decided;
        let is_kept = self.keeps(bytes, findings.bytes());
        Intent {
            id: self.change,
            provider: self.provider(),
            operation: self.operation,
            method: self.method.clone(),
            deployment_id: self.deployment_id().map(str::to_owned),
            actor: self.caller.actor.clone(),
            token: self.caller.token.clone(),
            client: self.client.clone(),
            request_id: self.context.request_id.clone(),
            idempotency_key: None,
            fence: None,
            received_at: self.context.received_at,
            decided_at,
            decision,
            violations: findings.violations,
            standing: findings.standing,
            findings_omitted: findings.violations_omitted,
            patch,
            refused_body,
            before: before.map(|before| before.shown),
            policy,
            upstream: Arc::clone(&self.connection.live.config.upstream.name),
            node: Arc::clone(&self.connection.live.config.node),
            bytes,
            is_kept,
            approval,
            reverts: self.reverts,
        }
    }

    /// Whether so many bytes of the caller's bodies and of findings about them are kept, or the
    /// sizes and digests of bodies alone. The deployment after a change is about as long as the
    /// one before.
    fn keeps(&self, bytes: usize, findings_bytes: usize) -> bool {
        let gateway = &self.connection.gateway;
        let bytes_max = self.connection.live.config.limits.kept_bytes_per_minute;
        let (token, now) = (self.caller.actor.fingerprint, self.context.instant);
        let bytes = bytes.saturating_mul(2).saturating_add(findings_bytes);
        gateway.kept.draw(token, bytes, bytes_max, now)
    }
}

impl CallBody {
    /// Bytes of the body, where it was read as a patch.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Judged(judged) => judged.bytes.len(),
            Self::Unfit(_) | Self::Unread => 0,
        }
    }
}

impl Requester<'_> {
    pub(super) fn provider(&self) -> &'static Provider {
        self.connection.live.config.upstream.provider
    }
}
