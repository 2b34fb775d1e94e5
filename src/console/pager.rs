//! The way from one part of a list to the next.

use maud::{Markup, html};

use super::form::{encoded, with_query};
use crate::admin::asked::Asked;

/// Links to the newest part and to the next older one.
pub(super) fn pages<K>(path: &str, asked: &Asked<K>, next: Option<&str>) -> Markup {
    let kept = asked.pairs().filter(|(key, _)| *key != "cursor");
    let first = with_query(path, kept);
    let mut older = first.clone();
    if let Some(cursor) = next {
        older.push(if older.contains('?') { '&' } else { '?' });
        older.push_str("cursor=");
        older.push_str(&encoded(cursor));
    }
    let is_later = asked.text("cursor").is_some();
    html! {
        @if is_later || next.is_some() {
            nav.pages aria-label="Parts of the list" {
                @if is_later { a href=(first) rel="first" { "Newest" } }
                @if next.is_some() { a href=(older) rel="next" { "Older" } }
            }
        }
    }
}
