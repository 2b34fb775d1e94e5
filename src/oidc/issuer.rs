//! An issuer, as logins ask it: its documents are kept for a while, and its keys are read anew once
//! it signs by one that is not known.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::{HeaderValue, StatusCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use tokio::sync::{Mutex, Semaphore};

use super::fetch::{Client, FetchError, Form};
use super::id_token::{self, Expected, Person, TokenError};
use super::key_set::KeySet;
use super::metadata::{self, Metadata, MetadataError, SecretBy};
use crate::base::clock::Timestamp;
use crate::base::excerpt::excerpt;
use crate::base::key::Token;
use crate::config::OidcConfig;

/// How long what an issuer has published is taken to hold.
const KEPT_FOR: Duration = Duration::from_hours(1);

/// How long an issuer that failed is not asked again, so that who begins logins over and over does
/// not have it asked as often.
const REST: Duration = Duration::from_secs(3);

/// The shortest time between two looks at its keys.
const KEYS_REST: Duration = Duration::from_secs(10);

/// The most logins that are finished at once.
const LOGINS_MAX: usize = 16;

/// The longest ID token, in bytes.
const TOKEN_BYTES_MAX: usize = 64 << 10;

/// The most characters that are repeated of what an issuer says.
const SAID_CHARS_MAX: usize = 200;

/// All bytes but those that stand for themselves in a form or a query (RFC 3986, 2.3).
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The secrets of one login, from its beginning to its end.
pub(crate) struct Secrets {
    /// Comes back with the browser.
    pub(crate) state: String,
    /// Comes back in the ID token.
    pub(crate) nonce: String,
    /// Shows that the code is used by who asked for it (RFC 7636).
    pub(crate) verifier: String,
}

