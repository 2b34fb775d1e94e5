//! The way to a receiver, by its kind.

use std::io;

use super::delivery::{Delivery, Failure};
use super::lines::{Files, Lines};
use super::message::Message;
use super::syslog::Syslog;
use super::webhook::Webhook;
use super::{hec, otlp};
use crate::base::clock::Timestamp;
use crate::config::{SinkConfig, SinkKind};
use crate::upstream::trust::TrustError;

/// The most messages that are sent together, where a kind takes several.
const BATCH_MAX: usize = 100;

/// The names of this log and of this gateway.
#[derive(Clone, Debug)]
pub(super) struct Sender {
    pub(super) log: String,
    pub(super) node: String,
}

/// The way to a receiver.
pub(super) enum Transport {
    Webhook(Box<Webhook>),
    SplunkHec(Box<hec::Collector>),
    Syslog(Box<Syslog>),
    Otlp(Box<otlp::Collector>),
    File(Lines),
}

impl Transport {
    pub(super) fn new(
        config: &SinkConfig,
        sender: &Sender,
        files: &Files,
    ) -> Result<Self, TrustError> {
        let Sender { log, node } = sender;
        Ok(match &config.kind {
            SinkKind::Webhook { to, secrets } => {
                Self::Webhook(Box::new(Webhook::new(to, secrets)?))
            }
            SinkKind::SplunkHec(sink) => {
                Self::SplunkHec(Box::new(hec::Collector::new(sink, node)?))
            }
            SinkKind::Syslog(sink) => Self::Syslog(Box::new(Syslog::new(sink, log, node)?)),
            SinkKind::Otlp { to, fields } => {
                Self::Otlp(Box::new(otlp::Collector::new(to, fields, log, node)?))
            }
            SinkKind::File(sink) => Self::File(Lines::new(sink, files)),
        })
    }

    /// How many messages are sent together.
    pub(super) fn batch_max(&self) -> usize {
        if self.is_webhook() { 1 } else { BATCH_MAX }
    }

    pub(super) fn is_webhook(&self) -> bool {
        matches!(self, Self::Webhook(_))
    }

    /// Looks after what is open while nothing is to be sent.
    pub(super) fn look(&mut self) -> Option<Failure> {
        match self {
            Self::Syslog(syslog) => syslog.look(true),
            _ => None,
        }
    }

    /// Begins anew at another place of the log.
    pub(super) fn begin_anew(&mut self) {
        if let Self::Syslog(syslog) = self {
            syslog.begin_anew();
        }
    }

    /// Gives up a delivery that took too long; tells the position to go on from, where what was
    /// sent before may be lost with it.
    pub(super) fn give_up(&mut self) -> Option<u64> {
        match self {
            Self::Syslog(syslog) => syslog.broke(),
            _ => None,
        }
    }

    /// Delivers messages, in their order. Who drops this has it broken off.
    pub(super) async fn deliver(
        &mut self,
        messages: &[Message],
        sender: &Sender,
        now: Timestamp,
    ) -> io::Result<Delivery> {
        match self {
            Self::Webhook(webhook) => match messages {
                [message] => webhook.send(message, &sender.log, now).await,
                _ => Err(io::Error::other("a webhook takes one message at a time")),
            },
            Self::SplunkHec(collector) => collector.send(messages, now).await,
            Self::Syslog(syslog) => syslog.send(messages, now).await,
            Self::Otlp(collector) => collector.send(messages, now).await,
            Self::File(lines) => lines.send(messages, now).await,
        }
    }
}
