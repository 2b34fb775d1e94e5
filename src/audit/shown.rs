//! A deployment as upstream showed it, and the one form that it has in the log.

use std::sync::{Arc, OnceLock, Weak};

use serde_json::Value;

use super::document::Document;
use super::redact::{Redacted, Redactor};

/// A deployment as upstream showed it. Clones share it: its secrets are concealed, and its
/// canonical text is made, once for all records that it is part of.
#[derive(Clone, Debug)]
pub struct Shown(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    value: Arc<Value>,
    concealed: OnceLock<Arc<Concealed>>,
}

/// A deployment that is known again, and not kept for that.
#[derive(Clone, Debug)]
pub struct WeakShown(Weak<Inner>);

/// A deployment without its secrets.
#[derive(Debug)]
pub(super) struct Concealed {
    pub(super) value: Arc<Value>,
    pub(super) document: Document,
    /// The places of secrets, below the deployment.
    pub(super) redacted: Redacted,
    /// The redactor that concealed them.
    by: Redactor,
}

impl From<Value> for Shown {
    fn from(value: Value) -> Self {
        Self(Arc::new(Inner { value: Arc::new(value), concealed: OnceLock::new() }))
    }
}

impl Shown {
    /// The deployment, with its secrets.
    #[must_use]
    pub fn value(&self) -> &Value {
        &self.0.value
    }

    /// This deployment, to be known again.
    #[must_use]
    pub fn downgrade(&self) -> WeakShown {
        WeakShown(Arc::downgrade(&self.0))
    }

    /// Whether it is that very one, shown once.
    #[must_use]
    pub fn is(&self, other: &WeakShown) -> bool {
        std::ptr::eq(Arc::as_ptr(&self.0), other.0.as_ptr())
    }

    /// The deployment without what `redactor` conceals. Texts are not searched where a `former`
    /// deployment, concealed by the same redactor, has them at the same place.
    pub(super) fn concealed(&self, redactor: &Redactor, former: Option<&Value>) -> Arc<Concealed> {
        // Another caller's token may stand where nothing was concealed for the first one.
        let known = self.0.concealed.get().filter(|concealed| concealed.by.is_same(redactor));
        if let Some(concealed) = known {
            return Arc::clone(concealed);
        }
        let mut redacted = Redacted::default();
        let value = redactor.concealed(Arc::clone(&self.0.value), former, "", &mut redacted);
        let document = Document::of(&value);
        let concealed = Arc::new(Concealed { value, document, redacted, by: redactor.clone() });
        let _the_first_stays = self.0.concealed.set(Arc::clone(&concealed));
        concealed
    }
}
