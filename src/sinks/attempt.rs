//! One attempt to deliver, in which the sink is kept taken.

use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::delivery::{Delivery, Failure};
use super::message::Message;
use super::shared::Shared;
use super::transport::{Sender, Transport};
use crate::base::clock::Timestamp;
use crate::config::SinkConfig;

/// How often the sink is kept taken, and an order of another gateway's operator looked for.
pub(super) const TAKE_EVERY: Duration = Duration::from_secs(4);

/// Delivers messages within the time-out of the sink; `None` where another gateway has taken it
/// meanwhile, which sends them then.
pub(super) async fn attempt(
    shared: &Shared,
    config: &SinkConfig,
    transport: &mut Transport,
    sender: &Sender,
    (messages, now): (&[Message], Timestamp),
) -> Option<Delivery> {
    let sent = {
        let sending = transport.deliver(messages, sender, now);
        tokio::select! {
            biased;
            sent = timeout(config.timeout, sending) => sent,
            () = hold(shared, config) => return None,
        }
    };
    Some(match sent {
        Ok(Ok(delivery)) => delivery,
        Ok(Err(error)) => Delivery::Refused(error.to_string()),
        Err(_elapsed) => {
            let why = format!("no answer within {} s", config.timeout.as_secs());
            Delivery::Failed(Failure { why, after: None, back_to: transport.give_up() })
        }
    })
}

/// Keeps the sink taken, for a receiver may take longer than a gateway has a sink without a word;
/// ends where another gateway has taken it.
async fn hold(shared: &Shared, config: &SinkConfig) {
    if !shared.audit.reader().is_shared() {
        std::future::pending::<()>().await;
    }
    loop {
        sleep(TAKE_EVERY).await;
        let taken = shared.audit.take_sink(&config.name, config.from_start, &shared.holder);
        // A log that does not answer takes it from nobody.
        if matches!(taken.await, Ok(None)) {
            return;
        }
    }
}
