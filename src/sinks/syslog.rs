//! Syslog: RFC 5424 messages, counted in octets (RFC 6587, 3.4.1), over TCP or TLS (RFC 5425).
//!
//! Nothing is acknowledged. What was written to a connection that breaks may have been lost within,
//! so that all that a receiver may not have read is sent once more, each message with its position
//! by which a receiver finds doubles. What a receiver, or a relay on the way, loses by itself is
//! lost.

use std::fmt::Write as _;
use std::io;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::Instant;

use super::delivery::{Delivery, Failure};
use super::message::{Message, Severity};
use super::unread::{End, Unread};
use crate::base::clock::Timestamp;
use crate::base::visible::chain;
use crate::config::SyslogSink;
use crate::net::stream::Wire;
use crate::outgoing::dial::Dial;
use crate::upstream::trust::TrustError;

/// The longest message, in bytes, that a receiver should take (RFC 5424, 6.1).
const MESSAGE_BYTES_MAX: usize = 8_192;

/// A connection that ends sooner counts as an attempt that failed.
const LIVED: Duration = Duration::from_mins(1);

/// Log audit (RFC 5424, 6.2.1).
const FACILITY: u8 = 13;

/// The most bytes of a name (RFC 5424, 6).
const HOST_BYTES_MAX: usize = 255;
const KIND_BYTES_MAX: usize = 32;

/// A receiver of syslog.
pub(super) struct Syslog {
    dial: Dial,
    enterprise: u32,
    log: String,
    node: String,
    open: Option<(Wire, Instant)>,
    /// What it may not have read.
    unread: Unread,
}

impl Syslog {
    pub(super) fn new(sink: &SyslogSink, log: &str, node: &str) -> Result<Self, TrustError> {
        Ok(Self {
            dial: Dial::new(&sink.to, &[])?,
            enterprise: sink.enterprise,
            log: log.to_owned(),
            node: node.to_owned(),
            open: None,
            unread: Unread::default(),
        })
    }

    pub(super) async fn send(
        &mut self,
        messages: &[Message],
        now: Timestamp,
    ) -> io::Result<Delivery> {
        let mut bytes = Vec::new();
        for message in messages {
            let line = self.line(message, now)?;
            bytes.extend_from_slice(format!("{} ", line.len()).as_bytes());
            bytes.extend_from_slice(&line);
        }
        if let Some(failure) = self.look(false) {
            return Ok(Delivery::Failed(failure));
        }
        let (mut wire, since) = match self.open.take() {
            Some(open) => open,
            None => match self.dial.connect().await {
                Ok(wire) => (wire, Instant::now()),
                Err(error) => return Ok(Delivery::failed(chain(&error))),
            },
        };
        let written = async {
            wire.write_all(&bytes).await?;
            wire.flush().await
        };
        if let Err(error) = written.await {
            let why = format!("the connection broke ({error})");
            let back_to = self.broke();
            return Ok(Delivery::Failed(Failure { why, after: None, back_to }));
        }
        self.open = Some((wire, since));
        let positions = messages.iter().filter_map(|message| message.position);
        self.unread.add(&positions.collect::<Vec<_>>(), bytes.len(), Instant::now());
        Ok(Delivery::Taken)
    }

    /// Looks after the connection: a receiver that has closed it counts as failed where something
    /// must be sent once more, or where it did so soon and is to be sent more.
    pub(super) fn look(&mut self, is_idle: bool) -> Option<Failure> {
        let (wire, since) = self.open.as_mut()?;
        let end = end_of(wire)?;
        let is_soon = since.elapsed() < LIVED;
        self.open = None;
        let back_to = self.back_to(end);
        let why = match end {
            End::Closed => "the receiver has closed the connection",
            End::Broken => "the connection broke",
        };
        let why = why.to_owned();
        let counts = back_to.is_some() || (is_soon && !is_idle);
        counts.then_some(Failure { why, after: None, back_to })
    }

    /// Begins anew, with nothing that was written before: the sink is at another place now.
    pub(super) fn begin_anew(&mut self) {
        (self.open, self.unread) = (None, Unread::default());
    }

    /// Has a connection that was written to be over; tells the position to go on from.
    pub(super) fn broke(&mut self) -> Option<u64> {
        self.open = None;
        self.back_to(End::Broken)
    }

    fn back_to(&mut self, end: End) -> Option<u64> {
        let back = self.unread.ended(end, Instant::now());
        if let Some(position) = back.given_up {
            let to = self.dial.host();
            tracing::warn!(
                to,
                position,
                "connections to a receiver of syslog break again and again: records from this \
                 position on were sent several times, and it may have read none of them"
            );
        }
        back.to
    }

    /// A message, without its count of octets.
    fn line(&self, message: &Message, now: Timestamp) -> io::Result<Vec<u8>> {
        let severity = match message.severity() {
            Severity::Info => 6,
            Severity::Warning => 4,
            Severity::Error => 3,
        };
        let at = message.at.unwrap_or(now);
        let (host, kind) = (name(&self.node, HOST_BYTES_MAX), name(&message.kind, KIND_BYTES_MAX));
        let process = std::process::id();
        let mut head = format!(
            "<{}>1 {at} {host} changegate {process} {kind} [changegate@{} log=\"{}\"",
            FACILITY * 8 + severity,
            self.enterprise,
            value(&self.log),
        );
        if let Some(position) = message.position {
            // Writing to a `String` never fails.
            let _ = write!(head, " position=\"{position}\"");
        }
        for member in ["id", "deployment_id", "decision", "outcome"] {
            if let Some(word) = message.word(member).filter(|word| word.len() <= HOST_BYTES_MAX) {
                let _ = write!(head, " {member}=\"{}\"", value(word));
            }
        }
        head.push_str("] ");
        let mut line = head.into_bytes();
        let rest = MESSAGE_BYTES_MAX.saturating_sub(line.len());
        line.extend(message.text(now, rest)?);
        Ok(line)
    }
}

/// How a connection has ended; `None` while it is open. What a receiver says is not listened to.
fn end_of(wire: &mut Wire) -> Option<End> {
    let mut heard = [0; 512];
    loop {
        match wire.read(&mut heard).now_or_never()? {
            Ok(0) => return Some(End::Closed),
            Ok(_said) => {}
            // Many end TLS without a word of it.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Some(End::Closed),
            Err(_broken) => return Some(End::Broken),
        }
    }
}

/// A name of printable ASCII, as long as it may be.
fn name(text: &str, bytes_max: usize) -> String {
    let shown = text.chars().map(|c| if c.is_ascii_graphic() { c } else { '-' });
    let name: String = shown.take(bytes_max).collect();
    if name.is_empty() { "-".to_owned() } else { name }
}

/// The value of a parameter (RFC 5424, 6.3.3).
fn value(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '"' | '\\' | ']') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_and_names_end_nothing() {
        assert_eq!(value("a\"b]c\\d"), "a\\\"b\\]c\\\\d");
        assert_eq!(name("my node\u{e9}", 64), "my-node-");
        assert_eq!(name("", 64), "-");
        assert_eq!(name("abc", 2), "ab");
    }
}
