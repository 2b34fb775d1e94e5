//! A deployment's canonical text, and the etag made of it.

use serde_json::Value;

use crate::key::Key;
use crate::provider::Provider;

/// The one text of a value: members sorted by name, no white space.
#[must_use]
pub fn canonical(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

/// The deployment without what the server changes by itself.
#[must_use]
pub fn without_computed(provider: &Provider, deployment: &Value) -> Value {
    let _ = (provider, deployment);
    todo!()
}

/// The entity tag (RFC 9110, 8.8.3) of a deployment, quotes included: a keyed digest of it
/// without its computed fields.
#[must_use]
pub fn etag(key: &Key, provider: &Provider, deployment: &Value) -> String {
    let _ = (key, provider, deployment);
    todo!()
}
