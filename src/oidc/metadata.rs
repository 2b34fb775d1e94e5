//! The document in which an issuer names its places (OpenID Connect Discovery, 4).

use serde::Deserialize;

use super::url::Url;

/// The path of the document, below the issuer's own.
const WELL_KNOWN: &str = "/.well-known/openid-configuration";

/// The way in which a client with a secret shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SecretBy {
    /// In the `Authorization` field.
    Basic,
    /// In the form.
    Post,
}

/// The places of an issuer.
#[derive(Debug)]
pub(super) struct Metadata {
    /// The page on which people log in, without a fragment.
    pub(super) authorization_endpoint: String,
    pub(super) token_endpoint: Url,
    pub(super) jwks_uri: Url,
    pub(super) secret_by: SecretBy,
    /// Whether its answers always name it (RFC 9207).
    pub(super) names_itself: bool,
}

/// Why a document is none of this issuer's.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MetadataError {
    #[error("its discovery document is not the JSON that it should be")]
    Json(#[from] serde_json::Error),
    #[error("its discovery document is of {0:?}: write that as admin.oidc.issuer, to the letter")]
    OtherIssuer(String),
    #[error("its discovery document names {0} that is no URL of https")]
    Place(&'static str),
    #[error("it takes a client's secret neither by client_secret_basic nor by client_secret_post")]
    Secret,
}

#[derive(Deserialize)]
struct Document {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    jwks_uri: String,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
}

/// The place of the document of `issuer`.
pub(super) fn place(issuer: &str) -> Option<Url> {
    Url::parse(&format!("{}{WELL_KNOWN}", issuer.trim_end_matches('/')), true)
}

/// The places that the document names, which is that of `issuer`.
pub(super) fn read(bytes: &[u8], issuer: &str) -> Result<Metadata, MetadataError> {
    let document: Document = serde_json::from_slice(bytes)?;
    if document.issuer != issuer {
        let found = document.issuer.chars().take(200).collect();
        return Err(MetadataError::OtherIssuer(found));
    }
    let may_be_clear = issuer.starts_with("http:");
    let place = |name, text: &str| Url::parse(text, may_be_clear).ok_or(MetadataError::Place(name));
    place("an authorization_endpoint", &document.authorization_endpoint)?;
    let methods = document.token_endpoint_auth_methods_supported;
    let takes = |method: &str| {
        // What is left out means the former (Discovery, 3).
        let default = method == "client_secret_basic";
        methods.as_ref().map_or(default, |all| all.iter().any(|one| one == method))
    };
    let secret_by = if takes("client_secret_basic") {
        SecretBy::Basic
    } else if takes("client_secret_post") || takes("none") {
        SecretBy::Post
    } else {
        return Err(MetadataError::Secret);
    };
    Ok(Metadata {
        token_endpoint: place("a token_endpoint", &document.token_endpoint)?,
        jwks_uri: place("a jwks_uri", &document.jwks_uri)?,
        authorization_endpoint: document.authorization_endpoint,
        secret_by,
        names_itself: document.authorization_response_iss_parameter_supported,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ISSUER: &str = "https://i.example/realm";

    fn read_with(change: impl Fn(&mut serde_json::Value)) -> Result<Metadata, MetadataError> {
        let mut document = json!({
            "issuer": ISSUER,
            "authorization_endpoint": "https://i.example/authorize?tenant=1",
            "token_endpoint": "https://i.example/token",
            "jwks_uri": "https://keys.example/jwks",
        });
        change(&mut document);
        read(document.to_string().as_bytes(), ISSUER)
    }

    #[test]
    fn a_document_is_taken_of_this_issuer_alone_and_names_places_of_https() {
        assert_eq!(read_with(|_| {}).unwrap().secret_by, SecretBy::Basic);
        let post = json!(["private_key_jwt", "client_secret_post"]);
        let by_post = read_with(|all| all["token_endpoint_auth_methods_supported"] = post.clone());
        assert_eq!(by_post.unwrap().secret_by, SecretBy::Post);
        let other = json!(["private_key_jwt"]);
        let neither = read_with(|all| all["token_endpoint_auth_methods_supported"] = other.clone());
        assert!(matches!(neither, Err(MetadataError::Secret)));
        for (name, value) in [
            ("issuer", "https://i.example/realm/"),
            ("authorization_endpoint", "javascript:alert(1)"),
            ("token_endpoint", "http://i.example/token"),
            ("token_endpoint", "http://127.0.0.1/token"),
            ("jwks_uri", "file:///keys"),
        ] {
            assert!(read_with(|all| all[name] = json!(value)).is_err(), "{name}: {value}");
        }
        assert!(read(b"[]", ISSUER).is_err());
        assert_eq!(place(ISSUER).unwrap().target, "/realm/.well-known/openid-configuration");
        assert_eq!(place("https://i.example/").unwrap().target, WELL_KNOWN);
    }
}
