//! OTLP/HTTP: log records as JSON.

use std::io;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde::Deserialize;
use serde_json::{Value, json};

use super::delivery::Delivery;
use super::message::{Message, Severity};
use crate::base::clock::Timestamp;
use crate::base::excerpt::excerpt;
use crate::base::key::Token;
use crate::config::Target;
use crate::outgoing::client::{Answer, Client};
use crate::upstream::trust::TrustError;

/// The most bytes of a record's body.
const RECORD_BYTES_MAX: usize = 256 << 10;

/// The most characters of the receiver's own word that are told.
const SAID_MAX: usize = 120;

/// The members of a record that are attributes too.
const ATTRIBUTES: [&str; 5] = ["id", "deployment_id", "operation", "decision", "outcome"];

/// A receiver of logs.
pub(super) struct Collector {
    client: Client,
    fields: HeaderMap,
    log: String,
    node: String,
}

/// A request that was taken, perhaps in part.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Export {
    partial_success: Option<Partial>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Partial {
    /// A number of 64 bits, which JSON of protocol buffers writes as a text.
    rejected_log_records: Option<Value>,
    error_message: String,
}

/// An error (`google.rpc.Status`).
#[derive(Deserialize)]
struct Refusal {
    message: String,
}

impl Collector {
    pub(super) fn new(
        to: &Target,
        given: &[(HeaderName, Token)],
        log: &str,
        node: &str,
    ) -> Result<Self, TrustError> {
        let mut fields = HeaderMap::new();
        for (name, value) in given {
            // It was looked at once, when it was read.
            if let Ok(mut value) = HeaderValue::try_from(value.expose()) {
                value.set_sensitive(true);
                fields.insert(name.clone(), value);
            }
        }
        fields.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let (client, log, node) = (Client::new(to)?, log.to_owned(), node.to_owned());
        Ok(Self { client, fields, log, node })
    }

    pub(super) async fn send(
        &mut self,
        messages: &[Message],
        now: Timestamp,
    ) -> io::Result<Delivery> {
        let records: Vec<Value> =
            messages.iter().map(|message| record(message, now)).collect::<io::Result<_>>()?;
        let body = json!({ "resourceLogs": [{
            "resource": { "attributes": [
                text("service.name", "changegate"),
                text("service.version", env!("CARGO_PKG_VERSION")),
                text("service.instance.id", &self.node),
                text("changegate.log", &self.log),
            ] },
            "scopeLogs": [{
                "scope": { "name": "changegate.audit", "version": "1" },
                "logRecords": records,
            }],
        }] });
        let body = Bytes::from(serde_json::to_vec(&body)?);
        Ok(match self.client.post(&self.fields, &body).await {
            Ok(answer) => meaning(&answer),
            Err(error) => Delivery::failed(error.told()),
        })
    }
}

/// The meaning of an answer. Of records that were taken in part, it does not say which were not.
fn meaning(answer: &Answer) -> Delivery {
    if !answer.status.is_success() {
        let refusal: Option<Refusal> = serde_json::from_slice(&answer.body).ok();
        let said = refusal.map(|refusal| excerpt(&refusal.message, SAID_MAX));
        return Delivery::by_status(answer.status, answer.after, said);
    }
    let export: Export = serde_json::from_slice(&answer.body).unwrap_or_default();
    let Some(partial) = export.partial_success else { return Delivery::Taken };
    let rejected = match &partial.rejected_log_records {
        Some(Value::String(number)) => number.parse().unwrap_or(0),
        Some(number) => number.as_u64().unwrap_or(0),
        None => 0,
    };
    if rejected == 0 {
        return Delivery::Taken;
    }
    let said = excerpt(&partial.error_message, SAID_MAX);
    Delivery::Refused(format!("answered {}, rejectedLogRecords {rejected}: {said}", StatusCode::OK))
}

fn record(message: &Message, now: Timestamp) -> io::Result<Value> {
    let nanos = |at: Timestamp| format!("{}000000", at.millis());
    let (number, word) = match message.severity() {
        Severity::Info => (9, "INFO"),
        Severity::Warning => (13, "WARN"),
        Severity::Error => (17, "ERROR"),
    };
    let body = String::from_utf8(message.text(now, RECORD_BYTES_MAX)?).map_err(io::Error::other)?;
    let mut attributes = vec![text("event.name", &message.kind)];
    if let Some(position) = message.position {
        let position = json!({ "intValue": position.to_string() });
        attributes.push(json!({ "key": "changegate.position", "value": position }));
    }
    let known = ATTRIBUTES.iter().filter_map(|name| Some((name, message.word(name)?)));
    attributes.extend(known.map(|(name, word)| text(&format!("changegate.{name}"), word)));
    Ok(json!({
        "timeUnixNano": nanos(message.at.unwrap_or(now)),
        "observedTimeUnixNano": nanos(now),
        "severityNumber": number,
        "severityText": word,
        "eventName": message.kind,
        "body": { "stringValue": body },
        "attributes": attributes,
    }))
}

fn text(key: &str, value: &str) -> Value {
    json!({ "key": key, "value": { "stringValue": value } })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn told(status: u16, body: &'static str) -> Delivery {
        let status = StatusCode::from_u16(status).unwrap();
        let (content_type, body) = (None, Bytes::from_static(body.as_bytes()));
        meaning(&Answer { status, content_type, after: None, body })
    }

    #[test]
    fn a_success_in_part_is_none() {
        for body in ["", "{}", "garbage", "{\"partialSuccess\":{}}", "{\"partialSuccess\":null}"] {
            assert_eq!(told(200, body), Delivery::Taken, "{body}");
        }
        let warned = "{\"partialSuccess\":{\"rejectedLogRecords\":\"0\",\"errorMessage\":\"old\"}}";
        assert_eq!(told(200, warned), Delivery::Taken);
        for body in [
            "{\"partialSuccess\":{\"rejectedLogRecords\":\"1\",\"errorMessage\":\"too long\"}}",
            "{\"partialSuccess\":{\"rejectedLogRecords\":3}}",
        ] {
            assert!(matches!(told(200, body), Delivery::Refused(_)), "{body}");
        }
        assert!(matches!(told(400, "{\"message\":\"bad\"}"),
            Delivery::Refused(why) if why.ends_with(": bad")));
        assert!(matches!(told(503, ""), Delivery::Failed(_)));
        let answer = Answer {
            status: StatusCode::TOO_MANY_REQUESTS,
            content_type: None,
            after: Some(Duration::from_secs(7)),
            body: Bytes::new(),
        };
        assert!(matches!(meaning(&answer),
            Delivery::Failed(failure) if failure.after == Some(Duration::from_secs(7))));
    }
}
