//! Threads that have a runtime of their own.

use std::io;
use std::sync::mpsc;
use std::thread::{Builder, JoinHandle};

use tokio::runtime::Runtime;

/// Has a thread of that name do `work` with `runtime`.
///
/// # Errors
/// Where there can be no more threads.
pub(crate) fn spawn(
    name: &str,
    runtime: Runtime,
    work: impl FnOnce(Runtime) + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    let (hand_over, taken) = mpsc::sync_channel(1);
    let thread = Builder::new().name(name.to_owned()).spawn(move || {
        if let Ok(runtime) = taken.recv() {
            work(runtime);
        }
    });
    match thread {
        Ok(thread) => {
            // It waits for it.
            let _taken = hand_over.send(runtime);
            Ok(thread)
        }
        Err(error) => {
            // To drop one where another is at work is a panic.
            runtime.shutdown_background();
            Err(error)
        }
    }
}
