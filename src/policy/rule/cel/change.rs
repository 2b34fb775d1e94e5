//! What a change changes, computed places aside.

use serde_json::Value;

use crate::base::pointer::{child, covers};
use crate::deployment::diff::same;
use crate::deployment::members::Members;
use crate::deployment::predict::without_computed_below;
use crate::provider::{Operation, Provider};

/// A reading of a change beside what was before.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Change<'v> {
    pub(crate) provider: &'static Provider,
    pub(crate) operation: Operation,
    pub(crate) before: &'v Members<'v>,
    pub(crate) reading: &'v Members<'v>,
}

impl<'v> Change<'v> {
    /// Whether the two differ at a place, or anywhere where it is the whole.
    pub(super) fn touches(&self, pointer: &str) -> bool {
        if pointer.is_empty() {
            let names = self.before.iter().chain(self.reading.iter()).map(|(name, _)| name);
            return names.into_iter().any(|name| self.touches(&child("", name)));
        }
        if self.is_computed(pointer) {
            return false;
        }
        let [before, reading] = [self.before, self.reading].map(|members| {
            let value = members.pointer(pointer).unwrap_or(&Value::Null);
            without_computed_below(self.provider, pointer, value)
        });
        !same(&before, &reading)
    }

    /// The elements of the list at a place that only the reading has, or only what was before;
    /// each as often as it is there more.
    pub(super) fn elements(&self, pointer: &str, added: bool) -> Vec<&'v Value> {
        let list = |members: &'v Members<'v>| {
            members.pointer(pointer).and_then(Value::as_array).map_or(&[][..], Vec::as_slice)
        };
        let (one, other) = if added {
            (list(self.reading), list(self.before))
        } else {
            (list(self.before), list(self.reading))
        };
        let mut rest: Vec<&Value> = other.iter().collect();
        let mut only = Vec::new();
        for element in one {
            match rest.iter().position(|known| same(known, element)) {
                Some(at) => _ = rest.swap_remove(at),
                None => only.push(element),
            }
        }
        only
    }

    /// How many comparisons [`elements`](Self::elements) makes at most.
    pub(super) fn comparisons(&self, pointer: &str) -> usize {
        let length = |members: &Members<'_>| {
            members.pointer(pointer).and_then(Value::as_array).map_or(0, Vec::len)
        };
        length(self.reading).saturating_mul(length(self.before))
    }

    /// Whether the provider computes a place: pausing and unpausing is a client's doing.
    fn is_computed(&self, pointer: &str) -> bool {
        let is_asked = matches!(self.operation, Operation::Pause | Operation::Unpause);
        let computed = self.provider.computed.iter();
        let mut computed =
            computed.filter(|path| !(is_asked && matches!(**path, "/status" | "/paused_reason")));
        computed.any(|path| covers(path, pointer))
    }
}
