//! Calls of the gateway's own to other servers than upstream: one receiver each, within bounds of
//! bytes and time. No redirect is followed, and no proxy asked.

pub(crate) mod client;
pub(crate) mod dial;
