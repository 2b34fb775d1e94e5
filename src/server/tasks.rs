//! Tasks that a gateway can't do without: one that ends while the server is not stopping ends it.

use std::thread;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// A vital task that ended though nobody had stopped the server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{task} {how}: the gateway ends, so that it is started again")]
pub struct TaskEnded {
    task: &'static str,
    how: &'static str,
}

/// All vital tasks of one server. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Vital {
    stop: CancellationToken,
    ended: watch::Sender<Option<TaskEnded>>,
}

/// Held by a vital task for as long as it runs; tells of its end, however it came about.
#[derive(Debug)]
#[must_use = "the task's end is told when this is dropped"]
pub(super) struct Running {
    vital: Vital,
    task: &'static str,
}

impl Vital {
    /// Those of a server that stops once `stop` is cancelled.
    pub(super) fn new(stop: CancellationToken) -> Self {
        Self { stop, ended: watch::Sender::new(None) }
    }

    /// Marks a task as running.
    pub(super) fn running(&self, task: &'static str) -> Running {
        Running { vital: self.clone(), task }
    }

    /// The first task that ended.
    pub(super) fn ended(&self) -> Option<TaskEnded> {
        self.ended.borrow().clone()
    }

    /// Resolves once a task has ended though nobody had stopped the server.
    pub(super) async fn failed(&self) -> TaskEnded {
        let mut ended = self.ended.subscribe();
        let ended = ended.wait_for(Option::is_some).await.ok().and_then(|ended| ended.clone());
        match ended {
            Some(ended) => ended,
            // Not met: the other end is `self`.
            None => std::future::pending().await,
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.vital.stop.is_cancelled() {
            return;
        }
        let how = if thread::panicking() { "has panicked" } else { "has ended" };
        let ended = TaskEnded { task: self.task, how };
        self.vital.ended.send_if_modified(|first| {
            let is_first = first.is_none();
            first.get_or_insert(ended);
            is_first
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(vital: &Vital) -> Option<String> {
        vital.ended().map(|ended| format!("{} {}", ended.task, ended.how))
    }

    #[tokio::test]
    async fn a_task_that_ends_is_told_of_however_it_ends() {
        let stop = CancellationToken::new();
        let vital = Vital::new(stop.clone());
        let running = vital.running("one");
        assert_eq!(told(&vital), None);
        tokio::spawn(async move { drop(running) }).await.unwrap();
        assert_eq!(told(&vital).unwrap(), "one has ended");

        let vital = Vital::new(stop.clone());
        let running = vital.running("a task");
        let broken = tokio::spawn(async move {
            let _running = running;
            tokio::task::yield_now().await;
            panic!("on purpose");
        });
        assert_eq!(vital.failed().await.how, "has panicked");
        assert!(broken.await.is_err());

        let vital = Vital::new(stop);
        let running = vital.running("a thread");
        let broken = thread::spawn(move || {
            let _running = running;
            panic!("on purpose");
        });
        assert_eq!(vital.failed().await.how, "has panicked");
        assert!(broken.join().is_err());
        drop(vital.running("another"));
        assert_eq!(vital.failed().await.task, "a thread", "the first is the one to tell of");
    }

    #[test]
    fn a_task_that_ends_because_the_server_stops_is_no_failure() {
        let stop = CancellationToken::new();
        let vital = Vital::new(stop.clone());
        let running = vital.running("one");
        stop.cancel();
        drop(running);
        assert_eq!(told(&vital), None);
    }
}
