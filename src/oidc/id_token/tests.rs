use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256,
};
use serde_json::json;

use super::*;

const NOW: i64 = 1_781_427_491;

const NONCE: &str = "n-1";

fn config() -> OidcConfig {
    OidcConfig {
        issuer: "https://i.example".to_owned(),
        client_id: "changegate".to_owned(),
        client_secret: None,
        redirect_url: "https://c.example/login/oidc/callback".to_owned(),
        ca_file: None,
        scopes: Vec::new(),
        person_claim: "email".to_owned(),
        groups_claim: "realm_access.roles".to_owned(),
        session: Duration::from_hours(1),
    }
}

fn claims() -> Value {
    json!({
        "iss": "https://i.example", "aud": "changegate", "sub": "u1", "email": "ann@c.example",
        "exp": NOW + 300, "iat": NOW, "nonce": NONCE, "realm_access": {"roles": ["leads", 1]},
    })
}

/// The two kinds of keys, and the set that publishes them.
struct Signer {
    ec: EcdsaKeyPair,
    rsa: RsaKeyPair,
    keys: KeySet,
}

impl Signer {
    fn new() -> Self {
        let ec = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let rsa = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let point = ec.public_key().as_ref();
        // A sequence of two integers (RFC 8017, A.1.1), of fixed lengths for a key of 2,048 bits.
        let der = rsa.public_key().as_ref();
        let (signed, e) = (&der[8..265], &der[267..]);
        let set = json!({"keys": [
            {"kty": "oct", "kid": "shared", "k": "c2VjcmV0"},
            {"kty": "EC", "crv": "P-256", "kid": "ec", "use": "sig",
             "x": encode(&point[1..33]), "y": encode(&point[33..])},
            // Some publish a sign byte before the modulus.
            {"kty": "RSA", "kid": "rsa", "alg": "RS256", "e": encode(e),
             "n": encode(signed)},
            {"kty": "RSA", "kid": "other use", "use": "enc", "e": encode(e),
             "n": encode(&signed[1..])},
        ]});
        Self { ec, rsa, keys: KeySet::read(set.to_string().as_bytes()).unwrap() }
    }

    fn token(&self, head: &Value, claims: &str) -> String {
        let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
        let signed = format!("{}.{}", encode(&head.to_string()), encode(claims));
        let message = signed.as_bytes();
        let signature = if head["alg"] == "RS256" {
            let mut signature = vec![0; self.rsa.public_modulus_len()];
            let random = SystemRandom::new();
            self.rsa.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).unwrap();
            signature
        } else {
            self.ec.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec()
        };
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    fn person(&self, token: &str) -> Result<Person, TokenError> {
        let (config, now) = (config(), Timestamp::from_millis(NOW * 1_000));
        person(token, &self.keys, &Expected { config: &config, nonce: NONCE, now })
    }
}

#[test]
fn a_token_by_either_kind_of_key_names_the_human_and_their_groups() {
    let signer = Signer::new();
    let expected = Person { name: "ann@c.example".to_owned(), groups: vec!["leads".to_owned()] };
    for head in [
        json!({"alg": "ES256", "kid": "ec"}),
        json!({"alg": "RS256", "kid": "rsa", "typ": "JWT"}),
        json!({"alg": "ES256"}),
    ] {
        let token = signer.token(&head, &claims().to_string());
        assert_eq!(signer.person(&token), Ok(expected.clone()), "{head}");
    }
}

