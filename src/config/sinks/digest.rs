//! What makes a sink another one.

use sha2::{Digest as _, Sha256};

use super::{HecSink, SinkKind};
use crate::base::ids::Hex;

/// A digest of what makes a sink another one for who disabled it.
pub(super) fn digest(kind: &SinkKind) -> String {
    let mut parts = vec![kind.name().to_owned(), kind.shown()];
    match kind {
        SinkKind::Webhook { to, secrets } => {
            parts.push(to.path.expose().to_owned());
            parts.extend(secrets.iter().map(|secret| secret.expose().to_owned()));
        }
        SinkKind::SplunkHec(HecSink { to, token, .. }) => {
            parts.extend([to.path.expose().to_owned(), token.expose().to_owned()]);
        }
        SinkKind::Otlp { to, fields } => {
            parts.push(to.path.expose().to_owned());
            parts.extend(fields.iter().map(|(_name, value)| value.expose().to_owned()));
        }
        SinkKind::Syslog(_) | SinkKind::File(_) => {}
    }
    let digest = Sha256::digest(parts.join("\0"));
    Hex(digest.get(..8).unwrap_or_default()).to_string()
}
