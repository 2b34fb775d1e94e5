//! Splunk's HTTP Event Collector: events one after the other in a body. What it answers 200 to, it
//! has received; when it is on disk there, it does not say.

use std::io;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use serde::Deserialize;
use serde_json::json;

use super::delivery::Delivery;
use super::message::Message;
use crate::base::clock::Timestamp;
use crate::base::excerpt::excerpt;
use crate::config::HecSink;
use crate::outgoing::client::Client;
use crate::upstream::trust::TrustError;

/// The most bytes of an event.
const EVENT_BYTES_MAX: usize = 256 << 10;

/// The most characters of the collector's own word that are told.
const SAID_MAX: usize = 120;

/// A collector.
pub(super) struct Collector {
    client: Client,
    fields: HeaderMap,
    index: Option<String>,
    node: String,
}

/// Its answer.
#[derive(Deserialize)]
struct Said {
    text: String,
    code: i64,
}

impl Collector {
    pub(super) fn new(sink: &HecSink, node: &str) -> Result<Self, TrustError> {
        let mut fields = HeaderMap::new();
        // It was looked at once, when it was read.
        if let Ok(mut token) = HeaderValue::try_from(format!("Splunk {}", sink.token.expose())) {
            token.set_sensitive(true);
            fields.insert(header::AUTHORIZATION, token);
        }
        fields.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let (client, index) = (Client::new(&sink.to)?, sink.index.clone());
        Ok(Self { client, fields, index, node: node.to_owned() })
    }

    pub(super) async fn send(
        &mut self,
        messages: &[Message],
        now: Timestamp,
    ) -> io::Result<Delivery> {
        let mut body = Vec::new();
        for message in messages {
            self.event(message, now, &mut body)?;
        }
        let body = Bytes::from(body);
        Ok(match self.client.post(&self.fields, &body).await {
            Ok(answer) => {
                let said: Option<Said> = serde_json::from_slice(&answer.body).ok();
                let said = said
                    .map(|said| format!("{} (code {})", excerpt(&said.text, SAID_MAX), said.code));
                Delivery::by_status(answer.status, answer.after, said)
            }
            Err(error) => Delivery::failed(error.told()),
        })
    }

    /// Appends an event: what is about it, and the message as it is.
    fn event(&self, message: &Message, now: Timestamp, body: &mut Vec<u8>) -> io::Result<()> {
        let at = message.at.unwrap_or(now);
        let sourcetype = if message.event.is_some() { "changegate:ocsf" } else { "changegate" };
        let mut about = json!({
            "host": self.node,
            "source": "changegate",
            "sourcetype": sourcetype,
        });
        if let (Some(about), Some(index)) = (about.as_object_mut(), &self.index) {
            about.insert("index".to_owned(), json!(index));
        }
        let about = about.to_string();
        body.extend_from_slice(about.strip_suffix('}').unwrap_or(&about).as_bytes());
        let (seconds, millis) = (at.unix_seconds(), at.millis().rem_euclid(1_000));
        body.extend_from_slice(format!(",\"time\":{seconds}.{millis:03},\"event\":").as_bytes());
        body.extend_from_slice(&message.text(now, EVENT_BYTES_MAX)?);
        body.extend_from_slice(b"}\n");
        Ok(())
    }
}