/// Why a login fails.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OidcError {
    #[error("the issuer can't be asked: see that this gateway reaches it, and log in again")]
    Fetch(#[from] FetchError),
    #[error("the issuer failed a moment ago: log in again in some seconds")]
    Resting,
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

/// An issuer.
pub(crate) struct Issuer {
    config: Arc<OidcConfig>,
    client: Client,
    known: Mutex<Known>,
    logins: Semaphore,
}

/// The documents that were read of it, and when.
#[derive(Default)]
struct Known {
    metadata: Option<(Arc<Metadata>, Timestamp)>,
    keys: Option<(Arc<KeySet>, Timestamp)>,
    failed_at: Option<Timestamp>,
}

#[derive(Deserialize)]
struct Granted {
    id_token: String,
}

/// A refusal (RFC 6749, 5.2).
#[derive(Default, Deserialize)]
struct Denied {
    #[serde(default)]
    error: String,
    #[serde(default)]
    error_description: String,
}

impl Issuer {
    pub(crate) fn new(config: Arc<OidcConfig>) -> Self {
        let client = Client::new(config.ca_file.clone());
        let logins = Semaphore::new(LOGINS_MAX);
        Self { config, client, known: Mutex::default(), logins }
    }

    /// The configuration that it is asked under.
    pub(crate) fn config(&self) -> &OidcConfig {
        &self.config
    }

    /// Where a browser goes to log in.
    pub(crate) async fn login_url(
        &self,
        secrets: &Secrets,
        now: Timestamp,
    ) -> Result<String, OidcError> {
        let metadata = self.metadata(now).await?;
        let config = &self.config;
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(&secrets.verifier));
        let scopes = config.scopes.iter().fold("openid".to_owned(), |all, one| all + " " + one);
        let query = form(&[
            ("response_type", "code"),
            ("client_id", &config.client_id),
            ("redirect_uri", &config.redirect_url),
            ("scope", &scopes),
            ("state", &secrets.state),
            ("nonce", &secrets.nonce),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ]);
        let place = &metadata.authorization_endpoint;
        let mark = if place.contains('?') { '&' } else { '?' };
        Ok(format!("{place}{mark}{query}"))
    }

    /// The human who comes back with `code`; `said_by` is the issuer that the answer names.
    pub(crate) async fn person(
        &self,
        (code, said_by): (&str, Option<&str>),
        secrets: &Secrets,
        now: Timestamp,
    ) -> Result<Person, OidcError> {
        let _login = self.logins.try_acquire().map_err(|_full| OidcError::Busy)?;
        let metadata = self.metadata(now).await?;
        let is_named = said_by.is_some() || !metadata.names_itself;
        if !is_named || said_by.is_some_and(|issuer| issuer != self.config.issuer) {
            return Err(OidcError::OtherIssuer);
        }
        let token = self.redeemed(&metadata, code, secrets).await?;
        let expected = Expected { config: &self.config, nonce: &secrets.nonce, now };
        let keys = self.keys(&metadata, now, KEPT_FOR).await?;
        match id_token::person(&token, &keys, &expected) {
            // It may sign by a new one.
            Err(TokenError::UnknownKey) => {
                let keys = self.keys(&metadata, now, KEYS_REST).await?;
                Ok(id_token::person(&token, &keys, &expected)?)
            }
            found => Ok(found?),
        }
    }

    /// The ID token that the issuer gives for a code.
    async fn redeemed(
        &self,
        metadata: &Metadata,
        code: &str,
        secrets: &Secrets,
    ) -> Result<String, OidcError> {
        let config = &self.config;
        let mut pairs = vec![
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", &config.redirect_url),
            ("code_verifier", &secrets.verifier),
        ];
        let secret = config.client_secret.as_ref().map(Token::expose);
        let authorization = match (secret, metadata.secret_by) {
            (Some(secret), SecretBy::Basic) => basic(&config.client_id, secret),
            (secret, _) => {
                pairs.push(("client_id", &config.client_id));
                pairs.extend(secret.map(|secret| ("client_secret", secret)));
                None
            }
        };
        let sent = Form { authorization, body: form(&pairs) };
        let (status, bytes) = self.client.post(&metadata.token_endpoint, sent).await?;
        if status != StatusCode::OK {
            let denied: Denied = serde_json::from_slice(&bytes).unwrap_or_default();
            let said = [denied.error, denied.error_description].join(" ");
            let said = if said.trim().is_empty() { status.to_string() } else { said };
            return Err(OidcError::Refused(excerpt(said.trim(), SAID_CHARS_MAX)));
        }
        let granted: Granted = serde_json::from_slice(&bytes).map_err(OidcError::NoToken)?;
        if granted.id_token.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::Form.into());
        }
        Ok(granted.id_token)
    }

    /// Its places, read at most an hour ago. Who asks meanwhile waits for the one who reads.
    async fn metadata(&self, now: Timestamp) -> Result<Arc<Metadata>, OidcError> {
        let mut known = self.known.lock().await;
        if let Some((metadata, read_at)) = &known.metadata
            && is_within(*read_at, now, KEPT_FOR)
        {
            return Ok(Arc::clone(metadata));
        }
        if known.failed_at.is_some_and(|at| is_within(at, now, REST)) {
            return Err(OidcError::Resting);
        }
        let read = async {
            let place = metadata::place(&self.config.issuer).ok_or(OidcError::Place)?;
            let bytes = self.client.document(&place).await?;
            Ok(Arc::new(metadata::read(&bytes, &self.config.issuer)?))
        };
        match read.await {
            Ok(metadata) => {
                known.metadata = Some((Arc::clone(&metadata), now));
                known.failed_at = None;
                Ok(metadata)
            }
            Err(error) => {
                known.failed_at = Some(now);
                Err(error)
            }
        }
    }

    /// Its keys, read at most so long ago.
    async fn keys(
        &self,
        metadata: &Metadata,
        now: Timestamp,
        age_max: Duration,
    ) -> Result<Arc<KeySet>, OidcError> {
        let mut known = self.known.lock().await;
        if let Some((keys, read_at)) = &known.keys
            && is_within(*read_at, now, age_max)
        {
            return Ok(Arc::clone(keys));
        }
        let bytes = self.client.document(&metadata.jwks_uri).await?;
        let keys = Arc::new(KeySet::read(&bytes).map_err(OidcError::Keys)?);
        known.keys = Some((Arc::clone(&keys), now));
        Ok(keys)
    }
}

fn is_within(at: Timestamp, now: Timestamp, age_max: Duration) -> bool {
    at <= now && now < at.plus(age_max)
}

/// The pairs of a form or a query (WHATWG URL, 5.2).
fn form(pairs: &[(&str, &str)]) -> String {
    let encoded = |text| utf8_percent_encode(text, RESERVED).to_string();
    let pairs = pairs.iter().map(|(key, text)| format!("{key}={}", encoded(text)));
    pairs.collect::<Vec<_>>().join("&")
}

/// The credentials of a client (RFC 6749, 2.3.1).
fn basic(id: &str, secret: &str) -> Option<HeaderValue> {
    let [id, secret] = [id, secret].map(|text| utf8_percent_encode(text, RESERVED).to_string());
    let credentials = STANDARD.encode(format!("{id}:{secret}"));
    let mut value = HeaderValue::try_from(format!("Basic {credentials}")).ok()?;
    value.set_sensitive(true);
    Some(value)
}

impl std::fmt::Debug for Issuer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Issuer({})", self.config.issuer)
    }
}
