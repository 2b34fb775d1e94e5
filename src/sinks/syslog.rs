//! Syslog: RFC 5424 messages, counted in octets (RFC 6587, 3.4.1), over TCP or TLS (RFC 5425).
//!
//! Nothing is acknowledged. What was written to a connection that breaks may have been lost within,
//! so that the last seconds are sent once more, each message with its position by which a receiver
//! finds doubles. What a receiver, or a relay on the way, loses by itself is lost.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::Instant;

use super::delivery::{Delivery, Failure};
use super::dial::Dial;
use super::message::{Message, Severity};
use crate::base::clock::Timestamp;
use crate::base::visible::chain;
use crate::config::SyslogSink;
use crate::net::stream::Wire;
use crate::upstream::trust::TrustError;

/// The longest message, in bytes, that a receiver should take (RFC 5424, 6.1).
const MESSAGE_BYTES_MAX: usize = 8_192;

/// How long before a connection broke messages were written that are sent once more.
const RESENT: Duration = Duration::from_secs(10);

/// The most positions that are remembered for that.
const REMEMBERED_MAX: usize = 4_096;

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
    /// Positions that were written lately, each with its time.
    written: VecDeque<(Instant, u64)>,
}

impl Syslog {
    pub(super) fn new(sink: &SyslogSink, log: &str, node: &str) -> Result<Self, TrustError> {
        Ok(Self {
            dial: Dial::new(&sink.to, &[])?,
            enterprise: sink.enterprise,
            log: log.to_owned(),
            node: node.to_owned(),
            open: None,
            written: VecDeque::new(),
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
        if let Some((wire, since)) = &mut self.open
            && is_closed(wire)
        {
            let is_old = since.elapsed() >= LIVED;
            self.open = None;
            let back_to = self.back_to();
            if !is_old || back_to.is_some() {
                let why = "the receiver has closed the connection".to_owned();
                return Ok(Delivery::Failed(Failure { why, after: None, back_to }));
            }
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
            let back_to = self.back_to();
            let why = format!("the connection broke ({error})");
            return Ok(Delivery::Failed(Failure { why, after: None, back_to }));
        }
        self.open = Some((wire, since));
        let at = Instant::now();
        self.written.extend(messages.iter().filter_map(|message| Some((at, message.position?))));
        while self.written.len() > REMEMBERED_MAX {
            self.written.pop_front();
        }
        Ok(Delivery::Taken)
    }

    /// The first position that was written lately, and forgets them all.
    fn back_to(&mut self) -> Option<u64> {
        let written = std::mem::take(&mut self.written);
        let lately = |(at, _position): &(Instant, u64)| at.elapsed() < RESENT;
        written.into_iter().filter(lately).map(|(_at, position)| position).min()
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

/// Whether the receiver has closed a connection. What it says is not listened to.
fn is_closed(wire: &mut Wire) -> bool {
    let mut heard = [0; 512];
    loop {
        match wire.read(&mut heard).now_or_never() {
            None => return false,
            Some(Ok(0) | Err(_)) => return true,
            Some(Ok(_said)) => {}
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
