//! Bytes and time on sockets.

pub(crate) mod listener;
pub(crate) mod stream;
pub(crate) mod thread;
pub(crate) mod throughput;
pub(crate) mod timer;
