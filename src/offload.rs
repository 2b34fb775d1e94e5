//! Work on long documents, done beside the workers: each of those is one thread for many
//! connections, and what keeps it busy keeps all of them waiting.

use std::panic::resume_unwind;
use std::sync::LazyLock;
use std::thread::available_parallelism;

use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

/// From how many bytes on a document is worked on beside the worker.
pub(crate) const OFFLOADED_BYTES_MIN: usize = 64 << 10;

/// How many threads do such work at a time: half of the processors are left to the workers.
static THREADS: LazyLock<Semaphore> = LazyLock::new(|| {
    let processors = available_parallelism().map_or(1, std::num::NonZero::get);
    Semaphore::new((processors / 2).max(1))
});

/// Does `work` on a document of so many bytes: here where it is short, else on a thread that is
/// there for such work, when it is its turn. Whatever is long waits in the order in which it came.
pub(crate) async fn run<T, F>(bytes: usize, work: F) -> T
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    if bytes < OFFLOADED_BYTES_MIN {
        return work();
    }
    // The semaphore is never closed; were it, the work would be done all the same.
    let turn = THREADS.acquire().await.ok();
    let done = spawn_blocking(move || {
        // Kept until the work is done, whether anybody still waits for it or not.
        let _turn = turn;
        work()
    });
    match done.await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => resume_unwind(panic),
            // The runtime is shutting down: whoever waits here is being dropped as well.
            Err(_cancelled) => std::future::pending().await,
        },
    }
}

#[cfg(test)]
mod tests {
    use std::thread::current;

    use super::*;

    #[tokio::test]
    async fn long_documents_leave_the_worker_and_short_ones_stay() {
        let here = current().id();
        assert_eq!(run(OFFLOADED_BYTES_MIN - 1, || current().id()).await, here);
        assert_ne!(run(OFFLOADED_BYTES_MIN, || current().id()).await, here);
    }

    #[tokio::test]
    async fn a_panic_is_the_callers() {
        let panicking = tokio::spawn(run(OFFLOADED_BYTES_MIN, || panic!("as if")));
        assert!(panicking.await.unwrap_err().is_panic());
    }
}
