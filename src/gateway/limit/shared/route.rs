//! The way to the server that has a bucket: in a cluster each has some slots of them, and points to
//! who has another.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::timeout;

use super::connection::{AskError, CONNECT_WITHIN, Connection, Dial, Drawn, Taking};
use crate::gateway::limit::Share;

/// The slots of a cluster.
const SLOTS: u16 = 16_384;

/// The most servers of a cluster that are remembered.
const SERVERS_MAX: usize = 1_000;

/// The most times that a question is sent on: while a cluster changes, one may point to another
/// that does not know of it yet.
const HOPS_MAX: usize = 3;

/// How long a question may take with all its hops.
const ROUTED_WITHIN: Duration = CONNECT_WITHIN;

/// Connections by which the backend is asked: one to where the configuration says, and in a
/// cluster those to where its servers point.
pub(super) struct Route {
    dial: Arc<Dial>,
    first: Arc<Connection>,
    others: Mutex<Others>,
}

#[derive(Default)]
struct Others {
    slots: HashMap<u16, String>,
    servers: HashMap<String, Arc<Connection>>,
}

impl Route {
    pub(super) async fn open(dial: &Arc<Dial>) -> Result<Self, AskError> {
        let first = Arc::new(dial.connect().await?);
        Ok(Self { dial: Arc::clone(dial), first, others: Mutex::default() })
    }

    /// Takes so many from the bucket.
    pub(super) async fn draw(
        &self,
        bucket: &str,
        share: Share,
        count: u32,
        taking: Taking,
    ) -> Result<Drawn, AskError> {
        let known = self.known(bucket);
        self.ask(known, (bucket, share), count, taking).await
    }

    /// Holds that the first server answers, and whom it points to, and that they can be written.
    pub(super) async fn probe(&self, bucket: &str, share: Share) -> Result<(), AskError> {
        self.ask(None, (bucket, share), 0, Taking::Owe).await.map(drop)
    }

    async fn ask(
        &self,
        known: Option<(String, Arc<Connection>)>,
        asked: (&str, Share),
        count: u32,
        taking: Taking,
    ) -> Result<Drawn, AskError> {
        let routed = self.follow(known, asked, count, taking);
        timeout(ROUTED_WITHIN, routed).await.unwrap_or(Err(AskError::Slow))
    }

    async fn follow(
        &self,
        mut at: Option<(String, Arc<Connection>)>,
        (bucket, share): (&str, Share),
        count: u32,
        taking: Taking,
    ) -> Result<Drawn, AskError> {
        let mut hops = 0;
        loop {
            let connection = at.as_ref().map_or(&self.first, |(_, other)| other);
            let error = match connection.draw(bucket, share, count, taking).await {
                Ok(drawn) => return Ok(drawn),
                Err(error) => error,
            };
            let AskError::Moved(slot, address) = &error else {
                // Who has its slots now, the first will tell.
                if let Some((address, _)) = at {
                    self.others().servers.remove(&address);
                }
                return Err(error);
            };
            hops += 1;
            if hops > HOPS_MAX {
                return Err(error);
            }
            let Some(other) = self.other(*slot, address).await? else { return Err(error) };
            at = Some((address.clone(), other));
        }
    }

    /// The server that is known to have the bucket, if it is not the first.
    fn known(&self, bucket: &str) -> Option<(String, Arc<Connection>)> {
        let others = self.others();
        if others.slots.is_empty() {
            return None;
        }
        let address = others.slots.get(&slot(bucket))?;
        Some((address.clone(), Arc::clone(others.servers.get(address)?)))
    }

    /// The server at that address, which has the slot from now on.
    async fn other(&self, slot: u16, address: &str) -> Result<Option<Arc<Connection>>, AskError> {
        let Some(at) = self.dial.other(address).filter(|_| slot < SLOTS) else { return Ok(None) };
        let known = self.others().servers.get(address).cloned();
        let other = match known {
            Some(known) => known,
            None => Arc::new(self.dial.connect_to(&at).await?),
        };
        let mut others = self.others();
        if others.servers.len() >= SERVERS_MAX {
            *others = Others::default();
        }
        others.slots.insert(slot, address.to_owned());
        Ok(Some(Arc::clone(others.servers.entry(address.to_owned()).or_insert(other))))
    }

    fn others(&self) -> MutexGuard<'_, Others> {
        self.others.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The slot of a key: by what is between its first braces, or by all of it.
fn slot(key: &str) -> u16 {
    let tag = key.split_once('{').and_then(|(_, rest)| rest.split_once('}')).map(|(tag, _)| tag);
    let tag = tag.filter(|tag| !tag.is_empty()).unwrap_or(key);
    let sum = tag.bytes().fold(0_u16, |sum, byte| {
        (0..8).fold(sum ^ (u16::from(byte) << 8), |sum, _| {
            if sum & 0x8000 == 0 { sum << 1 } else { (sum << 1) ^ 0x1021 }
        })
    });
    sum % SLOTS
}

#[cfg(test)]
mod tests {
    use super::slot;

    #[test]
    fn slots_are_those_of_the_specification() {
        // CRC16 of "123456789" is 0x31C3.
        assert_eq!(slot("123456789"), 0x31C3);
        assert_eq!(slot("changegate:{123456789}:w"), 0x31C3);
        assert_eq!(slot("foo{}{bar}"), slot("foo{}{bar}"));
        assert_ne!(slot("{a}:r"), slot("{b}:r"));
    }
}
