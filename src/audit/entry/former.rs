//! The beginning of a change, as its end is compared with it.

use std::borrow::Cow;
use std::sync::Arc;

use serde_json::Value;

use crate::audit::call_facts::CallFacts;
use crate::audit::document::{Stored, unpack};
use crate::audit::question::{Text, parse};
use crate::audit::shown::Concealed;
use crate::deployment::Object;
use crate::deployment::diff::{ChangedPlace, Effect};
use crate::provider::Operation;

/// The deployment before a change, redacted: what its after is compared with.
#[derive(Debug)]
pub(in crate::audit) struct Before {
    pub(in crate::audit) concealed: Arc<Concealed>,
    /// Where it lies, once the intent is written.
    pub(in crate::audit) stored: Option<Stored>,
}

/// The beginning of a change, redacted: its after is compared with it.
#[derive(Debug, Default)]
pub(in crate::audit) struct Former {
    /// The deployment before.
    pub(in crate::audit) before: Option<Before>,
    /// The part of the patch that tells of places which the deployments don't.
    pub(in crate::audit) told_by_patch: Object,
    /// Where the patch asks for a change.
    pub(super) asked: Asked,
    /// Whether the patch holds a secret, which an answer may repeat.
    pub(in crate::audit) conceals_patch: bool,
}

/// The places that a patch asks to change.
#[derive(Debug)]
pub(in crate::audit) enum Asked {
    /// Not looked for yet: where a change does exactly what it is asked, they are those that it
    /// changed. The patch is as it is stored.
    Unread(Option<Text>),
    /// They are known, for the patch is not kept, or nothing comes of it.
    Places(Vec<ChangedPlace>),
}

impl Default for Asked {
    fn default() -> Self {
        Self::Unread(None)
    }
}

impl Asked {
    /// The places, where they are not those that changed.
    pub(super) fn beside(
        &self,
        call: &CallFacts,
        before: Option<&Value>,
        effect: Option<Effect>,
    ) -> Option<Cow<'_, [ChangedPlace]>> {
        // On create the server fills the rest in, which nobody has asked.
        if effect == Some(Effect::Exact) && call.operation != Operation::Create {
            return None;
        }
        let patch = match self {
            Self::Places(places) => return Some(Cow::Borrowed(places)),
            Self::Unread(patch) => patch.as_deref(),
        };
        let read = |sealed: &Vec<u8>| parse(&unpack(sealed, None).ok()?).ok();
        let patch = patch.and_then(read).unwrap_or_else(|| Value::Object(Object::new()));
        Some(Cow::Owned(call.asked(before, patch)))
    }
}
