//! What is asked, as an approval is bound to it.

use std::sync::Arc;

use crate::audit::approval::AskDigest;
use crate::base::canonical::canonical;
use crate::base::key::DigestScope;
use crate::deployment::digest::etag_bytes;
use crate::gateway::call::{Call, Judged};
use crate::gateway::shown_deployment::ShownDeployment;
use crate::offload;
use crate::policy::Enforcement;
use crate::policy::evaluate::Findings;

/// A change that somebody may approve.
#[derive(Debug)]
pub(super) struct Asked {
    /// A keyed digest of who asks what of which deployment, its patch by its meaning as JSON.
    pub(super) digest: [u8; 32],
    /// One of the deployment as it is, without what the server computes; `None` on create.
    pub(super) base: Option<[u8; 16]>,
    /// Digests of the rules that ask for approval, each with the place at which it is broken.
    pub(super) asks: Vec<AskDigest>,
}

impl Asked {
    pub(super) async fn of(
        call: &Call,
        judged: &Judged,
        before: Option<&ShownDeployment>,
        findings: &Findings,
    ) -> Self {
        let (key, provider) = (call.connection.gateway.key.clone(), call.provider());
        let actor = call.caller.actor.fingerprint;
        let scope = DigestScope::of_call(call.deployment_id(), actor);
        let upstream = &call.connection.live.config.upstream.name;
        let is_put = call.method == http::Method::PUT;
        let person = call.caller.actor.person.as_deref().unwrap_or_default();
        let operation = call.operation.name();
        let query = call.query.as_deref().unwrap_or_default();
        // None of these holds a control character.
        let head = format!("{upstream}\0{operation}\0{is_put}\0{actor}\0{person}\0{query}\0");
        let asking = findings.violations.iter();
        let asking = asking.filter(|violation| violation.enforcement == Enforcement::Approve);
        let asking: Vec<String> =
            asking.map(|broken| format!("{}\0{}", broken.rule, broken.path)).collect();
        let bytes = judged.bytes.len() + before.map_or(0, |before| before.bytes);
        let patch = Arc::clone(&judged.patch);
        let shown = before.map(|before| before.shown.clone());
        offload::run(bytes, move || {
            let mut text = head.into_bytes();
            text.extend(canonical(&patch.object.clone().into()));
            let digest = key.scoped("approval", &scope, &text);
            let base = shown.map(|shown| etag_bytes(&key, provider, shown.value()));
            let ask = |text: &String| {
                let digest = key.scoped("approval ask", &scope, text.as_bytes());
                digest.first_chunk().copied().unwrap_or_default()
            };
            Self { digest, base, asks: asking.iter().map(ask).collect() }
        })
        .await
    }
}
