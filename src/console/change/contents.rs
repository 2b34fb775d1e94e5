//! The inside of a change: where the deployment differs, and the record as it is.

use maud::{Markup, html};

use crate::audit::query::{BodyTexts, asked_diff};
use crate::audit::record::Change;
use crate::base::count::counted;
use crate::base::visible::lines;
use crate::console::fields::{Place, table};
use crate::console::shown::Shown;

/// The most bytes of bodies with which the record stands on the page itself.
const RAW_BYTES_MAX: usize = 24 << 10;

/// The inside of a change, ready to be shown.
pub(super) enum Contents {
    /// It is not for this role.
    Hidden,
    /// It is.
    Shown {
        /// The heading of what differs.
        title: &'static str,
        /// Where the deployment differs.
        places: Markup,
        /// The places that the server changes by itself.
        computed: Option<Markup>,
        /// JSON Pointers of concealed values.
        concealed: usize,
        /// The record as JSON; `None` where it is long.
        raw: Option<String>,
        /// Whether long texts stand side by side.
        side_by_side: bool,
    },
}

impl Contents {
    /// Compares the bodies of a change.
    pub(super) fn of(
        change: &Change,
        texts: &BodyTexts,
        side_by_side: bool,
    ) -> Result<Self, serde_json::Error> {
        let bodies = texts.values(change)?;
        let asked = bodies.after.is_none().then(|| asked_diff(change, &bodies));
        let title = if asked.is_some() { "What was asked for" } else { "What changed" };
        let all = asked.as_ref().unwrap_or(&bodies.diff);
        let of = |is_own: bool| {
            let those = all.iter().filter(move |place| place.computed == is_own);
            those.map(Place::from).collect::<Vec<_>>()
        };
        let (own, others) = (of(true), of(false));
        let mut shown = Shown::new(side_by_side, format!("/api/v1/changes/{}", change.id));
        let places = if let Some(erased) = change.unkept.erased_words() {
            html! { p.dim { "Erased: " (erased) ". The log tells when and why." } }
        } else if others.is_empty() {
            html! { p.dim { "No place differs." } }
        } else {
            table(title, &others, &mut shown)
        };
        let computed = (!own.is_empty() && asked.is_none()).then(|| {
            let title = "Changed by the server itself";
            html! {
                details { summary { (title) ": " (own.len()) } (table(title, &own, &mut shown)) }
            }
        });
        let lengths = [&texts.patch, &texts.before, &texts.after].into_iter().flatten();
        let is_short = lengths.map(|text| text.len()).sum::<usize>() <= RAW_BYTES_MAX;
        let raw = is_short.then(|| {
            let whole = Change { bodies: Some(bodies.clone()), ..change.clone() };
            serde_json::to_string_pretty(&whole)
        });
        let concealed = change.redacted.len();
        let raw = raw.transpose()?;
        Ok(Self::Shown { title, places, computed, concealed, raw, side_by_side })
    }

    /// The section of what differs.
    pub(super) fn changed(&self, id: &str) -> Markup {
        let Self::Shown { title, places, computed, concealed, side_by_side, .. } = self else {
            return html! {
                section.forbidden aria-labelledby="changed" {
                    h2 #changed { "What changed" }
                    p { "Your role, viewer, shows that something changed, not what. \
                        The role auditor shows it." }
                }
            };
        };
        let (other, told) = if *side_by_side {
            (format!("/changes/{id}?diff=inline#changed"), "Inline")
        } else {
            (format!("/changes/{id}#changed"), "Side by side")
        };
        html! {
            section aria-labelledby="changed" {
                div.head { h2 #changed { (title) } a href=(other) data-key="d" { (told) } }
                (places)
                @if let Some(computed) = computed { (computed) }
                @if *concealed > 0 {
                    p.dim {
                        (counted(concealed, "concealed value"))
                        ": the log holds keyed digests of secrets, \
                        equal for equal ones of this deployment."
                    }
                }
            }
        }
    }

    /// The section of the record itself.
    pub(super) fn raw(&self) -> Markup {
        let Self::Shown { raw, .. } = self else { return html! {} };
        html! {
            section aria-labelledby="raw" {
                h2 #raw { "Record" }
                @match raw {
                    Some(raw) => details {
                        summary { "Show as JSON" }
                        pre.raw data-copy tabindex="0" { (lines(raw)) }
                    },
                    None => p { "The record is long: open it by " strong { "Raw JSON" } " above." },
                }
            }
        }
    }
}
