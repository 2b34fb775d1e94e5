//! Credentials out of a text.

use std::borrow::Cow;
use std::ops::Range;

use memchr::memmem;

use super::credential::{CREDENTIALS_MAX, Credentials, TOKEN_BYTES_MIN, may_hold_one};
use super::encoded::Decoded;
use super::work::{looked, made};
use super::{Own, Redactor};
use crate::base::key::Token;
use crate::base::pointer::{keys, push_segment};

/// The most layers of percent-encoding that are looked below.
const LAYERS_MAX: usize = 2;

/// The mark of a text that was cut.
pub(super) const CUT: char = '…';

/// The most cuts of one text that are looked at, and the most bytes before each.
const CUTS_MAX: usize = 16;
const BEFORE_CUT_BYTES_MAX: usize = 256;

impl Redactor {
    /// `text` with every credential in it concealed: the caller's own, what has the shape of a
    /// known one, what a name in the text calls secret, and the user part of URLs; percent-encoded
    /// ones, and the beginning of the caller's own where the text quotes a part that was cut.
    #[must_use]
    pub fn scrub<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let may_hold_own = self.own.as_ref().is_some_and(|own| own.is_in(text.as_bytes()));
        if !may_hold_own && !may_hold_one(text) {
            return Cow::Borrowed(text);
        }
        self.without(text, self.found(text))
    }

    /// `text` without its credentials, cut to `bytes_max` bytes only then: no part of one is left
    /// at the end.
    #[must_use]
    pub fn scrub_and_cut(&self, text: &str, bytes_max: usize) -> String {
        let mut clean = self.scrub(text).into_owned();
        clean.truncate(clean.floor_char_boundary(bytes_max));
        clean
    }

    /// `text` as one that also knows `token` scrubs it.
    #[must_use]
    pub fn scrub_knowing(&self, text: &str, token: &Token) -> String {
        self.clone().knowing(token).scrub(text).into_owned()
    }

    /// Scrubs `text` where it stands.
    pub fn scrub_in_place(&self, text: &mut String) {
        if let Cow::Owned(clean) = self.scrub(text) {
            *text = clean;
        }
    }

    /// A JSON Pointer with the credentials in its keys concealed, which are looked at as the keys
    /// that they name.
    pub(super) fn scrub_pointer(&self, pointer: &mut String) {
        if keys(pointer).all(|key| self.is_plain(&key)) {
            return;
        }
        let mut clean = String::new();
        for key in keys(pointer) {
            push_segment(&mut clean, &self.scrub(&key));
        }
        *pointer = clean;
    }

    pub(super) fn is_plain(&self, text: &str) -> bool {
        matches!(self.scrub(text), Cow::Borrowed(_))
    }

    /// Where credentials lie in `text`, in no order.
    fn found(&self, text: &str) -> Vec<Range<usize>> {
        let mut found = self.found_in(text.as_bytes());
        let own = self.own.iter().map(|own| own.token.expose());
        found.extend(own.flat_map(|own| cut_off(text, own, TOKEN_BYTES_MIN)));
        let mut layers: Vec<Decoded> = Vec::new();
        while layers.len() < LAYERS_MAX {
            let above = layers.last().map_or(text.as_bytes(), |layer| &layer.bytes);
            let Some(layer) = Decoded::of(above) else { break };
            let below = self.found_in(&layer.bytes);
            layers.push(layer);
            let encoded = |at| layers.iter().rev().fold(at, |at, layer| layer.encoded(at));
            found.extend(below.into_iter().map(|range| encoded(range.start)..encoded(range.end)));
        }
        found
    }

    fn found_in(&self, text: &[u8]) -> Vec<Range<usize>> {
        let own = self.own.iter().flat_map(|own| own.all_in(text));
        own.chain(Credentials::of(text, &self.rules.names)).collect()
    }

    /// `text` with the ranges concealed, those that overlap as one.
    fn without<'t>(&self, text: &'t str, mut found: Vec<Range<usize>>) -> Cow<'t, str> {
        if found.is_empty() {
            return Cow::Borrowed(text);
        }
        found.sort_by_key(|range| (range.start, range.end));
        let mut clean = String::with_capacity(text.len());
        let mut done = 0;
        let mut ranges = found.into_iter().peekable();
        while let Some(Range { start, mut end }) = ranges.next() {
            while let Some(next) = ranges.next_if(|next| next.start < end) {
                end = end.max(next.end);
            }
            let start = text.floor_char_boundary(start).max(done);
            let end = text.ceil_char_boundary(end);
            clean.push_str(text.get(done..start).unwrap_or_default());
            clean.push_str(&self.hidden(text.get(start..end).unwrap_or_default()));
            done = end;
        }
        clean.push_str(text.get(done..).unwrap_or_default());
        made(clean.len());
        Cow::Owned(clean)
    }
}

impl Own {
    pub(super) fn is_in(&self, text: &[u8]) -> bool {
        looked(text.len());
        self.finder.find(text).is_some()
    }

    /// Where the token stands in `text`; beyond a bound, all the rest counts as one.
    fn all_in(&self, text: &[u8]) -> impl Iterator<Item = Range<usize>> {
        looked(text.len());
        let (bytes, end) = (self.token.expose().len(), text.len());
        let places = self.finder.find_iter(text).take(CREDENTIALS_MAX).enumerate();
        places.map(move |(count, start)| {
            start..if count + 1 < CREDENTIALS_MAX { start + bytes } else { end }
        })
    }
}

/// The beginnings of `secret`, of `bytes_min` bytes or more, that stand before a cut of `text`.
pub(super) fn cut_off(
    text: &str,
    secret: &str,
    bytes_min: usize,
) -> impl Iterator<Item = Range<usize>> {
    let mut mark = [0; 4];
    let cuts: Vec<usize> =
        memmem::find_iter(text.as_bytes(), CUT.encode_utf8(&mut mark)).take(CUTS_MAX).collect();
    looked(text.len());
    cuts.into_iter().filter_map(move |cut| {
        let most = cut.min(secret.len()).min(BEFORE_CUT_BYTES_MAX);
        let beginnings = (bytes_min.max(1)..=most).rev();
        let begins = |bytes: &usize| {
            secret
                .get(..*bytes)
                .is_some_and(|begun| text.get(..cut).is_some_and(|t| t.ends_with(begun)))
        };
        beginnings
            .filter(|bytes| secret.is_char_boundary(*bytes))
            .find(begins)
            .map(|b| cut - b..cut)
    })
}
