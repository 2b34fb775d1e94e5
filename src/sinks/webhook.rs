//! Standard Webhooks 1.0.0: one message a request, signed.

use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hmac::{Hmac, Mac as _};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use sha2::Sha256;

use super::delivery::Delivery;
use super::message::Message;
use crate::base::clock::Timestamp;
use crate::base::ids::{Hex, random};
use crate::base::key::Token;
use crate::config::Target;
use crate::outgoing::client::Client;
use crate::upstream::trust::TrustError;

/// The most bytes of a message. The standard advises less than 20 kB, which most are.
const MESSAGE_BYTES_MAX: usize = 256 << 10;

const ID: HeaderName = HeaderName::from_static("webhook-id");
const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// A receiver of webhooks.
pub(super) struct Webhook {
    client: Client,
    /// The secrets, each of which signs.
    secrets: Vec<Vec<u8>>,
}

impl Webhook {
    pub(super) fn new(to: &Target, secrets: &[Token]) -> Result<Self, TrustError> {
        let bytes = |secret: &Token| {
            let text = secret.expose().strip_prefix("whsec_").unwrap_or_default();
            // It was decoded once, when it was read.
            STANDARD.decode(text).unwrap_or_default()
        };
        Ok(Self { client: Client::new(to)?, secrets: secrets.iter().map(bytes).collect() })
    }

    pub(super) async fn send(
        &mut self,
        message: &Message,
        log: &str,
        now: Timestamp,
    ) -> io::Result<Delivery> {
        let body = Bytes::from(message.enveloped(now, MESSAGE_BYTES_MAX)?);
        let id = id(message, log);
        let seconds = now.unix_seconds();
        let mut fields = HeaderMap::new();
        let text = |text: String| HeaderValue::try_from(text).map_err(io::Error::other);
        fields.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        fields.insert(SIGNATURE, text(signatures(&self.secrets, &id, seconds, &body))?);
        fields.insert(ID, text(id)?);
        fields.insert(TIMESTAMP, HeaderValue::from(seconds));
        Ok(match self.client.post(&fields, &body).await {
            Ok(answer) if answer.status == StatusCode::GONE => Delivery::Gone,
            Ok(answer) => Delivery::by_status(answer.status, answer.after, None),
            Err(error) => Delivery::failed(error.told()),
        })
    }
}

/// The name of a message: the same however often it is sent.
fn id(message: &Message, log: &str) -> String {
    match message.position {
        Some(position) => format!("rec_{log}_{position}"),
        None => format!("test_{}", Hex(&random::<8>())),
    }
}

/// The signatures by every secret, one after the other.
fn signatures(secrets: &[Vec<u8>], id: &str, seconds: i64, body: &[u8]) -> String {
    let sign = |secret: &Vec<u8>| {
        // A key may have any length.
        let mut mac = Hmac::<Sha256>::new_from_slice(secret).ok()?;
        mac.update(format!("{id}.{seconds}.").as_bytes());
        mac.update(body);
        Some(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
    };
    secrets.iter().filter_map(sign).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::SinkFormat;

    #[test]
    fn a_message_is_signed_as_the_standard_shows() {
        // The example of the standard's own libraries.
        let secret = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let body = br#"{"test": 2432232314}"#;
        let id = "msg_p5jXN8AQM9LWM0D4loKWxJek";
        let signed = signatures(std::slice::from_ref(&secret), id, 1_614_265_330, body);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        let both = signatures(&[secret, vec![7; 24]], id, 1_614_265_330, body);
        assert_eq!(both.split(' ').count(), 2);
        assert!(both.starts_with(&signed));
    }

    #[test]
    fn a_message_keeps_its_name() {
        let mut message = Message::test(("s", SinkFormat::Change), "n", Timestamp::from_millis(0));
        assert_ne!(id(&message, "a"), id(&message, "a"));
        message.position = Some(7);
        assert_eq!(id(&message, "ab"), "rec_ab_7");
    }
}
