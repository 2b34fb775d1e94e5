//! Pure knowledge of messages (RFC 9110, RFC 9112).

pub(crate) mod framing;
