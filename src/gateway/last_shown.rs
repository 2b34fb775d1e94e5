//! Deployments as they were shown last: what comes again byte for byte is neither parsed nor made
//! ready for the log a second time. The before of a change is nearly always the last one's after.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::shown_deployment::ShownDeployment;
use crate::deployment::key::DeploymentKey;

/// The bytes that all of them may take in memory: where they would take more, all are forgotten.
const BYTES_MAX: usize = 32 << 20;

/// The bytes that one may take.
const ONE_BYTES_MAX: usize = BYTES_MAX / 16;

/// The deployments that were shown last.
#[derive(Debug, Default)]
pub(super) struct LastShown(Mutex<Deployments>);

#[derive(Debug, Default)]
struct Deployments {
    by_key: HashMap<DeploymentKey, (Bytes, ShownDeployment)>,
    /// The bytes that they take in memory.
    bytes: usize,
}

impl LastShown {
    /// The deployment that `body` was read as, if it is what was shown of that deployment last.
    pub(super) fn find(&self, deployment: &DeploymentKey, body: &[u8]) -> Option<ShownDeployment> {
        let (text, seen) = self.deployments().by_key.get(deployment).cloned()?;
        (text == body).then_some(seen)
    }

    /// Remembers what `body` shows.
    pub(super) fn learn(&self, deployment: &DeploymentKey, body: &[u8], seen: &ShownDeployment) {
        let bytes = bytes_of(seen);
        let mut deployments = self.deployments();
        if let Some((_text, former)) = deployments.by_key.remove(deployment) {
            deployments.bytes = deployments.bytes.saturating_sub(bytes_of(&former));
        }
        if bytes > ONE_BYTES_MAX {
            return;
        }
        if deployments.bytes + bytes > BYTES_MAX {
            *deployments = Deployments::default();
        }
        deployments.bytes += bytes;
        let text = Bytes::copy_from_slice(body);
        deployments.by_key.insert(deployment.clone(), (text, seen.clone()));
    }

    fn deployments(&self) -> MutexGuard<'_, Deployments> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The bytes that one takes: its text and its values, as they came and without secrets.
fn bytes_of(seen: &ShownDeployment) -> usize {
    seen.bytes.saturating_add(seen.parsed_bytes).saturating_mul(2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn dep(id: &str) -> DeploymentKey {
        DeploymentKey::new(&"main".into(), id)
    }

    fn seen(name: &str) -> (Vec<u8>, ShownDeployment) {
        let document = json!({ "name": name });
        let text = document.to_string().into_bytes();
        let bytes = text.len();
        (text, ShownDeployment::new(document, bytes))
    }

    #[test]
    fn only_what_is_the_same_byte_for_byte_is_found() {
        let last = LastShown::default();
        let ((one, seen_one), (two, seen_two)) = (seen("one"), seen("two"));
        last.learn(&dep("dep_1"), &one, &seen_one);
        let found = last.find(&dep("dep_1"), &one).unwrap();
        assert!(std::ptr::eq(found.document(), seen_one.document()));
        assert!(last.find(&dep("dep_2"), &one).is_none());
        assert!(last.find(&dep("dep_1"), &two).is_none());
        last.learn(&dep("dep_1"), &two, &seen_two);
        assert!(last.find(&dep("dep_1"), &one).is_none());
        assert!(last.find(&dep("dep_1"), &two).is_some());
    }

    #[test]
    fn the_memory_of_all_and_of_one_is_bounded() {
        let last = LastShown::default();
        let (long, seen_long) = seen(&"x".repeat(ONE_BYTES_MAX / 2));
        last.learn(&dep("long"), &long, &seen_long);
        assert!(last.find(&dep("long"), &long).is_none());
        let (text, seen) = seen(&"x".repeat(ONE_BYTES_MAX / 8));
        for n in 0..100 {
            last.learn(&dep(&n.to_string()), &text, &seen);
            let deployments = last.deployments();
            assert_eq!(deployments.bytes, deployments.by_key.len() * bytes_of(&seen));
            assert!(deployments.bytes <= BYTES_MAX);
        }
        assert!(last.find(&dep("99"), &text).is_some());
    }
}
