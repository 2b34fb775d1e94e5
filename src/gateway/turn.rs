//! One governed write at a time per deployment, first come first served.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The most calls that hold or wait for one deployment's turn.
const WAITING_MAX: usize = 257;

/// Every deployment whose turn is held or waited for.
#[derive(Clone, Debug, Default)]
pub(super) struct Turns {
    lines: Arc<Mutex<HashMap<String, Line>>>,
}

#[derive(Debug)]
struct Line {
    calls: usize,
    head: Arc<Semaphore>,
}

/// A deployment's turn: until it is dropped, nobody else has it.
#[derive(Debug)]
pub(super) struct Turn {
    _permit: OwnedSemaphorePermit,
    _place: Place,
}

/// A place in a deployment's line, given up when dropped.
#[derive(Debug)]
struct Place {
    turns: Turns,
    deployment_id: String,
}

/// The turn did not come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoTurn {
    /// Too many wait already.
    Crowded,
    /// Those before took too long.
    Late,
}

impl Turns {
    /// Waits at most `timeout` for the turn of `deployment_id`.
    pub(super) async fn take(
        &self,
        deployment_id: &str,
        timeout: Duration,
    ) -> Result<Turn, NoTurn> {
        let (place, head) = self.line_up(deployment_id)?;
        match tokio::time::timeout(timeout, head.acquire_owned()).await {
            Ok(Ok(permit)) => Ok(Turn { _permit: permit, _place: place }),
            // The semaphore is never closed; were it, the turn would not come either.
            Ok(Err(_)) | Err(_) => Err(NoTurn::Late),
        }
    }

    fn line_up(&self, deployment_id: &str) -> Result<(Place, Arc<Semaphore>), NoTurn> {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let line = lines
            .entry(deployment_id.to_owned())
            .or_insert_with(|| Line { calls: 0, head: Arc::new(Semaphore::new(1)) });
        if line.calls >= WAITING_MAX {
            return Err(NoTurn::Crowded);
        }
        line.calls += 1;
        let place = Place { turns: self.clone(), deployment_id: deployment_id.to_owned() };
        Ok((place, Arc::clone(&line.head)))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut lines = self.turns.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(line) = lines.get_mut(&self.deployment_id) {
            line.calls -= 1;
            if line.calls == 0 {
                lines.remove(&self.deployment_id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_line_is_bounded_and_leaves_nothing_behind() {
        let turns = Turns::default();
        let first = turns.take("dep_1", Duration::ZERO).await.unwrap();
        assert_eq!(turns.take("dep_1", Duration::ZERO).await.unwrap_err(), NoTurn::Late);
        assert!(turns.take("dep_2", Duration::ZERO).await.is_ok());
        let waiting: Vec<_> = (0..256).map(|_| turns.line_up("dep_1").unwrap()).collect();
        assert_eq!(turns.take("dep_1", Duration::ZERO).await.unwrap_err(), NoTurn::Crowded);
        drop((waiting, first));
        assert!(turns.lines.lock().unwrap().is_empty());
    }
}
