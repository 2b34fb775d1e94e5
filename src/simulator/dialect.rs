//! The differences between the servers of providers, and the tokens that each takes.

use http::HeaderMap;
use http::header::AUTHORIZATION;

use super::problem::Problem;
use crate::base::clock::Timestamp;
use crate::base::ids::RequestId;
use crate::provider::{Credential, Provider};

/// The beta that Claude's managed agents are part of.
const BETA: &str = "managed-agents-2026-04-01";

/// A provider's ways on the server's side.
#[derive(Clone, Debug)]
pub(super) struct Dialect {
    /// The provider whose API is played.
    pub(super) provider: &'static Provider,
    /// The beginning of deployment ids.
    pub(super) id_prefix: &'static str,
    /// Whether `metadata.cas_config` is made where a create leaves it out.
    pub(super) execution_config: bool,
    /// Whether a longer body is cut off and read on, rather than refused.
    pub(super) truncates: bool,
    /// Whether every call must name the API's version and beta.
    versioned: bool,
    /// The beginnings of tokens.
    token_prefixes: &'static [&'static str],
    /// The only tokens that are valid; where there are none, every well-formed one.
    tokens: Vec<String>,
}

impl Dialect {
    /// The ways of `provider`, with the tokens that it takes.
    pub(super) fn of(provider: &'static Provider, tokens: Vec<String>) -> Self {
        let qoder = Self {
            provider,
            id_prefix: "dep",
            execution_config: true,
            truncates: provider.name == "qoder-cn",
            versioned: false,
            token_prefixes: &["pt-"],
            tokens,
        };
        if provider.name == "claude" {
            Self {
                id_prefix: "depl",
                execution_config: false,
                versioned: true,
                token_prefixes: &["sk-ant-", "pt-"],
                ..qoder
            }
        } else {
            qoder
        }
    }

    /// Lets a call in: a valid token, which may write if `writes`, and the version headers.
    pub(super) fn admit(&self, headers: &HeaderMap, writes: bool) -> Result<(), Problem> {
        let token = self.provider.credentials.iter().find_map(|kind| token(headers, *kind));
        let token = token
            .filter(|token| self.is_valid(token))
            .ok_or_else(|| Problem::new(401, "the access token is missing, invalid or expired"))?;
        if self.versioned {
            require_version(headers)?;
        }
        if writes && token.contains("readonly") {
            return Err(Problem::new(403, "the access token may not write"));
        }
        Ok(())
    }

    /// The id of a call, and the header that tells it to the client: Qoder takes the client's own.
    pub(super) fn request_id(
        &self,
        headers: &HeaderMap,
        now: Timestamp,
    ) -> (&'static str, RequestId) {
        if let Some(header) = self.provider.request_id_header {
            return (header, RequestId::new(now));
        }
        let own = headers.get("x-request-id").and_then(|value| value.to_str().ok());
        let id = own.and_then(RequestId::well_formed).unwrap_or_else(|| RequestId::new(now));
        ("x-request-id", id)
    }

    fn is_valid(&self, token: &str) -> bool {
        if self.tokens.is_empty() {
            self.token_prefixes.iter().any(|prefix| token.starts_with(prefix))
                && !["invalid", "expired"].iter().any(|word| token.contains(word))
        } else {
            self.tokens.iter().any(|known| known == token)
        }
    }
}

fn token(headers: &HeaderMap, kind: Credential) -> Option<&str> {
    match kind {
        Credential::Bearer => {
            let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
        }
        Credential::ApiKey => headers.get("x-api-key")?.to_str().ok(),
    }
}

fn require_version(headers: &HeaderMap) -> Result<(), Problem> {
    if !headers.contains_key("anthropic-version") {
        return Err(Problem::new(400, "anthropic-version: header is required"));
    }
    let betas = headers.get_all("anthropic-beta").iter().filter_map(|value| value.to_str().ok());
    if betas.flat_map(|value| value.split(',')).any(|beta| beta.trim() == BETA) {
        Ok(())
    } else {
        Err(Problem::new(400, format!("anthropic-beta: header must name {BETA}")))
    }
}
