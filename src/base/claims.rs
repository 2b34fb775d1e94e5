//! The claims of a bearer token that is a JSON Web Token (RFC 7519): whose it says it is. Nothing
//! here is verified; only who issued it can do that.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

/// The start of every such token: base64url of `{"`, with which its header begins.
const HEADER_START: &str = "eyJ";

/// The longest issuer or subject that is taken, in bytes.
const CLAIM_BYTES_MAX: usize = 1_024;

/// The issuer of a token, and the subject that it stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// `iss`; empty where the token names none.
    pub issuer: String,
    /// `sub`.
    pub subject: String,
}

/// The members of the payload that are read. One that is given twice makes it unreadable, since
/// readers differ on which counts.
#[derive(Deserialize)]
struct Payload {
    iss: Option<String>,
    sub: String,
}

impl Claims {
    /// The claims of `token`; `None` where it is not a JWT with a subject.
    #[must_use]
    pub fn of(token: &str) -> Option<Self> {
        if !token.starts_with(HEADER_START) {
            return None;
        }
        let mut parts = token.split('.');
        let (Some(_header), Some(payload), Some(_signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return None;
        };
        let payload = URL_SAFE_NO_PAD.decode(payload).ok()?;
        let Payload { iss, sub } = serde_json::from_slice(&payload).ok()?;
        let claims = Self { issuer: iss.unwrap_or_default(), subject: sub };
        let fits = |text: &str| text.len() <= CLAIM_BYTES_MAX && !text.contains(char::is_control);
        (!claims.subject.is_empty() && fits(&claims.subject) && fits(&claims.issuer))
            .then_some(claims)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(payload: &str) -> String {
        format!("eyJhbGciOiJFUzI1NiJ9.{}.c2ln", URL_SAFE_NO_PAD.encode(payload))
    }

    #[test]
    fn a_subject_is_read_of_a_jwt_alone() {
        let claims = |issuer: &str, subject: &str| {
            Some(Claims { issuer: issuer.to_owned(), subject: subject.to_owned() })
        };
        let long = format!(r#"{{"sub":"{}"}}"#, "s".repeat(2_000));
        for (token, expected) in [
            (token(r#"{"iss":"https://i","sub":"sa_1","exp":1}"#), claims("https://i", "sa_1")),
            (token(r#"{"sub":"sa_1"}"#), claims("", "sa_1")),
            (token(r#"{"iss":"https://i"}"#), None),
            (token(r#"{"sub":""}"#), None),
            (token(r#"{"sub":1}"#), None),
            (token(r#"{"sub":"a\u0000b"}"#), None),
            (token(r#"{"sub":"a","sub":"b"}"#), None),
            (token(&long), None),
            (token("[]"), None),
            (format!("{}.x", token(r#"{"sub":"a"}"#)), None),
            ("eyJhbGciOiJFUzI1NiJ9.!!.c2ln".to_owned(), None),
            ("pt-0123456789".to_owned(), None),
            ("eyJ".to_owned(), None),
        ] {
            assert_eq!(Claims::of(&token), expected, "{token}");
        }
    }
}
