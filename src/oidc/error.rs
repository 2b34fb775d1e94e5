//! Why a login by an issuer comes to nothing.

use super::fetch::FetchError;
use super::id_token::TokenError;
use super::metadata::MetadataError;

/// Why a login fails.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OidcError {
    #[error("the issuer can't be asked: see that this gateway reaches it, and log in again")]
    Fetch(#[from] FetchError),
    #[error("the issuer failed a moment ago: log in again in some seconds")]
    Resting,
    #[error("the issuer is being asked, and takes its time: log in again in some seconds")]
    Slow,
    #[error("the issuer's documents can't be used: fix admin.oidc, or the issuer")]
    Metadata(#[from] MetadataError),
    #[error("the issuer's keys can't be read: have them fixed there")]
    Keys(#[source] serde_json::Error),
    #[error("admin.oidc.issuer is no URL that can be fetched: fix it")]
    Place,
    #[error("too many logins are on their way: log in again in a moment")]
    Busy,
    #[error("the answer came from another issuer: log in again, from this console's own page")]
    OtherIssuer,
    #[error("the issuer does not take the login ({0}): log in again, or fix admin.oidc")]
    Refused(String),
    #[error("the issuer's answer holds no ID token: have the scope openid allowed there")]
    NoToken(#[source] serde_json::Error),
    #[error("the issuer's ID token does not count: {0}")]
    Token(#[from] TokenError),
}
