//! Answers that are sent over time: events, slow answers and broken ones.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http_body_util::Channel;
use http_body_util::channel::Sender;
use serde_json::json;
use tokio::time::{Interval, MissedTickBehavior, interval, sleep};

use super::problem::Problem;
use super::query::Query;
use crate::base::clock::Clock;

/// How many pieces a slow answer is cut into.
const PIECES: usize = 8;

/// How long a half answer rests before its connection breaks, so that the half gets out.
const HALF_RESTS: Duration = Duration::from_millis(50);

/// A session's events, as `GET /sessions/{id}/events/stream` asks for them.
#[derive(Clone, Debug)]
pub(super) struct Events {
    every: Duration,
    heartbeat: Duration,
    first_id: u64,
    count: Option<u64>,
}

impl Events {
    /// Reads `interval_ms` (1000), `heartbeat_ms` (15,000) and `count` (endless) of the query,
    /// and where to go on: after `Last-Event-ID`.
    pub(super) fn read(query: &Query, headers: &HeaderMap) -> Result<Self, Problem> {
        let millis = |name: &str, otherwise: u64| {
            let millis = query.read_as(name)?.unwrap_or(otherwise);
            Ok(Duration::from_millis(millis.clamp(1, 3_600_000)))
        };
        let last = headers.get("last-event-id").and_then(|value| value.to_str().ok());
        Ok(Self {
            every: millis("interval_ms", 1000)?,
            heartbeat: millis("heartbeat_ms", 15_000)?,
            first_id: last.and_then(|id| id.parse::<u64>().ok()).map_or(1, |id| id + 1),
            count: query.read_as("count")?,
        })
    }

    /// Sends the events until there are enough of them or the client is gone.
    pub(super) async fn send(self, mut client: Sender<Bytes, io::Error>, clock: Clock) {
        let (mut events, mut heartbeats) = (ticks(self.every), ticks(self.heartbeat));
        let end = self.count.map(|count| self.first_id.saturating_add(count));
        let mut id = self.first_id;
        while end.is_none_or(|end| id < end) {
            let sent = tokio::select! {
                // In this order, so that the first heartbeat comes before the first event.
                biased;
                _at = heartbeats.tick() => client.send_data(": heartbeat\n\n".into()).await,
                _at = events.tick() => {
                    let data = json!({"sent_at": clock.now().millis(), "sequence": id});
                    let event = format!("id: {id}\nevent: message\ndata: {data}\n\n");
                    id += 1;
                    client.send_data(event.into()).await
                }
            };
            if sent.is_err() {
                return;
            }
        }
    }
}

/// A body that comes in pieces, `pause` apart.
pub(super) fn slow(bytes: Bytes, pause: Duration) -> Channel<Bytes, io::Error> {
    let (mut client, body) = Channel::new(1);
    tokio::spawn(async move {
        let size = bytes.len().div_ceil(PIECES).max(1);
        for piece in bytes.chunks(size) {
            sleep(pause).await;
            if client.send_data(Bytes::copy_from_slice(piece)).await.is_err() {
                return;
            }
        }
    });
    body
}

/// The first half of a body, and then the connection's end.
pub(super) fn half(bytes: &Bytes) -> Channel<Bytes, io::Error> {
    let (mut client, body) = Channel::new(1);
    let half = bytes.slice(..bytes.len() / 2);
    tokio::spawn(async move {
        if client.send_data(half).await.is_ok() {
            sleep(HALF_RESTS).await;
            client.abort(io::ErrorKind::BrokenPipe.into());
        }
    });
    body
}

fn ticks(period: Duration) -> Interval {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}
