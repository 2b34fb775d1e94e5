//! Connections to upstream, and what goes and comes on them. Knows no call and no policy.

mod cause;
pub(crate) mod connect;
pub(crate) mod endpoint;
mod http1;
mod http2;
mod idle;
pub(crate) mod pool;
mod recall;
pub(crate) mod request_body;
pub(crate) mod response_body;
pub(crate) mod trust;
mod tunnel;
