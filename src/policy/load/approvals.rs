//! `[approvals]` and `[break_glass]`.

use crate::policy::approvals::{ApprovalTerms, BreakGlassTerms};
use crate::settings::reader::Reader;
use crate::settings::value::{name, span};

/// Reads `[approvals]`.
pub(super) fn terms(reader: &mut Reader<'_>) -> ApprovalTerms {
    let usual = ApprovalTerms::default();
    let mut time = |path, usual| {
        let bounds = reader.span(path);
        let typed = bounds.and_then(|bounds| reader.read(path, span(bounds)));
        typed.map_or(usual, |(time, _)| time)
    };
    let expires_after = time("approvals.expires_after", usual.expires_after);
    let run_within = time("approvals.run_within", usual.run_within);
    let reason_chars_min = reader.count("approvals.reason_min_chars");
    ApprovalTerms { expires_after, run_within, reason_chars_min }
}

/// Reads `[break_glass]`.
pub(super) fn break_glass(reader: &mut Reader<'_>) -> Option<BreakGlassTerms> {
    let section = reader.typed.section("break_glass")?.clone();
    let persons = reader.each("break_glass.persons", name(128));
    if persons.is_empty() {
        let place = reader.place("break_glass.persons").cloned().unwrap_or(section);
        let message = "[break_glass] names nobody: add `persons = [\"wang.li\"]`, or remove the \
            section";
        reader.complaints.error(&place, message);
    }
    let persons = persons.into_iter().map(|(person, _)| person).collect();
    Some(BreakGlassTerms { persons, per_day: reader.count("break_glass.per_day") })
}
