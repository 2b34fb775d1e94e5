//! Witnesses of checkpoints: what each signed last, or why it does not.

use maud::{Markup, html};

use crate::admin::Api;
use crate::audit::witness::{CosignedTree, WitnessStanding};
use crate::console::text::{cut, date_clock, grouped, shown};
use crate::console::words::chip;

/// The most characters of an error.
const ERROR_CHARS_MAX: usize = 300;

/// The witnesses of this gateway; nothing where none is configured.
pub(super) fn section(api: &Api) -> Markup {
    let witnesses = api.state.audit.witnesses();
    html! {
        @if !witnesses.is_empty() {
            h3 #witnesses { "Witnesses" }
            p.dim { "Other servers that sign that the tree only ever grew, as this gateway has \
                asked them." }
            (table(&witnesses))
        }
    }
}

fn table(witnesses: &[WitnessStanding]) -> Markup {
    html! {
        table.list {
            caption.unseen { "Witnesses; times are UTC" }
            thead { tr {
                th scope="col" { "Witness" } th scope="col" { "State" }
                th.number scope="col" { "Records signed" } th scope="col" { "Last signed (UTC)" }
                th.number scope="col" { "Failures" }
            } }
            tbody { @for witness in witnesses { tr.item {
                td { (shown(&witness.name)) }
                td { (state(witness)) }
                td.number { @match &witness.cosigned {
                    Some(tree) => (grouped(usize::try_from(tree.size).unwrap_or(usize::MAX))),
                    None => span.none { "none" },
                } }
                td.time { @match &witness.cosigned {
                    Some(tree) => (date_clock(&tree.at.to_string())),
                    None => span.none { "none" },
                } }
                td.number { (grouped(usize::try_from(witness.failures).unwrap_or(usize::MAX))) }
            } } }
        }
    }
}

fn state(witness: &WitnessStanding) -> Markup {
    html! {
        @match (&witness.error, &witness.cosigned) {
            (Some((error, since)), _) => {
                (chip("bad", "does not sign"))
                div.why {
                    (cut(error, ERROR_CHARS_MAX))
                    " (since " (date_clock(&since.to_string())) ")"
                }
            }
            (None, Some(CosignedTree { by, .. })) if by.is_empty() => {
                (chip("warn", "not verified"))
                div.why { "no key in " code { "evidence.witness_keys" } }
            }
            (None, Some(CosignedTree { by, .. })) => {
                (chip("good", "signs"))
                div.why { @for name in by { (shown(name)) " " } }
            }
            (None, None) => "not asked yet",
        }
    }
}
