//! Why a gateway does not start.

use std::io;
use std::path::PathBuf;

use super::served_policy::ServedPolicyError;
use super::tls::TlsError;
use crate::audit::StartError;
use crate::audit::keys::KeyError;
use crate::config::ListenAddress;
use crate::gateway::TrustError;

/// Why a gateway does not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// An address can't be listened on.
    #[error("can't listen on {address} ({what}): {}", fix_of(.source))]
    Listen {
        /// Which key of `[listen]`.
        what: &'static str,
        /// The address.
        address: ListenAddress,
        /// The operating system's error.
        source: io::Error,
    },
    /// The key file can't be used, or the log was written under another key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The sealing key can't be used.
    #[error(
        "the sealing key {} is being changed: run `changegate key rotate --seal --config FILE` \
         once more to complete that",
        .0.display()
    )]
    Sealing(PathBuf),
    /// The log can't be used.
    #[error(transparent)]
    Audit(#[from] StartError),
    /// Upstream's certificate authorities or name can't be used.
    #[error("can't prepare the connections to upstream")]
    Trust(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// `[listen.tls]` or `[listen.admin_tls]` can't be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The policy that the log serves can't be put in force.
    #[error(transparent)]
    Policy(#[from] ServedPolicyError),
    /// A worker can't be started.
    #[error("can't start a worker thread")]
    Worker(#[source] io::Error),
}

/// The fix where an address can't be listened on.
fn fix_of(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "choose a port from 1024 on, or give the program the right to lower ones \
             (CAP_NET_BIND_SERVICE)"
        }
        io::ErrorKind::AddrNotAvailable => {
            "this machine has no such address: choose one of its own, or 0.0.0.0 for all of them"
        }
        _ => "free it, or choose another in the configuration",
    }
}

impl From<TrustError> for ServeError {
    fn from(error: TrustError) -> Self {
        Self::Trust(Box::new(error))
    }
}
