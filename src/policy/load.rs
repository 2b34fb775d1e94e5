//! The policy file (TOML) → [`Policy`](super::Policy), or every complaint about it.
