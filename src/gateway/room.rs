//! How much memory governed calls may hold, all together: from a body's first byte to the end of
//! its exchange, which goes on when its client has gone.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What all of them may hold, in KiB.
const KIB_MAX: usize = 512 * 1024;

/// What is left for calls that hold little: long bodies, which may come at the pace of their
/// clients, take the rest at most.
const KIB_FOR_SMALL: usize = KIB_MAX / 4;

/// A call that holds little, in KiB: most bodies are shorter by far.
const SMALL_KIB_MAX: usize = 64;

/// What a call counts for beside its body, in KiB: its header, its task, its connection.
const CALL_KIB: u32 = 16;

/// The room that is left. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Room(Arc<Semaphore>);

/// What one call holds of it, until it is dropped.
#[derive(Debug)]
pub(super) struct Held {
    room: Room,
    permit: OwnedSemaphorePermit,
    /// Bytes that are drawn and not used up yet.
    spare: usize,
}

impl Default for Room {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(KIB_MAX)))
    }
}

impl Room {
    /// Room for one more call, its body to come; none where there is none.
    pub(super) fn enter(&self) -> Option<Held> {
        let permit = Arc::clone(&self.0).try_acquire_many_owned(CALL_KIB).ok()?;
        Some(Held { room: self.clone(), permit, spare: 0 })
    }
}

impl Held {
    /// Draws room for so many bytes more; false where there is none.
    pub(super) fn grow(&mut self, bytes: usize) -> bool {
        if let Some(missing) = bytes.checked_sub(self.spare).filter(|missing| *missing > 0) {
            let kib = u32::try_from(missing.div_ceil(1024)).unwrap_or(u32::MAX);
            let is_small = self.permit.num_permits() + kib as usize <= SMALL_KIB_MAX;
            let left = self.room.0.available_permits();
            if !is_small && left < KIB_FOR_SMALL + kib as usize {
                return false;
            }
            let Ok(more) = Arc::clone(&self.room.0).try_acquire_many_owned(kib) else {
                return false;
            };
            self.permit.merge(more);
            self.spare += kib as usize * 1024;
        }
        self.spare -= bytes;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_bounded_and_given_back() {
        let room = Room::default();
        let mut first = room.enter().unwrap();
        assert!(first.grow(1) && first.grow(1023) && first.grow(380 << 20));
        let mut second = room.enter().unwrap();
        assert!(!second.grow(13 << 20));
        assert!(second.grow(40 << 10), "there is room for what is small");
        drop(first);
        assert!(second.grow(13 << 20));
        drop(second);
        let small: Vec<_> = std::iter::from_fn(|| room.enter()).collect();
        assert_eq!(small.len() * CALL_KIB as usize, KIB_MAX);
        drop(small);
        assert_eq!(room.0.available_permits(), KIB_MAX);
    }
}
