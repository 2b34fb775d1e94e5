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
use tokio::sync::Semaphore;

use super::error::OidcError;
use super::fetch::{Client, Form};
use super::id_token::{self, Expected, Person, TokenError};
use super::kept::Kept;
use super::key_set::KeySet;
use super::metadata::{self, Metadata, SecretBy};
use crate::base::clock::Timestamp;
use crate::base::excerpt::excerpt;
use crate::base::key::Token;
use crate::config::OidcConfig;

/// How long what an issuer has published is taken to hold.
const KEPT_FOR: Duration = Duration::from_hours(1);

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

/// An issuer.
pub(crate) struct Issuer {
    config: Arc<OidcConfig>,
    client: Arc<Client>,
    metadata: Kept<Metadata>,
    keys: Kept<KeySet>,
    logins: Semaphore,
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
        let client = Arc::new(Client::new(config.ca_file.clone()));
        let logins = Semaphore::new(LOGINS_MAX);
        Self { config, client, metadata: Kept::default(), keys: Kept::default(), logins }
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

    /// Its places, read at most an hour ago.
    async fn metadata(&self, now: Timestamp) -> Result<Arc<Metadata>, OidcError> {
        let (client, issuer) = (Arc::clone(&self.client), self.config.issuer.clone());
        let fetch = async move {
            let place = metadata::place(&issuer).ok_or(OidcError::Place)?;
            let bytes = client.document(&place).await?;
            Ok(metadata::read(&bytes, &issuer)?)
        };
        self.metadata.get((now, KEPT_FOR), fetch).await
    }

    /// Its keys, read at most so long ago.
    async fn keys(
        &self,
        metadata: &Arc<Metadata>,
        now: Timestamp,
        age_max: Duration,
    ) -> Result<Arc<KeySet>, OidcError> {
        let (client, metadata) = (Arc::clone(&self.client), Arc::clone(metadata));
        let fetch = async move {
            let bytes = client.document(&metadata.jwks_uri).await?;
            KeySet::read(&bytes).map_err(OidcError::Keys)
        };
        self.keys.get((now, age_max), fetch).await
    }
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
