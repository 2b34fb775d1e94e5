//! A text that is looked for in any case of any script. No store's LIKE knows every case: what it
//! can't tell, it lets through, and the rows are looked at once more, here.

use caseless::default_case_fold_str;

use crate::audit::record::{Change, Event};
use crate::audit::store::rows::word_of;

/// A text to be found, folded (Unicode, 3.13).
#[derive(Clone, Debug)]
pub(super) struct Folded {
    folded: String,
}

impl Folded {
    pub(super) fn of(text: &str) -> Self {
        Self { folded: default_case_fold_str(text) }
    }

    /// The pattern for LIKE, with `\` as its escape, of small letters that hold it.
    pub(super) fn like(&self) -> String {
        let escaped = self.folded.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
        format!("%{escaped}%")
    }

    /// Whether `text` holds it.
    pub(super) fn is_in(&self, text: &str) -> bool {
        // Most texts are short and in one case; the folded form of ASCII is its small letters.
        if text.is_ascii() {
            return text.to_ascii_lowercase().contains(&self.folded);
        }
        default_case_fold_str(text).contains(&self.folded)
    }

    /// Whether it is in the ids and names of a change, or, unless it is looked for in those alone,
    /// in what else a person may remember of it.
    pub(super) fn fits(&self, change: &Change, in_ids: bool) -> bool {
        let upstreams = change.upstream.as_ref().and_then(|answer| answer.request_id.as_deref());
        let (id, actor) = (change.id.to_string(), change.actor.fingerprint.to_string());
        let ids = [
            Some(id.as_str()),
            change.deployment_id.as_deref(),
            Some(&change.request_id),
            upstreams,
            Some(&actor),
            change.actor.name.as_deref(),
            change.actor.team.as_deref(),
        ];
        let messages = change.violations.iter().map(|broken| broken.message.as_str());
        let inside = change.client.user_agent.as_deref().into_iter().chain(messages);
        let mut texts = ids.into_iter().flatten().chain(inside.filter(|_| !in_ids));
        texts.any(|text| self.is_in(text))
    }

    /// Whether it is in the kind or the detail of an event. JSON may spell a letter as an escape;
    /// what it means is what is looked in.
    pub(super) fn fits_event(&self, event: &Event) -> bool {
        self.is_in(&word_of(&event.kind)) || self.is_in(&event.detail.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_found_in_any_case_of_any_script() {
        for (sought, text) in [
            ("gRÖßE", "Die GRÖSSE"),
            ("grösse", "Größe"),
            ("команда", "КОМАНДА А"),
            ("ΣΊΣΥΦΟΣ", "σίσυφος"),
            ("夜间", "夜间任务"),
            ("mei", "MEI"),
        ] {
            assert!(Folded::of(sought).is_in(text), "{sought} in {text}");
        }
        assert!(!Folded::of("größe").is_in("grose"));
    }
}
