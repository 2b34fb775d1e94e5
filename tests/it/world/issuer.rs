//! An issuer of OpenID Connect that says what a test wants it to say.

use std::sync::{Arc, Mutex};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::Response;
use http_body_util::Full;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::recorder::{Received, Recorder, answer};

/// The name of the client, and its secret, which need escapes in a form.
pub(crate) const CLIENT: &str = "change gate";
pub(crate) const SECRET: &str = "s3cret/+&:=";

/// The code that it gives.
pub(crate) const CODE: &str = "code-1";

/// A running issuer.
pub(crate) struct Issuer {
    pub(crate) url: String,
    recorder: Recorder,
    script: Arc<Mutex<Script>>,
}

/// What it says.
pub(crate) struct Script {
    key: EcdsaKeyPair,
    kid: String,
    /// The head of ID tokens; its `kid` is added.
    pub(crate) head: Value,
    /// The claims of ID tokens; `iss`, and `nonce` where it is missing, are added.
    pub(crate) claims: Value,
    /// The nonce and the challenge that a browser brought.
    pub(crate) nonce: String,
    pub(crate) challenge: String,
    /// What it answers in place of a document at paths that end so.
    pub(crate) instead: Option<(&'static str, Response<Full<Bytes>>)>,
}

impl Issuer {
    /// An issuer of somebody who is known for the next ten minutes from `now`, in seconds.
    pub(crate) async fn start(now: i64) -> Self {
        let claims = json!({
            "aud": CLIENT, "sub": "u-1", "email": "Ann@C.example", "groups": ["staff"],
            "iat": now, "exp": now + 600,
        });
        let script = Arc::new(Mutex::new(Script {
            key: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap(),
            kid: "k0".to_owned(),
            head: json!({"alg": "ES256"}),
            claims,
            nonce: String::new(),
            challenge: String::new(),
            instead: None,
        }));
        let told = Arc::clone(&script);
        let recorder = Recorder::start(move |received| told.lock().unwrap().answer(received)).await;
        Self { url: recorder.url.clone(), recorder, script }
    }

    /// Changes what it says.
    pub(crate) fn say(&self, change: impl FnOnce(&mut Script)) {
        change(&mut self.script.lock().unwrap());
    }

    /// Signs by a new key from now on, of another name.
    pub(crate) fn rotate(&self) {
        self.say(|script| {
            script.key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
            script.kid.push('+');
        });
    }

    /// How often a path that ends so was asked for.
    pub(crate) fn asked(&self, end: &str) -> usize {
        self.recorder.received().iter().filter(|one| one.target.ends_with(end)).count()
    }

    /// `[admin.oidc]` of this issuer.
    pub(crate) fn config(&self) -> String {
        format!(
            "[admin.oidc]\nissuer = '{}'\nclient_id = '{CLIENT}'\nclient_secret_file = 'oidc'\n\
             redirect_url = 'http://127.0.0.1:1/login/oidc/callback'\nperson_claim = 'email'\n",
            self.url
        )
    }
}

impl Script {
    fn answer(&self, received: &Received) -> Response<Full<Bytes>> {
        let path = received.target.as_str();
        if let Some((end, instead)) = &self.instead
            && path.ends_with(end)
        {
            return instead.clone();
        }
        let url = format!("http://{}", received.headers["host"].to_str().unwrap());
        match path {
            "/.well-known/openid-configuration" => answer(
                200,
                json!({
                    "issuer": url,
                    "authorization_endpoint": format!("{url}/authorize?tenant=1"),
                    "token_endpoint": format!("{url}/token"),
                    "jwks_uri": format!("{url}/keys"),
                }),
            ),
            "/keys" => {
                let point = self.key.public_key().as_ref();
                let [x, y] = [&point[1..33], &point[33..]].map(|half| URL_SAFE_NO_PAD.encode(half));
                let key = json!({"kty": "EC", "crv": "P-256", "kid": self.kid, "x": x, "y": y});
                answer(200, json!({"keys": [key]}))
            }
            "/token" => self.token(&url, received),
            _other => answer(404, "{}"),
        }
    }

    fn token(&self, url: &str, received: &Received) -> Response<Full<Bytes>> {
        let body = String::from_utf8(received.body.to_vec()).unwrap();
        let sent = |name: &str| {
            let mut pairs = body.split('&').filter_map(|pair| pair.split_once('='));
            let found = pairs.find(|(key, _)| *key == name).map(|(_, text)| text);
            let decoded = percent_encoding::percent_decode_str(found.unwrap_or_default());
            decoded.decode_utf8().unwrap().into_owned()
        };
        let credentials = STANDARD.encode("change%20gate:s3cret%2F%2B%26%3A%3D");
        let wanted = format!("Basic {credentials}");
        let by = received.headers.get("authorization").and_then(|value| value.to_str().ok());
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(sent("code_verifier")));
        let is_right = by == Some(&wanted)
            && sent("grant_type") == "authorization_code"
            && sent("code") == CODE
            && sent("redirect_uri") == "http://127.0.0.1:1/login/oidc/callback"
            && challenge == self.challenge;
        if !is_right {
            let told = json!({"error": "invalid_grant", "error_description": "not <b>yours</b>"});
            return answer(400, told);
        }
        answer(200, json!({"access_token": "a", "token_type": "Bearer", "id_token": self.id(url)}))
    }

    fn id(&self, url: &str) -> String {
        let (mut head, mut claims) = (self.head.clone(), self.claims.clone());
        let add = |json: &mut Value, name: &str, value: &str| {
            json.as_object_mut().unwrap().entry(name).or_insert_with(|| json!(value));
        };
        add(&mut head, "kid", &self.kid);
        add(&mut claims, "iss", url);
        add(&mut claims, "nonce", &self.nonce);
        let encode = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
        let signed = format!("{}.{}", encode(&head), encode(&claims));
        let signature = self.key.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
    }
}