#[test]
fn what_is_not_signed_by_a_public_key_of_the_issuer_is_refused() {
    use TokenError::{Algorithm, Form, Signature, UnknownKey};
    let (signer, claims) = (Signer::new(), claims().to_string());
    for (head, expected) in [
        (json!({"alg": "none"}), Algorithm),
        (json!({"alg": "None", "kid": "ec"}), Algorithm),
        (json!({"alg": "HS256", "kid": "shared"}), Algorithm),
        (json!({"alg": "HS256", "kid": "ec"}), Algorithm),
        (json!({"alg": "PS256", "kid": "rsa"}), Algorithm),
        (json!({"alg": "ES256", "kid": "ec", "crit": ["b64"]}), Algorithm),
        (json!({"alg": "ES256", "kid": "new"}), UnknownKey),
        (json!({"alg": "ES256", "kid": "shared"}), UnknownKey),
        (json!({"alg": "RS256", "kid": "other use"}), UnknownKey),
        (json!({"alg": "RS256", "kid": "ec"}), Signature),
        (json!({"alg": "ES256", "kid": "rsa"}), Signature),
        (json!({"kid": "ec"}), Form),
    ] {
        assert_eq!(signer.person(&signer.token(&head, &claims)), Err(expected), "{head}");
    }
    let whole = signer.token(&json!({"alg": "ES256", "kid": "ec"}), &claims);
    let (signed, _) = whole.rsplit_once('.').unwrap();
    assert_eq!(signer.person(&format!("{signed}.")), Err(Signature));
    let other = Signer::new().token(&json!({"alg": "ES256", "kid": "ec"}), &claims);
    assert_eq!(signer.person(&other), Err(Signature));
    // The claims of one token under the signature of another.
    let later = signer.token(&json!({"alg": "ES256", "kid": "ec"}), &claims.replace("u1", "u2"));
    let mixed = format!("{signed}.{}", later.rsplit_once('.').unwrap().1);
    assert_eq!(signer.person(&mixed), Err(Signature));
    for text in ["", ".", "..", "a.b.c", "e30.e30", &format!("{whole}.x")] {
        assert!(signer.person(text).is_err(), "{text}");
    }
}

#[test]
fn claims_that_are_not_of_this_login_are_refused() {
    use TokenError::{Audience, Issuer, Nonce, Person as NoPerson, Time, Unverified};
    let signer = Signer::new();
    let email = || NoPerson("email".to_owned());
    for (name, value, expected) in [
        ("iss", json!("https://i.example/"), Err(Issuer)),
        ("aud", json!("other"), Err(Audience)),
        ("aud", json!(["other"]), Err(Audience)),
        ("aud", json!(["other", "changegate"]), Err(Audience)),
        ("azp", json!("other"), Err(Audience)),
        ("azp", json!("changegate"), Ok(())),
        ("aud", json!(["changegate"]), Ok(())),
        ("exp", json!(NOW - 60), Err(Time)),
        ("exp", json!(NOW - 59), Ok(())),
        ("iat", json!(NOW + 61), Err(Time)),
        ("nbf", json!(NOW + 61), Err(Time)),
        ("nonce", json!("n-2"), Err(Nonce)),
        ("nonce", Value::Null, Err(Nonce)),
        ("email", json!(""), Err(email())),
        ("email", json!(7), Err(email())),
        ("email", json!("a\u{7}b"), Err(email())),
        ("email", json!("a".repeat(129)), Err(email())),
        ("email_verified", json!(false), Err(Unverified)),
        ("email_verified", json!("false"), Err(Unverified)),
        ("email_verified", json!(true), Ok(())),
        ("exp", json!("soon"), Err(TokenError::Claims)),
    ] {
        let mut claims = claims();
        claims[name] = value.clone();
        let token = signer.token(&json!({"alg": "ES256", "kid": "ec"}), &claims.to_string());
        assert_eq!(signer.person(&token).map(|_person| ()), expected, "{name}: {value}");
    }
    let twice = claims().to_string().replacen('{', "{\"iss\": \"https://evil.example\", ", 1);
    let token = signer.token(&json!({"alg": "ES256", "kid": "ec"}), &twice);
    assert_eq!(signer.person(&token), Err(TokenError::Claims));
}

#[test]
fn groups_are_texts_and_nothing_else() {
    let mut all = claims();
    for (value, expected) in [
        (json!(["a", "b"]), vec!["a", "b"]),
        (json!("a"), vec!["a"]),
        (json!({"a": 1}), vec![]),
        (json!(null), vec![]),
    ] {
        all["realm_access"]["roles"] = value;
        let found = claim(all.as_object().unwrap(), "realm_access.roles").map(groups);
        assert_eq!(found.unwrap(), expected);
    }
    all["https://c.example/groups"] = json!(["c"]);
    let named = claim(all.as_object().unwrap(), "https://c.example/groups").map(groups);
    assert_eq!(named.unwrap(), ["c"]);
}
