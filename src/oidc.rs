//! Logins by an issuer of OpenID Connect: its documents, its keys, and what an ID token of it
//! proves. Knows no page, no cookie and no role.
//!
//! The flow is that with a code (OpenID Connect Core, 3.1) under PKCE (RFC 7636). What a login
//! needs from its beginning to its end comes with the browser; here only the issuer's documents are
//! kept, so that any gateway can finish what another one began.

mod error;
mod fetch;
mod id_token;
mod issuer;
mod kept;
mod key_set;
mod metadata;
mod url;

pub(crate) use self::error::OidcError;
pub(crate) use self::issuer::{Issuer, Secrets};
