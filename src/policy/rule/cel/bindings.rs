//! What rules see of a change, made once a call and shared by all rules.

use std::sync::OnceLock;

use cel::common::types::{CelBool, CelNull, CelString};
use cel::common::value::{CowVal, Val};
use cel::context::VariableResolver;

use super::change::Change;
use super::meter;
use super::pattern::Pattern;
use super::time::Moment;
use super::value::{JsonObject, list_of};
use crate::deployment::members::Members;
use crate::policy::subject::Subject;

/// One reading of a change, as rules see it.
pub(crate) struct Bindings<'v> {
    subject: &'v Subject<'v>,
    change: Change<'v>,
    now: Moment,
    operation: CelString<'static>,
    object: OnceLock<JsonObject<'v>>,
    old_object: OnceLock<JsonObject<'v>>,
    patch: OnceLock<JsonObject<'v>>,
    actor: OnceLock<JsonObject<'v>>,
}

/// The variables of one rule.
pub(super) struct Scope<'s, 'v> {
    pub(super) bindings: &'s Bindings<'v>,
    pub(super) patterns: &'s [Pattern],
}

impl<'v> Bindings<'v> {
    pub(crate) fn of(
        subject: &'v Subject<'v>,
        before: &'v Members<'v>,
        reading: &'v Members<'v>,
    ) -> Self {
        let (provider, operation) = (subject.provider, subject.operation);
        Self {
            subject,
            change: Change { provider, operation, before, reading },
            now: Moment::from(subject.now),
            operation: CelString::from(subject.operation.name()),
            object: OnceLock::new(),
            old_object: OnceLock::new(),
            patch: OnceLock::new(),
            actor: OnceLock::new(),
        }
    }

    fn object(&self) -> &JsonObject<'v> {
        let shape = self.subject.provider.shape;
        self.object.get_or_init(|| JsonObject::shown(self.change.reading.iter(), shape))
    }

    fn old_object(&self) -> Option<&JsonObject<'v>> {
        self.subject.before?;
        let shape = self.subject.provider.shape;
        Some(self.old_object.get_or_init(|| JsonObject::shown(self.change.before.iter(), shape)))
    }

    fn actor(&self) -> &JsonObject<'v> {
        self.actor.get_or_init(|| {
            let actor = self.subject.actor;
            let fingerprint = CelString::from(actor.fingerprint.to_string());
            let borrowed = |text: &'v Option<String>| text.as_deref().map(CelString::from);
            JsonObject::texts([
                ("fingerprint", Some(fingerprint)),
                ("name", borrowed(&actor.name)),
                ("person", borrowed(&actor.person)),
                ("team", borrowed(&actor.team)),
            ])
        })
    }

    /// The change itself.
    pub(super) fn change(&self) -> Change<'v> {
        self.change
    }

    /// Whether the change touches a place, which the meter is told of.
    fn touches(&self, pointer: &str) -> bool {
        let is_touched = self.change.touches(pointer);
        if is_touched {
            meter::look_at_comparison(self.change.before.pointer(pointer));
        }
        is_touched
    }

    /// The elements of a list that were added or removed; `None` past the bounds.
    fn elements(&self, pointer: &str, added: bool) -> Option<CowVal<'_, 'v>> {
        meter::look_at_body();
        self.touches(pointer);
        meter::visit(self.change.comparisons(pointer)).ok()?;
        Some(CowVal::owned(list_of(self.change.elements(pointer, added))))
    }
}

static NULL: CelNull = CelNull;

/// A document, of which the meter knows now that it is looked at.
fn looked_at<'b, 'v>(document: &'b JsonObject<'v>) -> &'b JsonObject<'v> {
    meter::look_at_body();
    document.look_at_names();
    document
}

impl VariableResolver for Scope<'_, '_> {
    fn resolve<'b>(&'b self, name: &str) -> Option<CowVal<'b, 'b>> {
        let all = self.bindings;
        Some(match name {
            "object" => CowVal::Borrowed(looked_at(all.object())),
            "oldObject" => {
                if let Some(old_object) = all.old_object() {
                    CowVal::Borrowed(looked_at(old_object))
                } else {
                    meter::look_at_body();
                    CowVal::Borrowed(&NULL)
                }
            }
            "patch" => {
                let sent = || JsonObject::sent(&all.subject.patch.object);
                CowVal::Borrowed(looked_at(all.patch.get_or_init(sent)))
            }
            "operation" => CowVal::Borrowed(&all.operation),
            "actor" => CowVal::Borrowed(all.actor()),
            "now" | "@now" => CowVal::Borrowed(&all.now),
            name => {
                let (function, argument) = name.strip_prefix('@')?.split_once(' ')?;
                match function {
                    "touches" => {
                        meter::look_at_body();
                        CowVal::owned(CelBool::from(all.touches(argument)))
                    }
                    "added" => return all.elements(argument, true),
                    "removed" => return all.elements(argument, false),
                    "pattern" => CowVal::Borrowed(
                        self.patterns.get(argument.parse::<usize>().ok()?)? as &dyn Val,
                    ),
                    _ => return None,
                }
            }
        })
    }
}
